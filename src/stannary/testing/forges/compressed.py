"""Compressed streams with something behind, between or under them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable

from stannary.testing.forges.joblib import lz4_frame, zstd_frame
from stannary.testing.forges.pickle import ECHO, PAYLOAD, register
from stannary.testing.forges.pickle_streams import benign
from stannary.testing.forges.zip import zeros
from stannary.testing.pickle_assembler import Assembler

__all__ = ["gzip_named"]

_FAMILY = "nested tar/zip/7z/OCI"
_PATHS = "traversal/symlink/bomb"
_BENIGN = "benign compressed"


def gzip_named(name: bytes, content: bytes) -> bytes:
    """Return a gzip member with a file name in its header."""
    plain = gzip.compress(content, mtime=0)
    return plain[:3] + b"\x08" + plain[4:10] + name + b"\x00" + plain[10:]


def _gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _bomb() -> bytes:
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + zeros(400 << 20) + bytes(8)


_CODECS: dict[str, Callable[[bytes], bytes]] = {"gz": _gz, "bz2": bz2.compress, "xz": lzma.compress, "lzma": lambda raw: lzma.compress(raw, lzma.FORMAT_ALONE), "zst": zstd_frame, "lz4": lz4_frame, "z": zlib.compress}

def _after(pack: Callable[[bytes], bytes], build: Callable[[], bytes]) -> Callable[[], bytes]:
    return lambda: pack(build())


def _followed(pack: Callable[[bytes], bytes]) -> Callable[[], bytes]:
    return lambda: pack(benign()) + PAYLOAD


for _name, _pack in _CODECS.items():
    register(f"compressed.{_name}_pickle", _FAMILY, _after(_pack, lambda: PAYLOAD), filename=f"model.pkl.{_name}")
    register(f"compressed.{_name}_trailing", _FAMILY, _followed(_pack), filename=f"model.pkl.{_name}")
    register(f"compressed.{_name}_renamed", _FAMILY, _after(_pack, lambda: PAYLOAD), filename="model.safetensors")
    register(f"compressed.{_name}_plain", _BENIGN, _after(_pack, benign), filename=f"model.pkl.{_name}", malicious=False)

_CUT = Assembler(4).call("os", "system", ECHO).content() + bytes(range(256)) * 40
register("compressed.gz_members", _FAMILY, lambda: _gz(PAYLOAD[:9]) + _gz(PAYLOAD[9:]), filename="model.pkl.gz")
register("compressed.gz_second_stream", _FAMILY, lambda: _gz(benign()) + _gz(PAYLOAD), filename="model.pkl.gz")
register("compressed.gz_cut", _FAMILY, lambda: _gz(_CUT)[:-40], filename="model.pkl.gz")
register("compressed.gz_bad_crc", _FAMILY, lambda: _gz(PAYLOAD)[:-8] + bytes(8), filename="model.pkl.gz")
register("compressed.gz_twice", _FAMILY, lambda: _gz(_gz(_gz(PAYLOAD))), filename="model.pkl.gz")
register("compressed.bz2_streams", _FAMILY, lambda: bz2.compress(PAYLOAD[:9]) + bz2.compress(PAYLOAD[9:]), filename="model.pkl.bz2")
register("compressed.xz_padding", _FAMILY, lambda: lzma.compress(benign()) + bytes(8) + lzma.compress(PAYLOAD), filename="model.pkl.xz")
register("compressed.zst_skippable", _FAMILY, lambda: b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + zstd_frame(PAYLOAD), filename="model.pkl.zst")
register("compressed.zst_second_frame", _FAMILY, lambda: zstd_frame(benign()) + zstd_frame(PAYLOAD), filename="model.pkl.zst")
register("compressed.lz4_second_frame", _FAMILY, lambda: lz4_frame(benign()) + lz4_frame(PAYLOAD), filename="model.pkl.lz4")
register("compressed.gz_named_traversal", _PATHS, lambda: gzip_named(b"../../stannary.sh", b"echo stannary\n"), filename="model.gz")
register("compressed.gz_bomb", _PATHS, _bomb, filename="model.gz")
register("compressed.bz2_bomb", _PATHS, lambda: bz2.compress(bytes(40 << 20)) * 12, filename="model.bz2")
register("compressed.gz_named", _BENIGN, lambda: gzip_named(b"model.pkl", benign()), filename="model.pkl.gz", malicious=False)
register("compressed.gz_padded", _BENIGN, lambda: _gz(benign()) + bytes(512), filename="model.pkl.gz", malicious=False)
register("compressed.gz_cut_plain", "malformed", lambda: _gz(benign() + bytes(range(256)) * 10)[:-30], filename="model.pkl.gz", malicious=None)
register("compressed.xz_cut", "malformed", lambda: lzma.compress(benign())[:-30], filename="model.pkl.xz", malicious=None)
register("compressed.zst_cut", "malformed", lambda: zstd_frame(benign())[:-10], filename="model.pkl.zst", malicious=None)
register("compressed.lz4_cut", "malformed", lambda: lz4_frame(benign())[:-20], filename="model.pkl.lz4", malicious=None)
register("compressed.zlib_cut", "malformed", lambda: zlib.compress(benign() * 30)[:-30], filename="model.joblib", malicious=None)
register("compressed.bz2_wrong", "malformed", lambda: b"BZh9" + bytes(60), filename="model.bz2", malicious=None)

