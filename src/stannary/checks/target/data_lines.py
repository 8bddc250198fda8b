"""JSON Lines as columns: one object a line, or one array of objects. What a key lacks is missing, as in a table."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from stannary.core.errors import InputError

__all__ = ["is_json", "json_columns"]


def is_json(content: bytes) -> bool:
    """Tell whether the first thing in a text is a JSON object, by itself or in an array: a table's first line is none."""
    head = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:1] == b"[":
        return head[1:].lstrip()[:1] == b"{"
    if head[:1] != b"{":
        return False
    try:
        return isinstance(json.loads(head.split(b"\n", 1)[0]), dict)
    except (ValueError, RecursionError):
        return False


def json_columns(content: bytes, where: str) -> dict[str, Any]:
    """Return columns by name: a float array where all values are numbers, texts otherwise; missing ones are NaN and None.

    Raises:
        InputError: it is no JSON, rows are no objects, or a value is neither a number nor a text.
    """
    rows = _rows(content, where)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: _column(name, [row.get(name) for row in rows], where) for name in names}


def _rows(content: bytes, where: str) -> list[dict[str, Any]]:
    try:
        text = content.decode("utf-8-sig")
        found = json.loads(text) if text.lstrip()[:1] == "[" else [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError) as exc:
        msg = f"this is no JSON, or not one object a line: {exc}"
        raise InputError(msg, where=where) from exc
    odd = next((number for number, row in enumerate(found, 1) if not isinstance(row, dict)), None)
    if odd is not None:
        msg = f"row {odd} is no JSON object"
        raise InputError(msg, where=where)
    return list(found)


def _column(name: str, cells: list[Any], where: str) -> Any:  # noqa: ANN401 - a float array or a list of texts
    odd = next((cell for cell in cells if not isinstance(cell, str | int | float | None)), None)
    if odd is not None:
        msg = f"column {name!r} has a {type(odd).__name__}: neither a number nor a text"
        raise InputError(msg, where=where, help="leave it out, or write it as a number or a text")
    if any(isinstance(cell, str) for cell in cells):
        return [cell if isinstance(cell, str) or cell is None else str(cell) for cell in cells]
    try:
        return np.array([np.nan if cell is None else float(cell) for cell in cells], dtype=np.float64)
    except OverflowError as exc:
        msg = f"column {name!r} has a number that is too large: {exc}"
        raise InputError(msg, where=where) from exc
