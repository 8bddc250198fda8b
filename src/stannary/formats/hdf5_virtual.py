"""HDF5: the mapping of a virtual dataset, which names the files and datasets it is made of.

Source: HDF5 File Format Specification Version 3.0, sections III.F ("Global Heap Block for Virtual
Datasets") and VIII.B ("Dataspace Selections").
"""

from __future__ import annotations

from stannary.core.errors import FormatError
from stannary.formats.hdf5_file import Hdf5File
from stannary.formats.interface import Cursor, View

__all__ = ["virtual_sources"]

_ENTRIES = 10_000
_POINTS, _HYPERSLAB = 1, 2


def virtual_sources(file: Hdf5File, raw: View) -> tuple[list[tuple[str, str]], bool]:
    """Return the (file, dataset) pairs, and whether all of them could be read.

    A mapping this reader cannot follow keeps the pairs that came before.
    """
    found: list[tuple[str, str]] = []
    cursor = Cursor(raw)
    try:
        version = cursor.uint(1)
        entries = file.length(cursor)
        shared: list[tuple[str, str]] = []
        for _ in range(min(entries, _ENTRIES)):
            flags = cursor.uint(1) if version else 0
            name = _name(cursor, flags & 1, [s[0] for s in shared], default="." if flags & 4 else None, width=file.lsize)
            data = _name(cursor, flags & 2, [s[1] for s in shared], default=None, width=file.lsize)
            shared.append((name, data))
            found.append((name, data))
            _skip_selection(cursor)
            _skip_selection(cursor)
    except FormatError:
        return found, False
    return found, entries <= _ENTRIES


def _name(cursor: Cursor, reference: int, names: list[str], *, default: str | None, width: int) -> str:
    if default is not None:
        return default
    if reference:  # version 1: the name of an earlier entry
        index = cursor.uint(width)
        if index >= len(names):
            msg = f"virtual mapping refers to entry {index}"
            raise FormatError(msg)
        return names[index]
    rest = bytes(cursor.data[cursor.pos : cursor.pos + (1 << 16)])
    end = rest.find(b"\0")
    if end < 0:
        msg = "a virtual source without an end"
        raise FormatError(msg)
    cursor.skip(end + 1)
    return rest[:end].decode("utf-8", "surrogateescape")


def _skip_selection(cursor: Cursor) -> None:
    kind, version = cursor.uint(4), cursor.uint(4)
    if kind in (0, 3):  # none, all
        cursor.skip(8)
    elif kind == _HYPERSLAB and version == 1:
        cursor.skip(4)
        cursor.skip(cursor.uint(4))
    elif kind == _HYPERSLAB and version == 2:
        cursor.skip(1)
        cursor.skip(cursor.uint(4))
    elif kind == _HYPERSLAB and version == 3:
        flags, width, rank = cursor.uint(1), cursor.uint(1), cursor.uint(4)
        cursor.skip(4 * rank * width if flags & 1 else cursor.uint(width) * 2 * rank * width)
    elif kind == _POINTS and version == 1:
        cursor.skip(4)
        cursor.skip(cursor.uint(4))
    elif kind == _POINTS and version == 2:
        width, rank = cursor.uint(1), cursor.uint(4)
        cursor.skip(cursor.uint(width) * rank * width)
    else:
        msg = f"selection of type {kind}, version {version}"
        raise FormatError(msg)
