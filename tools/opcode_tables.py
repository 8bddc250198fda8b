"""Writes `src/stannary/formats/opcodes.json`: how each CPython numbers, pads and jumps with its opcodes.

    python3.X tools/opcode_tables.py probe > 3.X.json      with every interpreter from 3.6 on, each its own
    python tools/opcode_tables.py write 3.6.json 3.7.json …

The facts come from each interpreter's own `opcode` module; nothing is typed by hand. The first half runs on
Python 3.6 and newer, hence its plain syntax. Specialised and instrumented opcodes are left out: they exist while
a program runs and in no code object that Python hands out.
"""

import json
import sys
from pathlib import Path

TABLES = Path(__file__).parent.parent / "src" / "stannary" / "formats" / "opcodes.json"
OPCODES = 256


def probe() -> dict:  # type: ignore[type-arg]
    """Return the table of the Python that runs this."""
    import opcode

    names = {
        number: name
        for name, number in opcode.opmap.items()
        if number < OPCODES and not name.startswith(("INSTRUMENTED", "<")) and name not in ("ENTER_EXECUTOR", "RESERVED")
    }
    caches = getattr(opcode, "_inline_cache_entries", {})
    if isinstance(caches, list):
        caches = {opcode.opname[number]: count for number, count in enumerate(caches) if count}
    return {
        "version": "{}.{}".format(*sys.version_info[:2]),
        "names": {str(number): names[number] for number in sorted(names)},
        "caches": {name: caches[name] for name in sorted(caches) if caches[name] and name in opcode.opmap},
        "relative": sorted(names[n] for n in opcode.hasjrel if n in names),
        "absolute": sorted(names[n] for n in opcode.hasjabs if n in names),
        "argument": opcode.HAVE_ARGUMENT,
        "operators": [symbol for _, symbol in getattr(opcode, "_nb_ops", ())],
        "intrinsics": list(getattr(opcode, "_intrinsic_1_descs", ())),
        "special": list(getattr(opcode, "_special_method_names", ())),
        "common": [getattr(value, "__name__", repr(value)) for value in getattr(opcode, "_common_constants", ())],
    }


def main(arguments: list) -> int:  # type: ignore[type-arg]
    """Probe or write. Returns the exit code."""
    if arguments == ["probe"]:
        print(json.dumps(probe()))
        return 0
    if arguments[:1] != ["write"] or len(arguments) == 1:
        print(__doc__)
        return 2
    tables = {}
    for path in arguments[1:]:
        table = json.loads(Path(path).read_text(encoding="utf-8"))
        tables[table.pop("version")] = table
    ordered = {version: tables[version] for version in sorted(tables, key=lambda v: int(v.partition(".")[2]))}
    TABLES.write_text(json.dumps(ordered, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
