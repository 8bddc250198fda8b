"""HDF5: the members of a group, old style (symbol tables) and new style (link messages, dense links).

Source: HDF5 File Format Specification Version 3.0, sections III.A.1, III.B, III.C, IV.A.2.g, IV.A.2.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.hdf5_file import Hdf5File
from stannary.formats.hdf5_heaps import FractalHeap, tree_records
from stannary.formats.interface import Cursor, View

__all__ = ["Link", "link_message", "links_dense", "links_old"]

_LEVELS = 32
_BY_NAME = 5
_EXTERNAL = 64


class Link(NamedTuple):
    """A member of a group. `kind`: hard, soft, external or user (a class of the application's own)."""

    name: str
    kind: str
    position: int
    address: int | None = None
    target: str = ""
    file: str = ""
    number: int = 0


def links_old(file: Hdf5File, tree: int, heap: int) -> Iterator[Link]:
    """Yield the links of a symbol table: a version 1 B-tree of names in a local heap."""
    names = file.local_heap(heap)
    stack, seen = [tree], set[int]()
    while stack:
        address = stack.pop()
        if address in seen:
            continue
        seen.add(address)
        cursor = file.cursor(address)
        if bytes(cursor.data[cursor.pos : cursor.pos + 4]) == b"SNOD":
            yield from _symbols(file, address, names)
            continue
        cursor = file.cursor(address, b"TREE")
        kind, level, used = cursor.uint(1), cursor.uint(1), cursor.uint(2)
        if kind or level > _LEVELS:
            msg = f"B-tree node of type {kind}, level {level} in a group"
            raise FormatError(msg, cursor.pos)
        cursor.skip(2 * file.osize + file.lsize)
        for _ in range(used):
            child = file.offset(cursor)
            cursor.skip(min(file.lsize, cursor.left))
            if child is not None:
                stack.append(child)


def _symbols(file: Hdf5File, address: int, names: int) -> Iterator[Link]:
    cursor = file.cursor(address, b"SNOD")
    cursor.skip(2)
    for _ in range(cursor.uint(2)):
        position = cursor.pos
        name = file.text_at(names + cursor.uint(file.osize))
        header = file.offset(cursor)
        cache = cursor.uint(4)
        cursor.skip(4)
        scratch = cursor.take(16)
        if cache == 2:
            target = file.text_at(names + int.from_bytes(scratch[:4], "little"))
            yield Link(name, "soft", position, target=target)
        else:
            yield Link(name, "hard", position, address=header)


def link_message(file: Hdf5File, body: View, position: int) -> Link:
    """Read a link message (version 1). Raises FormatError."""
    cursor = Cursor(body)
    version, flags = cursor.uint(1), cursor.uint(1)
    if version != 1:
        msg = f"link message version {version}"
        raise FormatError(msg, position)
    kind = cursor.uint(1) if flags & 0x08 else 0
    cursor.skip((8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0))
    name = cursor.take(cursor.uint(1 << (flags & 3))).decode("utf-8", "surrogateescape")
    if kind == 0:
        return Link(name, "hard", position, address=file.offset(cursor))
    value = cursor.take(cursor.uint(2))
    if kind == 1:
        return Link(name, "soft", position, target=value.decode("utf-8", "surrogateescape"))
    if kind == _EXTERNAL:
        where, _, what = value[1:].partition(b"\0")
        target = what.rstrip(b"\0").decode("utf-8", "surrogateescape")
        return Link(name, "external", position, target=target, file=where.decode("utf-8", "surrogateescape"))
    return Link(name, "user", position, number=kind)


def links_dense(file: Hdf5File, body: View) -> Iterator[Link]:
    """Yield the links that a link info message keeps in a fractal heap, if any."""
    cursor = Cursor(body)
    cursor.skip(1)
    flags = cursor.uint(1)
    cursor.skip(8 if flags & 1 else 0)
    heap_address, index = file.offset(cursor), file.offset(cursor)
    if heap_address is None:
        return
    if index is None:
        msg = "dense links without an index"
        raise FormatError(msg)
    heap = FractalHeap(file, heap_address)
    for kind, record in tree_records(file, index):
        record.skip(4 if kind == _BY_NAME else 8)
        position, size = heap.object(record.take(heap.id_length))
        yield link_message(file, file.view.sub(position, size), position)
