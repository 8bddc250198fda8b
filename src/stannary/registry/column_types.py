"""What the columns of a table of texts are: inferred over the whole file, in a stream, the same whatever order the rows come in.

A column is of the first of these that every cell of it is, where a cell that is empty says nothing:

1. `boolean`: `true` or `false`, in any case. Not 0 and 1, which are integers.
2. `integer`: a sign, and up to 18 digits without a zero before them: `007` is an id, and so is a number that 64 bits do not hold.
3. `number`: an integer, or a decimal with a point, an exponent or both; `nan`, `inf` and `-inf` in any case.
4. `date`: a day that there was, as `2026-11-26`.
5. `timestamp`: such a day with a time, as `2026-11-26T10:00:00Z` or with a space for the T (RFC 3339; the zone and the seconds may
   be left out).
6. `text`: anything else.

A column without any value is `null`. Spaces around a value count as part of it: ` 1` is a text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime

__all__ = ["infer"]

_CELLS = 200_000  # at once: what a chunk has at most, by its cells and by its characters
_CHARACTERS = 4 << 20
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_FRACTION = re.compile(r"\.\d+")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def infer(rows: Iterator[list[str]], width: int, read: Callable[[], int]) -> tuple[int, list[str], list[int]]:
    """Return how many rows there are, what each of the first `width` columns is, and how many of its cells are empty.

    Args:
        rows: without the header. A cell that a short row has not is empty.
        width: how many columns are looked at.
        read: how many characters were read so far, so that a chunk of long rows is a small one.
    """
    found, empty, count = [""] * width, [0] * width, 0
    for chunk in _chunks(rows, max(1, _CELLS // max(1, width)), read):
        count += len(chunk)
        columns = itertools.islice(itertools.zip_longest(*chunk, fillvalue=""), width)
        last = -1
        for last, cells in enumerate(columns):
            values = [cell for cell in cells if cell]
            empty[last] += len(cells) - len(values)
            if values and found[last] != "text":
                found[last] = _widened(found[last], values)
        for missing in range(last + 1, width):
            empty[missing] += len(chunk)
    return count, [kind or "null" for kind in found], empty


def _chunks(rows: Iterator[list[str]], most: int, read: Callable[[], int]) -> Iterator[list[list[str]]]:
    chunk: list[list[str]] = []
    began = read()
    for row in rows:
        chunk.append(row)
        if len(chunk) >= most or read() - began > _CHARACTERS:
            yield chunk
            chunk, began = [], read()
    if chunk:
        yield chunk


def _widened(kind: str, values: Sequence[str]) -> str:
    """Return what a column is that was `kind` so far and goes on with these values."""
    new = next((name for name, matches in _KINDS if all(map(matches, values))), "text")
    if not kind or kind == new:
        return new
    return "number" if {kind, new} == {"integer", "number"} else "text"


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(_FRACTION.sub("", text))
    except ValueError:
        return False
    return True


# The narrower one first; but for integers, which are numbers, nothing is two of them.
_KINDS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("boolean", re.compile(r"true|false", re.IGNORECASE | re.ASCII).fullmatch),
    ("integer", re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})").fullmatch),
    (
        "number",
        re.compile(
            r"[+-]?(?:(?:0|[1-9][0-9]{0,17})(?:e[+-]?[0-9]{1,4})?|(?:0|[1-9][0-9]*)?\.[0-9]+(?:e[+-]?[0-9]{1,4})?"
            r"|(?:0|[1-9][0-9]*)\.(?:e[+-]?[0-9]{1,4})?|nan|inf)",
            re.IGNORECASE | re.ASCII,
        ).fullmatch,
    ),
    ("date", _is_day),
    ("timestamp", _is_time),
)
