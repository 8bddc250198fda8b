"""HDF5: what datasets and attributes are made of: dataspaces, datatypes, layouts, filters, values.

Source: HDF5 File Format Specification Version 3.0, sections IV.A.2.b, d, h, i, l, m, VII.C.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.hdf5_file import Hdf5File
from stannary.formats.interface import Cursor, View

__all__ = [
    "Attribute",
    "Datatype",
    "Layout",
    "attribute",
    "dataspace",
    "datatype",
    "external_files",
    "filters",
    "layout",
    "strings",
]

FIXED, STRING, OPAQUE, VARIABLE, ARRAY = 0, 3, 5, 9, 10
_NESTING = 8
_VALUES = 1 << 16  # variable-length elements of one attribute or dataset that are followed


class Datatype(NamedTuple):
    """The parts of a datatype that say whether it can hold text or opaque bytes."""

    kind: int
    size: int
    base: Datatype | None = None

    @property
    def bytelike(self) -> bool:
        """True for strings, opaque bytes, 8-bit integers, and arrays of these."""
        if self.kind == ARRAY:
            return self.base is not None and self.base.bytelike
        return self.kind in (STRING, OPAQUE) or (self.kind == FIXED and self.size == 1)

    @property
    def variable(self) -> bool:
        """True for variable-length strings and sequences of bytes."""
        return self.kind == VARIABLE and (self.base is None or self.base.bytelike)


class Attribute(NamedTuple):
    """An attribute: `raw` is the stored value, `kind` None when its datatype could not be read."""

    name: str
    kind: Datatype | None
    elements: int
    raw: View
    position: int
    shared_type: bool = False


class Layout(NamedTuple):
    """Where the elements of a dataset are. `position` counts from the start of the view."""

    kind: str  # compact, contiguous, chunked, virtual
    position: int | None = None
    size: int = 0
    chunk: tuple[int, ...] = ()
    indexed: str = ""  # btree1, single, implicit, fixed, extensible, btree2
    heap_index: int = 0
    filter_mask: int = 0


def dataspace(file: Hdf5File, body: View) -> tuple[int, ...] | None:
    """Return the dimensions: () for a scalar, None for a null dataspace. Raises FormatError."""
    cursor = Cursor(body)
    version, rank, _flags = cursor.uint(1), cursor.uint(1), cursor.uint(1)
    if version not in (1, 2):
        msg = f"dataspace version {version}"
        raise FormatError(msg)
    kind = cursor.uint(1)
    if version == 1:
        cursor.skip(4)
    elif kind == 2:
        return None
    return tuple(file.length(cursor) for _ in range(rank))


def datatype(body: View, depth: int = 0) -> Datatype:
    """Read a datatype as far as needed to know what its elements hold. Raises FormatError."""
    cursor = Cursor(body)
    head = cursor.uint(1)
    kind, version = head & 15, head >> 4
    cursor.skip(3)
    size = cursor.uint(4)
    if depth > _NESTING:
        msg = "datatypes nested too deep"
        raise FormatError(msg)
    if kind == VARIABLE:
        return Datatype(kind, size, datatype(body.sub(cursor.pos, cursor.left), depth + 1))
    if kind == ARRAY:
        rank = cursor.uint(1)
        cursor.skip(3 if version < 3 else 0)
        cursor.skip(rank * (8 if version < 3 else 4))
        return Datatype(kind, size, datatype(body.sub(cursor.pos, cursor.left), depth + 1))
    return Datatype(kind, size)


def attribute(file: Hdf5File, body: View, position: int) -> Attribute:
    """Read an attribute message (versions 1 to 3). Raises FormatError."""
    cursor = Cursor(body)
    version, flags = cursor.uint(1), cursor.uint(1)
    if version not in (1, 2, 3):
        msg = f"attribute message version {version}"
        raise FormatError(msg, position)
    sizes = [cursor.uint(2) for _ in range(3)]
    cursor.skip(1 if version == 3 else 0)
    parts = []
    for size in sizes:
        parts.append(body.sub(cursor.pos, size))
        cursor.skip(min(size + (-size % 8 if version == 1 else 0), cursor.left))
    name = bytes(parts[0].data).partition(b"\0")[0].decode("utf-8", "surrogateescape")
    raw = body.sub(cursor.pos, cursor.left)
    dims = dataspace(file, parts[2]) if not flags & 2 else ()
    count = 0 if dims is None else math.prod(dims)
    if version > 1 and flags & 1:  # a committed datatype: the element size is what is there
        return Attribute(name, None, count, raw, position, shared_type=True)
    kind = datatype(parts[1])
    wanted = count * kind.size
    return Attribute(name, kind, count, body.sub(cursor.pos, wanted), position + cursor.pos)


def strings(file: Hdf5File, kind: Datatype, raw: View) -> list[tuple[memoryview, int]]:
    """Return the variable-length values in `raw` as (bytes, length); absent ones are left out."""
    values: list[tuple[memoryview, int]] = []
    cursor = Cursor(raw)
    step = 4 + file.osize + 4
    width = kind.base.size if kind.base is not None else 1
    while cursor.left >= step and len(values) < _VALUES:
        count, address, index = cursor.uint(4), file.offset(cursor), cursor.uint(4)
        if address and index:
            data = file.heap_object(address, index)
            values.append((data[: count * width], count))
    return values


def layout(file: Hdf5File, body: View, position: int) -> Layout:
    """Read a data layout message (versions 1 to 5). Raises FormatError."""
    cursor = Cursor(body)
    version = cursor.uint(1)
    if version in (1, 2):
        return _layout_old(file, cursor, position)
    if version not in (3, 4, 5):
        msg = f"data layout version {version}"
        raise FormatError(msg, position)
    kind = cursor.uint(1)
    if kind == 0:
        size = cursor.uint(2)
        return Layout("compact", position + cursor.pos, size)
    if kind == 1:
        address = file.offset(cursor)
        return Layout("contiguous", None if address is None else file.base + address, file.length(cursor))
    if kind == 3:
        address = file.offset(cursor)
        return Layout("virtual", address, heap_index=cursor.uint(4))
    if kind != 2:
        msg = f"data layout class {kind}"
        raise FormatError(msg, position)
    if version == 3:
        rank = cursor.uint(1)
        address = file.offset(cursor)
        return Layout("chunked", address, chunk=tuple(cursor.uint(4) for _ in range(rank)), indexed="btree1")
    return _layout_chunked(file, cursor, position)


def _layout_chunked(file: Hdf5File, cursor: Cursor, position: int) -> Layout:
    flags, rank, width = cursor.uint(1), cursor.uint(1), cursor.uint(1)
    chunk = tuple(cursor.uint(width) for _ in range(rank))
    kind = cursor.uint(1)
    names = {1: "single", 2: "implicit", 3: "fixed", 4: "extensible", 5: "btree2"}
    if kind not in names:
        msg = f"chunk index type {kind}"
        raise FormatError(msg, position)
    size = mask = 0
    if kind == 1 and flags & 2:
        size, mask = file.length(cursor), cursor.uint(4)
    cursor.skip({3: 1, 4: 5, 5: 6}.get(kind, 0))
    return Layout("chunked", file.offset(cursor), size, chunk, names[kind], filter_mask=mask)


def _layout_old(file: Hdf5File, cursor: Cursor, position: int) -> Layout:
    rank, kind = cursor.uint(1), cursor.uint(1)
    cursor.skip(5)
    address = file.offset(cursor) if kind else None
    dims = tuple(cursor.uint(4) for _ in range(rank))
    if kind == 0:
        size = cursor.uint(4)
        return Layout("compact", position + cursor.pos, size)
    if kind == 1:
        return Layout("contiguous", None if address is None else file.base + address, math.prod(dims))
    return Layout("chunked", address, chunk=dims, indexed="btree1")


def filters(body: View) -> list[tuple[int, str]]:
    """Return (identifier, name) of every filter of a pipeline, in order. Raises FormatError."""
    cursor = Cursor(body)
    version, count = cursor.uint(1), cursor.uint(1)
    if version == 1:
        cursor.skip(6)
    elif version != 2:
        msg = f"filter pipeline version {version}"
        raise FormatError(msg)
    found = []
    for _ in range(count):
        number = cursor.uint(2)
        named = cursor.uint(2) if version == 1 or number >= 256 else 0
        cursor.skip(2)
        values = cursor.uint(2)
        name = cursor.take(named).partition(b"\0")[0].decode("utf-8", "replace")
        cursor.skip(4 * values + (4 if version == 1 and values % 2 else 0))
        found.append((number, name))
    return found


def external_files(file: Hdf5File, body: View) -> list[tuple[str, int, int]]:
    """Return (name, offset, size) of the external files that hold a dataset. Raises FormatError."""
    cursor = Cursor(body)
    cursor.skip(4 + 2)
    used = cursor.uint(2)
    address = file.offset(cursor)
    if address is None:
        msg = "external files without a name heap"
        raise FormatError(msg)
    names = file.local_heap(address)
    return [(file.text_at(names + file.length(cursor)), file.length(cursor), file.length(cursor)) for _ in range(used)]
