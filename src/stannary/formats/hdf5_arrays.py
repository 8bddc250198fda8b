"""HDF5: chunk indexes of files in the new style: fixed arrays and extensible arrays.

Source: HDF5 File Format Specification Version 3.0, sections VII.C, VII.D (appendix on chunk
indexing); sizes of blocks as computed by the library (H5EAhdr.c, H5FAdblock.c).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stannary.formats.hdf5_file import Hdf5File
from stannary.formats.interface import Cursor

__all__ = ["Chunk", "extensible_array", "fixed_array"]

_CHUNKS = 100_000
_CHECKSUM = 4


class Chunk(NamedTuple):
    """Where a chunk is stored, and which filters were not applied to it."""

    order: int
    address: int
    size: int
    mask: int = 0


class _Elements:
    """Reads runs of elements: an address each, with size and filter mask when chunks are filtered."""

    def __init__(self, file: Hdf5File, *, filtered: bool, width: int, size: int, page_bits: int) -> None:
        self.file = file
        self.filtered = filtered
        self.width = width
        self.size = size
        self.page = 1 << page_bits
        self.order = 0

    def run(self, cursor: Cursor, count: int) -> Iterator[Chunk]:
        """Yield the stored chunks among the next `count` elements."""
        for _ in range(min(count, _CHUNKS)):
            address, size, mask = self.file.offset(cursor), self.size, 0
            if self.filtered:
                size = cursor.uint(max(0, self.width - self.file.osize - 4))
                mask = cursor.uint(4)
            if address is not None:
                yield Chunk(self.order, address, size, mask)
            self.order += 1

    def block(self, cursor: Cursor, count: int) -> Iterator[Chunk]:
        """Yield those of a data block, whose elements are in pages when there are many."""
        if count <= self.page:
            yield from self.run(cursor, count)
            return
        cursor.skip(_CHECKSUM)
        while count > 0:
            yield from self.run(cursor, min(count, self.page))
            cursor.skip(_CHECKSUM)
            count -= self.page


def fixed_array(file: Hdf5File, address: int, size: int) -> Iterator[Chunk]:
    """Yield the chunks of a fixed array. Raises FormatError."""
    header = file.cursor(address, b"FAHD")
    header.skip(1)
    filtered, width, bits = header.uint(1) == 1, header.uint(1), header.uint(1)
    count = file.length(header)
    block = file.offset(header)
    if block is None:
        return
    cursor = file.cursor(block, b"FADB")
    cursor.skip(2 + file.osize)
    elements = _Elements(file, filtered=filtered, width=width, size=size, page_bits=bits)
    if count > elements.page:
        pages = -(-count // elements.page)
        cursor.skip((pages + 7) // 8)  # which pages are in use; unused ones hold undefined addresses or zeros
    yield from elements.block(cursor, min(count, _CHUNKS))


def extensible_array(file: Hdf5File, address: int, size: int) -> Iterator[Chunk]:
    """Yield the chunks of an extensible array. Raises FormatError."""
    header = file.cursor(address, b"EAHD")
    header.skip(1)
    filtered, width, max_bits, inline, least, pointers, page_bits = header.take(7)
    header.skip(4 * file.lsize)
    total = min(file.length(header), _CHUNKS)
    header.skip(file.lsize)
    block = file.offset(header)
    if block is None:
        return
    elements = _Elements(file, filtered=filtered == 1, width=width, size=size, page_bits=page_bits)
    cursor = file.cursor(block, b"EAIB")
    cursor.skip(2 + file.osize)
    yield from elements.run(cursor, inline)
    offset_size = (max_bits + 7) // 8
    level, direct = 0, 2 * (pointers.bit_length() - 1)
    while elements.order < total and level <= max_bits:
        blocks, per_block = 1 << level // 2, (1 << (level + 1) // 2) * max(least, 1)
        source = cursor
        if level >= direct:  # a secondary block holds the addresses
            super_block = file.offset(cursor)
            if super_block is None:
                elements.order += blocks * per_block
                level += 1
                continue
            source = file.cursor(super_block, b"EASB")
            paged = per_block > elements.page
            source.skip(2 + file.osize + offset_size + (blocks * ((per_block // elements.page + 7) // 8) if paged else 0))
        for _ in range(blocks):
            yield from _data_block(elements, file.offset(source), offset_size, per_block)
        level += 1


def _data_block(elements: _Elements, address: int | None, offset_size: int, count: int) -> Iterator[Chunk]:
    start = elements.order
    if address is not None:
        cursor = elements.file.cursor(address, b"EADB")
        cursor.skip(2 + elements.file.osize + offset_size)
        yield from elements.block(cursor, count)
    elements.order = start + count
