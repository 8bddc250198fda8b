"""What a command costs: CPU seconds of all its processes, peak memory resident and private."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """CPU seconds (user and system, children included), peak MB resident and private, exit code."""

    cpu: float
    wall: float
    resident: float
    private: float
    code: int


def _private(root: int) -> int:
    """Return the bytes of anonymous memory of a process and its children."""
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            todo += [int(c) for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
        except OSError:
            continue
        total += sum(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("RssAnon"))
    return total


def measure(command: list[str], limit: float = 240) -> Cost:
    """Run a command once and return what it cost."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.004):
            peak = max(peak, _private(process.pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    killer = threading.Timer(limit, lambda: os.killpg(process.pid, 9))
    killer.start()
    _, status, usage = os.wait4(process.pid, 0)
    killer.cancel()
    done.set()
    watcher.join()
    return Cost(
        usage.ru_utime + usage.ru_stime,
        time.monotonic() - started,
        usage.ru_maxrss / 1024,
        peak / 1e6,
        os.waitstatus_to_exitcode(status),
    )
