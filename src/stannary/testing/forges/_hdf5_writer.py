"""A small HDF5 writer for the forges: superblock 0, version 1 object headers, links as messages.

What it writes opens in the real library (tests/conformance compare), so hostile files are hostile there too.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

__all__ = ["Writer", "external_link", "fixed_string", "hard_link", "soft_link", "user_link"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_UNDEFINED = 0xFFFFFFFFFFFFFFFF
_FLOAT32 = struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, 0x1F, 0, 4, 0, 32, 23, 8, 0, 23, 127)
_UINT8 = struct.pack("<BBBBIHH", 0x10, 0, 0, 0, 1, 0, 8)


def fixed_string(size: int) -> bytes:
    """Return the datatype of a fixed string, NUL padded."""
    return struct.pack("<BBBBI", 0x13, 0x01, 0, 0, size)


def _opaque(size: int) -> bytes:
    return struct.pack("<BBBBI", 0x15, 0, 0, 0, size)


def _space(dims: Sequence[int]) -> bytes:
    return struct.pack("<BBB5x", 1, len(dims), 0) + b"".join(struct.pack("<Q", d) for d in dims)


def _pad(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 8)


def _link(name: str, kind: int, value: bytes) -> bytes:
    raw = name.encode()
    return struct.pack("<BBB", 1, 0x08, kind) + bytes((len(raw),)) + raw + value


def hard_link(name: str, address: int) -> tuple[int, bytes]:
    """Return a hard link message."""
    return 0x06, _link(name, 0, struct.pack("<Q", address))


def soft_link(name: str, target: str) -> tuple[int, bytes]:
    """Return a soft link message."""
    return 0x06, _link(name, 1, struct.pack("<H", len(target)) + target.encode())


def external_link(name: str, file: str, target: str) -> tuple[int, bytes]:
    """Return an external link message."""
    value = b"\0" + file.encode() + b"\0" + target.encode() + b"\0"
    return 0x06, _link(name, 64, struct.pack("<H", len(value)) + value)


def user_link(name: str, number: int, value: bytes) -> tuple[int, bytes]:
    """Return a link of an application's own class."""
    return 0x06, _link(name, number, struct.pack("<H", len(value)) + value)


class Writer:
    """Appends structures; `finish` writes the superblock for a root group of the given messages."""

    def __init__(self, userblock: bytes = b"") -> None:
        self.userblock = userblock
        self.data = bytearray(96)

    def put(self, raw: bytes) -> int:
        """Append bytes at the next multiple of 8 and return their address."""
        self.data += bytes(-len(self.data) % 8)
        address = len(self.data)
        self.data += raw
        return address

    def header(self, messages: Sequence[tuple[int, bytes]]) -> int:
        """Append an object header."""
        body = b"".join(struct.pack("<HHB3x", kind, len(_pad(raw)), 0) + _pad(raw) for kind, raw in messages)
        return self.put(struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body)

    def attribute(self, name: str, value: bytes, *, opaque: bool = False) -> tuple[int, bytes]:
        """Return an attribute message that holds text (or opaque bytes)."""
        raw, kind, space = name.encode() + b"\0", _opaque(len(value)) if opaque else fixed_string(len(value)), _space(())
        return 0x0C, struct.pack("<BxHHH", 1, len(raw), len(kind), len(space)) + _pad(raw) + _pad(kind) + _pad(space) + value

    def dataset(self, dims: Sequence[int], raw: bytes, *, kind: bytes = _FLOAT32, extra: Sequence[tuple[int, bytes]] = ()) -> int:
        """Append a contiguous dataset."""
        address = self.put(raw) if raw else _UNDEFINED
        layout = struct.pack("<BBQQ", 3, 1, address, len(raw))
        return self._dataset(dims, kind, layout, extra)

    def opaque(self, raw: bytes) -> int:
        """Append a scalar dataset of opaque bytes."""
        return self.dataset((), raw, kind=_opaque(len(raw)))

    def chunked(self, dims: Sequence[int], *, filters: bytes) -> int:
        """Append a chunked dataset without chunks, and its filter pipeline message."""
        chunk = b"".join(struct.pack("<I", d) for d in (*dims, 4))
        layout = struct.pack("<BBBQ", 3, 2, len(dims) + 1, _UNDEFINED) + chunk
        return self._dataset(dims, _FLOAT32, layout, [(0x0B, filters)])

    def external(self, size: int, file: str) -> int:
        """Append a dataset whose bytes are in another file."""
        names = bytes(8) + file.encode() + b"\0"
        segment = self.put(_pad(names))
        heap = self.put(b"HEAP" + struct.pack("<B3xQQQ", 0, len(_pad(names)), _UNDEFINED, segment))
        listing = struct.pack("<B3xHHQ", 1, 1, 1, heap) + struct.pack("<QQQ", 8, 0, size)
        layout = struct.pack("<BBQQ", 3, 1, _UNDEFINED, size)
        return self._dataset((size,), _UINT8, layout, [(0x07, listing)])

    def virtual(self, dims: Sequence[int], file: str, source: str) -> int:
        """Append a virtual dataset that maps all of a dataset in another file."""
        whole = struct.pack("<IIII", 3, 1, 0, 0)
        block = struct.pack("<BQ", 0, 1) + file.encode() + b"\0" + source.encode() + b"\0" + whole + whole
        block += struct.pack("<I", 0)
        size = 4096
        collection = b"GCOL" + struct.pack("<B3xQ", 1, size) + struct.pack("<HH4xQ", 1, 1, len(block)) + _pad(block)
        free = size - len(collection)
        collection += struct.pack("<HH4xQ", 0, 0, free) + bytes(free - 16)
        layout = struct.pack("<BBQI", 4, 3, self.put(collection), 1)
        return self._dataset(dims, _FLOAT32, layout, ())

    def _dataset(self, dims: Sequence[int], kind: bytes, layout: bytes, extra: Sequence[tuple[int, bytes]]) -> int:
        fill = struct.pack("<BBBB", 2, 2, 2, 0)
        return self.header([(0x01, _space(dims)), (0x03, kind), (0x05, fill), *extra, (0x08, layout)])

    def group(self, members: Mapping[str, int], extra: Sequence[tuple[int, bytes]] = ()) -> int:
        """Append a group."""
        info = struct.pack("<BBQQ", 0, 0, _UNDEFINED, _UNDEFINED)
        links = [hard_link(name, address) for name, address in members.items()]
        return self.header([(0x02, info), (0x0A, b"\0\0"), *links, *extra])

    def finish(self, root: int) -> bytes:
        """Return the file."""
        base = len(self.userblock)
        self.data += bytes(-len(self.data) % 8)
        block = SIGNATURE + struct.pack("<8B", 0, 0, 0, 0, 0, 8, 8, 0) + struct.pack("<HHI", 4, 16, 0)
        block += struct.pack("<QQQQ", base, _UNDEFINED, base + len(self.data), _UNDEFINED)
        block += struct.pack("<QQII16x", 0, root, 0, 0)
        self.data[: len(block)] = block
        return self.userblock + bytes(self.data)
