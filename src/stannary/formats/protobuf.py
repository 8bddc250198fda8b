"""Protocol Buffers wire format, read field by field within bounds and without a schema.

Source: https://protobuf.dev/programming-guides/encoding/. A field is (number, wire type, value,
offset): the value is an int for varints and fixed sizes, and a View for length-delimited fields,
which costs nothing until it is looked into.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stannary.core.errors import FormatError, Truncated
from stannary.formats.interface import Budget, View

__all__ = ["FIXED32", "FIXED64", "LENGTH", "VARINT", "Field", "Message", "fields", "packed", "position", "shape", "signed", "text"]

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
_GROUP_DEPTH = 32
_CHECK_EVERY = 0x3FFF
_COST = 15  # operations a field: reading one takes as long as that many opcodes
_MAX_NUMBER = (1 << 29) - 1


class Message(View):
    """The bytes of a length-delimited field; `base` is where they are in the outermost message."""

    __slots__ = ("base",)

    def __init__(self, data: memoryview, name: str, base: int) -> None:
        self.data = data
        self.name = name
        self.path = ""
        self.base = base


def position(view: View) -> int:
    """Return where a message starts in the outermost one."""
    return view.base if isinstance(view, Message) else 0


class Field(NamedTuple):
    """One field. `offset` counts from the start of the outermost message."""

    number: int
    wire: int
    value: int | View
    offset: int

    @property
    def view(self) -> View:
        """The bytes of a length-delimited field; raises FormatError for numbers."""
        if not isinstance(self.value, View):
            msg = f"field {self.number} is a number where a message is expected"
            raise FormatError(msg, self.offset)
        return self.value

    @property
    def number_value(self) -> int:
        """The value of a number; 0 for other wire types."""
        return self.value if isinstance(self.value, int) else 0


def _varint(data: memoryview, pos: int, end: int) -> tuple[int, int]:
    """Return (value, next position). Raises Truncated and FormatError."""
    result = shift = 0
    while pos < end:
        byte = data[pos]
        pos += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, pos
        shift += 7
        if shift >= 70:
            msg = "a number of more than ten bytes"
            raise FormatError(msg, pos)
    msg = "ends in a number"
    raise Truncated(msg, pos)


def fields(view: View, budget: Budget | None = None) -> Iterator[Field]:  # noqa: C901 - the wire types in one loop, for speed
    """Yield the fields of a message in order. Raises Truncated, FormatError and BudgetExceeded."""
    data, pos, end, count = view.data, 0, len(view.data), 0
    name, base = view.name, position(view)
    while pos < end:
        start = pos
        key = data[pos]
        pos += 1
        if key >= 0x80:
            key, pos = _varint(data, start, end)
        number, wire = key >> 3, key & 7
        if not 0 < number <= _MAX_NUMBER:
            msg = f"field number {number}"
            raise FormatError(msg, start)
        value: int | View
        if wire == LENGTH:
            if pos < end and data[pos] < 0x80:
                size = data[pos]
                pos += 1
            else:
                size, pos = _varint(data, pos, end)
            if size > end - pos:
                msg = f"field {number} of {size} bytes where {end - pos} are left"
                raise Truncated(msg, base + start)
            value = Message(data[pos : pos + size], name, base + pos)
            pos += size
        elif wire == VARINT:
            value, pos = _varint(data, pos, end)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
            if size > end - pos:
                msg = f"ends in field {number}"
                raise Truncated(msg, start)
            value = int.from_bytes(data[pos : pos + size], "little")
            pos += size
        elif wire == GROUP:
            stop = _group_end(data, pos, end, number)
            value = Message(data[pos : stop[0]], name, base + pos)
            pos = stop[1]
        else:
            msg = f"wire type {wire}"
            raise FormatError(msg, start)
        count += 1
        if not count & _CHECK_EVERY and budget is not None:
            budget.check_time()
            budget.take_operations(_COST * (_CHECK_EVERY + 1))
        yield Field(number, wire, value, base + start)
    if budget is not None:
        budget.take_operations(_COST * (count & _CHECK_EVERY))


def _group_end(data: memoryview, pos: int, end: int, number: int) -> tuple[int, int]:
    """Return where the content of a group ends, and where the next field starts."""
    open_groups = [number]
    while pos < end:
        start = pos
        key, pos = _varint(data, pos, end)
        wire = key & 7
        if wire == END_GROUP:
            if open_groups.pop() != key >> 3:
                break
            if not open_groups:
                return start, pos
        elif wire == GROUP:
            open_groups.append(key >> 3)
            if len(open_groups) > _GROUP_DEPTH:
                break
        elif wire == VARINT:
            _, pos = _varint(data, pos, end)
        elif wire in (FIXED32, FIXED64):
            pos += 4 if wire == FIXED32 else 8
        elif wire == LENGTH:
            size, pos = _varint(data, pos, end)
            pos += size
        else:
            break
    msg = "a group without its end"
    raise FormatError(msg, pos)


def text(view: View, limit: int = 4096) -> str:
    """Decode the first `limit` bytes of a string field; bytes that are not UTF-8 become U+FFFD."""
    return bytes(view.data[:limit]).decode("utf-8", "replace")


def signed(value: int) -> int:
    """Return a varint as the signed 64-bit number it stands for."""
    return value - (1 << 64) if value >> 63 else value


def packed(field: Field, limit: int = 1 << 16) -> list[int]:
    """Return the numbers of a repeated varint field, packed or not, at most `limit` of them."""
    if isinstance(field.value, int):
        return [field.value]
    data, pos, end = field.value.data, 0, len(field.value.data)
    found: list[int] = []
    while pos < end and len(found) < limit:
        value, pos = _varint(data, pos, end)
        found.append(value)
    return found


def shape(view: View, limit: int = 4096) -> list[tuple[int, int, int | View]] | None:
    """Return (number, wire type, value) of the first fields, or None when it is no message to its end.

    With `limit` fields read the rest is taken on trust: for telling formats apart, not for reading them.
    """
    found = []
    try:
        for field in fields(view):
            found.append((field.number, field.wire, field.value))
            if len(found) >= limit:
                break
    except FormatError:
        return None
    return found
