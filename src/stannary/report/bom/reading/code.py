"""What Python code imports: candidates by a pattern, and then for certain by its syntax tree.

Parsing every file of a repository would cost seconds. Lines that look like imports are collected from all; `confirm`
parses only the files that the parent picks, one for each name, because such a line may stand in a text.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Callable

from stannary.core.errors import FormatError
from stannary.core.model import Json
from stannary.formats.bounded_json import loads

__all__ = ["candidates", "confirm", "parsed", "source_of_notebook"]

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


def parsed(source: str) -> ast.Module:
    """Return the syntax tree of a source, with `await` outside of functions as notebooks have it. Raises FormatError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = compile(source, "<code>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        msg = f"no Python 3 source: {type(error).__name__}"
        raise FormatError(msg) from error
    assert isinstance(tree, ast.Module)  # noqa: S101 - what ONLY_AST with exec gives
    return tree


def confirm(source: str) -> tuple[str, ...]:
    """Return the top-level names that a source imports, by its syntax tree. Raises FormatError when it is no Python."""
    tree = parsed(source[:_LARGEST])
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(dict.fromkeys(alias.name.partition(".")[0] for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found[node.module.partition(".")[0]] = None
    return tuple(name for name in found if name not in _STANDARD)[:_MOST]


def _cells(document: dict[str, Json]) -> list[Json]:
    """Return the cells of a notebook, those of its worksheets before version 4. Raises FormatError when it has none."""
    sheets = document.get("worksheets")
    lists = [document.get("cells")]
    if lists == [None] and isinstance(sheets, list):
        lists = [sheet.get("cells") if isinstance(sheet, dict) else None for sheet in sheets]
    found: list[Json] = []
    for cells in lists:
        if not isinstance(cells, list):
            msg = "no notebook: it has no list of cells"
            raise FormatError(msg)
        found += cells
    return found


def source_of_notebook(text: str, *, keep: Callable[[str], bool] | None = None) -> str:
    """Return the code of a notebook's cells, without lines that are IPython's. Raises FormatError.

    With `keep` a cell that is no Python is left out, unless it has to be kept.
    """
    document = loads(text)
    if not isinstance(document, dict):
        msg = "no notebook: it is no JSON object"
        raise FormatError(msg)
    parts: list[str] = []
    for cell in _cells(document):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source", cell.get("input"))  # `input` before version 4
        joined = "".join(part for part in source if isinstance(part, str)) if isinstance(source, list) else source
        if isinstance(joined, str) and not joined.lstrip().startswith("%%"):
            part = "\n".join("pass" if line.lstrip()[:1] in "%!?" and line.strip() else line for line in joined.splitlines())
            if keep is None or _is_python(part) or keep(part):
                parts.append(part)
    return "\n".join(parts)


def _is_python(source: str) -> bool:
    try:
        parsed(source)
    except FormatError:
        return False
    return True
