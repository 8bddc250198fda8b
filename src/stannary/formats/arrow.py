"""Arrow IPC files and streams, and Feather version 1: schemas, metadata, extension types.

Format: arrow `format/Message.fbs`, `Schema.fbs`, `File.fbs`. The extension `arrow.py_extension_type` carries a pickle that
pyarrow before 14.0.1 loaded when it read the schema (CVE-2023-47248).
"""

from __future__ import annotations

import base64
import binascii

from stannary.core.errors import FormatError, Truncated
from stannary.formats.column_values import search_values
from stannary.formats.embedded import looks_embedded
from stannary.formats.embedded_text import hand_on
from stannary.formats.flatbuffer import Table, root
from stannary.formats.interface import Cursor, Sink, View, clip

__all__ = ["read"]

_CONTINUATION = 0xFFFFFFFF
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_MAX_MESSAGES = 100_000
_MAX_DEPTH = 40
_SEARCHED = 8 << 20
_EXTENSION, _EXTENSION_DATA = "ARROW:extension:name", "ARROW:extension:metadata"


def read(view: View, sink: Sink) -> None:
    """Report schemas, metadata, extension types with what they carry, and messages that leave the file.

    Raises Truncated and FormatError.
    """
    if view.head(4) == b"FEA1":
        _feather(view, sink)
        return
    if view.head(6) != b"ARROW1":
        _stream(view, 0, len(view), sink)
        return
    if view.tail(6) != b"ARROW1":
        sink.fact("arrow.problem", len(view), what="no_footer", detail="the closing magic number is missing")
        _stream(view, 8, len(view), sink)
        msg = "no footer at the end"
        raise Truncated(msg, len(view))
    length = int.from_bytes(view.bytes(len(view) - 10, 4), "little", signed=True)
    start = len(view) - 10 - length
    if length <= 0 or start < 8:
        sink.fact(
            "arrow.problem", len(view) - 10, what="footer_outside", detail=f"a footer of {length} bytes in a file of {len(view)}"
        )
        msg = f"a footer of {length} bytes"
        raise Truncated(msg, len(view) - 10)
    _footer(view, start, length, sink)
    _stream(view, 8, start, sink)


def _footer(view: View, start: int, length: int, sink: Sink) -> None:
    footer = root(view.sub(start, length))
    schema = footer.table(1)
    if schema is not None:
        _schema(schema, sink, start)
    for field in (2, 3):
        first, count = footer.vector(field, 24)
        for at in range(first, first + 24 * count, 24):
            block = Cursor(footer.view, at)
            offset, metadata = block.uint(8), block.uint(4)
            block.skip(4)
            body = block.uint(8)
            if offset + metadata + body > start:
                sink.fact("arrow.problem", start + at, what="outside", detail=f"a block at {offset}, {metadata} + {body} bytes")
                sink.incomplete("a block lies outside the file", start + at)
    for pair in footer.tables(4):
        _metadata(pair.string(0), _raw(pair, 1), sink, start)


def _stream(view: View, pos: int, end: int, sink: Sink) -> None:
    """Walk encapsulated messages from `pos` to `end`."""
    searched = 0
    for count in range(_MAX_MESSAGES):
        if end - pos < 4:
            break
        length = int.from_bytes(view.bytes(pos, 4), "little")
        header = pos + 4
        if length == _CONTINUATION:
            length = int.from_bytes(view.bytes(pos + 4, 4), "little")
            header = pos + 8
        if length == 0:
            pos = header
            break
        if length > end - header:
            sink.fact("arrow.problem", pos, what="message_outside", detail=f"a message of {length} bytes, {end - header} are left")
            msg = f"a message of {length} bytes, {end - header} are left"
            raise Truncated(msg, pos)
        body = _message(root(view.sub(header, length)), sink, header)
        pos = header + length + body
        if 0 < body <= end - header - length and searched < _SEARCHED:
            values = view.data[header + length : pos][: _SEARCHED - searched]
            search_values(sink, f"batch {count}", bytes(values), header + length)
            searched += len(values)
        if body < 0 or pos > end:
            sink.fact("arrow.problem", header, what="body_outside", detail=f"message {count} has a body of {body} bytes")
            msg = f"a body of {body} bytes does not fit"
            raise Truncated(msg, header)
        sink.budget.take_operations(1)
    else:
        msg = f"more than {_MAX_MESSAGES} messages"
        raise FormatError(msg, pos)
    if pos < end and any(view.data[pos : min(end, pos + 64)]):
        sink.fact("arrow.trailing", pos, size=end - pos)
        sink.child("trailing", view.data[pos:end], offset=pos)


def _message(message: Table, sink: Sink, at: int) -> int:
    """Read one message and return the size of its body."""
    kind, header = message.scalar(1, "B"), message.table(2)
    if kind == _SCHEMA and header is not None:
        _schema(header, sink, at)
    for pair in message.tables(4):
        _metadata(pair.string(0), _raw(pair, 1), sink, at)
    return message.scalar(3, "q")


def _schema(schema: Table, sink: Sink, at: int) -> None:
    fields = 0
    for field in schema.tables(1):
        fields += 1
        _field(field, sink, at, 0)
    for pair in schema.tables(2):
        _metadata(pair.string(0), _raw(pair, 1), sink, at)
    sink.fact("arrow.schema", at, fields=fields, big_endian=bool(schema.scalar(0, "h")))


def _field(field: Table, sink: Sink, at: int, depth: int) -> None:
    if depth > _MAX_DEPTH:
        msg = f"fields nested deeper than {_MAX_DEPTH}"
        raise FormatError(msg, at)
    sink.budget.take_operations(1)
    pairs = [(p.string(0), _raw(p, 1)) for p in field.tables(6)]
    data = next((v for k, v in pairs if k == _EXTENSION_DATA), b"")
    for key, value in pairs:
        if key == _EXTENSION:
            _extension(value.decode("utf-8", "replace"), data, clip(field.string(0), 80), sink, at)
        elif key != _EXTENSION_DATA:
            _metadata(key, value, sink, at)
    for child in field.tables(5):
        _field(child, sink, at, depth + 1)


def _extension(name: str, data: bytes, field: str, sink: Sink, at: int) -> None:
    sink.fact("arrow.extension", at, name=clip(name), field=field, size=len(data), head=data[:8].hex())
    if name == "arrow.py_extension_type":
        sink.child(f"{field}.extension", data, offset=at, hint="pickle")
    elif data:
        hand_on(sink, f"{field}.extension", data.decode("utf-8", "replace"), at)
        if data[:1] == b"\x80" and data[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
            sink.child(f"{field}.extension", data, offset=at, hint="pickle")


def _metadata(key: str, raw: bytes, sink: Sink, at: int) -> None:
    value = raw.decode("utf-8", "replace")
    sink.fact("arrow.metadata", at, key=clip(key, 80), size=len(value))
    if key == "ARROW:schema":
        try:
            sink.child(key, base64.b64decode(value), offset=at, hint="arrow")
        except (binascii.Error, ValueError):
            sink.fact("arrow.problem", at, what="schema", detail="ARROW:schema is not base64")
        return
    if looks_embedded(raw):
        sink.child(clip(key, 80), raw, offset=at)
    hand_on(sink, clip(key, 80), value, at)


def _raw(table: Table, index: int) -> bytes:
    """Return a string field as bytes: writers put binary content into it."""
    start, count = table.vector(index, 1)
    return bytes(table.view.data[start : start + count])


def _feather(view: View, sink: Sink) -> None:
    """Read Feather version 1: a FlatBuffer of column descriptions at the end."""
    if len(view) < 12 or view.tail(4) != b"FEA1":
        msg = "no footer at the end"
        raise Truncated(msg, len(view))
    length = int.from_bytes(view.bytes(len(view) - 8, 4), "little")
    if length > len(view) - 12:
        sink.fact(
            "arrow.problem", len(view) - 8, what="footer_outside", detail=f"a footer of {length} bytes in a file of {len(view)}"
        )
        msg = f"a footer of {length} bytes"
        raise Truncated(msg, len(view) - 8)
    table = root(view.sub(len(view) - 8 - length, length))
    columns = 0
    for column in table.tables(2):
        columns += 1
        hand_on(sink, f"column.{clip(column.string(0), 60)}", column.string(4))
    hand_on(sink, "description", table.string(0))
    hand_on(sink, "metadata", table.string(4))
    sink.fact("arrow.feather", 0, columns=columns)
