"""Whether a payload would run: real loaders' own parsers, with every name replaced by something inert.

CPython's two unpicklers, `zipfile`, `tarfile`, `gzip` and friends read the content as a program
would; the names of well-known payloads (`os.system`, `eval`, ...) are markers that only tell that
they were called. Nothing the content names is imported or run. For what has no reader in the
standard library (miniz as torch uses it, joblib, `.npy`), a short reading of our own follows the
loader's source; it shares no code with the readers it is held against.
"""

from __future__ import annotations

import ast
import bz2
import gzip
import io
import lzma
import pickle  # the unpicklers are the point: see the docstring
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, ClassVar, Self

__all__ = ["PAYLOADS", "runs"]

PAYLOADS = frozenset(
    {(module, name) for module in ("os", "posix", "nt") for name in ("system", "popen", "execv")}
    | {(module, name) for module in ("builtins", "__builtin__") for name in ("eval", "exec", "execfile", "__import__")}
    | {("subprocess", name) for name in ("Popen", "run", "call", "check_call", "check_output", "getoutput")}
)
_DEPTH = 3
_MOST = 1 << 20
_STREAMS = 6


class _Runs(Exception):
    """A payload was called."""


class _Payload:
    """Stands for `os.system` and its like."""

    def __call__(self, *_args: object, **_kwargs: object) -> None:
        raise _Runs


class _Kind(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - accepts anything
        make: Any = cls.__new__
        return make(cls, *args, **kwargs)


class _Inert(metaclass=_Kind):
    """Stands for every other name: can be called, filled and given state; keeps what it was given."""

    args: tuple[object, ...] = ()
    state: object = None

    def __new__(cls, *args: object, **_kwargs: object) -> Self:
        made = object.__new__(cls)
        made.args = args
        return made

    def __call__(self, *_args: object, **_kwargs: object) -> _Inert:
        return object.__new__(_Inert)

    def __setstate__(self, state: object) -> None:
        self.state = state

    def _nothing(self, *_args: object) -> None:
        """Do nothing."""

    __setitem__ = append = extend = add = update = _nothing


class _Array(_Inert):
    """joblib's wrapper: the array's bytes follow its BUILD."""


class _Names:
    """What both unpicklers are given."""

    def find_class(self, module: str, name: str, /) -> Any:  # noqa: ANN401 - a class
        if (module, name) in PAYLOADS:
            return _Payload()
        if not all(part.replace("-", "_").isidentifier() for part in module.split(".")):
            raise pickle.UnpicklingError(module)  # no module can have the name
        if "" in name.split("."):
            raise pickle.UnpicklingError(name)  # and no attribute this one
        base = _Array if name == "NumpyArrayWrapper" and module.endswith("joblib.numpy_pickle") else _Inert
        return _Kind(name[:60].replace("\x00", "") or "Inert", (base,), {})

    def persistent_load(self, pid: object, /) -> _Inert:
        if isinstance(pid, str) and "\x00" in pid:
            # A zip or tar taken for protocol 0: loaders that know persistent ids (torch) look for those first.
            raise pickle.UnpicklingError(pid)
        return object.__new__(_Inert)


class _Fast(_Names, pickle.Unpickler):
    """The C unpickler."""


_Python: Any = pickle._Unpickler  # noqa: SLF001 - the one written in Python


class _Slow(_Names, _Python):  # type: ignore[misc]  # a class that the type checker does not know
    """The Python unpickler, which reads frames differently."""


class _Joblib(_Slow):
    """joblib's, which reads arrays from between the opcodes."""

    dispatch: ClassVar[dict[int, Any]] = dict(_Python.dispatch)
    source: IO[bytes]
    stack: list[Any]

    def load_build(self) -> None:
        _Python.load_build(self)
        wrapper = self.stack[-1]
        if isinstance(wrapper, _Array):
            _skip_array(wrapper, self.source)

    dispatch[pickle.BUILD[0]] = load_build


def _skip_array(wrapper: _Array, source: IO[bytes]) -> None:
    state = wrapper.state if isinstance(wrapper.state, dict) else {}
    dtype, count = state.get("dtype"), 1
    for side in state["shape"]:
        count *= side
    spec = dtype.args[0] if isinstance(dtype, _Inert) else None
    if not isinstance(spec, str) or not spec.lstrip("<>|=").isalnum() or count > _MOST:
        raise ValueError(spec)
    if spec.lstrip("<>|=").startswith("O"):
        _load(_Joblib, source)
        return
    if state.get("numpy_array_alignment_bytes") is not None:
        source.read(source.read(1)[0])
    source.read(count * int(spec.lstrip("<>|=")[1:] or 1))


def _load(kind: type[Any], source: IO[bytes]) -> None:
    """Load one stream; only `_Runs` leaves it with news."""
    unpickler = kind(source, encoding="latin-1")
    if kind is _Joblib:
        unpickler.source = source
    unpickler.load()


def _unpickled(make: Any) -> bool:  # noqa: ANN401 - a function that opens the stream anew
    """Tell whether one of the unpicklers runs a payload; a program goes on after STOP, so several streams are loaded."""
    for kind in (_Fast, _Slow, _Joblib):
        with suppress(Exception):
            source = make()
            for _ in range(_STREAMS):
                try:
                    _load(kind, source)
                except _Runs:
                    return True
                if kind is _Fast and not isinstance(source, io.BytesIO):
                    break  # it reads ahead
    return False


def runs(content: bytes, depth: int = 0) -> bool:
    """Tell whether a loader of pickles would call a payload, given this content or what it contains."""
    if _unpickled(lambda: io.BytesIO(content)):
        return True
    if depth >= _DEPTH or len(content) < 12:
        return False
    return any(runs(inner, depth + 1) for inner in _inside(content)) or any(_unpickled(make) for make in _streams(content))


def _streams(content: bytes) -> Iterator[Any]:
    """Yield ways to open the content as a decompressing file, as joblib does: read only as far as the loader asks."""
    magics: tuple[tuple[bytes, Any], ...] = (
        (b"\x1f\x8b", gzip.GzipFile), (b"BZh", bz2.BZ2File), (b"\xfd7zXZ", lzma.LZMAFile), (b"\x5d\x00", lzma.LZMAFile)
    )  # fmt: skip
    for magic, kind in magics:
        if content.startswith(magic):
            yield lambda kind=kind: kind(fileobj=io.BytesIO(content)) if kind is gzip.GzipFile else kind(io.BytesIO(content))


def _inside(content: bytes) -> Iterator[bytes]:
    yield from _numpy(content)
    yield from _zlib(content)
    if b"PK\x05\x06" in content:
        yield from _miniz(content)
        yield from _zipfile(content)
    if len(content) >= 512:
        with suppress(Exception), tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                if member.isreg() and member.size <= _MOST and (opened := archive.extractfile(member)):
                    yield opened.read()


def _zlib(content: bytes) -> Iterator[bytes]:
    """Zlib, as far as it goes: joblib reads it in blocks; and joblib's old `ZF` files, which are read whole."""
    if content[:1] == b"\x78":
        out, engine = b"", zlib.decompressobj()
        with suppress(zlib.error):
            for at in range(0, len(content), 64):
                out += engine.decompress(content[at : at + 64], _MOST)
        yield out
    elif content[:2] == b"ZF":
        with suppress(Exception):
            start = 21 + (content[21:22] == b" ")
            out = zlib.decompress(content[start:], 15, 1 << 16)
            if len(out) == int(content[2:21].rstrip(b"\x00"), 16):
                yield out


def _numpy(content: bytes) -> Iterator[bytes]:
    """`numpy.load(allow_pickle=True)`: an object array is a pickle behind the header (numpy/lib/format.py)."""
    if content[:6] != b"\x93NUMPY":
        return
    with suppress(Exception):
        wide = 2 if content[6] == 1 else 4
        start = 8 + wide + int.from_bytes(content[8 : 8 + wide], "little")
        header = ast.literal_eval(content[8 + wide : start].decode("utf-8" if content[6] == 3 else "latin-1"))
        good = content[6:8] in (b"\x01\x00", b"\x02\x00", b"\x03\x00") and set(header) == {"descr", "fortran_order", "shape"}
        if good and start <= len(content) and all(isinstance(n, int) for n in header["shape"]) and _objects(header["descr"]):
            yield content[start:]


def _objects(descr: Any) -> bool:  # noqa: ANN401 - a literal
    if isinstance(descr, str):
        return descr.lstrip("<>|=") in {"O", "O8", "object"}
    if isinstance(descr, tuple):
        return _objects(descr[0])
    return isinstance(descr, list) and any(_objects(field[1]) for field in descr)


def _zipfile(content: bytes) -> Iterator[bytes]:
    """Python's own reading, the last entry of a name winning."""
    with suppress(Exception), zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            with suppress(Exception):
                if archive.getinfo(name).file_size <= _MOST:
                    yield archive.read(name)
            with suppress(Exception), archive.open(name) as opened:
                yield opened.read(8)[:0] or b"".join(_piecewise(opened))


def _piecewise(opened: IO[bytes]) -> Iterator[bytes]:
    """What a loader that reads as it goes has had before a checksum at the end is found wrong."""
    opened.seek(0)
    with suppress(Exception):
        for _ in range(4096):
            piece = opened.read(64)
            if not piece:
                return
            yield piece


def _miniz(content: bytes) -> Iterator[bytes]:
    """`*/data.pkl` as torch finds it: miniz 2.1 with checksums off (caffe2/serialize/inline_container.cc)."""
    with suppress(struct.error, IndexError, zlib.error):
        end = content.rfind(b"PK\x05\x06", 0, len(content) - 18)
        _, disk, start_disk, here, total, size, start, _ = struct.unpack("<4s4H2LH", content[end : end + 22])
        if total != here or (disk or start_disk) not in (0, 1) or start + size > len(content):
            return
        at, entries = start, []
        for _ in range(total):
            fields = struct.unpack("<4s6H3L5H2L", content[at : at + 46])
            if fields[0] != b"PK\x01\x02":
                return
            entries.append((content[at + 46 : at + 46 + fields[10]], fields))
            at += 46 + fields[10] + fields[11] + fields[12]
        root = entries[0][0].partition(b"/")[0]
        wanted = (root + b"/data.pkl").lower()
        for name, fields in entries:
            if name.lower() == wanted:
                yield _extracted(content, fields)
                return


def _extracted(content: bytes, fields: tuple[Any, ...]) -> bytes:
    flags, method, packed, offset = fields[3], fields[4], fields[8], fields[16]
    if flags & (1 | 32 | 64) or content[offset : offset + 4] != b"PK\x03\x04":
        return b""
    names, extras = struct.unpack("<2H", content[offset + 26 : offset + 30])
    raw = content[offset + 30 + names + extras :][:packed]
    if method == 0:
        return raw
    return zlib.decompressobj(-15).decompress(raw, _MOST) if method == 8 else b""
