"""The worker of background jobs that runs beside a server: a process of its own, so that no job can take the server with it.

It is `stannary jobs work`, once for a server whatever number of processes answer, ended with it, and started again when it dies.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["JobWorker", "workers"]

_LOG = logging.getLogger("stannary.server")
_LONGEST_PAUSE = 60.0
_STEADY = 60.0  # seconds after which a start counts as good


class JobWorker:
    """A worker with so many processes over a workspace; none for 0. It starts, and starts again, when it is tended."""

    def __init__(self, workspace: Path, count: int) -> None:
        self._line = [
            sys.executable, "-m", "stannary", "jobs", "work", "-q",
            "--workspace", str(workspace), "--workers", str(count), "--until-eof",
        ]  # fmt: skip
        self._wanted = bool(count)
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._due = 0.0
        self._pause = 1.0

    def tend(self) -> None:
        """Start it when it does not run, after a pause when it died."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            _LOG.error("the worker ended with %s; its jobs are taken up again", self._process.returncode)
            self._pause = 1.0 if now - self._began > _STEADY else min(2 * self._pause, _LONGEST_PAUSE)
            self._due = now + self._pause
            self._process = None
        if self._wanted and self._process is None and now >= self._due:
            self._began = now
            self._process = subprocess.Popen(self._line, stdin=subprocess.PIPE)  # noqa: S603 - ourselves

    def let_go(self) -> None:
        """Close what ends it, in a process that was forked from the one that started it: it is not to wait for that one too."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    def stop(self) -> None:
        """Have it end."""
        self._wanted = False
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def end(self, grace: float) -> None:
        """Wait for its end, so many seconds at most."""
        self.stop()
        if self._process is None:
            return
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its jobs go back to the queue when their leases run out
            self._process.wait()


@contextlib.contextmanager
def workers(workspace: Path, count: int, grace: float) -> Iterator[None]:
    """Have a worker with so many processes while the block lasts; none for 0. At the end it gets `grace` seconds."""
    if not count:
        yield
        return
    stopping, worker = threading.Event(), JobWorker(workspace, count)
    keeper = threading.Thread(target=_keep, args=(worker, stopping, grace), name="stannary-workers")
    keeper.start()
    try:
        yield
    finally:
        stopping.set()
        keeper.join()


def _keep(worker: JobWorker, stopping: threading.Event, grace: float) -> None:
    while not stopping.is_set():
        worker.tend()
        stopping.wait(0.2)
    worker.end(grace)
