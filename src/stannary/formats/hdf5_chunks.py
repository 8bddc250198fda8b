"""HDF5: the chunks of a dataset in order, with the filters of the library itself undone.

Only datasets that can hold text or opaque bytes are read this way, so the readers here favour
being bounded over being fast. Source: HDF5 File Format Specification Version 3.0, sections
III.A.1, III.A.2, VII (chunk indexing);
filters from the library (H5Z*.c) and LZF as in h5py.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from stannary.core.errors import FormatError
from stannary.formats.hdf5_arrays import Chunk, extensible_array, fixed_array
from stannary.formats.hdf5_data import Layout
from stannary.formats.hdf5_file import Hdf5File
from stannary.formats.hdf5_heaps import tree_records

__all__ = ["SUPPORTED", "chunks", "decode"]

DEFLATE, SHUFFLE, FLETCHER, LZF = 1, 2, 3, 32000
SUPPORTED = frozenset({DEFLATE, SHUFFLE, FLETCHER, LZF})
_LEVELS = 32
_CHUNKS = 100_000
_CHUNK_LIMIT = 64 << 20
_FILTERED_RECORD = 11


def chunks(file: Hdf5File, layout: Layout, size: int, total: int) -> Iterator[Chunk]:
    """Yield the stored chunks of a dataset of one dimension.

    `size` is that of an unfiltered chunk, `total` that of all elements, in bytes. Raises FormatError.
    """
    if layout.position is None:
        return
    if layout.indexed == "btree1":
        yield from _tree(file, layout)
    elif layout.indexed == "single":
        yield Chunk(0, layout.position, layout.size or size, layout.filter_mask)
    elif layout.indexed == "btree2":
        yield from _tree_v2(file, layout, size)
    elif layout.indexed == "fixed":
        yield from fixed_array(file, layout.position, size)
    elif layout.indexed == "extensible":
        yield from extensible_array(file, layout.position, size)
    elif layout.indexed == "implicit":  # all chunks, one after the other
        for order in range(-(-total // size) if size else 0):
            yield Chunk(order, layout.position + order * size, size)


def _tree(file: Hdf5File, layout: Layout) -> Iterator[Chunk]:
    stack, seen = [layout.position or 0], set[int]()
    key = 8 * len(layout.chunk)
    while stack:
        address = stack.pop()
        if address in seen or len(seen) > _CHUNKS:
            continue
        seen.add(address)
        cursor = file.cursor(address, b"TREE")
        kind, level, used = cursor.uint(1), cursor.uint(1), cursor.uint(2)
        if kind != 1 or level > _LEVELS:
            msg = f"B-tree node of type {kind}, level {level} in a dataset"
            raise FormatError(msg, cursor.pos)
        cursor.skip(2 * file.osize)
        for _ in range(used):
            size, mask, order = cursor.uint(4), cursor.uint(4), cursor.uint(8)
            cursor.skip(key - 8)
            child = file.offset(cursor)
            if child is None:
                continue
            if level:
                stack.append(child)
            else:
                yield Chunk(order, child, size, mask)


def _tree_v2(file: Hdf5File, layout: Layout, size: int) -> Iterator[Chunk]:
    rank = len(layout.chunk) - 1
    for kind, record in tree_records(file, layout.position or 0):
        address = record.uint(file.osize)
        mask = 0
        if kind == _FILTERED_RECORD:
            width = record.left - 4 - 8 * rank
            size, mask = record.uint(width), record.uint(4)
        yield Chunk(record.uint(8), address, size, mask)


def decode(raw: bytes, pipeline: list[int], mask: int, width: int) -> bytes:
    """Undo the filters of one chunk, last first. Raises FormatError."""
    for index in range(len(pipeline) - 1, -1, -1):
        if mask >> index & 1:
            continue
        number = pipeline[index]
        if number == DEFLATE:
            raw = _inflate(raw)
        elif number == FLETCHER:
            raw = raw[:-4]
        elif number == SHUFFLE:
            raw = _unshuffle(raw, width)
        elif number == LZF:
            raw = _unlzf(raw)
        else:
            msg = f"filter {number}"
            raise FormatError(msg)
    return raw


def _inflate(raw: bytes) -> bytes:
    machine = zlib.decompressobj()
    try:
        out = machine.decompress(raw, _CHUNK_LIMIT)
    except zlib.error as exc:
        msg = f"a chunk that does not inflate: {exc}"
        raise FormatError(msg) from exc
    if machine.unconsumed_tail:
        msg = f"a chunk of more than {_CHUNK_LIMIT} bytes"
        raise FormatError(msg)
    return out


def _unshuffle(raw: bytes, width: int) -> bytes:
    count = len(raw) // width if width > 1 else 0
    if not count:
        return raw
    whole = count * width
    out = bytearray(whole)
    for index in range(width):
        out[index::width] = raw[index * count : (index + 1) * count]
    return bytes(out) + raw[whole:]


def _unlzf(raw: bytes) -> bytes:
    """Undo LZF: control bytes below 32 start literals, the others back references."""
    out = bytearray()
    position, end = 0, len(raw)
    while position < end:
        control = raw[position]
        position += 1
        if control < 32:
            out += raw[position : position + control + 1]
            position += control + 1
            continue
        length = control >> 5
        if length == 7 and position < end:
            length += raw[position]
            position += 1
        if position >= end:
            break
        start = len(out) - ((control & 31) << 8 | raw[position]) - 1
        position += 1
        if start < 0 or len(out) > _CHUNK_LIMIT:
            msg = "a broken LZF chunk"
            raise FormatError(msg)
        for step in range(length + 2):
            out.append(out[start + step])
    return bytes(out)
