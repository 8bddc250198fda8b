"""The 7z header: streams, folders and files. Every number is bounded by what is there to be read."""

from __future__ import annotations

import stat

import msgspec

from stannary.core.errors import FormatError
from stannary.formats.interface import Cursor, View
from stannary.formats.sevenzip_folders import Coder, Folder

__all__ = ["Header", "SevenFile", "Streams", "parse_header", "parse_streams"]

_END, _HEADER, _ARCHIVE, _ADDITIONAL, _MAIN, _FILES = 0, 1, 2, 3, 4, 5
_PACK, _UNPACK, _SUB, _SIZE, _CRC, _FOLDER, _CODERS_SIZE, _COUNT = 6, 7, 8, 9, 10, 11, 12, 13
_EMPTY, _EMPTY_FILE, _NAMES, _ATTRIBUTES = 14, 15, 17, 21
_MAX_CODERS = 32
_MAX_FOLDERS = 1 << 20


class SevenFile(msgspec.Struct):
    """One entry."""

    name: str = ""
    has_stream: bool = True
    attributes: int = 0

    @property
    def symlink(self) -> bool:
        """True when the Unix mode in the upper half says symbolic link."""
        return bool(self.attributes & 0x8000) and stat.S_ISLNK(self.attributes >> 16)


class Streams(msgspec.Struct):
    """Where packed streams are, and how folders decode them."""

    position: int = 0
    packed: list[int] = []
    folders: list[Folder] = []

    def pack_start(self, index: int) -> int:
        """Return the offset (from the start of the file) of the first packed stream of a folder."""
        before = sum(folder.packed_count for folder in self.folders[:index])
        return 32 + self.position + sum(self.packed[:before])


class Header(msgspec.Struct):
    """Streams and files."""

    streams: Streams
    files: list[SevenFile]


class _Reader(Cursor):
    def number(self) -> int:
        first = self.take(1)[0]
        mask, value = 0x80, 0
        for index in range(8):
            if not first & mask:
                return value | (first & (mask - 1)) << (8 * index)
            value |= self.take(1)[0] << (8 * index)
            mask >>= 1
        return value

    def count(self, limit: int) -> int:
        value = self.number()
        if value > limit:
            msg = f"7z: a count of {value}"
            raise FormatError(msg, self.pos)
        return value

    def bits(self, count: int) -> list[bool]:
        raw = self.take((count + 7) // 8)
        return [bool(raw[i >> 3] & (0x80 >> (i & 7))) for i in range(count)]

    def optional_bits(self, count: int) -> list[bool]:
        return [True] * count if self.take(1)[0] else self.bits(count)

    def digests(self, count: int) -> list[int | None]:
        return [self.uint(4) if defined else None for defined in self.optional_bits(count)]

    def expect(self, wanted: int) -> None:
        found = self.take(1)[0]
        if found != wanted:
            msg = f"7z: property {found} where {wanted} belongs"
            raise FormatError(msg, self.pos - 1)


def parse_streams(view: View) -> Streams:
    """Parse a packed header's description of itself."""
    reader = _Reader(view)
    reader.expect(23)
    return _streams(reader)


def parse_header(view: View) -> Header:
    """Parse a plain header. Raises FormatError and Truncated."""
    reader = _Reader(view)
    reader.expect(_HEADER)
    streams, files = Streams(), []
    tag = reader.take(1)[0]
    if tag == _ARCHIVE:
        while (kind := reader.number()) != _END:
            reader.skip(reader.number() if kind else 0)
        tag = reader.take(1)[0]
    if tag == _ADDITIONAL:
        _streams(reader)
        tag = reader.take(1)[0]
    if tag == _MAIN:
        streams = _streams(reader)
        tag = reader.take(1)[0]
    if tag == _FILES:
        files = _files(reader)
    return Header(streams, files)


def _streams(reader: _Reader) -> Streams:
    streams = Streams()
    tag = reader.take(1)[0]
    if tag == _PACK:
        streams.position = reader.number()
        count = reader.count(reader.left)
        tag = reader.take(1)[0]
        if tag == _SIZE:
            streams.packed = [reader.number() for _ in range(count)]
            tag = reader.take(1)[0]
        if tag == _CRC:
            reader.digests(count)
            tag = reader.take(1)[0]
        if tag != _END:
            msg = f"7z: property {tag} in the pack information"
            raise FormatError(msg, reader.pos)
        tag = reader.take(1)[0]
    if tag == _UNPACK:
        _folders(reader, streams)
        tag = reader.take(1)[0]
    at = 0
    for folder in streams.folders:
        folder.packed = streams.packed[at : at + folder.packed_count]
        at += folder.packed_count
    for folder in streams.folders:
        folder.sizes, folder.crcs = [folder.unpacked], [folder.crc]
    if tag == _SUB:
        _substreams(reader, streams.folders)
        tag = reader.take(1)[0]
    if tag != _END:
        msg = f"7z: property {tag} behind the streams"
        raise FormatError(msg, reader.pos)
    return streams


def _folders(reader: _Reader, streams: Streams) -> None:
    reader.expect(_FOLDER)
    count = reader.count(min(_MAX_FOLDERS, reader.left))
    if reader.take(1)[0]:
        msg = "7z: folders kept elsewhere are not read"
        raise FormatError(msg, reader.pos)
    streams.folders = [_folder(reader) for _ in range(count)]
    reader.expect(_CODERS_SIZE)
    for folder in streams.folders:
        folder.coder_sizes = [reader.number() for _ in range(folder.outputs)]
        folder.unpacked = folder.coder_sizes[folder.main_output()] if folder.coder_sizes else 0
    tag = reader.take(1)[0]
    if tag == _CRC:
        for folder, crc in zip(streams.folders, reader.digests(count), strict=True):
            folder.crc = crc
        tag = reader.take(1)[0]
    if tag != _END:
        msg = f"7z: property {tag} in the coder information"
        raise FormatError(msg, reader.pos)


def _folder(reader: _Reader) -> Folder:
    coders: list[Coder] = []
    for _ in range(reader.count(_MAX_CODERS)):
        flags = reader.take(1)[0]
        method = reader.take(flags & 15)
        inputs, outputs = (reader.count(_MAX_CODERS), reader.count(_MAX_CODERS)) if flags & 16 else (1, 1)
        properties = reader.take(reader.count(reader.left)) if flags & 32 else b""
        coders.append(Coder(method, inputs, outputs, properties))
    total_in, total_out = sum(c.inputs for c in coders), sum(c.outputs for c in coders)
    bonds = [(reader.number(), reader.number()) for _ in range(max(0, total_out - 1))]
    packed = total_in - len(bonds)
    if packed > 1:
        for _ in range(packed):
            reader.number()
    return Folder(coders, bonds, total_out, max(0, packed))


def _substreams(reader: _Reader, folders: list[Folder]) -> None:
    tag = reader.take(1)[0]
    counts = [1] * len(folders)
    if tag == _COUNT:
        counts = [reader.count(1 << 24) for _ in folders]
        tag = reader.take(1)[0]
    sizes = tag == _SIZE
    for folder, count in zip(folders, counts, strict=True):
        folder.sizes, left = [], folder.unpacked
        for index in range(count):
            last = index == count - 1
            size = left if last or not sizes else reader.number()
            folder.sizes.append(max(0, size))
            left -= size
            if left < 0:
                msg = "7z: files are larger than their folder"
                raise FormatError(msg, reader.pos)
        if count != 1:
            folder.crcs = [None] * count
    if sizes:
        tag = reader.take(1)[0]
    if tag == _CRC:
        missing = [(f, i) for f in folders for i in range(len(f.sizes)) if len(f.sizes) != 1 or f.crc is None]
        for (folder, index), crc in zip(missing, reader.digests(len(missing)), strict=True):
            folder.crcs[index] = crc
        tag = reader.take(1)[0]
    if tag != _END:
        msg = f"7z: property {tag} in the list of files' sizes"
        raise FormatError(msg, reader.pos)


def _files(reader: _Reader) -> list[SevenFile]:
    count = reader.count(reader.left)
    files = [SevenFile() for _ in range(count)]
    empty: list[bool] = []
    while (tag := reader.number()) != _END:
        size = reader.count(reader.left)
        part = _Reader(View(reader.take(size)))
        if tag == _EMPTY:
            empty = part.bits(count)
            for item, without in zip(files, empty, strict=True):
                item.has_stream = not without
        elif tag == _NAMES:
            part.expect(0)
            names = part.take(part.left).decode("utf-16-le", "replace").split("\x00")
            for item, name in zip(files, names, strict=False):
                item.name = name
        elif tag == _ATTRIBUTES:
            defined = part.optional_bits(count)
            part.expect(0)
            for item, known in zip(files, defined, strict=True):
                item.attributes = part.uint(4) if known else 0
    return files
