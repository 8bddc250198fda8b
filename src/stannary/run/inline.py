"""The executor for platforms without fork: jobs run in this process, without a jail. Results say `none`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from stannary.run.interface import Done, Failed, Job, Outcome, Setup, Ticket
from stannary.run.worker import load_handler

__all__ = ["Inline"]


class Inline:
    """Runs each job when its result is asked for. Trust in the jobs is the caller's to have."""

    def __init__(self, setup: Setup) -> None:
        self._handle = load_handler(setup)
        self._jobs: deque[tuple[Ticket, Job]] = deque()
        self._cancelled: set[Ticket] = set()
        self._last = 0

    def submit(self, job: Job) -> Ticket:
        """Queue a job."""
        self._last += 1
        self._jobs.append((self._last, job))
        return self._last

    def results(self, timeout: float | None = None) -> Iterator[Outcome]:
        """Run and yield. `timeout` has no effect: a job cannot be interrupted here."""
        del timeout
        while self._jobs:
            ticket, job = self._jobs.popleft()
            if ticket in self._cancelled:
                continue
            try:
                value = self._handle(job.payload, False)  # noqa: FBT003 - positional in the Handler type
            except Exception as exc:  # noqa: BLE001 - whatever a handler raises belongs to its job
                yield Failed(ticket, f"{type(exc).__name__}: {exc}")
            else:
                yield Done(ticket, value)

    def cancel(self, ticket: Ticket) -> None:
        """Forget a job."""
        self._cancelled.add(ticket)

    def close(self) -> None:
        """Drop what has not run."""
        self._jobs.clear()
