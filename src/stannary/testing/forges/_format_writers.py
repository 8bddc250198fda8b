"""Writers of FlatBuffers, Thrift compact, MessagePack, UBJSON and R's XDR, small enough to read: the forges' tools."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Flat", "constant", "flatbuffer", "msgpack", "r_file", "r_object", "thrift", "ubjson"]

Flat = dict[
    int, Any
]  # a table: field number to (struct code, number), str, bytes, Flat, or a list of Flat or str, or ("*i", numbers)


def constant(content: bytes) -> Callable[[], bytes]:
    """Return a builder of content that is made already."""
    return lambda: content


def flatbuffer(table: Flat, identifier: bytes = b"") -> bytes:
    """Return a FlatBuffer whose children lie behind their parents."""
    out = bytearray(4 + len(identifier))
    out[4:] = identifier
    out[:4] = struct.pack("<I", _table(out, table))
    return bytes(out)


def _pad(out: bytearray, size: int) -> None:
    out += bytes(-len(out) % size)


def _table(out: bytearray, table: Flat) -> int:
    fields = sorted(table)
    offsets, inline, children = {}, bytearray(), []
    for field in fields:
        value = table[field]
        code = value[0] if isinstance(value, tuple) and not value[0].startswith("*") else ""
        width = struct.calcsize("<" + code) if code else 4
        inline += bytes(-(len(inline) + 4) % width)
        offsets[field] = 4 + len(inline)
        if code:
            inline += struct.pack("<" + code, value[1])
        else:
            children.append((4 + len(inline), value))
            inline += bytes(4)
    _pad(out, 8)
    slots = (max(fields) + 1) if fields else 0
    vtable = len(out)
    out += struct.pack("<HH", 4 + 2 * slots, 4 + len(inline)) + b"".join(struct.pack("<H", offsets.get(i, 0)) for i in range(slots))
    _pad(out, 8)
    start = len(out)
    out += struct.pack("<i", start - vtable) + inline
    for at, value in children:
        _reference(out, start + at, value)
    return start


def _reference(out: bytearray, at: int, value: Any) -> None:  # noqa: ANN401 - as in Flat
    _pad(out, 8)
    if isinstance(value, dict):
        target = _table(out, value)
    elif isinstance(value, str):
        target, raw = len(out), value.encode()
        out += struct.pack("<I", len(raw)) + raw + b"\0"
    elif isinstance(value, bytes):
        target = len(out)
        out += struct.pack("<I", len(value)) + value
    elif isinstance(value, tuple):
        target, (code, numbers) = len(out), value
        out += struct.pack("<I", len(numbers)) + struct.pack(f"<{len(numbers)}{code[1:]}", *numbers)
    else:
        target = len(out)
        out += struct.pack("<I", len(value)) + bytes(4 * len(value))
        for index, item in enumerate(value):
            _reference(out, target + 4 + 4 * index, item)
    struct.pack_into("<I", out, at, target - at)


def _varint(number: int) -> bytes:
    out = bytearray()
    while True:
        out.append((number & 0x7F) | (0x80 if number > 0x7F else 0))
        number >>= 7
        if not number:
            return bytes(out)


def thrift(struct_: Mapping[int, Any]) -> bytes:
    """Return a compact-protocol struct: int is i64, bytes binary, list a list of structs or binaries, dict a struct."""
    out, last = bytearray(), 0
    for field in sorted(struct_):
        value = struct_[field]
        kind = 6 if isinstance(value, int) else 8 if isinstance(value, bytes) else 9 if isinstance(value, list) else 12
        out += bytes(((field - last) << 4 | kind,)) if field - last < 16 else bytes((kind,)) + _varint(field << 1)
        last = field
        out += _thrift_value(value)
    return bytes(out) + b"\0"


def _thrift_value(value: Any) -> bytes:  # noqa: ANN401
    if isinstance(value, int):
        return _varint((value << 1) ^ (value >> 63))
    if isinstance(value, bytes):
        return _varint(len(value)) + value
    if isinstance(value, list):
        kind = 12 if value and isinstance(value[0], dict) else 8
        head = bytes((len(value) << 4 | kind,)) if len(value) < 15 else bytes((0xF0 | kind,)) + _varint(len(value))
        return head + b"".join(map(_thrift_value, value))
    return thrift(dict(value))


def msgpack(value: Any) -> bytes:  # noqa: ANN401 - one branch for each type
    """Return MessagePack; a tuple (code, bytes) is an extension."""
    if value is None:
        return b"\xc0"
    if isinstance(value, int):
        return struct.pack(">Bq", 0xD3, value)
    if isinstance(value, str):
        raw = value.encode()
        return (bytes((0xA0 | len(raw),)) if len(raw) < 32 else struct.pack(">BI", 0xDB, len(raw))) + raw
    if isinstance(value, bytes):
        return struct.pack(">BI", 0xC6, len(value)) + value
    if isinstance(value, tuple):
        return struct.pack(">BIb", 0xC9, len(value[1]), value[0]) + bytes(value[1])
    if isinstance(value, list):
        return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(msgpack, value))
    return struct.pack(">BI", 0xDF, len(value)) + b"".join(msgpack(k) + msgpack(v) for k, v in value.items())


def ubjson(value: Any) -> bytes:  # noqa: ANN401
    """Return UBJSON as XGBoost writes it (64-bit lengths)."""
    if isinstance(value, str):
        return b"SL" + struct.pack(">q", len(value.encode())) + value.encode()
    if isinstance(value, int):
        return b"L" + struct.pack(">q", value)
    if isinstance(value, list):
        return b"[" + b"".join(map(ubjson, value)) + b"]"
    return b"{" + b"".join(ubjson(k)[1:] + ubjson(v) for k, v in value.items()) + b"}"


_NIL, _GLOBAL, _UNBOUND, _MISSING = 254, 253, 252, 251
_CONSTANTS = {None: _NIL, "<global>": _GLOBAL, "<unbound>": _UNBOUND, "<missing>": _MISSING}


def r_object(value: Any) -> bytes:  # noqa: ANN401, PLR0911 - one branch for each kind
    """Return one R object in XDR: None, str (a character vector), or a tuple whose first element names its kind.

    ("symbol", name), ("call", function, *arguments), ("promise", value, expression[, environment]), ("closure", formals, body),
    ("list", *items), ("tagged", name, value[, "active"]), ("raw", bytes), ("pointer",), ("names", ...).
    """
    if value in _CONSTANTS and not isinstance(value, tuple):
        return struct.pack(">i", _CONSTANTS[value])
    if isinstance(value, float):
        return struct.pack(">iid", 14, 1, value)
    if isinstance(value, str):
        return struct.pack(">ii", 16, 1) + _r_text(value)
    kind, *rest = value
    if kind == "symbol":
        return struct.pack(">i", 1) + _r_text(rest[0])
    if kind == "call":
        head = struct.pack(">i", 6) + r_object(("symbol", rest[0]))
        return head + b"".join(struct.pack(">i", 2) + r_object(a) for a in rest[1:]) + struct.pack(">i", _NIL)
    if kind == "promise":
        environment = rest[2] if len(rest) > 2 else "<global>"
        return struct.pack(">i", 5 | 0x400) + r_object(environment) + r_object(rest[0]) + r_object(rest[1])
    if kind == "closure":
        return struct.pack(">i", 3 | 0x400) + r_object("<global>") + r_object(rest[0]) + r_object(rest[1])
    if kind == "list":
        return struct.pack(">ii", 19, len(rest)) + b"".join(map(r_object, rest))
    if kind == "tagged":
        levels = 0x8000 if rest[2:] == ["active"] else 0
        return (
            struct.pack(">i", 2 | 0x400 | levels << 12)
            + r_object(("symbol", rest[0]))
            + r_object(rest[1])
            + struct.pack(">i", _NIL)
        )
    if kind == "pointer":
        return struct.pack(">iii", 22, _NIL, _NIL)
    return struct.pack(">ii", 24, len(rest[0])) + bytes(rest[0])


def _r_text(text: str) -> bytes:
    return struct.pack(">ii", 9 | 0x40 << 12, len(text.encode())) + text.encode()


def r_file(value: Any, *, magic: bytes = b"") -> bytes:  # noqa: ANN401
    """Return a serialized R object, version 2, as `saveRDS(compress=FALSE)` writes it; with a magic, as `save`."""
    return magic + b"X\n" + struct.pack(">iii", 2, 0x040300, 0x020300) + r_object(value)
