"""The worker that runs beside a server: a process of its own, so that no job can take the server with it, nor slow it down.

It is `stannary jobs work`, ended with the server, and started again when it dies.
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

__all__ = ["workers"]

_LOG = logging.getLogger("stannary.server")
_LONGEST_PAUSE = 60.0
_STEADY = 60.0  # seconds after which a start counts as good


@contextlib.contextmanager
def workers(workspace: Path, count: int, grace: float) -> Iterator[None]:
    """Have a worker with so many processes while the block lasts; none for 0. At the end it gets `grace` seconds."""
    if not count:
        yield
        return
    line = [
        sys.executable, "-m", "stannary", "jobs", "work", "-q",
        "--workspace", str(workspace), "--workers", str(count), "--until-eof",
    ]  # fmt: skip
    stopping = threading.Event()
    keeper = threading.Thread(target=_keep, args=(line, stopping, grace), name="stannary-workers")
    keeper.start()
    try:
        yield
    finally:
        stopping.set()
        keeper.join()


def _keep(line: list[str], stopping: threading.Event, grace: float) -> None:
    pause = 1.0
    while not stopping.is_set():
        began = time.monotonic()
        with subprocess.Popen(line, stdin=subprocess.PIPE) as process:  # noqa: S603 - ourselves
            while process.poll() is None and not stopping.wait(0.2):
                pass
            if process.poll() is None:
                _end(process, grace)
                return
        _LOG.error("the worker ended with %s; its jobs are taken up again", process.returncode)
        pause = 1.0 if time.monotonic() - began > _STEADY else min(2 * pause, _LONGEST_PAUSE)
        stopping.wait(pause)


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()  # its jobs go back to the queue when their leases run out
