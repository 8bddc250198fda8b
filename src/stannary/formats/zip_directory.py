"""The structure of a ZIP file as every loader could see it: directories from the end, headers from the start.

Two kinds of reader exist. Random-access ones (Python, miniz in torch, Java) find the end-of-central-directory
record, then the central directory, then local headers; they disagree on which record counts, on whether a
prefix shifts offsets, and on duplicates. Streaming ones walk local headers only. This module finds all of it
and judges nothing. Source: PKWARE APPNOTE.TXT 6.3.10, section 4.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from stannary.core.errors import BudgetExceeded
from stannary.formats.interface import View

__all__ = ["Directory", "Entry", "Local", "directories", "entry_name", "locals_between", "next_signature", "parse_local"]

_EOCD = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_EOCD64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_WINDOW = 65535 + 22
_UTF8 = 0x800
_TRIES = 100_000
_MAX_ENTRIES = 1 << 18  # more than the sink's budget of members
_MAX_RECORDS = 16  # end records looked at; more are counted as one difference
FULL32 = 0xFFFFFFFF
FULL16 = 0xFFFF


class Local(msgspec.Struct, frozen=True):
    """A local file header. `data` is where the content begins; `spread`: sizes follow the content."""

    raw: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    version: int
    offset: int
    data: int

    @property
    def spread(self) -> bool:
        """True when a data descriptor follows."""
        return bool(self.flags & 8)


class Entry(msgspec.Struct, frozen=True):
    """A central directory record; `offset` is where its local header is, from the start of the file."""

    raw: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    version: int
    made_by: int
    attributes: int
    disk: int
    offset: int
    declared: int  # the header offset as written
    at: int  # where the record itself is
    comment: tuple[int, int]  # start, length
    other_name: bytes  # the name in an Info-ZIP Unicode Path extra field, when it is not the same


class Directory(msgspec.Struct, frozen=True):
    """A central directory found from an end record."""

    record: int  # offset of the end record
    start: int  # of the central directory
    end: int
    shift: int  # bytes in front of the archive
    announced: int  # entries, by the end record
    entries: tuple[Entry, ...]
    comment: tuple[int, int]
    disks: bool  # says that it is one of several volumes
    zip64: bool
    conflict: bool  # 32-bit and 64-bit end records say different things
    to_end: bool  # its comment ends where the file ends


def entry_name(raw: bytes, flags: int) -> str:
    """Decode a member name: UTF-8 when the flag says so or when it is, else code page 437."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace") if flags & _UTF8 else raw.decode("cp437")


def directories(view: View) -> list[Directory]:
    """Return every central directory that an end record in the last 64 KiB leads to, the likeliest first.

    An end record inside the content of a member of an earlier directory belongs to a nested
    archive, and is left for the reading of that member.
    """
    found: list[Directory] = []
    for record in sorted(_records(view), key=lambda item: (not item[1], item[0] if item[1] else -item[0])):
        if any(_inside(view, record[0], directory) for directory in found):
            continue
        for directory in _from_record(view, *record):
            if all(directory.start != other.start or directory.shift != other.shift for other in found):
                found.append(directory)
    return found


def _records(view: View) -> list[tuple[int, bool]]:
    base = max(0, len(view) - _WINDOW)
    tail = view.tail(_WINDOW)
    found: list[tuple[int, bool]] = []
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0 and len(found) < _MAX_RECORDS:
        if at + 22 <= len(tail):
            comment = int.from_bytes(tail[at + 20 : at + 22], "little")
            found.append((base + at, at + 22 + comment == len(tail)))
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return found


def _inside(view: View, offset: int, directory: Directory) -> bool:
    # The longest possible header first: only entries around the offset need theirs parsed.
    near = (e for e in directory.entries if e.offset + 30 <= offset < e.offset + 30 + 2 * FULL16 + e.packed)
    return any(local is not None and offset < local.data + e.packed for e in near for local in (parse_local(view, e.offset),))


def _from_record(view: View, record: int, to_end: bool) -> Iterator[Directory]:  # noqa: FBT001 - a pair from _records
    _, disk, start_disk, here, total, size, offset, comment = _EOCD.unpack(view.bytes(record, 22))
    end, zip64, conflict = record, False, False
    wide = _zip64(view, record)
    if wide is not None:
        zip64 = True
        wide_at, wide_total, wide_size, wide_offset, wide_disks = wide
        pairs = ((total, wide_total, FULL16), (size, wide_size, FULL32), (offset, wide_offset, FULL32))
        conflict = any(narrow not in (full, broad) for narrow, broad, full in pairs)
        if conflict:
            yield from _tries(view, (record, to_end), (record, size, offset, total), comment, (True, True, False))
        end, size, offset, total = wide_at, wide_size, wide_offset, wide_total
        disk = start_disk = int(wide_disks)
    disks = bool(disk or start_disk) and disk != FULL16
    yield from _tries(
        view, (record, to_end), (end, size, offset, total), comment, (zip64, conflict, disks or here not in (total, FULL16))
    )


def _tries(
    view: View, record: tuple[int, bool], where: tuple[int, int, int, int], comment: int, marks: tuple[bool, bool, bool]
) -> Iterator[Directory]:
    end, size, offset, total = where
    at, to_end = record
    zip64, conflict, disks = marks
    comment_at = (at + 22, min(comment, len(view) - at - 22))
    for start in dict.fromkeys((end - size, offset)):
        if not 0 <= start <= end:
            continue
        shift = start - offset
        entries, stop = _entries(view, start, end, shift)
        if not entries and (total or size):
            continue
        yield Directory(at, start, stop, shift, total, entries, comment_at, disks, zip64, conflict, to_end)


def _zip64(view: View, record: int) -> tuple[int, int, int, int, bool] | None:
    if record < 20 or bytes(view.data[record - 20 : record - 16]) != b"PK\x06\x07":
        return None
    offset = _LOCATOR.unpack(view.bytes(record - 20, 20))[2]
    # As written, or directly in front of the locator when the archive was shifted.
    for at in (offset, record - 20 - 56):
        if 0 <= at <= len(view) - 56 and bytes(view.data[at : at + 4]) == b"PK\x06\x06":
            fields = _EOCD64.unpack(view.bytes(at, 56))
            return at, fields[7], fields[8], fields[9], bool(fields[4] or fields[5])
    return None


def _entries(view: View, start: int, end: int, shift: int) -> tuple[tuple[Entry, ...], int]:
    data, found, at = view.data, [], start
    while at + 46 <= end:
        fields = _CENTRAL.unpack(data[at : at + 46])
        if fields[0] != b"PK\x01\x02":
            break
        names, extras, comments = fields[10], fields[11], fields[12]
        # Python takes what there is of a name, an extra field or a comment that is cut.
        named = min(end, at + 46 + names)
        behind = min(end, at + 46 + names + extras)
        following = min(end, at + 46 + names + extras + comments)
        raw = bytes(data[at + 46 : named])
        extra = bytes(data[named:behind])
        size, packed, declared, disk = _wide(extra, fields[9], fields[8], fields[16], fields[13])
        found.append(
            Entry(
                raw=raw, flags=fields[3], method=fields[4], crc=fields[7], packed=packed, size=size, version=fields[2],
                made_by=fields[1], attributes=fields[15], disk=disk, offset=declared + shift, declared=declared, at=at,
                comment=(behind, following - behind), other_name=_unicode_path(extra, raw),
            )
        )  # fmt: skip
        at = following
        if len(found) > _MAX_ENTRIES:
            break
    return tuple(found), at


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<HH", extra, at)
        yield tag, extra[at + 4 : at + 4 + size]
        at += 4 + size


def _wide(extra: bytes, size: int, packed: int, offset: int = 0, disk: int = 0) -> tuple[int, int, int, int]:
    if FULL32 not in (size, packed, offset) and disk != FULL16:
        return size, packed, offset, disk
    for tag, body in _extras(extra):
        if tag != 1:
            continue
        at = 0
        values = [size, packed, offset]
        for index in range(3):
            if values[index] == FULL32 and at + 8 <= len(body):
                values[index] = int.from_bytes(body[at : at + 8], "little")
                at += 8
        size, packed, offset = values
        if disk == FULL16 and at + 4 <= len(body):
            disk = int.from_bytes(body[at : at + 4], "little")
        break
    return size, packed, offset, disk


def _unicode_path(extra: bytes, raw: bytes) -> bytes:
    for tag, body in _extras(extra):
        if tag == 0x7075 and len(body) > 5 and body[5:] != raw:
            return body[5:]
    return b""


def parse_local(view: View, offset: int) -> Local | None:
    """Return the local header at `offset`, or None when there is none."""
    data = view.data
    if not 0 <= offset <= len(data) - 30:
        return None
    sig, version, flags, method, _, _, crc, packed, size, names, extras = _LOCAL.unpack(data[offset : offset + 30])
    begin = offset + 30 + names + extras
    if sig != b"PK\x03\x04" or begin > len(data):
        return None
    raw = bytes(data[offset + 30 : offset + 30 + names])
    if FULL32 in (size, packed):
        size, packed, _, _ = _wide(bytes(data[offset + 30 + names : begin]), size, packed)
    return Local(raw, flags, method, crc, packed, size, version, offset, begin)


def locals_between(view: View, start: int, end: int) -> Iterator[Local]:
    """Yield local headers in a part of the file that no central directory speaks of.

    After a header the search goes on behind its content when the header says how long that is,
    else right behind the header. Raises BudgetExceeded for a part made of signatures alone.
    """
    at, tries = start, 0
    for found in _signatures(view, b"PK\x03\x04", start, end):
        if found < at:
            continue
        local = parse_local(view, found)
        if local is None or local.data > end or not local.raw or local.method > 99:
            tries += 1
            if tries > _TRIES:
                msg = f"more than {_TRIES} signatures without a header"
                raise BudgetExceeded(msg, found)
            continue
        yield local
        behind = local.data + (0 if local.spread else local.packed)
        at = behind if local.data <= behind <= end else local.data


def next_signature(view: View, start: int, end: int) -> int:
    """Return where the next descriptor, local header or directory record begins, or `end`."""
    size = 4096
    while start < end:
        block = bytes(view.data[start : min(end, start + size + 3)])
        places = [p for p in (block.find(sig) for sig in (b"PK\x07\x08", b"PK\x03\x04", b"PK\x01\x02")) if p >= 0]
        if places:
            return start + min(places)
        start += size
        size = min(1 << 20, 4 * size)
    return end


def _signatures(view: View, signature: bytes, start: int, end: int) -> Iterator[int]:
    size, overlap = 1 << 20, len(signature) - 1
    while start < end:
        block = bytes(view.data[start : min(end, start + size + overlap)])
        at = block.find(signature)
        while at >= 0:
            yield start + at
            at = block.find(signature, at + 1)
        start += size
