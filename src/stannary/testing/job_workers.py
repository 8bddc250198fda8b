"""Workers of a durable queue as processes of their own, for tests: they may be killed, and come back.

    python -m stannary.testing.job_workers WORKSPACE DATABASE SCRATCH SECONDS

works until its standard input is closed.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from stannary.evidence.chain import Chain
from stannary.evidence.product import keeper_of
from stannary.evidence.workspace import Workspace
from stannary.run.jobs.model import JobLimits
from stannary.run.jobs.pool import PoolJobs
from stannary.run.jobs.worker import Keeper, Worker, WorkerOptions, keep_nothing
from stannary.store.database import Database
from stannary.store.job_table import JobTable
from stannary.testing.executor_conformance import setup_at

__all__ = ["JobWorkers", "main"]

_LEASE = 3.0  # a worker of a busy machine says so in time


class JobWorkers:
    """So many workers, each of which is started again when it dies, while the context lasts."""

    def __init__(self, count: int, workspace: Path | None, database: str, scratch: Path, seconds: float) -> None:
        self._line = [
            sys.executable, "-m", "stannary.testing.job_workers",
            str(workspace or ""), database, str(scratch), str(seconds),
        ]  # fmt: skip
        self._count = count
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.pids: set[int] = set()

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._keep_one) for _ in range(self._count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _keep_one(self) -> None:
        while not self._stopping.is_set():
            with subprocess.Popen(self._line, stdin=subprocess.PIPE) as process:  # noqa: S603 - ourselves
                self.pids.add(process.pid)
                while process.poll() is None and not self._stopping.wait(0.02):
                    pass
                if process.stdin is not None:
                    process.stdin.close()
                process.wait()
                self.pids.discard(process.pid)


def main(arguments: list[str]) -> None:
    """Work until nobody holds the other end of the standard input."""
    workspace, database, scratch, seconds = arguments
    # One try and one crash here: what is tried again, and when a job is given up, is for the table to say.
    executor = PoolJobs(setup_at(Path(scratch)), JobLimits(seconds=float(seconds), tries=1, crashes=1), workers=1)
    table = JobTable(Database(database), most_crashes=3, backoff=0.05)
    keeper: Keeper = keep_nothing
    if workspace:
        keeper = keeper_of(Chain(Workspace(Path(workspace)), write=True))
    stop = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    Worker(table, executor, keeper, WorkerOptions(lease=_LEASE, poll=0.05)).run(stop)
    executor.close()


if __name__ == "__main__":
    main(sys.argv[1:])
