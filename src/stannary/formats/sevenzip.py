"""7z archives: plain and packed headers, solid folders, and the codecs that the standard library has.

Facts:
- `7z.archive`: files, folders, packed_header, codecs (names).
- `7z.member_name`: name, problem. `7z.symlink`: name, target is not read.
- `7z.encrypted`: what (`header` or the member's name).
- `7z.codec`: codec (hexadecimal id or name), files: a folder that was not decoded.
- `7z.crc`: name. `7z.trailing`: size, head (hex). `7z.bomb`: packed, produced.

Source: `DOC/7zFormat.txt` of the LZMA SDK. AES, PPMd, BCJ2 and Deflate64 are not read: incomplete, never silent.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.formats.decompress import DECODE_ERRORS
from stannary.formats.interface import Sink, View, clip
from stannary.formats.sevenzip_folders import ARCHIVE_AES, Folder, FolderReader, codec_name
from stannary.formats.sevenzip_header import Header, SevenFile, parse_header, parse_streams
from stannary.formats.zip_facts import path_problems

__all__ = ["read"]

_START = 32
_MAX_HEADER = 64 << 20


def read(view: View, sink: Sink) -> None:
    """Report the structure of an archive and hand its members on."""
    head = view.bytes(0, _START)
    body = head[12:32]
    offset, size, crc = (int.from_bytes(body[a:b], "little") for a, b in ((0, 8), (8, 16), (16, 20)))
    if zlib.crc32(body) != int.from_bytes(head[8:12], "little"):
        sink.incomplete("7z: the start header has a wrong checksum", 8)
    end = _START + offset + size
    if end > len(view):
        msg = "7z: the header lies behind the end of the file"
        raise Truncated(msg, 12)
    if size == 0:
        sink.fact("7z.archive", 0, files=0, folders=0, packed_header=False, codecs=[])
        return
    raw = view.sub(_START + offset, size)
    if zlib.crc32(raw.data) != crc:
        sink.incomplete("7z: the header has a wrong checksum", _START + offset)
    packed = False
    while raw.head(1) == b"\x17":
        packed = True
        raw = _unpack_header(view, raw, sink)
        if not len(raw):
            return
    header = parse_header(raw)
    _report(header, sink, packed=packed)
    _members(view, header, sink)
    rest = view.data[end:]
    if len(rest) and bytes(rest[:4096]).strip(b"\x00"):
        sink.fact("7z.trailing", end, size=len(rest), head=bytes(rest[:16]).hex())
        sink.child("(trailing)", rest, offset=end)


def _unpack_header(view: View, raw: View, sink: Sink) -> View:
    streams = parse_streams(raw)
    if not streams.folders:
        msg = "7z: a packed header without a folder"
        raise FormatError(msg, _START)
    folder = streams.folders[0]
    problem = folder.unreadable()
    if problem:
        encrypted = any(c.method == ARCHIVE_AES for c in folder.coders)
        sink.fact(
            "7z.encrypted" if encrypted else "7z.codec",
            _START,
            **({"what": "header"} if encrypted else {"codec": problem, "files": 0}),
        )
        sink.incomplete(f"7z: the header is packed with {problem}", _START)
        return View(b"")
    out = bytearray()
    try:
        for chunk in FolderReader(view, folder, streams.pack_start(0)).chunks():
            sink.budget.take_inflated(len(chunk))
            out += chunk
            if len(out) > _MAX_HEADER:
                msg = f"7z header of more than {_MAX_HEADER} bytes"
                raise BudgetExceeded(msg, _START)
    except DECODE_ERRORS as exc:
        if isinstance(exc, BudgetExceeded):
            raise
        sink.incomplete(f"7z: the packed header: {str(exc) or type(exc).__name__}", _START)
    return View(bytes(out))


def _report(header: Header, sink: Sink, *, packed: bool) -> None:
    codecs = sorted({codec_name(c.method) for f in header.streams.folders for c in f.coders})
    sink.fact("7z.archive", 0, files=len(header.files), folders=len(header.streams.folders), packed_header=packed, codecs=codecs)
    for item in header.files:
        sink.budget.take_member()
        for problem in path_problems(item.name):
            sink.fact("7z.member_name", None, name=clip(item.name), problem=problem)
        if item.symlink:
            sink.fact("7z.symlink", None, name=clip(item.name))


def _members(view: View, header: Header, sink: Sink) -> None:
    files = iter([f for f in header.files if f.has_stream])
    before = sink.siblings
    sink.siblings = frozenset(f.name for f in header.files)
    try:
        for index, folder in enumerate(header.streams.folders):
            inside = [item for _, item in zip(range(len(folder.sizes)), files, strict=False)]
            _folder(view, header, index, folder, inside, sink)
    finally:
        sink.siblings = before
    left = sum(1 for _ in files)
    if left:
        sink.incomplete(f"7z: {left} files without content", 0)


def _folder(view: View, header: Header, index: int, folder: Folder, files: list[SevenFile], sink: Sink) -> None:
    problem = folder.unreadable()
    start = header.streams.pack_start(index)
    if problem:
        names = [clip(f.name, 80) for f in files[:20]]
        if any(c.method == ARCHIVE_AES for c in folder.coders):
            sink.fact("7z.encrypted", start, what=", ".join(names))
        sink.fact("7z.codec", start, codec=problem, files=len(files))
        sink.incomplete(f"7z: {len(files)} files packed with {problem} were not read", start)
        return
    reader = FolderReader(view, folder, start)
    source = _Shared(reader, sink)
    for position, item in enumerate(files):
        size, crc = folder.sizes[position], folder.crcs[position]
        if source.broken:
            sink.incomplete(f"7z: {clip(item.name, 80)} was not reached: {source.broken}", start)
            continue
        hint = "pickle" if item.name.endswith((".pkl", ".pickle")) else ""
        sink.inflate(clip(item.name, 300) or "content", source.take(size, crc, item.name), hint=hint, size=size)
        source.drain()


class _Shared:
    """One decoded folder, cut into its files in order."""

    def __init__(self, reader: FolderReader, sink: Sink) -> None:
        self.sink = sink
        self.reader = reader
        self.broken = ""
        self._chunks = reader.chunks()
        self._rest = b""
        self._owed = 0

    def take(self, size: int, crc: int | None, name: str) -> Iterator[bytes]:
        """Yield the next `size` bytes."""
        self._owed = size
        actual = 0
        while self._owed:
            chunk = self._next()
            if not chunk:
                msg = "the folder ends early"
                raise EOFError(msg)
            actual = zlib.crc32(chunk, actual)
            yield chunk
        if crc is not None and actual != crc:
            self.sink.fact("7z.crc", None, name=clip(name))

    def drain(self) -> None:
        """Pass over what the last file's reader left."""
        try:
            while self._owed and not self.broken and self._next():
                pass
        except DECODE_ERRORS as exc:
            self.broken = self.broken or str(exc) or type(exc).__name__

    def _next(self) -> bytes:
        try:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                self.reader.guard(self.sink.budget)
        except Exception as exc:  # remembered for the files behind it, and raised for this one
            self.broken = str(exc) or type(exc).__name__
            if isinstance(exc, BudgetExceeded) and not self.sink.budget.is_over():
                self.sink.fact("7z.bomb", self.reader.start, packed=self.reader.consumed(), produced=self.reader.produced)
            raise
        chunk, self._rest = self._rest[: self._owed], self._rest[self._owed :]
        self._owed -= len(chunk)
        return chunk
