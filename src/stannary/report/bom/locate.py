"""Lines of places in a JSON text, found only when there is something to say about them."""

from __future__ import annotations

import json.decoder
import re
from collections.abc import Callable, Iterable, Iterator

__all__ = ["Keys", "lines_of"]

_SPACE = re.compile(r"[ \t\r\n]*")
_ATOM = re.compile(r"[^\s,\]}]+")

Keys = tuple[str | int, ...]
# The decoder of strings that the json module itself uses: (text, position after the quote, strict) → (string, position).
_string: Callable[[str, int, bool], tuple[str, int]] = json.decoder.scanstring  # type: ignore[attr-defined]


def lines_of(text: str, wanted: Iterable[Keys]) -> dict[Keys, int]:
    """Return the line (from 1) on which each place stands. A place that is not there has its nearest parent's line."""
    known: dict[Keys, int] = {}
    asked = set(wanted)
    needed = {keys[:length] for keys in asked for length in range(len(keys) + 1)}
    line, last = 1, 0
    for keys, at in _walk(text):
        if keys in needed:
            line += text.count("\n", last, at)
            last = at
            known[keys] = line
            if len(known) == len(needed):
                break
    found: dict[Keys, int] = {}
    for keys in asked:
        place = keys
        while place not in known and place:
            place = place[:-1]
        found[keys] = known.get(place, 1)
    return found


def _walk(text: str) -> Iterator[tuple[Keys, int]]:
    """Yield every place with its offset, in the order of the text, which is valid JSON."""
    stack: list[list[str | int]] = []  # the key or the index that is current in each open container
    pos, size = 0, len(text)
    while pos < size:
        space = _SPACE.match(text, pos)
        pos = space.end() if space else pos
        if pos >= size:
            return
        char = text[pos]
        if char in "]}":
            stack.pop()
            pos += 1
        elif char == ",":
            if stack and isinstance(stack[-1][0], int):
                stack[-1][0] += 1
            pos += 1
        elif char == '"' and stack and not isinstance(stack[-1][0], int) and not stack[-1][1]:
            start = pos
            name, pos = _string(text, pos + 1, False)  # noqa: FBT003 - not strict, as positional in the json module
            stack[-1][:] = [name, 1]
            yield tuple(row[0] for row in stack), start
            colon = _SPACE.match(text, pos)
            pos = (colon.end() if colon else pos) + 1
        else:
            if not stack or isinstance(stack[-1][0], int):
                yield tuple(row[0] for row in stack), pos
            pos = _value(text, pos, char, stack)


def _value(text: str, pos: int, char: str, stack: list[list[str | int]]) -> int:
    """Step over a scalar, or into a container; return where to go on."""
    if char == "{":
        if stack:
            stack[-1][1] = 0
        stack.append(["", 0])
        return pos + 1
    if char == "[":
        if stack:
            stack[-1][1] = 0
        stack.append([0, 0])
        return pos + 1
    if stack:
        stack[-1][1] = 0
    if char == '"':
        return int(_string(text, pos + 1, False)[1])  # noqa: FBT003
    found = _ATOM.match(text, pos)
    return found.end() if found else pos + 1
