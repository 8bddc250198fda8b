"""Fuzz the scanner: structure-aware mutations of forges, and every truncation of 50 of them.

    .venv/bin/python benchmarks/scan/fuzz.py [--mutations 20000] [--seconds N] [--seed S] [--replay FILE ...]

For each case: no exception leaves the reading (readers' own bugs included), two CPU seconds at most, and where a
payload still runs (`stannary.testing.oracles`: CPython's unpicklers, zipfile, tarfile, gzip, torch's zip reading)
the verdict is not *clean* and not *unverified*. Prints a table; a case that breaks a rule is kept under
build/fuzz/ and the exit code is 1. The same seed gives the same cases.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stannary.checks.static.ruleset import load as load_rules
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.forges import all_forges
from stannary.testing.mutations import mutate
from stannary.testing.oracles import runs

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "fuzz"
PICKLES = ("pickle", "torch", "zip", "joblib", "numpy", "tar", "compressed")
LEFT_OUT = ("bomb", "pad.", "whole", "_10k", "1m", "64m")  # large, or made to take for ever
MOST_BYTES = 6000
SECONDS = 2.0
VERDICTS = ("unsafe", "suspicious", "incomplete", "unverified", "clean")
RULES = load_rules()


class Seed(NamedTuple):
    """A forge, built."""

    name: str
    filename: str
    content: bytes

    @property
    def family(self) -> str:
        """Return the first part of the name."""
        return self.name.split(".")[0]


class Outcome(NamedTuple):
    """Whether the payload runs, what the scanner said, CPU seconds, and what is wrong with that."""

    runs: bool
    verdict: str
    cpu: float
    problem: str


class _Endless(Exception):
    pass


def _interrupt(_signal: int, _frame: object) -> None:
    raise _Endless


def seeds() -> list[Seed]:
    """Return the forges that are small single files of formats that carry pickles."""
    found = []
    for name, item in sorted(all_forges().items()):
        if name.split(".")[0] in PICKLES and not any(word in name for word in LEFT_OUT):
            content = item.build()
            if isinstance(content, bytes) and len(content) <= MOST_BYTES:
                found.append(Seed(name, item.filename, content))
    return found


def check(content: bytes, filename: str) -> Outcome:
    """Scan one case and hold it against the oracle."""
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, 10 * SECONDS)
    verdict = problem = ""
    try:
        report = read_view(View(content, filename), strict=True)
        verdict = verdict_of(findings_of(report, RULES, filename), missed=bool(report.missed))
    except _Endless:
        problem = "hang"
    except BaseException as exc:  # noqa: BLE001 - any exception is the finding
        problem = f"{type(exc).__name__}: {exc}"[:200]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    cpu = time.process_time() - started
    if not problem and cpu > SECONDS:
        problem = f"took {cpu:.1f} CPU s"
    ran = False
    signal.setitimer(signal.ITIMER_PROF, 10 * SECONDS)
    try:
        ran = runs(content)
    except _Endless:  # the loader never comes back: nothing to hold the verdict against
        pass
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if not problem and ran and verdict in {"clean", "unverified"}:
        problem = f"payload runs, verdict {verdict}"
    return Outcome(ran, verdict, cpu, problem)


class Table:
    """Counts by family."""

    def __init__(self) -> None:
        self.cases: Counter[str] = Counter()
        self.ran: Counter[str] = Counter()
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.unread: Counter[str] = Counter()  # the payload runs, and the verdict is only *incomplete*
        self.slowest: dict[str, float] = {}
        self.problems: dict[str, tuple[str, str, str]] = {}

    def add(self, family: str, case: str, content: bytes, outcome: Outcome) -> None:
        """Count a case; keep it when it breaks a rule."""
        self.cases[family] += 1
        self.ran[family] += outcome.runs
        self.verdicts[family, outcome.verdict] += 1
        self.unread[family] += outcome.runs and outcome.verdict == "incomplete"
        self.slowest[family] = max(self.slowest.get(family, 0), outcome.cpu)
        if outcome.runs and outcome.verdict == "incomplete":
            keep("incomplete", case, content, "payload runs, verdict incomplete")
        if outcome.problem:
            path = keep("violation", case, content, outcome.problem)
            self.problems[path] = (family, case, outcome.problem)

    def show(self) -> None:
        """Print it in Markdown."""
        heads = ("family", "cases", "still run", "of these only incomplete", *VERDICTS, "slowest CPU ms", "violations")
        print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
        families = sorted(self.cases)
        for name, chosen in [*((f, [f]) for f in families), ("all", families)]:
            counts = [sum(c[f] for f in chosen) for c in (self.cases, self.ran, self.unread)]
            counts += [sum(self.verdicts[f, v] for f in chosen) for v in VERDICTS]
            slowest = max((self.slowest[f] for f in chosen), default=0)
            wrong = sum(family in chosen for family, _, _ in self.problems.values())
            print("| " + " | ".join(map(str, (name, *counts, round(1000 * slowest), wrong))) + " |")


def keep(kind: str, case: str, content: bytes, why: str) -> str:
    folder = KEPT / kind
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.bin"
    path.write_bytes(content)
    path.with_suffix(".txt").write_text(f"{case}\n{why}\n", encoding="utf-8")
    return str(path.relative_to(ROOT))


def cases(options: argparse.Namespace) -> Iterator[tuple[str, str, str, bytes]]:
    """Yield (family, case, file name, content): mutations, then truncations."""
    everything = seeds()
    by_family = {family: [s for s in everything if s.family == family] for family in PICKLES}
    running = {family: [s for s in found if runs(s.content)] for family, found in by_family.items()}
    pool = [s.content for s in running["pickle"]]
    families = ("pickle", "pickle", "pickle", "zip", "zip", *PICKLES[1:])
    for number in range(options.first, options.first + options.mutations):
        rng = random.Random(f"{options.seed}:{number}")
        family = families[number % len(families)]
        chosen = rng.choice((running if rng.random() < 0.7 else by_family)[family])
        yield chosen.family, f"{chosen.name} {options.seed}:{number}", chosen.filename, mutate(chosen.content, rng, pool)
    if not options.truncations:
        return
    rng = random.Random(options.seed)
    for family in PICKLES:
        short = [s for s in running[family] if len(s.content) < 900] or running[family]
        for seed in rng.sample(short, min(len(short), 9 if family == "pickle" else 7)):
            for end in range(len(seed.content)):
                yield "truncated " + family, f"truncated {family} {seed.name}[:{end}]", seed.filename, seed.content[:end]


def replay(paths: list[Path]) -> int:
    """Check kept cases again and print what they give."""
    bad = 0
    for path in paths:
        note = path.with_suffix(".txt")
        case = note.read_text(encoding="utf-8").split(" ")[0] if note.exists() else ""
        item = all_forges().get(case)
        outcome = check(path.read_bytes(), item.filename if item else "model.pkl")
        bad += bool(outcome.problem)
        print(path.name, case, outcome)
    return int(bad > 0)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation, to run in pieces")
    parser.add_argument("--seconds", type=float, default=600, help="stop after this many CPU seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-truncations", dest="truncations", action="store_false")
    parser.add_argument("--replay", nargs="+", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGPROF, _interrupt)
    # The jail bounds memory in a real scan; a memo index of four thousand million asks for all there is.
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
    if options.replay:
        return replay(options.replay)
    table = Table()
    for family, case, filename, content in cases(options):
        table.add(family, case, content, check(content, filename))
        if time.process_time() > options.seconds:
            print(f"stopped after {options.seconds:.0f} CPU s, at {case}")
            break
    table.show()
    for path, (_, case, problem) in table.problems.items():
        print(f"violation: {problem}: {case}: {path}")
    print(f"{time.process_time():.1f} CPU s in all")
    return int(bool(table.problems))


if __name__ == "__main__":
    sys.exit(main())
