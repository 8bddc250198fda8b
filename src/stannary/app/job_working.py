"""A worker over a workspace's table of jobs: it has them done by an executor, and keeps what comes of them as evidence."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from stannary.app.job_handling import handler_setup
from stannary.app.places import open_database
from stannary.core.errors import UsageError
from stannary.evidence.product import keeper_of
from stannary.run.jobs.model import JobLimits, JobSetup
from stannary.store.job_table import JobTable

if TYPE_CHECKING:
    from stannary.evidence.workspace import Workspace
    from stannary.run.jobs.interface import JobExecutor

__all__ = ["open_executor", "work"]

_SECONDS = 3600.0


def open_executor(spec: str, setup: JobSetup, limits: JobLimits, workers: int = 0) -> JobExecutor:
    """Return an executor: `inline`, `pool`, `ray`, `ray:HOST:PORT` or `ray://HOST:PORT`. Raises UsageError or BackendError."""
    if spec == "inline":
        from stannary.run.jobs.inline import InlineJobs

        return InlineJobs(setup, limits)
    if spec == "pool":
        from stannary.run.jobs.pool import PoolJobs

        return PoolJobs(setup, limits, workers=workers)
    if spec == "ray" or spec.startswith("ray:"):
        from stannary.run.jobs.ray_ import RayJobs

        return RayJobs(setup, limits, address=spec if spec.startswith("ray://") else spec.removeprefix("ray").removeprefix(":"))
    msg = f"is no executor: {spec[:80]!r}"
    raise UsageError(msg, where="--executor", code="JOB005", help="inline, pool, ray, ray:HOST:PORT or ray://HOST:PORT")


def work(
    workspace: Workspace, stop: threading.Event, *, executor: str = "pool", workers: int = 0, drain: bool = False,
    on_event: Callable[[str, str], None] | None = None,
) -> int:  # fmt: skip
    """Do the jobs of a workspace until `stop` is set (with `drain`, until none is left), and return how many were done.

    To be called before threads are started: the processes of a pool are forked. They do not get the workspace's keys, which are
    opened after that, here. Raises UsageError or BackendError.
    """
    from stannary.evidence.chain import Chain
    from stannary.run.jobs.worker import Worker, WorkerOptions

    with tempfile.TemporaryDirectory(prefix="stannary-jobs-") as progress:
        setup = handler_setup(workspace, progress)
        # What is tried again, and when a job is given up, is for the table to say: it outlives this process.
        running = open_executor(executor, setup, JobLimits(seconds=_SECONDS, tries=1, crashes=1), workers)
        try:
            chain = Chain(workspace, write=True)
            database = open_database(workspace)
            try:
                options = WorkerOptions(drain=drain, progress=progress)
                table = JobTable(database, workspace.clock)
                return Worker(table, running, keeper_of(chain), options, on_event).run(stop)
            finally:
                database.close()
                chain.ledger.close()
        finally:
            running.close()
