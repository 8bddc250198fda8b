"""What Python code imports: candidates by a pattern, and then for certain by its syntax tree.

Parsing every file of a repository would cost seconds. Lines that look like imports are collected from all; `confirm`
parses only the files that the parent picks, one for each name, because such a line may stand in a text.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings

from stannary.core.errors import FormatError
from stannary.formats.bounded_json import loads

__all__ = ["candidates", "confirm", "source_of_notebook"]

_IMPORT = re.compile(r"^[ \t]*(?:import[ \t]+([\w., \t]+)|from[ \t]+([A-Za-z_]\w*)[\w.]*[ \t]+import\b)", re.MULTILINE)
_LARGEST = 2 << 20
_MOST = 400
_STANDARD = frozenset(sys.stdlib_module_names)


def candidates(source: str) -> tuple[str, ...]:
    """Return the top-level names that lines of a source seem to import, without those of the standard library."""
    found: dict[str, None] = {}
    for match in _IMPORT.finditer(source[:_LARGEST]):
        names = [match[2]] if match[2] else [part.split()[0].partition(".")[0] for part in match[1].split(",") if part.split()]
        found.update(dict.fromkeys(name for name in names if name.isidentifier() and name not in _STANDARD))
        if len(found) >= _MOST:
            break
    return tuple(found)[:_MOST]


def confirm(source: str) -> tuple[str, ...]:
    """Return the top-level names that a source imports, by its syntax tree. Raises FormatError when it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source[:_LARGEST])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        msg = f"no Python source: {type(error).__name__}"
        raise FormatError(msg) from error
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(dict.fromkeys(alias.name.partition(".")[0] for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found[node.module.partition(".")[0]] = None
    return tuple(name for name in found if name not in _STANDARD)[:_MOST]


def source_of_notebook(text: str) -> str:
    """Return the code of a notebook's cells, without lines that are IPython's. Raises FormatError."""
    document = loads(text)
    cells = document.get("cells") if isinstance(document, dict) else None
    parts: list[str] = []
    for cell in cells if isinstance(cells, list) else ():
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source")
        joined = "".join(part for part in source if isinstance(part, str)) if isinstance(source, list) else source
        if isinstance(joined, str) and not joined.lstrip().startswith("%%"):
            parts.append("\n".join("pass" if line.lstrip()[:1] in "%!?" and line.strip() else line for line in joined.splitlines()))
    return "\n".join(parts)
