"""The executor over a durable table: what was submitted is done by workers, here or elsewhere, whatever happens to this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from stannary.core.errors import BackendError
from stannary.run.jobs.model import Done, Failed, Job, JobLimits, Lost, Outcome
from stannary.store.job_table import JobRow, JobTable, NewJob

__all__ = ["QueueJobs"]

_LONGEST_POLL = 0.25


class QueueJobs:
    """A JobExecutor whose jobs stand in a table. Of its limits, `in_flight` is kept here, and the others by the workers.

    A job that was done before, by whomever, has its outcome at once.
    """

    def __init__(self, table: JobTable, limits: JobLimits | None = None, *, actor: str = "") -> None:
        self._table = table
        self._limits = limits or JobLimits()
        self._actor = actor
        self._open: dict[str, None] = {}

    def room(self) -> int:
        """Return how many jobs may be submitted before outcomes have to be taken."""
        return self._limits.in_flight - len(self._open)

    def submit(self, job: Job) -> str:
        """Write a job down. When this returns, it is on the disk. Raises BackendError when there is no room."""
        return self.submit_all([job])[0]

    def submit_all(self, jobs: Sequence[Job]) -> list[str]:
        """Write jobs down, all or none. Raises BackendError when there is no room for all of them."""
        new = {job.key: job for job in jobs if job.key not in self._open}
        if self.room() < len(new):
            msg = f"{self._limits.in_flight} jobs may be in flight, and no more are taken"
            raise BackendError(msg, code="JOB001", help="take results, then submit again")
        self._table.add_all(
            [NewJob(key=key, kind=job.kind, inputs=job.inputs, params=job.params, actor=self._actor) for key, job in new.items()]
        )
        self._open |= dict.fromkeys(new)
        return [job.key for job in jobs]

    def results(self, timeout: float | None = None) -> Iterator[Outcome]:
        """Yield outcomes as they come, until no job is left or nothing came for `timeout` seconds."""
        quiet_since = time.monotonic()
        poll = 0.005
        while self._open:
            found = self._table.ended(list(self._open))
            for row, value in found:
                del self._open[row.key]
                if (outcome := _outcome(row, value)) is not None:
                    yield outcome
                quiet_since = time.monotonic()
            poll = 0.005 if found else min(2 * poll, _LONGEST_POLL)
            left = None if timeout is None else timeout - (time.monotonic() - quiet_since)
            if not self._open or (left is not None and left <= 0):
                return
            time.sleep(poll if left is None else min(poll, left))

    def cancel(self, key: str) -> None:
        """End a job; its worker notices when it renews its lease."""
        if key in self._open:
            self._table.cancel(key)
            del self._open[key]

    def close(self) -> None:
        """Forget what was submitted. It stays in the table, and is done."""
        self._open.clear()


def _outcome(row: JobRow, value: bytes | None) -> Outcome | None:
    if row.state == "done":
        return Done(row.key, value or b"")
    if row.state == "poisoned":
        return Lost(row.key, row.error, row.crashes)
    return Failed(row.key, row.error) if row.state == "failed" else None
