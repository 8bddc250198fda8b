"""Protocol Buffers wire format, written by hand for the forges."""

from __future__ import annotations

__all__ = ["attribute_string", "message", "number", "varint"]


def varint(value: int) -> bytes:
    """Return a base-128 number."""
    out = bytearray()
    value &= 0xFFFFFFFFFFFFFFFF
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(number: int, *parts: bytes | str) -> bytes:
    """Return a length-delimited field: a message of parts, bytes, or text."""
    body = b"".join(p.encode() if isinstance(p, str) else p for p in parts)
    return varint(number << 3 | 2) + varint(len(body)) + body


def number(field: int, value: int) -> bytes:
    """Return a varint field."""
    return varint(field << 3) + varint(value)


def attribute_string(name: str, value: str | bytes) -> bytes:
    """Return a map entry of TensorFlow's attributes that holds text."""
    return message(5, message(1, name), message(2, message(2, value)))
