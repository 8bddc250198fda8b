"""Small pickles by two checkouts, turn by turn: what a change gained or cost, and what a second worker gains.

    ./dev bench scan --against PATH [--only own5000] [--runs 5]

PATH is another checkout (`git worktree add PATH COMMIT`); both are run by this interpreter, from their `src` folders.
"""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["compare"]

ROOT = Path(__file__).resolve().parents[2]
_JOBS = (1, 2)


def compare(other: Path, inputs: list[Path], runs: int) -> None:
    """Print the medians of CPU and wall-clock seconds of both checkouts, with one worker and with two."""
    checkouts = {"there": other.resolve(), "here": ROOT}
    for checkout in checkouts.values():
        compileall.compile_dir(checkout / "src" / "stannary", quiet=2)
    print("| input | checkout | CPU s, 1 job | wall s, 1 job | CPU s, 2 jobs | wall s, 2 jobs | times as fast |")
    print(f"|{'---|' * 7}")
    for path in inputs:
        costs: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for _ in range(runs):
            for jobs in _JOBS:
                for name, checkout in checkouts.items():
                    costs.setdefault((name, jobs), []).append(_scan(checkout, path, jobs))
        for name in checkouts:
            cells = [statistics.median(cost[at] for cost in costs[name, jobs]) for jobs in _JOBS for at in (0, 1)]
            numbers = " | ".join(f"{cell:.2f}" for cell in cells)
            print(f"| {path.name} | {name} | {numbers} | {cells[1] / cells[3]:.2f} |", flush=True)


def _scan(checkout: Path, path: Path, jobs: int) -> tuple[float, float]:
    """Return the CPU seconds of all processes and those on the clock. Nothing watches: two workers want both processors."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "stannary", "scan", str(path), "--jobs", str(jobs), "-q", "--exit-zero"],
        env={**os.environ, "PYTHONPATH": str(checkout / "src")},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    if status:
        sys.exit(f"{checkout} answered {path.name} with status {status}")
    return usage.ru_utime + usage.ru_stime, wall
