"""Speed and memory of `stannary scan` beside its peers, in one run: CPU seconds, private and resident memory, ratios.

    ./dev bench scan [--small] [--runs N] [--peers picklescan,modelscan] [--into docs/reference/performance.md]
    ./dev bench scan --hostile           # the worst input there is: see hostile.py
    ./dev bench scan --against PATH      # small pickles beside another checkout, turn by turn: see against.py

Inputs are made once under build/bench by the environment with the ML libraries (.venv-ml). Peers are
installed on first use, each into an environment of its own (see peers.py); `--peers ""` measures none.
Whatever takes more than five CPU seconds is measured once.
"""

from __future__ import annotations

import argparse
import compileall
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from against import compare
from hostile import main as hostile
from measuring import Cost, measure
from peers import PEERS, QUIET, answer, ensure, put, version

import stannary

ROOT = Path(__file__).resolve().parents[2]
OURS = Path(sys.executable).with_name("stannary")
NOTE = """\
Made by `./dev bench scan --runs {runs}`, all tools in one run; each cell is CPU seconds of all processes and, in brackets,
the peak of private memory in MB. The inputs are benign: *flagged* is a false alarm, *refused or failed* an exit code other
than 0 and 1 (modelscan: nothing that it supports), *no answer in time* more than 240 s on the clock of a machine on which
others worked too. hayward is told to read files of more than 500 MB, which it passes over otherwise. What a scanner does not
look into costs it nothing: picklescan neither opens safetensors nor goes past the first raw array of a joblib file. Now and then
the system takes an input out of the page cache between two tools, and the second pays for getting it back.
"""
LONG = 5.0  # CPU seconds
INPUTS = ("st_2g.safetensors", "torch_2g.pt", "np_1g.pkl", "small5000", "named5000", "own5000", "rf.joblib", "rf_z3.joblib")


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
    found |= {peer: PEERS[peer].command(path) for peer in peers if path.is_file() or PEERS[peer].folders}
    return found


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hostile", action="store_true", help="the worst cases instead: see hostile.py")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--against", type=Path, help="another checkout, to measure small pickles beside it")
    parser.add_argument("--into", type=Path, help="put the table of all tools into this page")
    options, rest = parser.parse_known_args()
    into, against = (path.resolve() if path else None for path in (options.into, options.against))  # the working folder changes
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
    os.environ.update(QUIET)
    # As an installer leaves it: without compiled modules each start would pay for compiling.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(stannary.__file__).parent, quiet=2)
    os.chdir(tempfile.mkdtemp(prefix="stannary-bench-"))  # one of them writes its result into the working folder
    if against:
        small = [folder / name for name in INPUTS if name.endswith("5000") and options.only in name]
        for path in small:
            warm(path)
        compare(against, small, options.runs)
        return
    peers = {name: ensure(PEERS[name]) for name in options.peers.split(",") if name}
    there = [name for name, problem in peers.items() if not problem]
    print("| input | tool | CPU s | to stannary | wall s | resident MB | private MB | exit |\n|---|---|---|---|---|---|---|---|")
    costs: dict[str, dict[str, Cost]] = {}
    for name in [n for n in INPUTS if options.only in n]:
        warm(folder / name)
        for tool, command in commands(folder / name, there).items():
            costs.setdefault(tool, {})[name] = cost = typical(command, options.runs)
            base = costs.get("stannary", {}).get(name)
            ratio = f"{cost.cpu / base.cpu:.2f}" if base else ""
            memory = f"{cost.resident:.0f} | {cost.private:.0f}"
            print(f"| {name} | {tool} | {cost.cpu:.2f} | {ratio} | {cost.wall:.2f} | {memory} | {cost.code} |", flush=True)
    lines = beside(costs, peers)
    if into:
        put(into, ["## Beside other scanners", "", *NOTE.format(runs=options.runs).splitlines(), "", *lines])
    else:
        print("\n" + "\n".join(lines))


def warm(path: Path) -> None:
    """Read an input once: the first to read it would pay for getting it from the disk."""
    for file in [path] if path.is_file() else path.iterdir():
        with file.open("rb", buffering=0) as content:
            while content.read(1 << 20):
                pass


def typical(command: list[str], runs: int) -> Cost:
    """Return the median of times and the peak of memory of some runs; of one when it is long."""
    costs = [measure(command)]
    while len(costs) < runs and costs[0].cpu < LONG:
        costs.append(measure(command))
    middle = [statistics.median(cost[index] for cost in costs) for index in (0, 1)]
    return Cost(middle[0], middle[1], max(c.resident for c in costs), max(c.private for c in costs), costs[0].code)


def beside(costs: dict[str, dict[str, Cost]], peers: dict[str, str]) -> list[str]:
    """Return a table with a row for each tool and a column for each input."""
    names = [name for name in INPUTS if name in costs.get("stannary", {})]
    lines = ["| CPU s (private MB) | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for tool in dict.fromkeys([*costs, *peers]):
        if peers.get(tool):
            lines.append(f"| {tool} | {peers[tool]} |" + " |" * (len(names) - 1))
            continue
        label = f"{tool} {version(PEERS[tool])}" if tool in PEERS else tool
        cells = [_cell(costs.get(tool, {}).get(name), peer=tool in PEERS) for name in names]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def _cell(cost: Cost | None, *, peer: bool) -> str:
    if cost is None:
        return "takes no folder" if peer else ""
    said = answer(cost.code) if peer else ""
    return f"{cost.cpu:.2f} ({cost.private:.0f})" + (f", {said}" if said not in ("", "nothing found") else "")


main()
