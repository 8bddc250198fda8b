"""Just enough of FlatBuffers to walk tables whose field numbers are known, every offset checked.

Format: https://flatbuffers.dev/internals/ . Field numbers count from 0 in schema order; a union
takes two (its type, then its value).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from stannary.core.errors import BudgetExceeded, FormatError
from stannary.formats.interface import View

__all__ = ["Table", "root"]

_MAX_VECTOR = 400_000  # tables or strings; bytes and numbers are not walked


class Table:
    """One table: `view`, its position, and its field offsets read on demand."""

    __slots__ = ("_vtable", "_vtable_size", "pos", "view")

    def __init__(self, view: View, pos: int) -> None:
        self.view = view
        self.pos = pos
        self._vtable = pos - _number(view, pos, "<i")
        self._vtable_size = _number(view, self._vtable, "<H")
        if self._vtable_size < 4 or self._vtable + self._vtable_size > len(view):
            msg = "a table's field list lies outside the file"
            raise FormatError(msg, pos)

    def _field(self, index: int) -> int:
        """Return the position of a field's value, 0 when it is absent."""
        slot = 4 + 2 * index
        if slot + 2 > self._vtable_size:
            return 0
        offset = _number(self.view, self._vtable + slot, "<H")
        return self.pos + offset if offset else 0

    def scalar(self, index: int, code: str, default: int = 0) -> int:
        """Return a number; `code` is a `struct` letter."""
        at = self._field(index)
        return _number(self.view, at, "<" + code) if at else default

    def string(self, index: int) -> str:
        """Return a string, empty when absent. Raises FormatError when it lies outside."""
        at = self._field(index)
        return _string(self.view, _follow(self.view, at)) if at else ""

    def table(self, index: int) -> Table | None:
        """Return a sub-table or a union's value."""
        at = self._field(index)
        return Table(self.view, _follow(self.view, at)) if at else None

    def vector(self, index: int, width: int) -> tuple[int, int]:
        """Return (position of the first element, count) of a vector whose elements have `width` bytes."""
        at = self._field(index)
        if not at:
            return 0, 0
        start = _follow(self.view, at)
        count = _number(self.view, start, "<I")
        if count * width > len(self.view) - start - 4:
            msg = f"a vector of {count} elements does not fit the file"
            raise FormatError(msg, start)
        return start + 4, count

    def blob(self, index: int) -> memoryview:
        """Return a byte vector without a copy."""
        start, count = self.vector(index, 1)
        return self.view.data[start : start + count]

    def tables(self, index: int) -> Iterator[Table]:
        """Yield the tables of a vector."""
        for position in self._elements(index):
            yield Table(self.view, position)

    def strings(self, index: int) -> Iterator[str]:
        """Yield the strings of a vector."""
        for position in self._elements(index):
            yield _string(self.view, position)

    def _elements(self, index: int) -> Iterator[int]:
        start, count = self.vector(index, 4)
        if count > _MAX_VECTOR:
            msg = f"a vector of {count} tables"
            raise BudgetExceeded(msg, start)
        for position in range(start, start + 4 * count, 4):
            yield _follow(self.view, position)


def root(view: View, start: int = 0) -> Table:
    """Return the root table of the buffer at `start`. Raises FormatError when it lies outside."""
    return Table(view, start + _number(view, start, "<I"))


def _number(view: View, at: int, code: str) -> int:
    if at < 0 or at + struct.calcsize(code) > len(view):
        msg = "an offset points outside the file"
        raise FormatError(msg, at)
    value: int = struct.unpack_from(code, view.data, at)[0]
    return value


def _follow(view: View, at: int) -> int:
    return at + _number(view, at, "<I")


def _string(view: View, at: int) -> str:
    count = _number(view, at, "<I")
    if count > len(view) - at - 4:
        msg = f"a string of {count} bytes does not fit the file"
        raise FormatError(msg, at)
    return bytes(view.data[at + 4 : at + 4 + min(count, 32 << 20)]).decode("utf-8", "replace")
