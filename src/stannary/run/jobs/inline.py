"""The executor in this process: one job after the other, when results are asked for.

It isolates nothing: a job that takes its process with it takes this one. The time of a job is bounded where it runs in
the main thread, by an alarm; elsewhere it is not.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from stannary.run.jobs.attempts import Attempts
from stannary.run.jobs.handling import decode_answer, encode_job, encode_setup, open_handler
from stannary.run.jobs.model import Job, JobLimits, JobSetup, Outcome

__all__ = ["InlineJobs"]


class _Overdue(BaseException):
    """Not an Exception: a handler must not take it for one of its own."""


class InlineJobs:
    """A JobExecutor in this process."""

    def __init__(self, setup: JobSetup, limits: JobLimits | None = None) -> None:
        self._limits = limits or JobLimits()
        self._attempts = Attempts(self._limits)
        self._handle = open_handler(encode_setup(setup))
        self.room = self._attempts.room
        self.submit = self._attempts.add
        self.submit_all = self._attempts.add_all

    def results(self, timeout: float | None = None) -> Iterator[Outcome]:
        """Run and yield. A job that is running is waited for, whatever `timeout` says."""
        quiet_since = time.monotonic()
        while True:
            while (outcome := self._attempts.take()) is not None:
                yield outcome
                quiet_since = time.monotonic()
            job = self._attempts.start()
            if job is not None:
                self._run(job)
                continue
            pause = self._attempts.pause()
            if pause is None or not self._attempts.open:
                return
            if timeout is not None:
                left = timeout - (time.monotonic() - quiet_since)
                if left <= 0:
                    return
                pause = min(pause, left)
            time.sleep(pause)

    def cancel(self, key: str) -> None:
        """Forget a job. The one that is running ends first: nothing else happens here meanwhile."""
        self._attempts.cancel(key)

    def close(self) -> None:
        """Drop what has not run."""
        self._attempts.clear()

    def _run(self, job: Job) -> None:
        try:
            with _alarm(self._limits.seconds):
                answer = decode_answer(self._handle(encode_job(job), False))  # noqa: FBT003 - positional in the Handler type
        except _Overdue:
            self._attempts.crashed(job.key, f"ran longer than {self._limits.seconds:g} s")
            return
        if answer.value is not None:
            self._attempts.done(job.key, answer.value)
        else:
            self._attempts.failed(job.key, answer.error, passing=answer.passing)


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise _Overdue

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
