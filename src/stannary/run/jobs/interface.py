"""The executor of jobs: at least one run, exactly one outcome for each job, never more of them in flight than it allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from stannary.run.jobs.model import Job, Outcome

__all__ = ["JobExecutor", "run_all"]


class JobExecutor(Protocol):
    """Runs jobs somewhere. To be used from one thread."""

    def room(self) -> int:
        """Return how many jobs may be submitted before outcomes have to be taken."""
        ...

    def submit(self, job: Job) -> str:
        """Take a job and return its key. Never blocks. A job that is in flight already is the same job.

        Raises BackendError (JOB001) when there is no room.
        """
        ...

    def submit_all(self, jobs: Sequence[Job]) -> list[str]:
        """Take several jobs at once, all or none."""
        ...

    def results(self, timeout: float | None = None) -> Iterator[Outcome]:
        """Yield outcomes as they come, until no job is left or nothing came for `timeout` seconds."""
        ...

    def cancel(self, key: str) -> None:
        """End a job, running or not. No outcome is reported."""
        ...

    def close(self) -> None:
        """End everything at once. Jobs without an outcome get none here; those of a durable queue stay in it."""
        ...


def run_all(executor: JobExecutor, jobs: Iterable[Job]) -> Iterator[Outcome]:
    """Run any number of jobs, drawn from `jobs` only as there is room, and yield their outcomes as they come."""
    drawn = iter(jobs)
    while batch := list(islice(drawn, max(1, executor.room()))):
        while executor.room() < len(batch):
            waited = next(executor.results(), None)
            if waited is not None:
                yield waited
            yield from executor.results(0.0)
        executor.submit_all(batch)
    yield from executor.results()
