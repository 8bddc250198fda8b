"""UBJSON, read as a stream of events; typed arrays of numbers are skipped by their length.

Format: https://ubjson.org/ (draft 12), with the optimised containers `$` and `#`. XGBoost writes it.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.core.model import Json
from stannary.formats.bounded_json import DUPLICATE
from stannary.formats.interface import View

__all__ = ["Array", "parse"]

_NUMBERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"u": ">H", b"l": ">i", b"m": ">I", b"L": ">q", b"M": ">Q", b"d": ">f", b"D": ">d"}
_CONSTANTS: dict[bytes, Json] = {b"Z": None, b"T": True, b"F": False, b"N": None}
_MAX_DEPTH = 64
_MAX_STRING = 16 << 20
_MAX_LOOKED_AT = 4 << 20  # bytes of one array
_MAX_VALUES = 1_000_000  # numbers of typed arrays do not count


class Array(list[Json]):
    """A typed array of numbers that was skipped: empty, with the `announced` number of elements, and their bytes."""

    announced = -1
    raw = memoryview(b"")
    code = ""  # of `struct`, big-endian

    def bounds(self) -> tuple[int, int] | None:
        """Return the least and the greatest element of an array of 32-bit integers that is not too long to look at."""
        if self.code != ">i" or not 0 < len(self.raw) <= _MAX_LOOKED_AT:
            return None
        numbers = array("i", bytes(self.raw))
        if sys.byteorder == "little":
            numbers.byteswap()
        return min(numbers), max(numbers)


class _Reader:
    def __init__(self, view: View, pos: int, take: Callable[[int], None]) -> None:
        self.data = view.data
        self.end = len(view)
        self.pos = pos
        self.take = take
        self.left = _MAX_VALUES

    def marker(self) -> bytes:
        while True:
            if self.pos >= self.end:
                msg = "ends where a value is expected"
                raise Truncated(msg, self.pos)
            byte = bytes(self.data[self.pos : self.pos + 1])
            self.pos += 1
            if byte != b"N":  # a no-op
                return byte

    def number(self, marker: bytes) -> Json:
        code = _NUMBERS.get(marker)
        if code is None:
            msg = f"unknown type marker {marker!r}"
            raise FormatError(msg, self.pos - 1)
        size = struct.calcsize(code)
        if self.pos + size > self.end:
            msg = f"needs {size} bytes, {self.end - self.pos} are left"
            raise Truncated(msg, self.pos)
        (value,) = struct.unpack_from(code, self.data, self.pos)
        self.pos += size
        return value

    def length(self) -> int:
        at = self.pos
        value = self.number(self.marker())
        if not isinstance(value, int) or value < 0:
            msg = f"a length of {value!r}"
            raise FormatError(msg, at)
        return value

    def text(self, count: int) -> str:
        if count > self.end - self.pos:
            msg = f"a string of {count} bytes, {self.end - self.pos} are left"
            raise Truncated(msg, self.pos)
        if count > _MAX_STRING:
            msg = f"a string of {count} bytes"
            raise BudgetExceeded(msg, self.pos)
        raw = bytes(self.data[self.pos : self.pos + count])
        self.pos += count
        return raw.decode("utf-8", "replace")

    def value(self, marker: bytes, depth: int) -> Json:
        self.take(1)
        self.left -= 1
        if self.left < 0:
            msg = f"more than {_MAX_VALUES} values"
            raise BudgetExceeded(msg, self.pos)
        if depth > _MAX_DEPTH:
            msg = f"nested deeper than {_MAX_DEPTH}"
            raise FormatError(msg, self.pos)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in {b"S", b"H"}:
            return self.text(self.length())
        if marker == b"C":
            return self.text(1)
        if marker == b"[":
            return self.array(depth)
        if marker == b"{":
            return self.object(depth)
        return self.number(marker)

    def header(self) -> tuple[bytes, int | None]:
        """Read the optional `$type` and `#count` of a container."""
        kind, count = b"", None
        if bytes(self.data[self.pos : self.pos + 1]) == b"$":
            kind = bytes(self.data[self.pos + 1 : self.pos + 2])
            self.pos += 2
        if bytes(self.data[self.pos : self.pos + 1]) == b"#":
            self.pos += 1
            count = self.length()
        elif kind:
            msg = "a typed container without a count"
            raise FormatError(msg, self.pos)
        return kind, count

    def array(self, depth: int) -> Json:
        at = self.pos
        kind, count = self.header()
        if kind and count is not None:
            skipped = Array()
            skipped.announced = count
            if kind in _NUMBERS:
                size = count * struct.calcsize(_NUMBERS[kind])
                if size > self.end - self.pos:
                    msg = f"an array of {count} elements, {self.end - self.pos} bytes are left"
                    raise Truncated(msg, at)
                skipped.raw, skipped.code = self.data[self.pos : self.pos + size], _NUMBERS[kind]
                self.pos += size
                return skipped
            if kind in _CONSTANTS:
                return skipped
            if count > self.end - self.pos:
                msg = f"an array of {count} elements, {self.end - self.pos} bytes are left"
                raise Truncated(msg, at)
            return [self.value(kind, depth + 1) for _ in range(count)]
        items: list[Json] = []
        while count is None or len(items) < count:
            marker = self.marker()
            if count is None and marker == b"]":
                break
            items.append(self.value(marker, depth + 1))
        return items

    def object(self, depth: int) -> dict[str, Json]:
        kind, count = self.header()
        result: dict[str, Json] = {}
        done = 0
        while count is None or done < count:
            if count is None and bytes(self.data[self.pos : self.pos + 1]) == b"}":
                self.pos += 1
                break
            key = self.text(self.length())
            if key in result:
                result[DUPLICATE] = key
            result[key] = self.value(kind or self.marker(), depth + 1)
            done += 1
        return result


def parse(view: View, take: Callable[[int], None], pos: int = 0) -> tuple[Json, int]:
    """Return the first value and the offset behind it. `take` counts values against the budget.

    A repeated key is left in its object under `DUPLICATE`. Raises FormatError and Truncated.
    """
    reader = _Reader(view, pos, take)
    value = reader.value(reader.marker(), 0)
    return value, reader.pos
