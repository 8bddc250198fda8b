"""Compressed single streams: gzip, bzip2, xz, lzma, zlib, zstd, LZ4 frames and joblib's old `ZF` files.

Facts:
- `compressed.stream`: codec, streams (how many were joined), produced, consumed (bytes).
- `compressed.name`: name (stored in a gzip header), escapes (it has a directory part).
- `compressed.trailing`: codec, size (bytes behind the last stream, not padding), head (hex).
- `compressed.bomb`: codec, produced, consumed.
- `compressed.broken`: codec, produced, reason (the stream ended early or failed a check).

Sources: RFC 1950, 1952, 8878; the xz and LZ4 frame formats; joblib `numpy_pickle_compat.read_zfile`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator

from stannary.core.errors import BudgetExceeded, FormatError
from stannary.formats.decompress import (
    DECODE_ERRORS,
    Codec,
    GzipInflater,
    Inflater,
    Stream,
    bz2_decoder,
    lz4_decoder,
    lzma_decoder,
    no_bomb,
    xz_decoder,
    zstd_decoder,
)
from stannary.formats.interface import Sink, View, clip

__all__ = ["read_bz2", "read_gzip", "read_lz4", "read_lzma", "read_xz", "read_zfile", "read_zlib", "read_zstd"]

_SUFFIXES = re.compile(r"\.(gz|gzip|tgz|bz2|tbz2?|xz|txz|lzma|z|zlib|zst|zstd|lz4)$", re.IGNORECASE)
_TAR = {".tgz", ".tbz", ".tbz2", ".txz"}
_ZFILE_HEADER = 2 + 19  # "ZF" and the length in hexadecimal, padded: len(hex(2**64)) characters


def read_gzip(view: View, sink: Sink) -> None:
    """Read a gzip file of any number of members."""
    _run(view, sink, "gzip", GzipInflater, again=_starts(b"\x1f\x8b\x08"))


def read_bz2(view: View, sink: Sink) -> None:
    """Read a bzip2 file of any number of streams."""
    if view.head(4)[3:4] not in b"123456789" or len(view) < 14:
        msg = "not a bzip2 stream"
        raise FormatError(msg, 3)
    _run(view, sink, "bz2", bz2_decoder, again=_starts(b"BZh"))


def read_xz(view: View, sink: Sink) -> None:
    """Read an xz file of any number of streams; stream padding is skipped."""
    _run(view, sink, "xz", xz_decoder, again=_starts(b"\xfd7zXZ\x00"))


def read_lzma(view: View, sink: Sink) -> None:
    """Read an .lzma file (`FORMAT_ALONE`)."""
    head = view.bytes(0, 13)
    size = int.from_bytes(head[5:13], "little")
    if size != (1 << 64) - 1 and size > 1 << 40:
        if not _is_else(view, "lzma"):
            sink.incomplete("not a readable lzma stream", 5)
        return
    _run(view, sink, "lzma", lzma_decoder)


def read_zlib(view: View, sink: Sink) -> None:
    """Read a zlib stream. Two bytes of magic prove little: what fails at once is not one."""
    from stannary.formats.identify import is_text  # it imports the readers' table

    text = is_text(view)
    try:
        # One byte for binary content: a wrong checksum at the end of a short stream must not make it look like none.
        zlib.decompressobj().decompress(view.head(8192), 8192 if text else 1)
    except zlib.error:
        if not text and not _is_else(view, "zlib"):
            sink.incomplete("not a readable zlib stream", 0)
        return
    _run(view, sink, "zlib", lambda: Inflater(15), again=_zlib_follows)


def _is_else(view: View, name: str) -> bool:
    """Tell whether other readers know the content: the length of a safetensors header may begin with two bytes of magic."""
    from stannary.formats.identify import identify

    return any(row.name != name for row in identify(view))


def read_zstd(view: View, sink: Sink) -> None:
    """Read zstd frames; skippable frames between them are passed over."""
    start = _skip_frames(view.data, 0)
    if bytes(view.data[start : start + 4]) == b"\x04\x22\x4d\x18":  # LZ4 has the same skippable frames
        _run(view, sink, "lz4", lz4_decoder, start=start, again=_starts(b"\x04\x22\x4d\x18"))
        return
    _run(view, sink, "zstd", zstd_decoder, start=start, again=_starts(b"\x28\xb5\x2f\xfd"))


def read_lz4(view: View, sink: Sink) -> None:
    """Read LZ4 frames, as joblib writes them."""
    _run(view, sink, "lz4", lz4_decoder, again=_starts(b"\x04\x22\x4d\x18"))


def read_zfile(view: View, sink: Sink) -> None:
    """Read joblib's file format of before 0.10: `ZF`, a length in hexadecimal, a zlib stream."""
    head = view.bytes(0, _ZFILE_HEADER)
    try:
        announced = int(head[2:].strip(b" \x00"), 16)
    except ValueError:
        sink.incomplete("not a joblib ZF file: its length is not a number", 2)
        return
    start = _ZFILE_HEADER + (view.head(_ZFILE_HEADER + 1)[-1:] == b" ")
    _run(view, sink, "joblib-z", lambda: Inflater(15), start=start, size=announced)


# The one way all of them are read


def _run(
    view: View,
    sink: Sink,
    codec: str,
    decoder: Codec,
    *,
    start: int = 0,
    size: int = 0,
    again: Callable[[memoryview, int], bool] | None = None,
) -> None:
    name = _gzip_header(view, sink) if codec == "gzip" else ""
    stream = Stream(view.data, decoder, start=start, again=again)
    failed: list[BaseException] = []
    chunks = _noted(no_bomb(stream.chunks(), sink.budget, lambda: stream.position - start), failed)
    sink.inflate(name or _plain_name(view.name), chunks, size=size)
    counts = {"codec": codec, "produced": stream.produced, "consumed": stream.position - start}
    if failed and not sink.budget.is_over():
        kind = "compressed.bomb" if isinstance(failed[0], BudgetExceeded) else "compressed.broken"
        sink.fact(kind, stream.position, reason=clip(str(failed[0])), **counts)
    sink.fact("compressed.stream", start, streams=stream.streams, **counts)
    if stream.finished:
        _trailing(view, sink, codec, stream.position)
    elif stream.streams:
        # A good stream, then one that is not: gzip and joblib have given the first part to the caller by now.
        sink.incomplete(f"{codec}: stream {stream.streams + 1} could not be read", stream.position)


def _noted(chunks: Iterator[bytes], failed: list[BaseException]) -> Iterator[bytes]:
    try:
        yield from chunks
    except DECODE_ERRORS as exc:
        failed.append(exc)
        raise


def _trailing(view: View, sink: Sink, codec: str, position: int) -> None:
    rest = view.data[position:]
    if not len(rest):
        return
    head = bytes(rest[:4096])
    if not head.strip(b"\x00") and not bytes(rest[-4096:]).strip(b"\x00"):
        # Padding, as tapes and `tar -b` leave it. The ends are looked at, the middle is read below when it is not zero.
        if len(rest) <= 1 << 20 and not bytes(rest).strip(b"\x00"):
            return
        if len(rest) <= 8192:
            return
    sink.fact("compressed.trailing", position, codec=codec, size=len(rest), head=head[:16].hex())
    sink.child("(trailing)", rest, offset=position)


def _starts(magic: bytes) -> Callable[[memoryview, int], bool]:
    return lambda data, position: bytes(data[position : position + len(magic)]) == magic


def _zlib_follows(data: memoryview, position: int) -> bool:
    # joblib's BinaryZlibFile reads concatenated streams.
    head = bytes(data[position : position + 2])
    if len(head) < 2 or head[0] & 15 != 8 or int.from_bytes(head, "big") % 31:
        return False
    try:
        zlib.decompressobj().decompress(bytes(data[position : position + 4096]), 4096)
    except zlib.error:
        return False
    return True


def _skip_frames(data: memoryview, position: int) -> int:
    while position + 8 <= len(data):
        head = bytes(data[position : position + 8])
        if head[1:4] != b"\x2a\x4d\x18" or head[0] & 0xF0 != 0x50:
            break
        position += 8 + int.from_bytes(head[4:8], "little")
    return position


def _plain_name(name: str) -> str:
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    match = _SUFFIXES.search(base)
    if match is None:
        return base or "content"
    return base[: match.start()] + (".tar" if match.group().lower() in _TAR else "") or "content"


def _gzip_header(view: View, sink: Sink) -> str:
    head = view.bytes(0, 10)
    if head[2] != 8:
        msg = f"gzip method {head[2]} is not deflate"
        raise FormatError(msg, 2)
    flags = head[3]
    position = 10
    if flags & 4:
        position += 2 + int.from_bytes(view.bytes(position, 2), "little")
    if not flags & 8:
        return ""
    end = view.find(b"\x00", position, position + 4096)
    if end < 0:
        return ""  # longer than any name; the decoder passes over it
    name = view.bytes(position, end - position).decode("latin-1")
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    sink.fact("compressed.name", position, name=clip(name), escapes=base != name or ".." in name)
    return clip(base, 300)
