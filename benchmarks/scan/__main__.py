"""Speed and memory of `stannary scan` beside its peers, in one run: CPU seconds, private and resident memory, ratios.

    ./dev bench scan [--small] [--runs N] [--peers picklescan,modelscan,fickling,modelaudit]

Inputs are made once under build/bench by the environment with the ML libraries (.venv-ml). Peers
run from .venv-peers (requirements/peers.txt) when it is there; one that is absent is said to be.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
OURS = ROOT / ".venv" / "bin" / "stannary"
PEERS = ROOT / ".venv-peers" / "bin"
INPUTS = ("st_2g.safetensors", "torch_2g.pt", "np_1g.pkl", "small5000", "rf.joblib", "rf_z3.joblib")


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


def commands(path: Path, peers: list[str]) -> dict[str, list[str]]:
    """Return the command lines that read one input."""
    found = {
        "bare python": [sys.executable, "-I", "-c", "pass"],
        "stannary, structure": [str(OURS), "scan", "--no-digest", "-q", "--exit-zero", str(path)],
        "stannary": [str(OURS), "scan", "-q", "--exit-zero", "--jobs", "1", str(path)],
        "stannary, 2 jobs": [str(OURS), "scan", "-q", "--exit-zero", "--jobs", "2", str(path)],
    }
    if path.is_file():
        found["openssl sha256"] = ["openssl", "dgst", "-sha256", str(path)]
    lines = {
        "picklescan": ["picklescan", "-p", str(path)],
        "modelscan": ["modelscan", "-p", str(path)],
        "fickling": ["fickling", "--check-safety", "-p", str(path)],
        "modelaudit": ["modelaudit", "scan", str(path)],
        "hayward": ["hayward", str(path)],
    }
    for peer in peers:
        if (PEERS / peer).exists():
            found[peer] = [str(PEERS / lines[peer][0]), *lines[peer][1:]]
    return found


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--peers", default="picklescan,modelscan,fickling,hayward,modelaudit")
    options = parser.parse_args()
    folder = ROOT / "build" / ("bench-small" if options.small else "bench")
    maker = ROOT / ".venv-ml" / "bin" / "python"
    subprocess.run(
        [
            str(maker if maker.exists() else sys.executable),
            str(Path(__file__).with_name("inputs.py")),
            str(folder),
            *(["--small"] if options.small else []),
        ],
        check=True,
    )
    os.environ.update(NO_ANALYTICS="1", PROMPTFOO_DISABLE_TELEMETRY="1")
    print("| input | tool | CPU s | to stannary | wall s | resident MB | private MB | exit |\n|---|---|---|---|---|---|---|---|")
    for name in [n for n in INPUTS if options.only in n]:
        path = folder / name
        base = 0.0
        for tool, command in commands(path, options.peers.split(",")).items():
            costs = [measure(command) for _ in range(options.runs)]
            cpu = statistics.median(c.cpu for c in costs)
            base = cpu if tool == "stannary" else base
            ratio = f"{cpu / base:.2f}" if base else ""
            worst = max(costs, key=lambda c: c.private)
            wall = statistics.median(c.wall for c in costs)
            memory = f"{worst.resident:.0f} | {worst.private:.0f}"
            print(f"| {name} | {tool} | {cpu:.2f} | {ratio} | {wall:.2f} | {memory} | {costs[0].code} |", flush=True)


main()
