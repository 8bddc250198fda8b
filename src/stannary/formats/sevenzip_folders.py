"""Decoding 7z folders: chains of coders over one packed stream, through the standard library's raw filters."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from typing import Any

import msgspec

from stannary.core.errors import BudgetExceeded, FormatError
from stannary.formats.decompress import (
    CHUNK,
    LZMA_MEMORY,
    Codec,
    Inflater,
    LibraryDecoder,
    Stream,
    bz2_decoder,
    check_bomb,
    lz4_decoder,
    zstd_decoder,
)
from stannary.formats.interface import Budget, View

__all__ = ["ARCHIVE_AES", "Coder", "Folder", "FolderReader", "codec_name"]

_COPY, _LZMA, _LZMA2, _DELTA = b"\x00", b"\x03\x01\x01", b"\x21", b"\x03"
_DEFLATE, _BZIP2, _ZSTD, _LZ4 = b"\x04\x01\x08", b"\x04\x02\x02", b"\x04\xf7\x11\x01", b"\x04\xf7\x11\x04"
ARCHIVE_AES = b"\x06\xf1\x07\x01"
_BRANCH = {
    b"\x04": lzma.FILTER_X86, b"\x03\x03\x01\x03": lzma.FILTER_X86,
    b"\x05": lzma.FILTER_POWERPC, b"\x03\x03\x02\x05": lzma.FILTER_POWERPC,
    b"\x06": lzma.FILTER_IA64, b"\x03\x03\x04\x01": lzma.FILTER_IA64,
    b"\x07": lzma.FILTER_ARM, b"\x03\x03\x05\x01": lzma.FILTER_ARM,
    b"\x08": lzma.FILTER_ARMTHUMB, b"\x03\x03\x07\x01": lzma.FILTER_ARMTHUMB,
    b"\x09": lzma.FILTER_SPARC, b"\x03\x03\x08\x05": lzma.FILTER_SPARC,
}  # fmt: skip
_NAMES = {
    _COPY: "copy", _LZMA: "lzma", _LZMA2: "lzma2", _DELTA: "delta", _DEFLATE: "deflate", _BZIP2: "bzip2", _ZSTD: "zstd",
    _LZ4: "lz4", ARCHIVE_AES: "aes-256", b"\x03\x04\x01": "ppmd", b"\x04\x01\x09": "deflate64", b"\x03\x03\x01\x1b": "bcj2",
    b"\x04\xf7\x11\x02": "brotli",
}  # fmt: skip
_SIMPLE: dict[bytes, Codec] = {_DEFLATE: lambda: Inflater(-15), _BZIP2: bz2_decoder, _ZSTD: zstd_decoder, _LZ4: lz4_decoder}
_BCJ_HELD = 16  # the branch filters hold back at most this many bytes at the end, and do not change them


class Coder(msgspec.Struct):
    """One step of a folder."""

    method: bytes
    inputs: int
    outputs: int
    properties: bytes


class Folder(msgspec.Struct):
    """A chain of coders; `sizes` and `crcs` are of the files in it."""

    coders: list[Coder]
    bonds: list[tuple[int, int]]
    outputs: int
    packed_count: int
    coder_sizes: list[int] = []
    packed: list[int] = []
    unpacked: int = 0
    crc: int | None = None
    sizes: list[int] = []
    crcs: list[int | None] = []

    def main_output(self) -> int:
        """Return the index of the output that no other coder takes."""
        bound = {out for _, out in self.bonds}
        return next((i for i in range(self.outputs) if i not in bound), 0)

    def unreadable(self) -> str:
        """Return why it cannot be decoded here, or nothing."""
        for coder in self.coders:
            if coder.method not in _NAMES and coder.method not in _BRANCH:
                return f"codec {coder.method.hex()}"
            if coder.method not in {_COPY, _LZMA, _LZMA2, _DELTA} and coder.method not in _SIMPLE and coder.method not in _BRANCH:
                return _NAMES[coder.method]
        if any(c.inputs != 1 or c.outputs != 1 for c in self.coders) or self.packed_count != 1:
            return "several packed streams"
        return "" if self.coders else "no codec"

    def chain(self) -> list[Coder]:
        """Return the coders in the order of decoding: the one that reads packed bytes first."""
        by_output = {out: inp for inp, out in self.bonds}  # output of one coder feeds the input of another
        fed = {inp for inp, _ in self.bonds}
        at = next((i for i in range(len(self.coders)) if i not in fed), 0)
        order = [at]
        while at in by_output and len(order) < len(self.coders):
            at = by_output[at]
            if at >= len(self.coders) or at in order:
                break
            order.append(at)
        return [self.coders[i] for i in order]


def codec_name(method: bytes) -> str:
    """Return a codec's usual name, or its id in hexadecimal."""
    return _NAMES.get(method) or ("bcj" if method in _BRANCH else method.hex())


class FolderReader:
    """Decodes one folder as a stream of chunks."""

    def __init__(self, view: View, folder: Folder, start: int) -> None:
        self.start = start
        self.produced = 0
        self._folder = folder
        size = folder.packed[0] if folder.packed else 0
        self._cut = start + size > len(view)
        self._data = view.data[start : start + size]
        self._streams: list[Stream] = []

    def consumed(self) -> int:
        """Return how many packed bytes were read so far."""
        return self._streams[0].position if self._streams else 0

    def guard(self, budget: Budget) -> None:
        """Raise BudgetExceeded when this folder is a bomb."""
        check_bomb(self.produced, self.consumed(), budget)

    def chunks(self) -> Iterator[bytes]:
        """Yield at most the announced number of bytes. Raises what the decoders raise."""
        left = self._folder.unpacked
        for chunk in self._decoded():
            part = chunk[:left]
            self.produced += len(part)
            left -= len(part)
            yield part
            if not left:
                return
        if left and self._cut:
            msg = "the packed stream is cut short"
            raise EOFError(msg)

    def _decoded(self) -> Iterator[bytes]:
        chain = self._folder.chain()
        groups: list[list[Coder]] = []
        for coder in chain:
            raw = coder.method in {_LZMA, _LZMA2, _DELTA} or coder.method in _BRANCH
            if raw and groups and groups[-1][0].method in {_LZMA, _LZMA2}:
                groups[-1].append(coder)
            else:
                groups.append([coder])
        if len(groups) > 1 or (groups and groups[0][0].method not in {_LZMA, _LZMA2, _COPY} and groups[0][0].method not in _SIMPLE):
            # A second decoder over the output of the first: 7-Zip does not write such folders by itself.
            names = "+".join(codec_name(c.method) for c in chain)
            msg = f"the chain {names} is not read"
            raise FormatError(msg)
        first = groups[0]
        if first[0].method == _COPY:
            stream = Stream(self._data, _Copy)
        elif first[0].method in _SIMPLE:
            stream = Stream(self._data, _SIMPLE[first[0].method])
        else:
            yield from self._lzma(first)
            return
        self._streams = [stream]
        yield from stream.chunks()

    def _lzma(self, coders: list[Coder]) -> Iterator[bytes]:
        filters = [_filter(c) for c in reversed(coders)]
        yield from self._raw(filters)
        short = self._folder.unpacked - self.produced
        if len(filters) > 1 and 0 < short <= _BCJ_HELD and not self._cut:
            # LZMA1 has no end mark here, so the branch filter never lets go of its last bytes.
            tail = b""
            for chunk in self._raw(filters[-1:]):
                tail = (tail + chunk)[-_BCJ_HELD:]
            yield tail[-short:]

    def _raw(self, filters: list[dict[str, Any]]) -> Iterator[bytes]:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
        stream = Stream(self._data, lambda: LibraryDecoder(decoder))
        self._streams = [stream]
        try:
            yield from stream.chunks()
        except EOFError:
            # Raw LZMA1 has no end mark: all input used is how it ends.
            if self._cut:
                raise


class _Copy:
    """The codec that does nothing; it never says that it has ended, so the caller's size decides."""

    def __init__(self) -> None:
        self.eof = False
        self.unused = 0
        self.pending = False

    def feed(self, data: bytes | memoryview, limit: int) -> bytes:
        """Return the input."""
        return bytes(data[: max(limit, CHUNK)])


def _filter(coder: Coder) -> dict[str, Any]:
    properties = coder.properties
    if coder.method == _LZMA:
        if len(properties) != 5 or properties[0] >= 225:
            msg = "7z: bad LZMA properties"
            raise FormatError(msg)
        rest, lc = divmod(properties[0], 9)
        pb, lp = divmod(rest, 5)
        return {
            "id": lzma.FILTER_LZMA1,
            "lc": lc,
            "lp": lp,
            "pb": pb,
            "dict_size": _dictionary(int.from_bytes(properties[1:5], "little")),
        }
    if coder.method == _LZMA2:
        bits = properties[0] if properties else 0
        size = 0xFFFFFFFF if bits >= 40 else (2 | bits & 1) << (bits // 2 + 11)
        return {"id": lzma.FILTER_LZMA2, "dict_size": _dictionary(size)}
    if coder.method == _DELTA:
        return {"id": lzma.FILTER_DELTA, "dist": (properties[0] if properties else 0) + 1}
    return {"id": _BRANCH[coder.method]}


def _dictionary(size: int) -> int:
    if size > LZMA_MEMORY:
        msg = f"an LZMA dictionary of {size} bytes"
        raise BudgetExceeded(msg)
    return max(4096, size)
