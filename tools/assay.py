"""Developers' shortcut: read forged or real files in this process, print facts and findings.

python tools/assay.py FORGE_NAME|PREFIX.*|PATH...      # -f: facts too
"""

from __future__ import annotations

import fnmatch
import sys
import tempfile
from pathlib import Path

from stannary.checks.static.ruleset import RuleSet, _Packed, compile_sources
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import read_file
from stannary.testing.forges import all_forges, write


def main() -> None:
    """Read what the arguments name."""
    import msgspec

    packed = msgspec.json.decode(compile_sources(), type=_Packed)
    rules = RuleSet(packed.rules, packed.sets, "")
    facts = "-f" in sys.argv
    for arg in [a for a in sys.argv[1:] if a != "-f"]:
        names = fnmatch.filter(all_forges(), arg)
        with tempfile.TemporaryDirectory() as tmp:
            roots = [Path(arg)] if Path(arg).exists() else [write(n, Path(tmp) / n) for n in sorted(names)]
            for root in roots:
                files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
                for path in files:
                    report = read_file(str(path), name=str(path.relative_to(root)) if root.is_dir() else path.name, strict=True)
                    found = findings_of(report, rules, path.name)
                    print(f"{path}: {verdict_of(found, missed=bool(report.missed))} {list(report.formats)} missed={report.missed}")
                    for fact in report.facts if facts else ():
                        print("   ", fact)
                    for f in found:
                        print(f"    [{f.severity}] {f.rule} {f.part} @{f.offset}: {f.message}")


main()
