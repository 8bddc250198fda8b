"""Facts about one ZIP entry: its name, and what its two headers say differently."""

from __future__ import annotations

import re
import stat
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stannary.formats.interface import Sink, View, clip
from stannary.formats.zip_directory import Entry, Local, entry_name

if TYPE_CHECKING:
    from stannary.formats.zip_members import Member

__all__ = ["compare", "duplicates", "is_symlink", "name_facts", "path_problems"]

_DRIVE = re.compile(r"^[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
_UNIX = 3
_HIGHEST_VERSION = 63  # Python's zipfile and others refuse more; miniz does not look


def path_problems(name: str) -> list[str]:
    """Return what is wrong with a member name: `absolute`, `drive`, `traversal`, `control`, `empty`."""
    found = []
    plain = name.replace("\\", "/")
    if plain.startswith("/"):
        found.append("absolute")
    if _DRIVE.match(plain):
        found.append("drive")
    if ".." in plain.split("/"):
        found.append("traversal")
    if _CONTROL.search(name):
        found.append("control")
    if not name.strip("/\\ ."):
        found.append("empty")
    return found


def name_facts(name: str, entry: Entry | None, sink: Sink, offset: int | None = None, archive: str = "") -> None:
    """Report names that lead elsewhere, special files and versions from the future.

    `own`: the member is named like the `archive` itself, as old versions of pandas do.
    """
    at = entry.at if entry is not None else offset
    for problem in path_problems(name):
        sink.fact("zip.member_name", at, name=clip(name), problem=problem, own=bool(archive) and name.rpartition("/")[2] == archive)
    if entry is None:
        return
    if entry.other_name:
        other = entry_name(entry.other_name, 0x800)
        # Info-ZIP writes it for names outside ASCII; for a plain name it can only mislead.
        if entry.raw.isascii():
            sink.fact("zip.mismatch", at, name=clip(name), field="unicode_name", local=clip(other), central=clip(name))
        for problem in path_problems(other):
            sink.fact("zip.member_name", at, name=clip(other), problem=problem)
    if entry.version & 0xFF > _HIGHEST_VERSION:
        sink.fact("zip.version", at, name=clip(name), needed=entry.version & 0xFF)
    mode = entry.attributes >> 16
    if entry.made_by >> 8 == _UNIX and mode and stat.S_IFMT(mode) in {stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK}:
        sink.fact("zip.special", at, name=clip(name), mode=oct(mode))


def is_symlink(entry: Entry) -> bool:
    """True when the external attributes make the entry a symbolic link."""
    return stat.S_ISLNK(entry.attributes >> 16)


def compare(name: str, entry: Entry, local: Local, view: View, sink: Sink) -> None:
    """Report every field that the central record and the local header disagree on."""

    def differ(field: str, here: object, there: object) -> None:
        sink.fact("zip.mismatch", local.offset, name=clip(name), field=field, local=here, central=there)

    if local.raw.replace(b"\\", b"/") != entry.raw.replace(b"\\", b"/"):
        differ("name", clip(entry_name(local.raw, local.flags)), clip(name))
    if local.method != entry.method:
        differ("method", local.method, entry.method)
    if (local.flags ^ entry.flags) & 1:
        differ("encryption", local.flags & 1, entry.flags & 1)
    if (local.version & 0xFF) > _HIGHEST_VERSION >= (entry.version & 0xFF):
        sink.fact("zip.version", local.offset, name=clip(name), needed=local.version & 0xFF)
    if local.spread:
        _descriptor(name, entry, local, view, sink)
        if local.packed not in {0, entry.packed} or local.size not in {0, entry.size}:
            differ("size", local.packed, entry.packed)
        return
    if local.packed != entry.packed or local.size != entry.size:
        differ(
            "size",
            local.packed if local.packed != entry.packed else local.size,
            entry.packed if local.packed != entry.packed else entry.size,
        )
    if local.crc != entry.crc:
        differ("crc", local.crc, entry.crc)


def _descriptor(name: str, entry: Entry, local: Local, view: View, sink: Sink) -> None:
    at = local.data + entry.packed
    raw = bytes(view.data[at : at + 24])
    if raw[:4] == b"PK\x07\x08":
        raw = raw[4:]
    if len(raw) < 12:
        return
    crc = int.from_bytes(raw[:4], "little")
    narrow = int.from_bytes(raw[4:8], "little"), int.from_bytes(raw[8:12], "little")
    wide = int.from_bytes(raw[4:12], "little"), int.from_bytes(raw[12:20], "little")
    sizes = entry.packed, entry.size
    if crc == entry.crc and sizes in (narrow, wide):
        return
    if raw[:2] == b"PK" and raw[2:4] in (b"\x01\x02", b"\x03\x04"):
        # Flag set but no descriptor: old Java and Go writers do that when the sizes were known.
        if local.crc not in (0, entry.crc):
            sink.fact("zip.mismatch", local.offset, name=clip(name), field="crc", local=local.crc, central=entry.crc)
        return
    sink.fact("zip.mismatch", at, name=clip(name), field="descriptor", local=crc, central=entry.crc)


def duplicates(members: Sequence[Member], sink: Sink) -> None:
    """Report names that several members have: which one is read depends on the loader."""
    groups: dict[str, list[Member]] = {}
    for member in members:
        if member.label:
            continue
        for name in (member.name, *member.aliases):
            if not name.endswith("/"):
                groups.setdefault(_folded(name), []).append(member)
    for group in groups.values():
        places = {m.data for m in group}
        if len(group) < 2 or len(places) < 2:
            continue
        same = len({(m.crc, m.size) for m in group}) == 1
        fold = len({m.name for m in group}) > 1
        sink.fact("zip.duplicate", group[-1].header, name=clip(group[0].name), count=len(places), same=same, fold=fold)


def _folded(name: str) -> str:
    # miniz, as torch calls it, looks names up without regard to case, and takes / and \ as one.
    parts = name.replace("\\", "/").casefold().split("/")
    return "/".join(p for p in parts if p not in {"", "."})


def check_crc(content: memoryview) -> int:
    """Return the CRC-32 of stored content."""
    return zlib.crc32(content)
