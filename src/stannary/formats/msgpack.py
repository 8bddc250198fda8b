"""MessagePack, read as a stream of events; nothing is built, so size costs no memory.

Format: https://github.com/msgpack/msgpack/blob/master/spec.md . Events carry the path of map keys
that leads to them. `flax_msgpack.py` gives them meaning.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.formats.interface import View

__all__ = ["Event", "events"]

_MAX_DEPTH = 100
_MAX_KEY = 4096
_MAX_EVENTS = 600_000
_RUN = 64  # values; an even number: keys and their values
_BLOCK = 1 << 16
_LETTERS = rb"[A-Za-z'\x80-\xc1\xc3-\xff-]"  # no digit, point, bracket or blank: no code, no template, no path, nothing encoded
_FOREIGN = rb"[\x80-\xc1\xc3-\xff]"
_WORD = b"|".join(
    [rb"\xa0", *(re.escape(bytes((0xA0 + n,))) + rb"[\x00-\xff]{%d}" % n for n in range(1, 12))]
    + [re.escape(bytes((0xA0 + n,))) + (_LETTERS if n < 24 else _FOREIGN) + rb"{%d}" % n for n in range(12, 32)]
)
_PLAIN = re.compile(
    rb"(?:[\x00-\x7f\xe0-\xff\xc0\xc2\xc3]|" + _WORD + rb"|[\xcc\xd0][\x00-\xff]|[\xcd\xd1][\x00-\xff]{2}"
    rb"|[\xca\xce\xd2][\x00-\xff]{4}|[\xcb\xcf\xd3][\x00-\xff]{8}){%d}" % _RUN
)
# The keys of msgpack-numpy, and those under which classes are kept.
_TELLING = (
    b"\xa2nd", b"\xa4type", b"\xa4kind", b"\xa4data", b"__class__", b"__type__", b"_target_", b"py/", b"__reduce__"
)  # fmt: skip


class Event(NamedTuple):
    """`kind`: str, bin, ext, map, array, end, int, float, bool, nil. `code`: the ext type. `path`: map keys down to here."""

    kind: str
    at: int  # offset of the content
    size: int  # bytes, or entries of a container
    path: tuple[str, ...]
    code: int = 0
    key: bool = False  # a map key, not a value


_LENGTHS = {
    0xC4: ("bin", 1), 0xC5: ("bin", 2), 0xC6: ("bin", 4), 0xC7: ("ext", 1), 0xC8: ("ext", 2), 0xC9: ("ext", 4),
    0xD9: ("str", 1), 0xDA: ("str", 2), 0xDB: ("str", 4), 0xDC: ("array", 2), 0xDD: ("array", 4),
    0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip
_FIXED = {
    0xC0: ("nil", 0), 0xC2: ("bool", 0), 0xC3: ("bool", 0), 0xCA: ("float", 4), 0xCB: ("float", 8), 0xCC: ("int", 1),
    0xCD: ("int", 2), 0xCE: ("int", 4), 0xCF: ("int", 8), 0xD0: ("int", 1), 0xD1: ("int", 2), 0xD2: ("int", 4), 0xD3: ("int", 8),
}  # fmt: skip


class _Level:
    __slots__ = ("is_map", "key", "left")

    def __init__(self, left: int, *, is_map: bool) -> None:
        self.left = left
        self.is_map = is_map
        self.key = ""


def events(view: View, take: Callable[[int], None], pos: int = 0) -> Iterator[Event]:
    """Yield the events of one document from `pos`; the last is `end` with the offset behind it.

    Raises Truncated, and FormatError for unknown bytes, depth over 100, or counts no file of this size can hold.
    """
    data, end = view.data, len(view)
    levels: list[_Level] = []
    wait = 0  # values until the next look for a plain run
    for _ in range(_MAX_EVENTS):
        take(1)
        level = levels[-1] if levels else None
        if level is not None and level.left > 4 * _RUN and not level.left & 1:
            wait -= 1
            if wait < 0:
                wait = _RUN
                pos = _over_plain_runs(data, pos, level, take)
        kind, at, size, code = _head(data, pos, end)
        as_key = level is not None and level.is_map and level.left % 2 == 0
        path = tuple(lv.key for lv in levels) if level is not None else ()
        yield Event(kind, at, size, path, code, as_key)
        if level is not None:
            if as_key:
                level.key = _key(data, kind, at, size)
            level.left -= 1
        if kind in {"map", "array"}:
            pos = at
            children = size * 2 if kind == "map" else size
            if children > end - pos:
                msg = f"a {kind} of {size} entries, {end - pos} bytes are left"
                raise Truncated(msg, at)
            if len(levels) >= _MAX_DEPTH:
                msg = f"nested deeper than {_MAX_DEPTH}"
                raise FormatError(msg, at)
            levels.append(_Level(children, is_map=kind == "map"))
        else:
            if size > end - at:
                msg = f"a {kind} of {size} bytes, {end - at} are left"
                raise Truncated(msg, at)
            pos = at + size
        while levels and levels[-1].left == 0:
            levels.pop()
        if not levels:
            yield Event("end", pos, 0, ())
            return
    msg = f"more than {_MAX_EVENTS} values"
    raise BudgetExceeded(msg, pos)


def _over_plain_runs(data: memoryview, pos: int, level: _Level, take: Callable[[int], None]) -> int:
    """Step over numbers and single words, `_RUN` at a time, that no reader looks at; return where it stopped."""
    buf = bytes(data[pos : pos + _BLOCK])
    at = 0
    while level.left > 2 * _RUN:
        run = _PLAIN.match(buf, at)
        if run is None or (level.is_map and any(key in run[0] for key in _TELLING)):
            if at > _BLOCK // 2 and run is None:
                pos, at = pos + at, 0
                buf = bytes(data[pos : pos + _BLOCK])
                continue
            break
        at = run.end()
        level.left -= _RUN
        take(_RUN)
    return pos + at


def _head(data: memoryview, pos: int, end: int) -> tuple[str, int, int, int]:
    """Return (kind, offset of the content, size, ext code) of the value at `pos`."""
    if pos >= end:
        msg = "ends where a value is expected"
        raise Truncated(msg, pos)
    byte = data[pos]
    pos += 1
    if byte <= 0x7F or byte >= 0xE0:
        return "int", pos, 0, 0
    if byte <= 0x8F:
        return "map", pos, byte & 0x0F, 0
    if byte <= 0x9F:
        return "array", pos, byte & 0x0F, 0
    if byte <= 0xBF:
        return "str", pos, byte & 0x1F, 0
    if byte in _FIXED:
        kind, size = _FIXED[byte]
        return kind, pos, size, 0
    if 0xD4 <= byte <= 0xD8:
        return "ext", pos + 1, 1 << (byte - 0xD4), _code(data, pos, end)
    if byte not in _LENGTHS:
        msg = f"byte {byte:#x} begins no value"
        raise FormatError(msg, pos - 1)
    kind, width = _LENGTHS[byte]
    if pos + width > end:
        msg = f"needs {width} bytes, {end - pos} are left"
        raise Truncated(msg, pos)
    size = int.from_bytes(data[pos : pos + width], "big")
    pos += width
    if kind == "ext":
        return kind, pos + 1, size, _code(data, pos, end)
    return kind, pos, size, 0


def _code(data: memoryview, pos: int, end: int) -> int:
    if pos >= end:
        msg = "ends inside an extension"
        raise Truncated(msg, pos)
    return int(struct.unpack_from(">b", data, pos)[0])


def _key(data: memoryview, kind: str, at: int, size: int) -> str:
    if kind in {"str", "bin"}:
        return bytes(data[at : at + min(size, _MAX_KEY)]).decode("utf-8", "replace")
    return f"<{kind}>"
