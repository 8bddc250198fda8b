"""7z archives written by hand: copy, LZMA, LZMA2, deflate and bzip2 folders, solid ones, packed headers."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable

from stannary.testing.forges.pickle import PAYLOAD, register
from stannary.testing.forges.pickle_streams import benign
from stannary.testing.forges.torch import torch_zip
from stannary.testing.forges.zip import zeros

__all__ = ["build_7z"]

_NESTED = "nested tar/zip/7z/OCI"
_PATHS = "traversal/symlink/bomb"
_BENIGN = "benign 7z"
_LZMA_FILTER = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 20}]
_LZMA2_FILTER = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]


def _deflate(raw: bytes) -> bytes:
    engine = zlib.compressobj(6, zlib.DEFLATED, -15)
    return engine.compress(raw) + engine.flush()


_CODECS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "copy": (b"\x01\x00", bytes),
    "lzma": (b"\x23\x03\x01\x01\x05" + b"\x5d" + struct.pack("<I", 1 << 20), lambda raw: lzma.compress(raw, lzma.FORMAT_RAW, filters=_LZMA_FILTER)),
    "lzma2": (b"\x21\x21\x01\x10", lambda raw: lzma.compress(raw, lzma.FORMAT_RAW, filters=_LZMA2_FILTER)),
    "deflate": (b"\x03\x04\x01\x08", _deflate),
    "bzip2": (b"\x03\x04\x02\x02", bz2.compress),
    "aes": (b"\x24\x06\xf1\x07\x01\x02\x13\x00", bytes),
    "ppmd": (b"\x23\x03\x04\x01\x05\x06\x00\x00\x01\x00", bytes),
}


def _number(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    return b"\xff" + struct.pack("<Q", value)


def _streams(position: int, packed: int, codec: bytes, sizes: list[int], crcs: list[int]) -> bytes:
    pack = b"\x06" + _number(position) + _number(1) + b"\x09" + _number(packed) + b"\x00"
    folder = b"\x07\x0b" + _number(1) + b"\x00" + _number(1) + codec + b"\x0c" + _number(sum(sizes)) + b"\x00"
    sub = b"\x08\x0d" + _number(len(sizes))
    if len(sizes) > 1:
        sub += b"\x09" + b"".join(_number(s) for s in sizes[:-1])
    sub += b"\x0a\x01" + b"".join(struct.pack("<I", c) for c in crcs) + b"\x00"
    return pack + folder + sub + b"\x00"


def build_7z(files: dict[str, bytes], codec: str = "lzma2", *, pack_header: bool = False, trailing: bytes = b"", packed: bytes | None = None, wrong_crc: bool = False) -> bytes:
    """Return one solid folder with all files."""
    descriptor, pack = _CODECS[codec]
    body = pack(b"".join(files.values())) if packed is None else packed
    names = b"".join(name.encode("utf-16-le") + b"\x00\x00" for name in files)
    streams = _streams(0, len(body), descriptor, [len(c) for c in files.values()], [zlib.crc32(c) for c in files.values()])
    listing = b"\x05" + _number(len(files)) + b"\x11" + _number(len(names) + 1) + b"\x00" + names + b"\x00"
    header = b"\x01\x04" + streams + listing + b"\x00"
    if pack_header:
        descriptor, pack = _CODECS["lzma"]
        packed = pack(header)
        outer = b"\x17" + b"\x06" + _number(len(body)) + _number(1) + b"\x09" + _number(len(packed)) + b"\x00"
        outer += b"\x07\x0b" + _number(1) + b"\x00" + _number(1) + descriptor + b"\x0c" + _number(len(header)) + b"\x0a\x01" + struct.pack("<I", zlib.crc32(header)) + b"\x00\x00"
        body, header = body + packed, outer
    if wrong_crc:
        header = header.replace(struct.pack("<I", zlib.crc32(next(iter(files.values())))), b"\x01\x02\x03\x04")
    start = struct.pack("<QQI", len(body), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\x00\x04" + struct.pack("<I", zlib.crc32(start)) + start + body + header + trailing


def _with(codec: str) -> Callable[[], bytes]:
    return lambda: build_7z({"readme.txt": b"hello\n", "model.pkl": PAYLOAD}, codec)


for _codec in ("copy", "lzma", "lzma2", "deflate", "bzip2"):
    register(f"7z.pickle_{_codec}", _NESTED, _with(_codec), filename="model.7z")
register("7z.torch_packed_header", _NESTED, lambda: build_7z({"pytorch_model.bin": torch_zip(PAYLOAD)}, pack_header=True), filename="pytorch_model.bin")
register("7z.in_7z", _NESTED, lambda: build_7z({"a.7z": build_7z({"model.pkl": PAYLOAD})}, "copy"), filename="models.7z")
register("7z.trailing_pickle", _NESTED, lambda: build_7z({"a.txt": b"hello\n"}, trailing=PAYLOAD), filename="model.7z")
register("7z.traversal", _PATHS, lambda: build_7z({"../../stannary.txt": b"stannary"}), filename="model.7z")
register("7z.encrypted", _PATHS, lambda: build_7z({"model.pkl": bytes(64)}, "aes"), filename="model.7z")
register("7z.bomb", _PATHS, lambda: build_7z({"model.bin": bytes(400 << 20)}, "deflate", packed=zeros(400 << 20)), filename="model.7z")
register("7z.unknown_codec", "malformed", lambda: build_7z({"model.pkl": bytes(64)}, "ppmd"), filename="model.7z", malicious=None)
register("7z.bad_crc", "malformed", lambda: build_7z({"a.txt": b"hello\n"}, wrong_crc=True), filename="model.7z", malicious=None)
register("7z.cut", "malformed", lambda: build_7z({"model.pkl": benign()})[:60], filename="model.7z", malicious=None)
register("7z.plain", _BENIGN, lambda: build_7z({"a.txt": b"hello\n", "model.pkl": benign()}), filename="model.7z", malicious=False)
register("7z.plain_packed", _BENIGN, lambda: build_7z({"a.txt": b"hello\n", "model.pkl": benign()}, "lzma", pack_header=True), filename="model.7z", malicious=False)
