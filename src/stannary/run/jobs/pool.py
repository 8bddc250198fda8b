"""The executor over supervised processes of this machine (`stannary.run.pool`): a job that takes its process fails alone."""

from __future__ import annotations

import os

from stannary.run.interface import Done, Failed, Setup
from stannary.run.interface import Job as Payload
from stannary.run.jobs.driven import DrivenJobs
from stannary.run.jobs.handling import FACTORY, encode_job, encode_setup
from stannary.run.jobs.model import Job, JobLimits, JobSetup
from stannary.run.pool import Pool

__all__ = ["PoolJobs"]

_DEATHS = 2  # the pool has tried twice before it gives a job up


class PoolJobs(DrivenJobs[int]):
    """A JobExecutor over a pool. Make it before threads are started: its processes are forked.

    The processes are not jailed: jobs fetch and read the workspace. What they read of models, they read in jails of their own.
    """

    def __init__(self, setup: JobSetup, limits: JobLimits | None = None, *, workers: int = 0) -> None:
        super().__init__(limits)
        self.workers = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or 2
        inner = Setup(FACTORY, encode_setup(setup))
        self._pool = Pool(inner, None, workers=self.workers, seconds=self._limits.seconds)

    def close(self) -> None:
        """End all processes at once."""
        self._pool.close()
        self._attempts.clear()

    def pids(self) -> list[int]:
        """Return the processes that there are now."""
        return self._pool.pids()

    def _start(self, job: Job) -> int:
        return self._pool.submit(Payload(encode_job(job)))

    def _stop(self, handle: int) -> None:
        self._pool.cancel(handle, stop=True)

    def _take(self, seconds: float | None) -> bool:
        took = False
        for outcome in self._pool.results(seconds):
            key = self._ended(outcome.ticket)
            if key is None:
                continue
            took = True
            if isinstance(outcome, Done):
                self._answered(key, outcome.value)
            elif isinstance(outcome, Failed):
                self._attempts.failed(key, outcome.error, passing=False)
            else:
                self._attempts.crashed(key, outcome.reason, _DEATHS)
            if len(self._running) < 2 * self.workers:  # let more be submitted before the processes have nothing to do
                break
        return took
