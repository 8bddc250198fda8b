"""Avro object container files: the schema, and the Java classes that it names.

Source: the Apache Avro 1.12 specification, "Object Container Files". Rows are data of the types that the schema gives; a reader in
Java makes instances of the classes that `java-class` names (CVE-2024-47561).

Facts:
- `avro.document` codec, size (of the schema)
- `avro.java_class` key, name
"""

from __future__ import annotations

import re

from stannary.core.errors import Truncated
from stannary.formats.embedded import carve
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip

__all__ = ["read"]

_JAVA = re.compile(r'"java-(?:class|key-class|element-class)"\s*:\s*"([^"]{1,200})"')
_MOST = 1000
_LONGEST = 10  # bytes of a number


def read(view: View, sink: Sink) -> None:
    """Read the header. Raises Truncated where it ends early."""
    at, codec, size = 4, "null", 0
    while count := _number(view, at):
        number, at = count
        if not number:
            break
        if number < 0:  # the size of the block in bytes follows
            number, at = -number, _number(view, at)[1]
        for _ in range(min(number, _MOST)):
            key, at = _bytes(view, at)
            value, at = _bytes(view, at)
            if key == b"avro.codec":
                codec = value.decode("utf-8", "replace")
            elif key == b"avro.schema":
                size = len(value)
            text = value.decode("utf-8", "replace")
            name = clip(key.decode("utf-8", "replace"), 80)
            for found in sorted(set(_JAVA.findall(text)))[:50]:
                sink.fact("avro.java_class", at, key=name, name=found)
            hand_on(sink, name, text, at)
    sink.fact("avro.document", 0, codec=clip(codec, 40), size=size)
    carve(sink, "rows", view.data[at:], at)
    sink.inert("avro: rows of the types that its schema gives")


def _number(view: View, at: int) -> tuple[int, int]:
    """Return a zigzag number and where it ends."""
    value = shift = 0
    for byte in view.bytes(at, min(_LONGEST, max(0, len(view) - at))):
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), at
    msg = "a number ends early"
    raise Truncated(msg, at)


def _bytes(view: View, at: int) -> tuple[bytes, int]:
    length, at = _number(view, at)
    if not 0 <= length <= len(view) - at:
        msg = f"{length} bytes, {len(view) - at} are left"
        raise Truncated(msg, at)
    return view.bytes(at, length), at + length
