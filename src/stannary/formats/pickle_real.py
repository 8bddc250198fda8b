"""The second reading: CPython's own unpickler, with every global replaced by an inert recorder.

Nothing the stream names is imported or called: `find_class` and `persistent_load` are ours, and
what they return ignores all that is done to it. What remains is the interpreter's own parser, so
a difference between it and our machine cannot hide a call. Memory is bounded by the jail this
runs in, and by a soft limit on data for long streams; time by a timer that ends the process (`stall.py`).

Big byte strings are not copied: the unpickler asks for them by `readinto`, which leaves the
buffer as the allocator gave it, untouched and so not resident.
"""

from __future__ import annotations

import io
import pickle  # the unpickler is the point: see the docstring
import sys
import warnings
from functools import partial
from types import TracebackType
from typing import Any

from stannary.formats import stall

__all__ = ["LIMIT", "RealReading", "read_for_real"]

LIMIT = 8 << 20  # longest run of opcodes that is read a second time
_COPY = 1 << 20
_CACHE = 20_000
_FRAME = b"\x95"
_LONG = 256  # characters of a name with its module that are worth keeping


class Inert:
    """Stands for anything: can be called, filled, given state; does nothing.

    What CPython calls by the ten thousand is C code: `id` for what takes one value, `object.__new__` for what makes an
    instance. The latter takes arguments only for a class with a constructor, which nothing here calls.
    """

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        """Take anything."""

    def __call__(self, *_args: object, **_kwargs: object) -> Inert:
        return object.__new__(_Inert)

    def __setitem__(self, _key: object, _value: object, /) -> None:
        """Do nothing."""

    __setstate__ = append = extend = add = staticmethod(id)


class _Kind(type):
    """The type of inert classes: calling one makes an inert instance, whatever the arguments."""

    __call__ = staticmethod(partial(object.__new__, Inert))


class _Inert(Inert, metaclass=_Kind):
    """What a name stands for: a class, since only those can be instantiated without a call."""


class RealReading:
    """What the real unpickler asked for: `names` in order, and how it ended (`error` empty: at STOP)."""

    __slots__ = ("end", "error", "names")

    def __init__(self) -> None:
        self.names: list[tuple[str, str]] = []
        self.error = ""
        self.end = 0


_classes: dict[tuple[str, str], type] = {}


class _Unpickler(pickle.Unpickler):
    names: list[tuple[str, str]]
    classes: dict[tuple[str, str], type]  # of long names

    def find_class(self, module: str, name: str, /) -> Any:  # noqa: ANN401 - a class
        self.names.append(key := (module, name))
        return _classes.get(key) or self._class(key, len(module) + len(name))

    def _class(self, key: tuple[str, str], length: int) -> type:
        # What is kept beyond this stream is taken from the memory of the files that come after it.
        kept = _classes if length < _LONG else self.classes
        made = kept.get(key)
        if made is None:
            if len(kept) > _CACHE:
                kept.clear()
            made = kept[key] = _Kind("Inert", (_Inert,), {})
        return made

    def persistent_load(self, _pid: Any, /) -> Any:  # noqa: ANN401 - a persistent id
        return object.__new__(_Inert)


class _Whole(io.BytesIO):
    """A short stream without frames: the unpickler would ask for each opcode by itself if it could not look ahead."""

    def peek(self, _count: int, /) -> bytes:
        at = self.tell()
        return self.getvalue()[at:] if at else self.getvalue()


class _Pieces(io.RawIOBase):
    """The stream without the stretches between opcodes, reading big strings without copying them."""

    def __init__(self, data: memoryview, pieces: list[tuple[int, int]]) -> None:
        self.data = data
        self.pieces = pieces
        self.which = 0
        self.pos = pieces[0][0]

    def _chunk(self, count: int) -> memoryview:
        while self.which < len(self.pieces):
            end = self.pieces[self.which][1]
            if self.pos < end:
                return self.data[self.pos : min(end, self.pos + count)]
            self.which += 1
            if self.which < len(self.pieces):
                self.pos = self.pieces[self.which][0]
        return self.data[:0]

    def peek(self, count: int = 1) -> bytes:
        return bytes(self._chunk(min(count, 1 << 17)))

    def read(self, count: int = -1) -> bytes:
        found = bytes(self._chunk(count if count >= 0 else 1 << 17))
        self.pos += len(found)
        return found

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        wanted = len(buffer)
        found = self._chunk(wanted)
        if wanted <= _COPY:
            buffer[: len(found)] = found
        self.pos += len(found)
        return len(found)

    def readline(self, limit: int | None = -1, /) -> bytes:
        chunk = bytes(self._chunk(1 << 16))
        cut = chunk.find(b"\n") + 1 or len(chunk)
        self.pos += cut
        _ = limit
        return chunk[:cut]


def read_for_real(data: memoryview, start: int, end: int, skip: list[tuple[int, int]]) -> RealReading:
    """Read one stream, `skip` being the stretches that are no opcodes. Never raises for what it contains."""
    reading = RealReading()
    if end - start <= _COPY and not skip:
        framed = bytes(data[start + 2 : start + 3]) == _FRAME
        source: Any = (io.BytesIO if framed else _Whole)(data[start:end])
    else:
        edges = [start, *(edge for pair in sorted(skip) for edge in pair), end]
        source = _Pieces(data, list(zip(edges[::2], edges[1::2], strict=True)))
    unpickler = _Unpickler(source)
    unpickler.names = reading.names
    unpickler.classes = {}
    hook, sys.excepthook = sys.excepthook, _without_noise
    stall.start()
    try:
        if bytes(data[start : start + 1]) == b"\x80":
            unpickler.load()
        else:
            with warnings.catch_warnings():  # of escapes in text protocols that Python no longer has
                warnings.simplefilter("ignore")
                unpickler.load()
    except MemoryError:
        reading.error = "out of memory"
    except RecursionError:
        reading.error = "recursion too deep"
    except Exception as exc:  # noqa: BLE001 - the unpickler raises whatever it meets: the error is the result
        reading.error = f"{type(exc).__name__}: {exc}"[:200]
    finally:
        stall.stop()
        sys.excepthook = hook
    return reading


def _without_noise(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    """Print what the interpreter cannot raise, but for one thing that it says wrongly.

    When there is no memory for a bytearray, PyByteArray_FromStringAndSize (Objects/bytearrayobject.c, seen in
    3.11) gives the object back before it has set its count of exports, and its destructor prints whatever
    stood there: any BYTEARRAY8 with an absurd length does it.
    """
    if not (kind is SystemError and "exported buffers" in str(value)):
        sys.__excepthook__(kind, value, trace)
