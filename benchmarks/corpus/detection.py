"""Detection and false alarms per family: every forge, and a folder of real benign models when one is given.

    python benchmarks/corpus/detection.py [--benign FOLDER] [-o docs/reference/detection.md]

With `-o`, only the parts of the page between the marks are made anew (`part`); what is written by hand around them stays. A page
without the marks is left alone, with an error.

A malicious forge counts as detected when its verdict is suspicious or unsafe (exit code 1 at the
default gate); a malformed one must not be called clean. Exits 1 below the floors.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import stannary
from stannary.testing.forges import all_forges, write

FLAGGED = {"suspicious", "unsafe"}
HEADER = "| family | malicious flagged | clean | incomplete or unverified | benign flagged | benign | malformed clean | malformed |"
MADE_BY = "Made by `python benchmarks/corpus/detection.py`. Forges are in `stannary.testing.forges`; a payload is at most an echo."

_NEW = """# Detection

<!-- made by detection.py: forges -->
<!-- end of forges -->

## Real models

<!-- made by detection.py: models -->
<!-- end of models -->
"""


def forged() -> tuple[dict[str, Counter[str]], list[str]]:
    """Scan every forge; return counts by family and what was missed."""
    families: dict[str, Counter[str]] = defaultdict(Counter)
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: write(name, Path(folder) / name) for name in sorted(all_forges())}
        result = stannary.scan(*paths.values())
        for (name, _), target in zip(paths.items(), result.targets, strict=True):
            forge = all_forges()[name]
            counts = families[forge.family]
            kind = {True: "malicious", False: "benign", None: "malformed"}[forge.malicious]
            counts[kind] += 1
            counts[f"{kind} {target.verdict}"] += 1
            if forge.malicious and target.verdict not in FLAGGED:
                missed.append(f"{name}: {target.verdict}")
            if forge.malicious is False and target.verdict in FLAGGED:
                missed.append(f"{name}: benign, {target.verdict}")
            if forge.malicious is None and target.verdict == "clean":
                missed.append(f"{name}: malformed, clean")
    return families, missed


def real(folder: Path) -> tuple[dict[str, Counter[str]], list[str]]:
    """Scan real models, each a target of its own; return counts by the part of the name that says what made it."""
    families: dict[str, Counter[str]] = defaultdict(Counter)
    alarms: list[str] = []
    paths = sorted(p for p in folder.iterdir() if p.is_file() and "-" in p.name)
    result = stannary.scan(*paths)
    for path, target in zip(paths, result.targets, strict=True):
        parts = path.name.split("-")
        families["-".join(parts[:2]) if len(parts) > 2 else path.name][target.verdict] += 1
        if target.verdict in FLAGGED:
            alarms.append(f"{path.name}: {target.findings[0].rule} {target.findings[0].message[:90]}")
    return families, alarms


def main() -> int:
    """Print the tables in Markdown, or put them in their places of a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benign", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    families, missed = forged()
    total = sum((c for c in families.values()), Counter())
    made = {"forges": forges_part(families, total, missed)}
    if options.benign:
        made["models"] = models_part(*real(options.benign))
    if options.output:
        page = options.output.read_text(encoding="utf-8") if options.output.exists() else _NEW
        for name, text in made.items():
            page = part(page, name, text)
        options.output.write_text(page, encoding="utf-8")
    else:
        sys.stdout.write("\n".join(made.values()))
    found = total["malicious unsafe"] + total["malicious suspicious"]
    return int(found < 0.98 * total["malicious"] or total["malicious clean"] > 0)


def forges_part(families: dict[str, Counter[str]], total: Counter[str], missed: list[str]) -> str:
    """Return what is found of the forges, in one sentence and a table."""
    found = total["malicious unsafe"] + total["malicious suspicious"]
    lines = [
        MADE_BY,
        "",
        (
            f"**{found} of {total['malicious']} malicious forges are flagged ({100 * found / total['malicious']:.1f} %), "
            f"{total['malicious clean']} called clean. {total['benign suspicious'] + total['benign unsafe']} of "
            f"{total['benign']} benign forges are flagged.**"
        ),
        "",
        HEADER,
        "|---|---|---|---|---|---|---|---|",
    ]
    for family, c in sorted(families.items()):
        flagged = c["malicious unsafe"] + c["malicious suspicious"]
        other = c["malicious incomplete"] + c["malicious unverified"]
        alarms = c["benign unsafe"] + c["benign suspicious"]
        lines.append(
            f"| {family} | {flagged} of {c['malicious']} | {c['malicious clean']} | {other} | {alarms} | {c['benign']} "
            f"| {c['malformed clean']} | {c['malformed']} |"
        )
    if missed:
        lines += ["", "Not as they should be:", "", *(f"- `{name}`" for name in missed)]
    return "\n".join(lines) + "\n"


def models_part(models: dict[str, Counter[str]], alarms: list[str]) -> str:
    """Return what real models are called, by what made them."""
    sums = sum((c for c in models.values()), Counter())
    count = sum(sums.values())
    lines = [
        (
            f"{count} files made by the real libraries (`benchmarks/corpus/benign.py`): {sums['clean']} clean, "
            f"{sums['unverified']} unverified ({100 * sums['unverified'] / count:.1f} %), {sums['incomplete']} incomplete, "
            f"{sums['suspicious'] + sums['unsafe']} flagged."
        ),
        "",
        "| made by | clean | unverified | incomplete | flagged |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {n} | {c['clean']} | {c['unverified']} | {c['incomplete']} | {c['suspicious'] + c['unsafe']} |"
        for n, c in sorted(models.items())
    ]
    if alarms:
        lines += ["", *(f"- `{alarm}`" for alarm in alarms)]
    return "\n".join(lines) + "\n"


def part(page: str, name: str, made: str) -> str:
    """Return the page with `made` between the marks of a part. Raises SystemExit when the page has no such marks."""
    first, last = f"<!-- made by detection.py: {name} -->\n", f"<!-- end of {name} -->"
    before, opened, rest = page.partition(first)
    _, closed, after = rest.partition(last)
    if not (opened and closed):
        msg = f"the page has no {first.strip()} with {last} behind it: nothing was written"
        raise SystemExit(msg)
    return f"{before}{first}\n{made}\n{last}{after}"


if __name__ == "__main__":
    sys.exit(main())
