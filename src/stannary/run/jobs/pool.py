"""The executor over supervised processes of this machine (`stannary.run.pool`): a job that takes its process fails alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from stannary.run.interface import Done, Failed, Setup
from stannary.run.interface import Job as Payload
from stannary.run.jobs.attempts import Attempts
from stannary.run.jobs.handling import FACTORY, decode_answer, encode_job, encode_setup
from stannary.run.jobs.model import JobLimits, JobSetup, Outcome
from stannary.run.pool import Pool

__all__ = ["PoolJobs"]

_DEATHS = 2  # the pool has tried twice before it gives a job up


class PoolJobs:
    """A JobExecutor over a pool. Make it before threads are started: its processes are forked.

    The processes are not jailed: jobs fetch and read the workspace. What they read of models, they read in jails of their own.
    """

    def __init__(self, setup: JobSetup, limits: JobLimits | None = None, *, workers: int = 0) -> None:
        self._limits = limits or JobLimits()
        self._attempts = Attempts(self._limits)
        self.workers = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or 2
        inner = Setup(FACTORY, encode_setup(setup))
        self._pool = Pool(inner, None, workers=self.workers, seconds=self._limits.seconds)
        self._tickets: dict[int, str] = {}
        self._keys: dict[str, int] = {}
        self.room = self._attempts.room
        self.submit = self._attempts.add
        self.submit_all = self._attempts.add_all

    def results(self, timeout: float | None = None) -> Iterator[Outcome]:
        """Yield outcomes as they come, until no job is left or nothing came for `timeout` seconds."""
        quiet_since = time.monotonic()
        while True:
            self._start()
            while (outcome := self._attempts.take()) is not None:
                yield outcome
                quiet_since = time.monotonic()
            if not self._attempts.open:
                return
            left = None if timeout is None else max(0.0, timeout - (time.monotonic() - quiet_since))
            self._wait(left)
            if left == 0.0 and not self._has_outcome():
                return

    def cancel(self, key: str) -> None:
        """End a job; the process that runs it is ended."""
        if self._attempts.cancel(key):
            ticket = self._keys.pop(key, None)
            if ticket is not None:
                del self._tickets[ticket]
                self._pool.cancel(ticket, stop=True)

    def close(self) -> None:
        """End all processes at once."""
        self._pool.close()
        self._attempts.clear()

    def pids(self) -> list[int]:
        """Return the processes that there are now."""
        return self._pool.pids()

    def _start(self) -> None:
        while (job := self._attempts.start()) is not None:
            ticket = self._pool.submit(Payload(encode_job(job)))
            self._tickets[ticket] = job.key
            self._keys[job.key] = ticket

    def _has_outcome(self) -> bool:
        return self._attempts.room() < self._limits.in_flight - self._attempts.open

    def _wait(self, left: float | None) -> None:
        """Take what the pool has, waiting for the first of it for as long as that, or until a job is to be tried again."""
        pause = self._attempts.pause()
        wait = left if pause is None else pause if left is None else min(left, pause)
        if not self._tickets:
            time.sleep(wait or 0.0)
            return
        for outcome in self._pool.results(wait):
            key = self._tickets.pop(outcome.ticket, None)
            if key is None:
                continue
            del self._keys[key]
            if isinstance(outcome, Done):
                answer = decode_answer(outcome.value)
                if answer.value is not None:
                    self._attempts.done(key, answer.value)
                else:
                    self._attempts.failed(key, answer.error, passing=answer.passing)
            elif isinstance(outcome, Failed):
                self._attempts.failed(key, outcome.error, passing=False)
            else:
                self._attempts.crashed(key, outcome.reason, _DEATHS)
            if len(self._tickets) < 2 * self.workers:  # let more be submitted before the processes have nothing to do
                return
