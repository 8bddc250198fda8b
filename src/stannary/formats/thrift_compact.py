"""Thrift's compact protocol, read into plain values under a budget.

Format: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md . A struct becomes a dict from
field number to value; binaries stay bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.core.model import Json
from stannary.formats.interface import View

__all__ = ["parse"]

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_MAX_DEPTH = 40
_MAX_VALUES = 1_000_000


class _Reader:
    def __init__(self, view: View, pos: int, take: Callable[[int], None]) -> None:
        self.data = view.data
        self.end = len(view)
        self.pos = pos
        self.take = take
        self.left = _MAX_VALUES

    def byte(self) -> int:
        if self.pos >= self.end:
            msg = "ends inside a structure"
            raise Truncated(msg, self.pos)
        self.pos += 1
        return self.data[self.pos - 1]

    def varint(self) -> int:
        result, shift = 0, 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result
            shift += 7
            if shift > 63:
                msg = "a number of more than 64 bits"
                raise FormatError(msg, self.pos)

    def zigzag(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        count = self.varint()
        if count > self.end - self.pos:
            msg = f"a string of {count} bytes, {self.end - self.pos} are left"
            raise Truncated(msg, self.pos)
        self.pos += count
        return bytes(self.data[self.pos - count : self.pos])

    def value(self, kind: int, depth: int) -> Json:
        self.take(1)
        self.left -= 1
        if self.left < 0:
            msg = f"more than {_MAX_VALUES} values"
            raise BudgetExceeded(msg, self.pos)
        if depth > _MAX_DEPTH:
            msg = f"nested deeper than {_MAX_DEPTH}"
            raise FormatError(msg, self.pos)
        if kind in {_TRUE, _FALSE}:
            return kind == _TRUE
        if kind == _BYTE:
            return self.byte()
        if kind in {_I16, _I32, _I64}:
            return self.zigzag()
        if kind == _DOUBLE:
            if self.pos + 8 > self.end:
                msg = "ends inside a number"
                raise Truncated(msg, self.pos)
            self.pos += 8
            return struct.unpack_from("<d", self.data, self.pos - 8)[0]
        if kind == _BINARY:
            return self.binary()
        if kind in {_LIST, _SET}:
            return self.read_list(depth)
        if kind == _MAP:
            return self.read_map(depth)
        if kind == _STRUCT:
            return self.read_struct(depth)
        msg = f"unknown type {kind}"
        raise FormatError(msg, self.pos)

    def read_list(self, depth: int) -> list[Json]:
        head = self.byte()
        count, kind = head >> 4, head & 0x0F
        if count == 15:
            count = self.varint()
        if count > self.end - self.pos:
            msg = f"a list of {count} elements, {self.end - self.pos} bytes are left"
            raise Truncated(msg, self.pos)
        if kind in {_TRUE, _FALSE}:
            return [self.byte() == _TRUE for _ in range(count)]
        return [self.value(kind, depth + 1) for _ in range(count)]

    def read_map(self, depth: int) -> list[Json]:
        count = self.varint()
        if not count:
            return []
        kinds = self.byte()
        if count > self.end - self.pos:
            msg = f"a map of {count} entries, {self.end - self.pos} bytes are left"
            raise Truncated(msg, self.pos)
        return [(self.value(kinds >> 4, depth + 1), self.value(kinds & 0x0F, depth + 1)) for _ in range(count)]

    def read_struct(self, depth: int) -> dict[int, Json]:
        result: dict[int, Json] = {}
        field = 0
        while True:
            head = self.byte()
            if head == 0:
                return result
            field = field + (head >> 4) if head >> 4 else self.zigzag()
            if field in result:
                msg = f"field {field} is there twice"
                raise FormatError(msg, self.pos)
            result[field] = self.value(head & 0x0F, depth + 1)


def parse(view: View, pos: int, take: Callable[[int], None]) -> tuple[dict[int, Json], int]:
    """Return the struct at `pos` and the offset behind it. Raises Truncated and FormatError."""
    reader = _Reader(view, pos, take)
    return reader.read_struct(0), reader.pos
