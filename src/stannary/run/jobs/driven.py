"""What the executors share whose jobs run elsewhere: they are started as there are tries to make, and what comes back is told."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

from stannary.run.jobs.attempts import Attempts
from stannary.run.jobs.handling import decode_answer
from stannary.run.jobs.model import Job, JobLimits, Outcome

__all__ = ["DrivenJobs"]

_Handle = TypeVar("_Handle")


class DrivenJobs(ABC, Generic[_Handle]):
    """A JobExecutor over workers that are elsewhere; a handle is what those call a run."""

    def __init__(self, limits: JobLimits | None) -> None:
        self._limits = limits or JobLimits()
        self._attempts = Attempts(self._limits)
        self._running: dict[_Handle, str] = {}
        self._by_key: dict[str, _Handle] = {}
        self.room = self._attempts.room
        self.submit = self._attempts.add
        self.submit_all = self._attempts.add_all

    def results(self, timeout: float | None = None) -> Iterator[Outcome]:
        """Yield outcomes as they come, until no job is left or nothing came for `timeout` seconds."""
        quiet_since = time.monotonic()
        while True:
            while (job := self._attempts.start()) is not None:
                handle = self._start(job)
                self._running[handle] = job.key
                self._by_key[job.key] = handle
            while (outcome := self._attempts.take()) is not None:
                yield outcome
                quiet_since = time.monotonic()
            if not self._attempts.open:
                return
            left = None if timeout is None else max(0.0, timeout - (time.monotonic() - quiet_since))
            took = self._wait(left)
            if left == 0.0 and not took:
                return

    def cancel(self, key: str) -> None:
        """End a job, running or not; by force."""
        if self._attempts.cancel(key):
            handle = self._by_key.pop(key, None)
            if handle is not None:
                del self._running[handle]
                self._stop(handle)

    @abstractmethod
    def _start(self, job: Job) -> _Handle:
        """Have a job run, and return what that run is called."""

    @abstractmethod
    def _stop(self, handle: _Handle) -> None:
        """End a run, by force."""

    @abstractmethod
    def _take(self, seconds: float | None) -> bool:
        """Take what has come back, waiting so long for the first of it (None: as long as it takes); tell whether something had."""

    def _ended(self, handle: _Handle) -> str | None:
        """Forget a run that has ended, and return the key of its job; None when that was cancelled."""
        key = self._running.pop(handle, None)
        if key is not None:
            del self._by_key[key]
        return key

    def _answered(self, key: str, data: bytes) -> None:
        """Note what a worker says that a job came to."""
        answer = decode_answer(data)
        if answer.value is not None:
            self._attempts.done(key, answer.value)
        else:
            self._attempts.failed(key, answer.error, passing=answer.passing)

    def _wait(self, left: float | None) -> bool:
        """Take what has come back; wait for that long at most, or until a job is to be tried again."""
        pause = self._attempts.pause()
        wait = left if pause is None else pause if left is None else min(left, pause)
        if self._running:
            return self._take(wait)
        time.sleep(wait or 0.0)
        return False
