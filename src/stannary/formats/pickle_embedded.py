"""Byte strings inside a pickle that are something a loader might be given: told by their first bytes."""

from __future__ import annotations

import zlib

__all__ = ["embedded_kind"]

_MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "zip"), (b"\x1f\x8b\x08", "gzip"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"\xfd7zXZ\x00", "xz"),
    (b"\x93NUMPY", "numpy"), (b"\x89HDF\r\n\x1a\n", "hdf5"), (b"\x7fELF", "elf"), (b"MZ\x90\x00", "pe"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)  # fmt: skip
_PICKLE_NEXT = frozenset(b"\x95}](cC)XU\x8c\x8aKNMJGV\x88\x89\x8f\x8d\x8e\x96")


def embedded_kind(head: bytes) -> str:
    """Return which format some bytes open with, '' when none; a pickle is told by two bytes."""
    if head[:1] == b"\x80" and len(head) > 3 and 2 <= head[1] <= 5 and head[2] in _PICKLE_NEXT:
        return "pickle"
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    return "zlib" if head[:1] == b"\x78" and _deflated(head) else ""


def _deflated(head: bytes) -> bool:
    """Tell whether zlib data opens into something known: its own two bytes of magic are common in arrays of numbers."""
    if head[:2] not in (b"\x78\x9c", b"\x78\xda", b"\x78\x01", b"\x78\x5e"):
        return False
    try:
        inside = zlib.decompressobj().decompress(head, 64)
    except zlib.error:
        return False
    return inside[:1] != b"\x78" and bool(embedded_kind(inside) or inside[:1] in (b"c", b"("))
