"""Compound files of Microsoft: the folder of storages and streams, and what in them a program runs.

Source: MS-CFB (layout), MS-OVBA (macros), MS-OLEDS (`Ole10Native`), MS-XLS 2.4.28 (BoundSheet8). Word, Excel, PowerPoint,
Visio, Outlook messages and Windows Installer use it.

Facts:
- `media.compound` macros, size, streams (names, at most 60), form (installer, document)
- `compound.active` what (package, equation, macro sheet, field, services), value
An embedded package is read as content of its own.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from stannary.core.errors import FormatError, Truncated
from stannary.formats.interface import Sink, View, clip

__all__ = ["read"]

_FREE = 0xFFFFFFFA  # and above: no sector
_MOST = 1 << 20  # sectors of a chain
_ENTRIES = 20_000
_STREAM = 16 << 20
_INSTALLERS = frozenset(
    bytes.fromhex(f"{number}100c0000000000c000000000000046") for number in ("84", "86", "82")
)  # package, patch, transform
_MACROS = frozenset({"vba", "_vba_project", "_vba_project_cur", "macros"})
_FIELD = re.compile(rb"\bDDE(?:AUTO)?\s+[\"\\\w:]|D\0D\0E\0(?:A\0U\0T\0O\0)?\s\0")
_RAW_NAMES = tuple(name.encode("utf-16-le") for name in ("_VBA_PROJECT", "VBA", "Macros"))


class _Entry(NamedTuple):
    name: str
    kind: int  # 1 storage, 2 stream, 5 root
    class_id: bytes
    start: int
    size: int


def read(view: View, sink: Sink) -> None:
    """Report macros, packages and other active content of a compound file."""
    try:
        file = _File(view)
        entries = file.entries()
    except (struct.error, Truncated, FormatError) as exc:
        data = view.head(_STREAM)
        sink.fact("media.compound", 0, macros=any(name in data for name in _RAW_NAMES), size=len(view), streams=[], form="broken")
        _by_bytes(data, sink)
        sink.incomplete(f"a compound file whose folder cannot be read: {exc}", 0)
        return
    names = [entry.name for entry in entries]
    installer = any(entry.kind == 5 and entry.class_id in _INSTALLERS for entry in entries)
    macros = any(entry.name.lower() in _MACROS for entry in entries)
    sink.fact(
        "media.compound", 0, macros=macros, size=len(view), streams=[clip(name, 40) for name in names[:60]],
        form="installer" if installer else "document",
    )  # fmt: skip
    for entry in entries:
        sink.budget.check_time()
        if entry.kind == 2:
            _stream(file, entry, sink)
    if file.cut:
        sink.incomplete(f"a compound file was read in part: {file.cut}")
    sink.inert("a compound file of Microsoft")


def _by_bytes(data: bytes, sink: Sink) -> None:
    for name, what in (("Ole10Native", "package"), ("Equation Native", "equation")):
        at = data.find(name.encode("utf-16-le"))
        if at >= 0:
            sink.fact("compound.active", at, what=what, value=name)


def _stream(file: _File, entry: _Entry, sink: Sink) -> None:
    name = entry.name.lstrip("\x01\x02\x03\x05")
    if name == "Ole10Native":
        content = file.content(entry)
        label = content[6:300].split(b"\0", 1)[0].decode("latin-1")
        sink.fact("compound.active", None, what="package", value=clip(label or name))
        at = _packed(content)
        if at:
            sink.child(label or name, content[at:])
    elif name.startswith("Equation Native"):
        sink.fact("compound.active", None, what="equation", value=name)
    elif name == "VsToolboxService":
        sink.fact("compound.active", None, what="services", value=name)
    elif name.lower() == "package":
        sink.child("package", file.content(entry))
    elif name in {"Workbook", "Book"}:
        for sheet in _macro_sheets(file.content(entry)):
            sink.fact("compound.active", None, what="macro sheet", value=clip(sheet))
    elif name == "WordDocument" and (found := _FIELD.search(file.content(entry))):
        sink.fact("compound.active", None, what="field", value=clip(found[0].replace(b"\0", b"").decode("latin-1")))


def _packed(content: bytes) -> int:
    """Return where the file in a package begins: behind its label, two paths, and four bytes of length."""
    at = 6
    for _ in range(2):
        at = content.find(b"\0", at) + 1
        if not at:
            return 0
    at += 4
    if at + 4 > len(content):
        return 0
    at += 4 + struct.unpack_from("<I", content, at)[0]
    return at + 4 if at + 4 < len(content) else 0


def _macro_sheets(content: bytes) -> Iterator[str]:
    """Yield the names of sheets of Excel 4 macros: BoundSheet records of type 1."""
    at = 0
    while at + 4 <= len(content):
        kind, size = struct.unpack_from("<HH", content, at)
        if kind == 0x85 and at + 12 <= len(content) and content[at + 9] == 1:
            yield content[at + 12 : at + 4 + size].decode("latin-1").strip("\0")
        at += 4 + size
        if kind == 0x0A:
            return  # the end of the globals


class _File:
    """The sectors of a compound file."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.cut = ""  # what of it was not read
        head = view.bytes(0, 512)
        shift, mini_shift = struct.unpack_from("<HH", head, 30)
        if shift not in {9, 12} or mini_shift != 6:
            msg = f"sectors of 2^{shift} bytes"
            raise FormatError(msg, 30)
        self.size = 1 << shift
        first_folder, self.cutoff, first_mini = struct.unpack_from("<I4xII", head, 48)
        more, more_count = struct.unpack_from("<II", head, 68)
        tables = [number for number in struct.unpack_from("<109I", head, 76) if number < _FREE]
        for _ in range(min(more_count, 4096)):
            if more >= _FREE:
                break
            part = struct.unpack(f"<{self.size // 4}I", self._sector(more))
            tables += [number for number in part[:-1] if number < _FREE]
            more = part[-1]
        self.table: list[int] = []
        for number in tables[: len(view) // self.size + 1]:
            self.table += struct.unpack(f"<{self.size // 4}I", self._sector(number))
        self.folder = self._chain(first_folder)
        mini = self._chain(first_mini) if first_mini < _FREE else b""
        self.mini_table = struct.unpack(f"<{len(mini) // 4}I", mini[: len(mini) & ~3])
        self.small: bytes | None = None
        self.root: _Entry | None = None

    def entries(self) -> list[_Entry]:
        """Return storages and streams. Raises FormatError without a root."""
        found: list[_Entry] = []
        if len(self.folder) > _ENTRIES * 128:
            self.cut = f"more than {_ENTRIES} storages and streams"
        for at in range(0, min(len(self.folder), _ENTRIES * 128), 128):
            raw = self.folder[at : at + 128]
            length, kind = struct.unpack_from("<HB", raw, 64)
            if kind not in {1, 2, 5} or length > 64:
                continue
            start, size = struct.unpack_from("<IQ", raw, 116)
            name = raw[: max(0, length - 2)].decode("utf-16-le", "replace")
            found.append(_Entry(name, kind, raw[80:96], start, size & 0xFFFFFFFF if self.size == 512 else size))
        self.root = next((entry for entry in found if entry.kind == 5), None)
        if self.root is None:
            msg = "no root in the folder"
            raise FormatError(msg, 0)
        return found

    def content(self, entry: _Entry) -> bytes:
        """Return the bytes of a stream, as far as its chain goes."""
        if entry.size > _STREAM:
            self.cut = f"the stream {clip(entry.name, 40)} has more than {_STREAM} bytes"
        if entry.size >= self.cutoff or self.root is None:
            return self._chain(entry.start)[: min(entry.size, _STREAM)]
        if self.small is None:
            self.small = self._chain(self.root.start)
        out, number = [], entry.start
        for _ in range(entry.size // 64 + 1):
            if number >= len(self.mini_table):
                break
            out.append(self.small[number * 64 : number * 64 + 64])
            number = self.mini_table[number]
        return b"".join(out)[: entry.size]

    def _sector(self, number: int) -> bytes:
        return self.view.bytes((number + 1) * self.size, self.size)

    def _chain(self, number: int) -> bytes:
        out: list[bytes] = []
        seen = 0
        while number < len(self.table) and seen < _MOST and seen * self.size <= _STREAM:
            at = (number + 1) * self.size
            out.append(bytes(self.view.data[at : at + self.size]))  # the last one may be cut
            number = self.table[number]
            seen += 1
        return b"".join(out)
