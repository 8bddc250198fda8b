"""Detection and false alarms beside other scanners: every forge, and a folder of real benign models, in one run.

    python benchmarks/corpus/compare.py --benign FOLDER [--peers picklescan,...] [--into docs/reference/detection.md]

Each scanner is called by its own command line on one file after another, as it is installed (see
benchmarks/scan/peers.py). `flagged` is exit code 1. Files of more than one part (folders) are left to the
scanners that read folders. Our forges were made to find holes in our own scanner: that favours it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "scan"))

from peers import PEERS, QUIET, Peer, answer, ensure, put, version  # noqa: E402 - a folder beside

import stannary  # noqa: E402 - after the path
from stannary.testing.forges import all_forges, write  # noqa: E402 - after the path

SECONDS, MEGABYTES = 30, 6000
ANSWERS = ("flagged", "nothing found", "refused or failed", "no answer in time")
OURS = {"unsafe": "flagged", "suspicious": "flagged", "incomplete": "refused or failed"}
HEADER = (
    "| scanner | hostile: flagged | nothing found | refused or failed | no answer | hostile pickles: flagged "
    "| real models: flagged | refused or failed |"
)
MADE_BY = "Made by `benchmarks/corpus/compare.py --benign FOLDER`, the folder by `benchmarks/corpus/benign.py FOLDER --subset ci`."
CAUTION = """\
The forges are ours, made to find holes in this scanner, which were then mended: they favour it, and the first columns are no
estimate of what any of these finds elsewhere. The real models are the fairer half. The others are called by their own command
lines, each in its own environment, {seconds} s and {gigabytes} GB a file; *refused or failed* is an exit code other than 0
and 1, or an exception, which a careful pipeline stops at (for stannary: *incomplete*), *no answer* what was not done in time.
Many forges are of formats that a pickle scanner does not claim to read: one column is of pickles and what wraps them alone.
"""
PICKLES = (
    "pickle", "stream", "memo", "EXT", "INST", "dotted", "callables", "frame", "joblib", "npy", "torch", "padding", "odd opcodes",
    "attacks", "broken", "py2", "persistent", "gadgets",
)  # fmt: skip


class Case(NamedTuple):
    """A path to read, whether it is hostile, and whether it is a pickle or wraps one."""

    path: Path
    hostile: bool
    pickled: bool


def cases(folder: Path, benign: Path | None) -> list[Case]:
    """Write every forge that is hostile or benign; add the real models."""
    found = []
    for name, forge in sorted(all_forges().items()):
        if forge.malicious is not None:
            pickled = any(word in forge.family for word in PICKLES)
            found.append(Case(write(name, folder / name), forge.malicious, pickled))
    real = [Case(path, hostile=False, pickled=True) for path in sorted(benign.iterdir()) if path.is_file()] if benign else []
    return [case for case in found if case.hostile] + real


def ours(paths: list[Path]) -> list[str]:
    """Return the answers of this scanner."""
    targets = stannary.scan(*paths).targets
    return [OURS.get(target.verdict, "nothing found") for target in targets]


def theirs(peer: Peer, paths: list[Path]) -> list[str]:
    """Return the answers of another one."""
    driver = ROOT / "benchmarks" / "scan" / "peer_driver.py"
    command = [str(peer.python), "-I", str(driver), peer.entry, str(SECONDS), str(MEGABYTES), *peer.arguments]
    done = subprocess.run(
        command,
        input="".join(f"{path}\n" for path in paths),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**QUIET, "HOME": "/tmp", "PATH": "/usr/bin:/bin"},
    )
    return [answer(int(code)) for code in done.stdout.split()]


def row(name: str, found: list[Case], answers: list[str]) -> str:
    """Return one line of the table."""
    told = list(zip(found, answers, strict=True))
    hostile = [answer for case, answer in told if case.hostile]
    pickled = [answer for case, answer in told if case.hostile and case.pickled]
    real = [answer for case, answer in told if not case.hostile]
    cells = [*(_share(hostile, wanted) for wanted in ANSWERS), _share(pickled, "flagged")]
    return "| " + " | ".join([name, *cells, *(_share(real, wanted) for wanted in ("flagged", "refused or failed"))]) + " |"


def _share(answers: list[str], wanted: str) -> str:
    count = answers.count(wanted)
    return f"{count:,} ({100 * count / len(answers):.1f} %)" if answers else ""


def table(found: list[Case], peers: list[str]) -> list[str]:
    """Return the lines of the comparison."""
    paths = [case.path for case in found]
    hostile, pickled = sum(case.hostile for case in found), sum(case.hostile and case.pickled for case in found)
    lines = [
        f"{hostile:,} hostile forges, {pickled:,} of them pickles or wrapped ones; {len(found) - hostile:,} real benign models.",
        "",
        HEADER,
        "|---|---|---|---|---|---|---|---|",
        row(f"stannary {stannary.__version__}", found, ours(paths)),
    ]
    for name in peers:
        problem = ensure(PEERS[name])
        print(name, problem or "runs", file=sys.stderr, flush=True)
        peer = PEERS[name]
        given = found[:: peer.every]
        answers = [] if problem else theirs(peer, [case.path for case in given])
        label = f"{name} {version(peer)}" + (f" (every {peer.every}th file)" if peer.every > 1 else "")
        lines.append(f"| {name} | {problem} |" + " |" * 6 if problem else row(label, given, answers))
    return lines


def main() -> int:
    """Compare, and print or put the section into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benign", type=Path)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = table(cases(Path(folder), options.benign), [name for name in options.peers.split(",") if name])
    note = CAUTION.format(seconds=SECONDS, gigabytes=MEGABYTES // 1000).strip()
    section = [
        "## Beside other scanners",
        "",
        "Made by `python benchmarks/corpus/compare.py --benign FOLDER`.",
        "",
        note,
        "",
        *lines,
    ]
    if options.into:
        put(options.into, section)
    else:
        print("\n".join(section))
    return 0


if __name__ == "__main__":
    sys.exit(main())
