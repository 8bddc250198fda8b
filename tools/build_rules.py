"""Compile rules and sets into `data/rules.json`, pickle knowledge into `data/pickle.json`: what is shipped and read.

`./dev rules` writes it; `./dev rules --check` exits with 1 when it is not what the sources compile to.
"""

from __future__ import annotations

import sys
from pathlib import Path

import stannary.checks.static
from stannary.checks.static.knowledge import compile_sources as compile_knowledge
from stannary.checks.static.ruleset import compile_sources

DATA = Path(stannary.checks.static.__file__).parent / "data"
TARGETS = {DATA / "rules.json": compile_sources, DATA / "pickle.json": compile_knowledge}


def main(arguments: list[str]) -> int:
    """Write or check the compiled files and return the exit code."""
    code = 0
    for target, compiler in TARGETS.items():
        try:
            compiled = compiler()
        except ValueError as exc:
            print(f"error: sources of {target.name} that cannot be compiled:\n{exc}", file=sys.stderr)
            return 1
        if target.exists() and target.read_bytes() == compiled:
            print(f"{target.name}: up to date")
        elif "--check" in arguments:
            print(f"error: {target.name} is not what its sources compile to\nhelp: ./dev rules", file=sys.stderr)
            code = 1
        else:
            target.write_bytes(compiled)
            print(f"{target.name}: written, {len(compiled)} bytes")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
