"""Hostile input of up to 64 MB: CPU seconds, memory and verdict of the command line, one line a case.

    ./dev bench scan --hostile [--only WORD] [--size MB] [--keep]

Wanted for every case: 2 CPU seconds and 256 MB private at most, and never *clean* where a payload still runs.
A case that is over is marked; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile_archives import archives
from hostile_followed import followed
from hostile_models import models
from hostile_pickles import pickles
from hostile_texts import texts
from measuring import Cost, measure

ROOT = Path(__file__).resolve().parents[2]
OURS = [sys.executable, "-c", "import sys; from stannary.cli.main import run; sys.exit(run())"]
SECONDS, MEGABYTES = 2.0, 256
RUNS = 2  # of a case that is over: another program may have had the processor's cache


def cases(size: int) -> Iterator[tuple[str, str, Callable[[], bytes], bool]]:
    """Yield name, file name, what makes the content, and whether a loader that comes to the end runs a payload."""
    for name, make in pickles(size):
        yield f"pickle.{name}", "model.pkl", make, True
    yield from archives(size)
    yield from texts(size)
    yield from models(size)
    yield from followed(size)


def scan(path: Path, output: Path) -> tuple[Cost, str, str]:
    """Scan one file and return the cost, the verdict and what limit ended it."""
    command = [*OURS, "scan", "-q", "--jobs", "1", "--format", f"json={output}", str(path)]
    output.unlink(missing_ok=True)
    cost = measure(command, limit=60)
    if not output.exists():
        return cost, "none", ""
    target = json.loads(output.read_text())["targets"][0]
    missed = [
        reason for file in target["files"] for reason in (*(m["reason"] for m in file.get("missed", [])), file["reason"] or "")
    ]
    return cost, target["verdict"], next((reason for reason in missed if reason), "")


def main(arguments: list[str]) -> int:
    """Measure every case and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args(arguments)
    folder = ROOT / "build" / "hostile"
    folder.mkdir(parents=True, exist_ok=True)
    print("| case | MB | CPU s | private MB | verdict | exit | |\n|---|---|---|---|---|---|---|", flush=True)
    over = 0
    for name, filename, make, runs in cases(options.size << 20):
        if not any(word in name for word in options.only.split(",")):
            continue
        path = folder / (f"{name}.{filename}" if options.keep else filename)
        size = path.write_bytes(make()) / 1e6
        for _ in range(RUNS):
            cost, verdict, reason = scan(path, folder / "report.json")
            wrong = verdict == "none" or (runs and verdict in {"clean", "unverified"})
            bad = wrong or cost.cpu > SECONDS or cost.private > MEGABYTES
            if not bad:
                break
        over += bad
        mark = "**over** " if bad else ""
        figures = f"{size:.0f} | {cost.cpu:.2f} | {cost.private:.0f}"
        print(f"| {name} | {figures} | {verdict} | {cost.code} | {mark}{reason[:90]} |", flush=True)
        if not options.keep:
            path.unlink()
    print(f"\n{over} over the limits", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
