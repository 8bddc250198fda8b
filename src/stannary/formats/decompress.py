"""Streaming decoders shared by the containers: bounded chunks, concatenated streams, a guard against bombs.

A decoder is anything with `feed(data, limit) -> bytes`, `eof`, `needs_input` and `unused`
(what followed the end of the stream). `pump` drives one over a memoryview and yields chunks of
at most 1 MiB; `Stream` remembers how much was consumed, so that the caller can look at what
follows. Nothing here allocates by a length that the content announces.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from stannary.core.errors import BudgetExceeded, FormatError
from stannary.formats.interface import Budget, forget

__all__ = [
    "CHUNK",
    "DECODE_ERRORS",
    "LZMA_MEMORY",
    "Codec",
    "Decoder",
    "GzipInflater",
    "Inflater",
    "LibraryDecoder",
    "Stream",
    "bz2_decoder",
    "check_bomb",
    "lz4_decoder",
    "lzma_decoder",
    "no_bomb",
    "xz_decoder",
    "zstd_decoder",
]

CHUNK = 1 << 20  # bytes out at a time
_FEED = 1 << 16  # bytes in at a time: zlib copies what it did not use, so small pieces are quicker
_FORGET = 8 << 20  # bytes of a mapped file after which what was read is let go
LZMA_MEMORY = 192 << 20  # `xz -9` needs 65 MiB; a header may ask for 4 GiB

_STREAMS = 100_000  # joined streams; blocked gzip has one for every 64 KiB

# A stream is a bomb when it, and all decompression of this file together, are past these marks.
_BOMB_RATIO = 200
_BOMB_STREAM = 4 << 20
_BOMB_TOTAL = 64 << 20


class Decoder(Protocol):
    """One compressed stream."""

    @property
    def eof(self) -> bool:
        """True when the stream has ended."""
        ...

    @property
    def unused(self) -> int:
        """Return how many of the bytes fed lie behind the end."""
        ...

    def feed(self, data: bytes | memoryview, limit: int) -> bytes:
        """Take input, return up to `limit` bytes of output (call again with b"" while `pending`)."""
        ...

    @property
    def pending(self) -> bool:
        """True while output is left that needs no more input."""
        ...


Codec = Callable[[], Decoder]
# What the decoders raise for content that is not what it should be.
DECODE_ERRORS = (EOFError, FormatError, OSError, RuntimeError, ValueError, zlib.error, lzma.LZMAError)


class Inflater:
    """zlib in its three framings: `wbits` 15 zlib, -15 raw deflate, 31 gzip."""

    __slots__ = ("_object", "_tail", "eof", "unused")

    def __init__(self, wbits: int) -> None:
        self._object = zlib.decompressobj(wbits)
        self._tail: bytes = b""
        self.eof = False
        self.unused = 0

    def feed(self, data: bytes | memoryview, limit: int) -> bytes:
        """Take input and return output. Raises zlib.error."""
        engine = self._object
        out = engine.decompress(self._tail + bytes(data) if self._tail else data, limit)
        self._tail = engine.unconsumed_tail
        if engine.eof:
            self.eof = True
            self.unused = len(engine.unused_data)
        return out

    @property
    def pending(self) -> bool:
        """True while input is left over."""
        return bool(self._tail)


class GzipInflater(Inflater):
    """gzip as Python's module reads it: the header's own checksum and reserved flags are not looked at."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        super().__init__(31)
        self._begun = False

    def feed(self, data: bytes | memoryview, limit: int) -> bytes:
        """Take input and return output. Raises zlib.error."""
        if not self._begun:
            self._begun = True
            data = _plain_header(bytes(data))
        return super().feed(data, limit)


def _plain_header(data: bytes) -> bytes:
    """Return the beginning of a gzip stream without what zlib checks and Python does not (RFC 1952, 2.3)."""
    if len(data) < 10 or not data[3] & 0xE2:
        return data
    at, flags = 10, data[3]
    if flags & 4:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for flag in (8, 16):
        if flags & flag:
            end = data.find(b"\x00", at)
            if end < 0:
                return data
            at = end + 1
    return data[:3] + bytes((flags & 0x1D,)) + data[4:at] + data[at + (2 if flags & 2 else 0) :]


class LibraryDecoder:
    """The interface that bz2, lzma, zstd and lz4.frame decompressors share."""

    __slots__ = ("_object", "eof", "unused")

    def __init__(self, engine: Any) -> None:  # noqa: ANN401 - four libraries, one shape
        self._object = engine
        self.eof = False
        self.unused = 0

    def feed(self, data: bytes | memoryview, limit: int) -> bytes:
        """Take input and return output. Raises OSError, EOFError, RuntimeError or lzma.LZMAError."""
        engine = self._object
        out: bytes = engine.decompress(bytes(data), limit)
        if engine.eof:
            self.eof = True
            self.unused = len(engine.unused_data or b"")
        return out

    @property
    def pending(self) -> bool:
        """True while output is left."""
        return not self.eof and not self._object.needs_input


class Stream:
    """Decodes `data` from `start`; `position` is where the stream ended (bytes from the start of `data`).

    With `again`, streams of the same kind that follow at once are joined, as gzip, bz2 and xz do.
    """

    __slots__ = ("_again", "_codec", "data", "finished", "position", "produced", "start", "streams")

    def __init__(
        self, data: memoryview, codec: Codec, *, start: int = 0, again: Callable[[memoryview, int], bool] | None = None
    ) -> None:
        self.data = data
        self.start = start
        self.position = start
        self.produced = 0
        self.streams = 0
        self.finished = False
        self._codec = codec
        self._again = again

    def chunks(self) -> Iterator[bytes]:
        """Yield the output. Raises what the decoder raises, and EOFError for a cut stream."""
        while True:
            yield from self._one()
            self.streams += 1
            if self.streams > _STREAMS:
                msg = f"more than {_STREAMS} streams in a row"
                raise BudgetExceeded(msg, self.position)
            if self._again is None or not self._again(self.data, self.position):
                self.finished = True
                return

    def _one(self) -> Iterator[bytes]:
        start = self.position
        calls = 0
        try:
            for chunk in self._decode(self._codec(), CHUNK):
                calls += 1
                if chunk:
                    self.produced += len(chunk)
                    yield chunk
        except BudgetExceeded:
            raise
        except Exception as exc:  # whatever the library raises, it took the output of that call with it
            # A failed checksum must not hide what a loader that reads in small pieces was given before it.
            yield from self._salvage(start, calls)
            raise exc from None

    def _decode(self, decoder: Decoder, limit: int) -> Iterator[bytes]:
        """Yield the output of every call, empty ones too."""
        end = len(self.data)
        while not decoder.eof:
            if self.position >= end:
                msg = "the compressed stream is cut short"
                raise EOFError(msg)
            stop = min(end, self.position + _FEED)
            out = decoder.feed(self.data[self.position : stop], limit)
            if self.position // _FORGET != stop // _FORGET:
                forget(self.data)
            self.position = stop
            yield out
            while decoder.pending:
                yield decoder.feed(b"", limit)
        self.position -= decoder.unused

    def _salvage(self, start: int, calls: int) -> Iterator[bytes]:
        """Decode again up to the call that failed, then byte by byte until it fails again."""
        failed_at, self.position = self.position, start
        decoder = _Narrowing(self._codec(), narrow=calls == 0)
        try:
            for index, chunk in enumerate(self._decode(decoder, CHUNK)):
                if index + 1 >= calls:
                    decoder.narrow = True
                if chunk and index >= calls:
                    self.produced += len(chunk)
                    yield chunk
        except Exception:  # noqa: BLE001 - the same failure again; the caller raises the first one
            failed_at = max(failed_at, self.position)
        self.position = failed_at


class _Narrowing:
    """A decoder that can be told to give one byte at a time."""

    def __init__(self, decoder: Decoder, *, narrow: bool) -> None:
        self._decoder = decoder
        self.narrow = narrow

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused(self) -> int:
        return self._decoder.unused

    @property
    def pending(self) -> bool:
        return self._decoder.pending

    def feed(self, data: bytes | memoryview, limit: int) -> bytes:
        return self._decoder.feed(data, 1 if self.narrow else limit)


def check_bomb(produced: int, consumed: int, budget: Budget) -> None:
    """Raise BudgetExceeded when a stream's output, and all decompression of this file, say bomb."""
    total = budget.limits.inflated - budget.inflated
    if (
        total > _BOMB_TOTAL
        and produced > (_BOMB_STREAM if total < 2 * _BOMB_TOTAL else CHUNK)
        and produced > _BOMB_RATIO * max(1, consumed)
    ):
        msg = f"decompression bomb: {produced} bytes out of {consumed}"
        raise BudgetExceeded(msg)


def no_bomb(
    chunks: Iterator[bytes], budget: Budget, consumed: Callable[[], int], announced: tuple[int, int] = (0, 0)
) -> Iterator[bytes]:
    """Pass chunks on until the ratio says bomb: raises BudgetExceeded then.

    `announced` is the size and the packed size that a directory says: one that announces a bomb, and begins as one, is not unpacked
    up to the mark, for which there may be no time.
    """
    produced = 0
    size, packed = announced
    is_announced = size > _BOMB_TOTAL and size > _BOMB_RATIO * max(1, packed)
    for chunk in chunks:
        yield chunk
        produced += len(chunk)
        check_bomb(produced, consumed(), budget)
        if is_announced and produced > _BOMB_STREAM and produced > _BOMB_RATIO * max(1, consumed()):
            msg = f"decompression bomb: {size} bytes out of {packed} are announced"
            raise BudgetExceeded(msg)


def zstd_decoder() -> Decoder:
    """Return a zstd decoder. Raises FormatError when no library has it."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from backports import zstd
        except ImportError as exc:  # pragma: no cover - a declared dependency
            msg = "no zstd decoder is installed"
            raise FormatError(msg) from exc
    try:
        options = {zstd.DecompressionParameter.window_log_max: 27}
        return _Zstd(zstd.ZstdDecompressor(options=options), zstd.ZstdError)
    except (AttributeError, TypeError, ValueError) as exc:
        msg = f"the zstd library is not usable: {exc}"
        raise FormatError(msg) from exc


class _Zstd(LibraryDecoder):
    __slots__ = ("_error",)

    def __init__(self, engine: Any, error: type[Exception]) -> None:  # noqa: ANN401 - library object
        super().__init__(engine)
        self._error = error

    def feed(self, data: bytes | memoryview, limit: int) -> bytes:
        try:
            return super().feed(data, limit)
        except self._error as exc:
            msg = f"zstd: {exc}"
            raise FormatError(msg) from exc


def lz4_decoder() -> Decoder:
    """Return an LZ4 frame decoder. Raises FormatError when the library is not there."""
    try:
        import lz4.frame
    except ImportError as exc:  # pragma: no cover - a declared dependency
        msg = "no lz4 decoder is installed"
        raise FormatError(msg) from exc
    return LibraryDecoder(lz4.frame.LZ4FrameDecompressor())


def bz2_decoder() -> Decoder:
    """Return a bzip2 decoder."""
    return LibraryDecoder(bz2.BZ2Decompressor())


def xz_decoder() -> Decoder:
    """Return an xz decoder with bounded memory."""
    return LibraryDecoder(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LZMA_MEMORY))


def lzma_decoder() -> Decoder:
    """Return a decoder of the old .lzma format with bounded memory."""
    return LibraryDecoder(lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LZMA_MEMORY))
