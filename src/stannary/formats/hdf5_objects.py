"""HDF5: object headers, version 1 and 2, with continuations and shared messages.

Source: HDF5 File Format Specification Version 3.0, section IV.A.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.hdf5_file import Hdf5File
from stannary.formats.interface import Cursor, View

__all__ = ["MESSAGE", "Message", "messages"]

_BLOCKS = 4096
_SHARED = 0x02


class MESSAGE:
    """Numbers of header message types."""

    DATASPACE = 0x01
    LINK_INFO = 0x02
    DATATYPE = 0x03
    FILL_OLD = 0x04
    FILL = 0x05
    LINK = 0x06
    EXTERNAL_FILES = 0x07
    LAYOUT = 0x08
    FILTERS = 0x0B
    ATTRIBUTE = 0x0C
    COMMENT = 0x0D
    SHARED_TABLE = 0x0F
    CONTINUATION = 0x10
    SYMBOL_TABLE = 0x11
    DRIVER_INFO = 0x14
    ATTRIBUTE_INFO = 0x15
    LAST = 0x18


class Message(NamedTuple):
    """One header message: its type, its body, where the body is, and where a shared one really is."""

    kind: int
    body: View
    position: int
    shared: int | None = None  # address of the object header that holds it
    in_heap: bool = False  # it is in the shared message heap of the file


def messages(file: Hdf5File, address: int) -> Iterator[Message]:
    """Yield every message of the object header at an address. Raises FormatError."""
    start = file.cursor(address)
    new = bytes(start.data[start.pos : start.pos + 4]) == b"OHDR"
    blocks, flags = _prefix_v2(file, address) if new else (_prefix_v1(file, address), 0)
    seen: set[int] = set()
    queue = [blocks]
    while queue:
        position, size = queue.pop(0)
        if position in seen:
            continue
        seen.add(position)
        if len(seen) > _BLOCKS:
            msg = f"more than {_BLOCKS} header continuations"
            raise FormatError(msg, position)
        for message in _block(file, position, size, flags if new else None):
            if message.kind == MESSAGE.CONTINUATION:
                target = _continuation(file, message, new=new)
                if target is not None:
                    queue.append(target)
            else:
                yield message


def _prefix_v1(file: Hdf5File, address: int) -> tuple[int, int]:
    cursor = file.cursor(address)
    if cursor.uint(1) != 1:
        msg = f"no object header at address {address}"
        raise FormatError(msg, file.base + address)
    cursor.skip(7)
    size = cursor.uint(4)
    cursor.skip(4)
    return cursor.pos, size


def _prefix_v2(file: Hdf5File, address: int) -> tuple[tuple[int, int], int]:
    cursor = file.cursor(address, b"OHDR")
    version, flags = cursor.uint(1), cursor.uint(1)
    if version != 2:
        msg = f"object header version {version}"
        raise FormatError(msg, cursor.pos)
    cursor.skip((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))
    size = cursor.uint(1 << (flags & 3))
    return (cursor.pos, size), flags


def _block(file: Hdf5File, position: int, size: int, flags: int | None) -> Iterator[Message]:
    """Walk one block of messages; `flags` are those of a version 2 header."""
    head = 8 if flags is None else 6 if flags & 0x04 else 4
    end = position + size
    file.view.sub(position, size)  # raises Truncated
    cursor = Cursor(file.view, position)
    while cursor.pos + head <= end:
        kind = cursor.uint(2 if flags is None else 1)
        length = cursor.uint(2)
        bits = cursor.uint(1)
        cursor.skip(head - (5 if flags is None else 4))
        if cursor.pos + length > end:
            msg = f"a header message of {length} bytes where {end - cursor.pos} are left"
            raise FormatError(msg, cursor.pos)
        body = file.view.sub(cursor.pos, length)
        if kind:
            yield _resolve(file, kind, body, cursor.pos) if bits & _SHARED else Message(kind, body, cursor.pos)
        cursor.skip(length)


def _resolve(file: Hdf5File, kind: int, body: View, position: int) -> Message:
    """Read where a shared message is (section IV.A.2, "Shared Message")."""
    cursor = Cursor(body)
    version, place = cursor.uint(1), cursor.uint(1)
    if version == 1:
        cursor.skip(6)
    if version >= 3 and place == 1:
        return Message(kind, body, position, in_heap=True)
    return Message(kind, body, position, shared=file.offset(cursor))


def _continuation(file: Hdf5File, message: Message, *, new: bool) -> tuple[int, int] | None:
    cursor = Cursor(message.body)
    address, size = file.offset(cursor), file.length(cursor)
    if address is None:
        return None
    if not new:
        return file.base + address, size
    start = file.cursor(address, b"OCHK").pos
    return start, max(0, size - 8)  # less signature and checksum
