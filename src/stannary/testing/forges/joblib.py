"""joblib files: arrays between the opcodes, payloads around and inside them, and every codec."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable

from stannary.testing.forges.pickle import ECHO, PAYLOAD, register
from stannary.testing.pickle_assembler import Assembler

__all__ = ["array_wrapper", "lz4_frame", "model", "zstd_frame"]

_CODECS = "joblib codecs (6)"
_ARRAY = "payload after joblib array"
_BENIGN = "benign joblib"


def _a() -> Assembler:
    return Assembler(4)


def array_wrapper(out: Assembler, values: bytes, *, dtype: str = "u1", shape: tuple[int, ...] | None = None, aligned: bool = True) -> Assembler:
    """Write an array as joblib does: a wrapper object, one byte of padding length, padding, raw values."""
    out.name("joblib.numpy_pickle", "NumpyArrayWrapper").push(()).op("NEWOBJ")
    state: dict[str, object] = {
        "subclass": Assembler(4).name("numpy", "ndarray"),
        "shape": shape or (len(values),),
        "order": "C",
        "dtype": Assembler(4).call("numpy", "dtype", dtype, False, True),
        "allow_mmap": True,
    }
    if aligned:
        state["numpy_array_alignment_bytes"] = 16
    out.push(state).op("BUILD")
    if aligned:
        padding = 16 - (len(out) + 1) % 16
        out.raw(bytes((padding,)) + b"\xff" * padding)
    return out.raw(values)


def model(*, before: Assembler | None = None, after: Assembler | None = None, values: bytes = bytes(range(64)), aligned: bool = True) -> bytes:
    """Return a dictionary with an array, and what else is asked for."""
    out = _a().ops("EMPTY_DICT", "MARK")
    if before is not None:
        out.push("a").push(before)
    out.push("coef")
    array_wrapper(out, values, aligned=aligned)
    if after is not None:
        out.push("z").push(after)
    return out.op("SETITEMS").stop()


def zstd_frame(content: bytes) -> bytes:
    """Return a zstd frame of raw blocks: no compressor needed (RFC 8878, 3.1.1)."""
    out = b"\x28\xb5\x2f\xfd" + b"\xa0" + struct.pack("<I", len(content))
    blocks = [content[i : i + 100_000] for i in range(0, len(content), 100_000)] or [b""]
    for index, block in enumerate(blocks):
        header = (len(block) << 3) | (index == len(blocks) - 1)
        out += struct.pack("<I", header)[:3] + block
    return out


def lz4_frame(content: bytes) -> bytes:
    """Return an LZ4 frame of stored blocks (the header checksum is xxHash32 of two known bytes)."""
    # FLG 0x60: version 1, blocks independent, no checksums, no size; BD 0x70: 4 MiB blocks; HC for these two.
    out = b"\x04\x22\x4d\x18\x60\x70\x73"
    for at in range(0, len(content), 1 << 20):
        block = content[at : at + (1 << 20)]
        out += struct.pack("<I", len(block) | 0x80000000) + block
    return out + bytes(4)


def _zfile(content: bytes) -> bytes:
    packed = zlib.compress(content)
    return b"ZF" + hex(len(content)).encode().ljust(19) + packed


_EVIL = _a().call("os", "system", ECHO)
_CODEC: dict[str, Callable[[bytes], bytes]] = {
    "zlib": lambda raw: zlib.compress(raw, 3),
    "zlib_fast": lambda raw: zlib.compress(raw, 1),
    "zlib_best": lambda raw: zlib.compress(raw, 9),
    "gzip": lambda raw: gzip.compress(raw, 3, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda raw: lzma.compress(raw, lzma.FORMAT_ALONE),
    "lz4": lz4_frame,
    "zstd": zstd_frame,
    "zfile": _zfile,
}

def _after(pack: Callable[[bytes], bytes], build: Callable[[], bytes]) -> Callable[[], bytes]:
    return lambda: pack(build())


for _name, _pack in _CODEC.items():
    register(f"joblib.codec_{_name}", _CODECS, _after(_pack, lambda: model(after=_EVIL)), filename=f"model.{_name}.joblib")
    register(f"joblib.codec_{_name}_plain", _CODECS, _after(_pack, lambda: PAYLOAD), filename="model.joblib")
    register(f"joblib.benign_{_name}", _BENIGN, _after(_pack, model), filename=f"model.{_name}.joblib", malicious=False)

register("joblib.benign_raw", _BENIGN, model, filename="model.joblib", malicious=False)
register("joblib.benign_unaligned", _BENIGN, lambda: model(aligned=False), filename="model.joblib", malicious=False)
register("joblib.payload_before_array", _ARRAY, lambda: model(before=_EVIL), filename="model.joblib")
register("joblib.payload_after_array", _ARRAY, lambda: model(after=_EVIL), filename="model.joblib")
register("joblib.payload_after_unaligned", _ARRAY, lambda: model(after=_EVIL, aligned=False), filename="model.joblib")
register("joblib.payload_in_array", _ARRAY, lambda: model(values=b"N0cos\nsystem\n(X\x0d\x00\x00\x00echo stannarytR0" + b"}" + b".", aligned=False), filename="model.joblib")
register("joblib.payload_in_array_start", _ARRAY, lambda: model(values=b"0cos\nsystem\n(X\x0d\x00\x00\x00echo stannarytR." + bytes(20), aligned=False), filename="model.joblib")
register("joblib.payload_is_dtype", _ARRAY, lambda: _wrapped(dtype=_EVIL), filename="model.joblib")
register("joblib.payload_is_subclass", _ARRAY, lambda: _wrapped(subclass=_a().name("subprocess", "Popen")), filename="model.joblib")
register("joblib.wrong_size", _ARRAY, lambda: model(values=bytes(64))[:-1] + b"cos\nsystem\n(X\x0d\x00\x00\x00echo stannarytR.", filename="model.joblib")
register("joblib.object_array", _ARRAY, lambda: _object_array(PAYLOAD), filename="model.joblib")
register("joblib.trailing", _ARRAY, lambda: model() + PAYLOAD, filename="model.joblib")
register("joblib.zlib_trailing", _ARRAY, lambda: zlib.compress(model()) + PAYLOAD, filename="model.joblib")
register("joblib.zlib_two_streams", _ARRAY, lambda: zlib.compress(model()[:40]) + zlib.compress(model()[40:] + PAYLOAD), filename="model.joblib")
register("joblib.gzip_of_zlib", _ARRAY, lambda: gzip.compress(zlib.compress(PAYLOAD), mtime=0), filename="model.joblib.gz")
register("joblib.zlib_cut_tail", _ARRAY, lambda: zlib.compress(_a().call("os", "system", ECHO).content() + bytes(2000))[:-6], filename="model.joblib")


def _wrapped(dtype: object = "u1", subclass: object = None) -> bytes:
    out = _a().name("joblib.numpy_pickle", "NumpyArrayWrapper").push(()).op("NEWOBJ")
    state = {"subclass": subclass or Assembler(4).name("numpy", "ndarray"), "shape": (4,), "order": "C", "dtype": dtype, "allow_mmap": True}
    return out.push(state).op("BUILD").raw(bytes(4)).stop()


def _object_array(content: bytes) -> bytes:
    out = _a().ops("EMPTY_DICT", "MARK").push("coef")
    out.name("joblib.numpy_pickle", "NumpyArrayWrapper").push(()).op("NEWOBJ")
    dtype = Assembler(4).call("numpy", "dtype", "O8", False, True)
    out.push({"subclass": Assembler(4).name("numpy", "ndarray"), "shape": (1,), "order": "C", "dtype": dtype, "allow_mmap": False}).op("BUILD")
    return out.raw(content).op("SETITEMS").stop()
