"""Speed and memory of `stannary scan` beside its peers, in one run: CPU seconds, private and resident memory, ratios.

    ./dev bench scan [--small] [--runs N] [--peers picklescan,modelscan,fickling,modelaudit]
    ./dev bench scan --hostile           # the worst input there is: see hostile.py

Inputs are made once under build/bench by the environment with the ML libraries (.venv-ml). Peers
run from .venv-peers (requirements/peers.txt) when it is there; one that is absent is said to be.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from hostile import main as hostile
from measuring import measure

ROOT = Path(__file__).resolve().parents[2]
OURS = ROOT / ".venv" / "bin" / "stannary"
PEERS = ROOT / ".venv-peers" / "bin"
INPUTS = ("st_2g.safetensors", "torch_2g.pt", "np_1g.pkl", "small5000", "rf.joblib", "rf_z3.joblib")


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
    parser.add_argument("--hostile", action="store_true", help="the worst cases instead: see hostile.py")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--peers", default="picklescan,modelscan,fickling,hayward,modelaudit")
    options, rest = parser.parse_known_args()
    if options.hostile:
        sys.exit(hostile([*(["--only", options.only] if options.only else []), *rest]))
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
