"""Writes ZIP files field by field, so that a forge can make any two of them disagree."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Item", "Raw", "build_zip"]


@dataclass
class Item:
    """One member; a `local_` field replaces what the local header says, a `central_` one what the directory says."""

    name: str | bytes
    content: bytes
    method: int = 0
    flags: int = 0
    align: int = 0
    crc: int | None = None
    version: int = 20
    made_by: int = 20
    attributes: int = 0
    comment: bytes = b""
    extra: bytes = b""
    local_name: str | bytes | None = None
    local_method: int | None = None
    local_flags: int | None = None
    local_crc: int | None = None
    local_size: int | None = None
    local_version: int | None = None
    descriptor: bool = False
    descriptor_crc: int | None = None
    packed: bytes | None = None
    size: int | None = None
    in_central: bool = True
    in_local: bool = True
    offset: int | None = None


@dataclass
class Raw:
    """Bytes between members."""

    content: bytes


def _bytes(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode()


def _pack(item: Item) -> bytes:
    if item.packed is not None:
        return item.packed
    if item.method != 8:
        return item.content
    engine = zlib.compressobj(6, zlib.DEFLATED, -15)
    return engine.compress(item.content) + engine.flush()


def _local(item: Item, packed: bytes, crc: int, at: int) -> bytes:
    name = _bytes(item.name if item.local_name is None else item.local_name)
    flags = (item.flags if item.local_flags is None else item.local_flags) | (8 if item.descriptor else 0)
    size = len(item.content) if item.size is None else item.size
    extra = b""
    if item.align:
        short = -(at + 30 + len(name) + 4) % item.align
        extra = b"FB" + struct.pack("<H", short) + b"Z" * short
    return struct.pack(
        "<4s5H3L2H", b"PK\x03\x04", item.version if item.local_version is None else item.local_version, flags,
        item.method if item.local_method is None else item.local_method, 0, 0x21,
        0 if item.descriptor else crc if item.local_crc is None else item.local_crc,
        0 if item.descriptor else len(packed) if item.local_size is None else item.local_size,
        0 if item.descriptor else size, len(name), len(extra),
    ) + name + extra  # fmt: skip


def _central(item: Item, packed: bytes, crc: int, at: int) -> bytes:
    name = _bytes(item.name)
    size = len(item.content) if item.size is None else item.size
    return struct.pack(
        "<4s6H3L5H2L", b"PK\x01\x02", item.made_by, item.version, item.flags | (8 if item.descriptor else 0), item.method, 0, 0x21,
        crc, len(packed), size, len(name), len(item.extra), len(item.comment), 0, 0, item.attributes, at,
    ) + name + item.extra + item.comment  # fmt: skip


def build_zip(
    items: Sequence[Item | Raw],
    *,
    prefix: bytes = b"",
    shift: bool = True,
    comment: bytes = b"",
    gap: bytes = b"",
    count: int | None = None,
    disk: int = 0,
) -> bytes:
    """Return an archive. With `shift` the offsets count from the end of the prefix, as self-extracting archives do."""
    out = bytearray(prefix)
    base = len(prefix) if shift else 0
    directory = bytearray()
    entries = 0
    for item in items:
        if isinstance(item, Raw):
            out += item.content
            continue
        packed = _pack(item)
        crc = zlib.crc32(item.content) if item.crc is None else item.crc
        at = len(out)
        if item.in_local:
            out += _local(item, packed, crc, at) + packed
            if item.descriptor:
                wrong = crc if item.descriptor_crc is None else item.descriptor_crc
                out += struct.pack("<4s3L", b"PK\x07\x08", wrong, len(packed), len(item.content))
        if item.in_central:
            entries += 1
            directory += _central(item, packed, crc, (at if item.offset is None else item.offset) - base)
    out += gap
    start = len(out) - base
    shown = entries if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", disk, disk, shown, shown, len(directory), start, len(comment))
    return bytes(out + directory + end + comment)
