"""List the globals of real pickles and the roles that the shipped knowledge gives them.

    python tools/knowledge_record.py FOLDER... [--all]

The files are read by stannary's own readers; nothing is executed. Printed: role ('?' when not known),
module, name, how it is used, in how many files, and one file that has it.
"""

from __future__ import annotations

import sys
from multiprocessing import Pool
from pathlib import Path

from stannary.checks.static.knowledge import load
from stannary.checks.static.walk import read_file

LARGE = 50_000_000


def names_of(path: Path) -> tuple[str, list[tuple[str, str, str]]]:
    """Return the file's name and (module, name, uses) of every global in it."""
    report = read_file(str(path), name=path.name, strict=True)
    found = [(f.data["module"], f.data["name"], "+".join(f.data["uses"])) for f in report.facts if f.kind == "pickle.global"]
    return path.name, found


def main() -> None:
    """Print what is not known, or everything with --all."""
    folders = [Path(a) for a in sys.argv[1:] if not a.startswith("--")]
    files = [p for folder in folders for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size < LARGE]
    seen: dict[tuple[str, str], tuple[set[str], list[str]]] = {}
    with Pool(2) as pool:
        for where, found in pool.imap_unordered(names_of, files, chunksize=20):
            for module, name, uses in found:
                entry = seen.setdefault((module, name), (set(), []))
                entry[0].update(uses.split("+"))
                entry[1].append(where)
    known, missing = load(), 0
    for (module, name), (all_uses, files_with) in sorted(seen.items()):
        role = known.role(module, name)
        missing += not role
        if not role or "--all" in sys.argv:
            print(role or "?", module, name, "+".join(sorted(all_uses)), len(files_with), files_with[0])
    print(len(seen), "names in", len(files), "files,", missing, "not known")


if __name__ == "__main__":
    main()
