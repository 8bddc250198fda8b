"""Mutations of ZIP archives: header fields against each other, entries, names, order, what lies between; and archives made at random."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

from stannary.testing.forges.zip_writer import Item, Raw, build_zip
from stannary.testing.mutations_pickle import mutate_pickle

__all__ = ["mutate_zip"]

# signature: (offset, width) of every field
_FIELDS = {
    b"PK\x03\x04": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\x01\x02": ((4, 2), (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (36, 2), (38, 4), (42, 4)),
    b"PK\x05\x06": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    b"PK\x07\x08": ((4, 4), (8, 4), (12, 4)),
    b"PK\x06\x06": ((4, 8), (16, 4), (24, 8), (32, 8), (40, 8), (48, 8)),
    b"PK\x06\x07": ((4, 4), (8, 8), (16, 4)),
}  # fmt: skip
_NAMES = ("archive/data.pkl", "data.pkl", "archive/Data.pkl", "archive\\data.pkl", "archive/./data.pkl", "archive//data.pkl", "archive/version",
          "archive/byteorder", "archive/data/0", "x/data.pkl", "../data.pkl", "/data.pkl", "archive/data.pkl\x00.txt", "constants.pkl", "a.npy")  # fmt: skip
_PLAIN = b"\x80\x02}q\x00."


def mutate_zip(content: bytes, rng: random.Random, pool: Sequence[bytes] = ()) -> bytes:
    """Return a changed archive, or one made at random around a stream of the pool."""
    match rng.randrange(12):
        case 0 | 1 | 2 | 3:
            return _fields(content, rng)
        case 4 | 5:
            return _inside(content, rng, pool)
        case 6 | 7 | 8:
            return _made(rng, pool)
        case 9:
            return _entries(content, rng)
        case 10:
            return _around(content, rng, pool)
        case _:
            at = rng.randrange(len(content) + 1)
            return (
                content[:at]
                if rng.random() < 0.4
                else content[:at] + rng.randbytes(rng.randrange(9)) + content[at + rng.randrange(9) :]
            )


def _headers(content: bytes) -> list[tuple[int, bytes]]:
    found = []
    at = content.find(b"PK")
    while at >= 0:
        signature = content[at : at + 4]
        if signature in _FIELDS:
            found.append((at, signature))
        at = content.find(b"PK", at + 1)
    return found


def _fields(content: bytes, rng: random.Random) -> bytes:
    raw = bytearray(content)
    headers = _headers(content)
    for _ in range(rng.choice((1, 1, 2, 3)) if headers else 0):
        at, signature = rng.choice(headers)
        offset, width = rng.choice(_FIELDS[signature])
        old = int.from_bytes(raw[at + offset : at + offset + width], "little")
        new = rng.choice(
            (
                0,
                1,
                8,
                9,
                12,
                14,
                0x800,
                0x801,
                99,
                0xFFFF,
                0xFFFFFFFF,
                old + 1,
                old - 1,
                old + 4,
                old ^ 1,
                old ^ 8,
                at,
                len(raw),
                rng.randrange(1 << 16),
            )
        )
        raw[at + offset : at + offset + width] = (new & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    return bytes(raw)


def _members(content: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [(info.filename, archive.read(info)) for info in archive.infolist()[:20] if info.file_size < 1 << 16]
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        zlib.error,
        struct.error,
        UnicodeError,
    ):
        return []


def _inside(content: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """The same archive with a pickle in it changed, written anew."""
    members = _members(content)
    places = [i for i, (name, data) in enumerate(members) if name.endswith(".pkl") or data[:1] == b"\x80"]
    if not places:
        return _made(rng, pool)
    at = rng.choice(places)
    members[at] = (members[at][0], mutate_pickle(members[at][1], rng, pool))
    return build_zip([Item(name, data, **_odd(rng, 0.05)) for name, data in members])


def _odd(rng: random.Random, chance: float) -> dict[str, Any]:
    """Fields of an `Item` that are not what they should be."""
    choices: dict[str, tuple[Any, ...]] = {
        "method": (8, 8, 8, 1, 99), "flags": (1, 8, 0x800, 0x40, 0x2000, 0x809), "crc": (0, 1), "version": (63, 64, 255, 0x1400),
        "made_by": (0x0314, 0x0A14), "attributes": (0xA1FF0000, 0x81A40000, 0x10), "comment": (b"hello", b"PK\x05\x06" + bytes(18)),
        "extra": (b"\x01\x00\x08\x00" + bytes(8), b"\x75\x70\x09\x00\x01" + bytes(4) + b"data", b"\xff\xff\xff\xff"),
        "local_name": ("version", "archive/data.pkl", "archive/DATA.PKL", ""), "local_method": (0, 8, 99), "local_flags": (1, 8, 0x800),
        "local_crc": (0, 1), "local_size": (0, 1, 0xFFFFFFFF), "local_version": (255,), "descriptor": (True,), "descriptor_crc": (0, 7),
        "size": (0, 1, 0xFFFFFFF0), "in_central": (False,), "in_local": (False,), "offset": (0, 1, 30), "align": (64,),
    }  # fmt: skip
    return {key: rng.choice(values) for key, values in choices.items() if rng.random() < chance}


def _made(rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """A torch-like archive in which two members and two headers may disagree."""
    payload = rng.choice(pool) if pool else _PLAIN
    items: list[Item | Raw] = [Item(rng.choice(_NAMES[:2]), payload, **_odd(rng, 0.06))]
    for _ in range(rng.choice((0, 1, 2, 3))):
        data = rng.choice((_PLAIN, _PLAIN, b"3\n", b"little", payload, bytes(20)))
        items.append(Item(rng.choice(_NAMES), data, **_odd(rng, 0.06)))
    if rng.random() < 0.15:
        items.append(Raw(rng.choice((payload, bytes(7), b"PK\x03\x04", b"junk"))))
    rng.shuffle(items)
    return build_zip(
        items,
        prefix=rng.choice((b"",) * 6 + (b"junk", _PLAIN, b"#!/bin/sh\n", bytes(600))),
        shift=rng.random() < 0.8 and all(isinstance(item, Raw) or item.offset is None for item in items),
        comment=rng.choice((b"",) * 6 + (b"comment", payload[:60000], b"PK\x05\x06" + bytes(18))),
        gap=rng.choice((b"",) * 8 + (b"gap", payload)),
        count=rng.choice((None,) * 8 + (0, 1, 99)),
        disk=rng.choice((0,) * 9 + (1,)),
    )


def _entries(content: bytes, rng: random.Random) -> bytes:
    """Drop, repeat or reorder records of the central directory; the end record is put right, or not."""
    end = content.rfind(b"PK\x05\x06")
    if end < 0 or len(content) < end + 22:
        return _fields(content, rng)
    size, start = struct.unpack("<2L", content[end + 12 : end + 20])
    records, at = [], start
    while content[at : at + 4] == b"PK\x01\x02" and at + 46 <= end:
        length = 46 + sum(struct.unpack("<3H", content[at + 28 : at + 34]))
        records.append(content[at : at + length])
        at += length
    if not records or start + size > len(content):
        return _fields(content, rng)
    match rng.randrange(4):
        case 0:
            rng.shuffle(records)
        case 1:
            records.pop(rng.randrange(len(records)))
        case 2:
            records.append(rng.choice(records))
        case _:
            at = rng.randrange(len(records))
            name = rng.choice(_NAMES).encode()
            old = records[at]
            (names,) = struct.unpack("<H", old[28:30])
            records[at] = old[:28] + struct.pack("<H", len(name)) + old[30:46] + name + old[46 + names :]
    body = b"".join(records)
    tail = content[end:]
    if rng.random() < 0.8:
        tail = tail[:8] + struct.pack("<2H2L", len(records), len(records), len(body), start) + tail[20:]
    return content[:start] + body + content[at if at > end else start + size : end] + tail


def _around(content: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    other = rng.choice(pool) if pool else _PLAIN
    return rng.choice((other + content, content + other, content + content, content + bytes(30), b"\n" + content, content[:-22] + other + content[-22:],
                       content + build_zip([Item("archive/data.pkl", _PLAIN)]), build_zip([Item("archive/data.pkl", _PLAIN)]) + content))  # fmt: skip
