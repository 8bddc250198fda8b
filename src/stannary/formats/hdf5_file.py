"""HDF5: superblock and address space, local and global heaps.

Source: HDF5 File Format Specification Version 3.0, sections II, III.D, III.E. Addresses in the
file are relative to where the superblock was found, as in the library (a user block may precede it);
the end of file, once the stored base address is taken off, is too.
"""

from __future__ import annotations

from typing import NamedTuple

from stannary.core.errors import FormatError, Truncated
from stannary.formats.interface import Cursor, View

__all__ = ["SIGNATURE", "Hdf5File", "Root", "find_superblock", "open_file"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NAME_LIMIT = 1 << 16
_MAX_SUPERBLOCK = 3
_COLLECTIONS = 256


class Root(NamedTuple):
    """What a superblock points to. `cached`: (B-tree, heap) addresses of a cached root symbol table."""

    header: int | None
    cached: tuple[int, int] | None
    extension: int | None
    driver_info: int | None


def find_superblock(view: View) -> int | None:
    """Return the offset of the first superblock: 0, 512, 1024, 2048, … or None (section II.A)."""
    offset = 0
    while offset + 8 <= len(view):
        if bytes(view.data[offset : offset + 8]) == SIGNATURE:
            return offset
        offset = 512 if offset == 0 else offset * 2
    return None


class Hdf5File:
    """Bounds-checked reading by file address."""

    __slots__ = ("_collections", "base", "eof", "lsize", "osize", "undefined", "version", "view")

    def __init__(self, view: View, base: int) -> None:
        self.view = view
        self.base = base
        self.osize = 8
        self.lsize = 8
        self.eof = 0
        self.version = 0
        self.undefined = (1 << 64) - 1
        self._collections: dict[int, dict[int, tuple[int, int]]] = {}

    def sizes(self, osize: int, lsize: int) -> None:
        """Set the sizes of offsets and lengths. Raises FormatError for impossible ones."""
        if osize not in (2, 4, 8, 16, 32) or lsize not in (2, 4, 8, 16, 32):
            msg = f"sizes of offsets {osize} and lengths {lsize}"
            raise FormatError(msg, self.base)
        self.osize, self.lsize = osize, lsize
        self.undefined = (1 << (8 * osize)) - 1

    def cursor(self, address: int, signature: bytes = b"") -> Cursor:
        """Return a cursor at an address, past a required signature. Raises FormatError."""
        cursor = Cursor(self.view, self.base + address)
        if address < 0 or cursor.left < len(signature):
            msg = f"address {address} is outside the file"
            raise Truncated(msg, self.base + address)
        if signature and cursor.take(len(signature)) != signature:
            msg = f"no {signature.decode()} at address {address}"
            raise FormatError(msg, self.base + address)
        return cursor

    def span(self, address: int, count: int) -> memoryview:
        """Return `count` bytes at an address without a copy. Raises Truncated."""
        return self.view.sub(self.base + address, count).data

    def offset(self, cursor: Cursor) -> int | None:
        """Read an address; None when undefined."""
        value = cursor.uint(self.osize)
        return None if value == self.undefined else value

    def length(self, cursor: Cursor) -> int:
        """Read a length."""
        return cursor.uint(self.lsize)

    def text_at(self, position: int) -> str:
        """Read a NUL-terminated string at a position of the view. Raises Truncated."""
        raw = bytes(self.view.data[position : position + _NAME_LIMIT])
        end = raw.find(b"\0")
        if end < 0:
            msg = "a name without an end"
            raise Truncated(msg, position)
        return raw[:end].decode("utf-8", "surrogateescape")

    def local_heap(self, address: int) -> int:
        """Return the view position of a local heap's data segment (section III.D)."""
        cursor = self.cursor(address, b"HEAP")
        cursor.skip(4 + 2 * self.lsize)
        segment = self.offset(cursor)
        if segment is None:
            msg = "a local heap without data"
            raise FormatError(msg, self.base + address)
        return self.base + segment

    def heap_object(self, address: int, index: int) -> memoryview:
        """Return an object of a global heap collection (section III.E). Raises FormatError."""
        collection = self._collections.get(address)
        if collection is None:
            collection = self._read_collection(address)
            if len(self._collections) >= _COLLECTIONS:
                self._collections.clear()
            self._collections[address] = collection
        found = collection.get(index)
        if found is None:
            msg = f"no object {index} in the global heap at {address}"
            raise FormatError(msg, self.base + address)
        return self.view.sub(*found).data

    def _read_collection(self, address: int) -> dict[int, tuple[int, int]]:
        cursor = self.cursor(address, b"GCOL")
        cursor.skip(4)
        end = self.base + address + self.length(cursor)
        objects: dict[int, tuple[int, int]] = {}
        while cursor.pos + 8 + self.lsize <= min(end, cursor.end):
            index = cursor.uint(2)
            cursor.skip(6)
            size = self.length(cursor)
            if index == 0:  # free space: the rest of the collection
                break
            objects.setdefault(index, (cursor.pos, size))
            cursor.skip(size + (-size % 8))
        return objects


def open_file(view: View, base: int) -> tuple[Hdf5File, Root]:
    """Read the superblock at `base` (versions 0 to 3). Raises FormatError."""
    file = Hdf5File(view, base)
    cursor = Cursor(view, base + 8)
    file.version = cursor.uint(1)
    if file.version > _MAX_SUPERBLOCK:
        msg = f"superblock version {file.version}"
        raise FormatError(msg, base + 8)
    root = _old_superblock(file, cursor) if file.version < 2 else _new_superblock(file, cursor)
    return file, root


def _old_superblock(file: Hdf5File, cursor: Cursor) -> Root:
    cursor.skip(4)
    file.sizes(cursor.uint(1), cursor.uint(1))
    cursor.skip(1 + 8 + (4 if file.version == 1 else 0))
    stored = file.offset(cursor) or 0
    file.offset(cursor)
    file.eof = max(0, (file.offset(cursor) or 0) - stored)
    driver = file.offset(cursor)
    file.offset(cursor)  # link name of the root entry
    header = file.offset(cursor)
    cache = cursor.uint(4)
    cursor.skip(4)
    cached = None
    if cache == 1:
        tree, heap = file.offset(cursor), file.offset(cursor)
        cached = (tree, heap) if tree is not None and heap is not None else None
    return Root(header, cached, None, driver)


def _new_superblock(file: Hdf5File, cursor: Cursor) -> Root:
    file.sizes(cursor.uint(1), cursor.uint(1))
    cursor.skip(1)
    stored = file.offset(cursor) or 0
    extension = file.offset(cursor)
    file.eof = max(0, (file.offset(cursor) or 0) - stored)
    return Root(file.offset(cursor), None, extension, None)
