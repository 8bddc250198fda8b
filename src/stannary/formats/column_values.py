"""Pickles among the values of a table's binary columns.

No reader of Parquet or Arrow runs them; the programs that keep objects in a column call `pickle.loads` on each. The pages
of binary columns are taken out of their compression (Snappy, gzip, zstd; LZ4, LZO and Brotli are not) and searched for
streams that call something; a table of many gigabytes is searched in its first megabytes only.

Formats: Parquet `PageHeader` (parquet.thrift); Snappy's format description (google/snappy `format_description.txt`).
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib

from stannary.core.errors import FormatError, Truncated
from stannary.formats.decompress import DECODE_ERRORS, zstd_decoder
from stannary.formats.interface import Sink, View, clip
from stannary.formats.pickle_glance import FIRST, glance
from stannary.formats.thrift_compact import parse

__all__ = ["search_chunk", "search_texts", "search_values", "unsnap"]

_PAGE = 8 << 20  # bytes of one page, and of the whole table, that are taken apart
_FEW = 20
_STREAM = 1 << 20
# Where a stream may start; which of them are any is told by walking it.
_START = re.compile(rb"\x80[\x00-\x05](?=" + FIRST + rb")|(?<=\0\0)c(?=[A-Za-z_][\w.]{0,80}\n[A-Za-z_])")
_ENCODED = re.compile(rb"gA[A-X][A-Za-z0-9+/]{21,}={0,2}")  # how a protocol begins
_NONE, _SNAPPY, _GZIP, _ZSTD = 0, 1, 2, 6


def search_values(sink: Sink, name: str, content: memoryview | bytes, offset: int | None = None) -> None:
    """Hand on each stream of opcodes in `content` that calls something."""
    data = memoryview(content)
    end = found = 0
    for match in _START.finditer(data):
        if match.start() < end:
            continue
        stream = data[match.start() :][:_STREAM]
        seen = glance(stream)
        if not seen.runs or not (seen.stopped or seen.cut):
            continue
        end = match.start() + (seen.end if seen.stopped else len(stream))
        sink.child(f"{clip(name, 80)}[{found}]", data[match.start() : end], offset=offset)
        found += 1
        if found >= _FEW:
            return


def search_texts(sink: Sink, name: str, content: memoryview | bytes, offset: int | None = None) -> None:
    """Hand on each stream of opcodes that calls something and is written in base64."""
    found = 0
    for match in _ENCODED.finditer(content):
        raw = match[0][: len(match[0]) // 4 * 4]
        try:
            stream = base64.b64decode(raw)
        except binascii.Error:
            continue
        if glance(memoryview(stream)).runs:
            sink.child(f"{clip(name, 80)}#base64[{found}]", stream, offset=offset)
            found += 1
            if found >= _FEW:
                return


def search_chunk(sink: Sink, name: str, codec: int, view: View, left: int) -> int:
    """Search the pages of a column chunk of byte arrays.

    Args:
        sink: takes the streams.
        name: of the column.
        codec: Parquet's number of the compression.
        view: of the chunk, from its first page on.
        left: how many bytes may be taken out of their compression yet.

    Returns:
        How many are left. A codec that is not read, and a page that is none, end the search: the structure of the
        table is judged elsewhere.
    """
    at = 0
    while at < len(view) and left > 0:
        try:
            header, start = parse(view, at, sink.budget.take_operations)
        except (FormatError, Truncated):
            return left
        packed, plain = header.get(3), header.get(2)
        if not isinstance(packed, int) or not isinstance(plain, int) or packed <= 0 or plain < 0 or start + packed > len(view):
            return left
        page = _plain(codec, bytes(view.data[start : start + packed]), min(plain, _PAGE))
        if page is None:
            return left
        search_values(sink, name, page, start)
        search_texts(sink, name, page, start)
        left -= len(page)
        at = start + packed
    return left


def _plain(codec: int, packed: bytes, size: int) -> bytes | None:
    if codec == _NONE:
        return packed
    if codec == _SNAPPY:
        return unsnap(packed, size)
    try:
        if codec == _GZIP:
            return zlib.decompressobj(31).decompress(packed, size)
        if codec == _ZSTD:
            return zstd_decoder().feed(packed, size)
    except DECODE_ERRORS:
        return None
    return None


def unsnap(packed: bytes, size: int) -> bytes | None:
    """Return at most about `size` bytes of a raw Snappy block, or None for what is no such block."""
    at = shift = 0
    while at < len(packed) and shift <= 28 and packed[at] & 0x80:  # the length; what comes out is bounded by `size`
        at, shift = at + 1, shift + 7
    at += 1
    out = bytearray()
    while at < len(packed) and len(out) < size:
        tag = packed[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(packed[at : at + extra], "little")
                at += extra
            out += packed[at : at + length + 1]
            at += length + 1
            continue
        width = (0, 1, 2, 4)[tag & 3]
        distance = int.from_bytes(packed[at : at + width], "little")
        at += width
        length = (tag >> 2) + 1
        if width == 1:
            distance, length = distance | (tag >> 5) << 8, (tag >> 2 & 7) + 4
        if not 0 < distance <= len(out):
            return None
        while length > 0:  # a copy may reach into what it makes
            piece = out[len(out) - distance :][:length]
            out += piece
            length -= len(piece)
    return bytes(out)
