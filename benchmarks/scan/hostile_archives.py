"""Archives and compressed streams that make a reader work: many members, bombs, archives in archives."""

# ruff: noqa: PLR0915 - a table

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator

from stannary.testing.forges.sevenzip import build_7z
from stannary.testing.forges.tar import build_tar, entry, pax

PICKLE = b"\x80\x04cposix\nsystem\n\x8c\x0aecho hello\x85R."
PLAIN = b"\x80\x04}\x8c\x01aK\x01s."
Case = tuple[str, str, Callable[[], bytes], bool]


def zip_of(members: Iterator[tuple[str, bytes]], *, method: int = 0, extra: bytes = b"") -> bytes:
    """Write a zip without the cost of zipfile."""
    body, directory, at, count = [], [], 0, 0
    for name, content in members:
        raw = name.encode()
        packed = content
        if method:
            engine = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = engine.compress(content) + engine.flush()
        numbers = (20, 0, method, 0, 33, zlib.crc32(content), len(packed), len(content), len(raw), len(extra))
        local = struct.pack("<4s5H3L2H", b"PK\x03\x04", *numbers) + raw + extra + packed
        directory.append(struct.pack("<4sH5H3L5H2L", b"PK\x01\x02", 20, *numbers, 0, 0, 0, 0, at) + raw + extra)
        body.append(local)
        at += len(local)
        count += 1
    central = b"".join(directory)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, min(count, 65535), min(count, 65535), len(central), at, 0)
    return b"".join([*body, central, end])


def _ends_with_payload(count: int, name: str, content: Callable[[int], bytes]) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        yield name % number, content(number)
    yield "zz/data.pkl", PICKLE


def _nested_zip(levels: int, width: int) -> bytes:
    content = PICKLE
    for _ in range(levels):
        content = zip_of((f"{n}.zip", content) for n in range(width))
    return content


def _overlapping(count: int, kernel: int) -> bytes:
    """Return David Fifield's construction without quoting: every entry points to one local header."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = engine.compress(bytes(kernel)) + engine.flush()
    local = (
        struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 33, zlib.crc32(bytes(kernel)), len(packed), kernel, 1, 0)
        + b"a"
        + packed
    )
    numbers = (20, 0, 8, 0, 33, zlib.crc32(bytes(kernel)), len(packed), kernel, 6, 0)
    central = b"".join(struct.pack("<4sH5H3L5H2L", b"PK\x01\x02", 20, *numbers, 0, 0, 0, 0, 0) + b"%06d" % n for n in range(count))
    return local + central + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(central), len(local), 0)


def _tar(count: int, name: str, content: bytes) -> bytes:
    one = entry(name % 0, content)
    return one * count + build_tar(entry("zz/data.pkl", PICKLE))


def _tar_distinct(count: int, name: str, content: bytes) -> bytes:
    return build_tar(*[entry(name % n, content) for n in range(count)], entry("zz/data.pkl", PICKLE))


def _gzip_members(size: int, content: bytes) -> bytes:
    one = gzip.compress(content, mtime=0)
    return one * ((size - 200) // len(one)) + gzip.compress(PICKLE)


def _zstd_frames(size: int) -> bytes:
    frame = b"\x28\xb5\x2f\xfd\x20\x01" + struct.pack("<I", 1 << 3 | 1)[:3] + b"N"
    return frame * (size // len(frame))


def _bomb(size: int) -> bytes:
    return bytes(size)


def archives(size: int) -> Iterator[Case]:
    """Yield name, file name, what makes the content, whether a loader that comes to the end runs a payload."""
    many = size // 340
    some = min(60_000, size // 1000)
    yield "zip.tiny_pickles", "model.zip", lambda: zip_of(_ends_with_payload(some, "a/%d.pkl", lambda _: PLAIN)), True
    yield (
        "zip.tiny_pickles_packed",
        "model.zip",
        lambda: zip_of(_ends_with_payload(some, "a/%d.pkl", lambda _: PLAIN), method=8),
        True,
    )
    yield "zip.tiny_json", "model.zip", lambda: zip_of(_ends_with_payload(some, "a/%d.json", lambda n: b'{"a": %d}' % n)), True
    yield (
        "zip.tiny_python",
        "model.zip",
        lambda: zip_of(_ends_with_payload(some, "a/%d.py", lambda n: b"import os\nx = %d\n" % n)),
        True,
    )
    yield "zip.tiny_text", "model.zip", lambda: zip_of(_ends_with_payload(some, "a/%d.txt", lambda n: b"hello %d\n" % n)), True
    yield (
        "zip.tiny_zips",
        "model.zip",
        lambda: zip_of(_ends_with_payload(some // 2, "a/%d.zip", lambda n: zip_of(iter([(f"{n}", PLAIN)])))),
        True,
    )
    yield "zip.torch_storages", "model.pt", lambda: zip_of((f"archive/data/{n}", b"\0" * 64) for n in range(some)), False
    yield "zip.empty", "model.zip", lambda: zip_of(_ends_with_payload(many, "%d", lambda _: b"")), True
    yield (
        "zip.names_long",
        "model.zip",
        lambda: zip_of(_ends_with_payload(size // 130_000, "%d/" + "a" * 60_000, lambda _: b"x")),
        True,
    )
    yield "zip.names_traversal", "model.zip", lambda: zip_of(_ends_with_payload(some, "../%d", lambda _: b"x")), True
    yield (
        "zip.names_same",
        "model.zip",
        lambda: zip_of(("a.pkl", PICKLE if n == 0 else PLAIN + b"%d" % n) for n in range(some)),
        True,
    )
    yield (
        "zip.extras",
        "model.zip",
        lambda: zip_of(_ends_with_payload(size // 130_000, "%d", lambda _: b"x"), extra=b"\1\2\0\0" * 16000),
        True,
    )
    yield "zip.local_only", "model.zip", lambda: zip_of(_ends_with_payload(many, "%d", lambda _: b"x"))[: -many * 48], True
    yield "zip.signatures", "model.zip", lambda: b"PK\x03\x04" * (size // 4 - 40) + zip_of(iter([("data.pkl", PICKLE)])), True
    yield "zip.ends", "model.zip", lambda: zip_of(iter([("data.pkl", PICKLE)])) + b"PK\x05\x06" * (size // 4), False
    yield "zip.overlapping", "model.zip", lambda: _overlapping(60_000, 20 << 20), False
    yield "zip.nested_10", "model.zip", lambda: _nested_zip(10, 2), True
    yield "zip.nested_wide", "model.zip", lambda: _nested_zip(4, 24), True
    yield "zip.bomb_400m", "model.zip", lambda: zip_of(iter([("a.pkl", bytes(400 << 20)), ("data.pkl", PICKLE)]), method=8), True
    yield (
        "zip.bomb_text",
        "model.zip",
        lambda: zip_of(iter([("a.txt", b"hello world\n" * (30 << 20)), ("data.pkl", PICKLE)]), method=8),
        True,
    )
    yield (
        "zip.bomb_calls",
        "model.zip",
        lambda: zip_of(iter([("data.pkl", b"\x80\x04cm\nC\n)R" + b"}b" * (150 << 20) + b"0" + PICKLE[2:])]), method=8),
        True,
    )
    yield "tar.tiny_pickles", "model.tar", lambda: _tar_distinct(min(60_000, size // 1100), "a/%d.pkl", PLAIN), True
    yield "tar.tiny_json", "model.tar", lambda: _tar_distinct(min(60_000, size // 1100), "a/%d.json", b'{"a": 1}'), True
    yield "tar.same", "model.tar", lambda: _tar(size // 1100, "a/%d.pkl", PLAIN), True
    yield "tar.empty", "model.tar", lambda: _tar(size // 520, "a/%d", b""), True
    yield (
        "tar.links",
        "model.tar",
        lambda: entry("a", kind=b"2", link="/etc") * (size // 520) + build_tar(entry("data.pkl", PICKLE)),
        True,
    )
    yield (
        "tar.deep_names",
        "model.tar",
        lambda: (pax(path="a/" * 3000 + "x") + entry("a")) * (size // 8000) + build_tar(entry("data.pkl", PICKLE)),
        True,
    )
    yield (
        "tar.pax",
        "model.tar",
        lambda: (pax(**{f"k{n}": "v" for n in range(200)}) + entry("a")) * (size // 5200) + build_tar(entry("data.pkl", PICKLE)),
        True,
    )
    yield "tar.zeros", "model.tar", lambda: entry("a") + bytes(size - 4000) + build_tar(entry("data.pkl", PICKLE)), False
    yield "tar.gz_tiny", "model.tar.gz", lambda: gzip.compress(_tar(300_000, "a/%d.pkl", PLAIN), 1), True
    yield "gzip.bomb", "model.pkl.gz", lambda: gzip.compress(bytes(400 << 20), 9), False
    yield (
        "gzip.bomb_calls",
        "model.pkl.gz",
        lambda: gzip.compress(b"\x80\x04cm\nC\n)R" + b"}b" * (200 << 20) + b"0" + PICKLE[2:], 6),
        True,
    )
    yield "gzip.members", "model.pkl.gz", lambda: _gzip_members(size, b""), True
    yield "gzip.members_one", "model.pkl.gz", lambda: _gzip_members(size, b"N"), False
    yield "gzip.nested", "model.gz", lambda: _nest(gzip.compress, 30), True
    yield "bz2.bomb", "model.bz2", lambda: bz2.compress(bytes(800 << 20)), False
    yield "bz2.streams", "model.bz2", lambda: bz2.compress(b"") * (size // 14), False
    yield "bz2.noise", "model.bz2", lambda: bz2.compress(_noise(16 << 20)), False
    yield "xz.bomb", "model.xz", lambda: lzma.compress(bytes(400 << 20), preset=1), False
    yield "xz.streams", "model.xz", lambda: lzma.compress(b"") * (size // 32), False
    yield "xz.noise", "model.xz", lambda: lzma.compress(_noise(24 << 20), preset=0), False
    yield "lzma.bomb", "model.lzma", lambda: lzma.compress(bytes(400 << 20), lzma.FORMAT_ALONE, preset=1), False
    yield "zlib.bomb", "model.pkl.z", lambda: zlib.compress(bytes(400 << 20), 9), False
    yield "zlib.noise", "model.pkl.z", lambda: zlib.compress(_noise(40 << 20), 6), False
    yield "zlib.text", "model.pkl.z", lambda: zlib.compress(b"".join(b"%d,%d\n" % (n, n * 7) for n in range(9_000_000)), 6), False
    yield "zstd.frames", "model.zst", lambda: _zstd_frames(size), False
    yield "zstd.skippable", "model.zst", lambda: struct.pack("<II", 0x184D2A50, 0) * (size // 8), False
    yield "lz4.frames", "model.lz4", lambda: b"\x04\x22\x4d\x18\x60\x40\x82\0\0\0\0" * (size // 11), False
    yield (
        "lz4.bomb",
        "model.lz4",
        lambda: b"\x04\x22\x4d\x18\x60\x70\x73" + struct.pack("<I", 4 << 20 >> 8) + b"\x1f\0\1\0" + b"\xff" * (16380),
        False,
    )
    yield "7z.tiny", "model.7z", lambda: build_7z({f"{n}.pkl": PLAIN for n in range(20_000)} | {"zz.pkl": PICKLE}), True
    yield "7z.bomb", "model.7z", lambda: build_7z({"a.pkl": bytes(400 << 20), "zz.pkl": PICKLE}), True
    yield "npz.arrays", "model.npz", lambda: zip_of((f"{n}.npy", _npy()) for n in range(some)), False


def _nest(pack: Callable[[bytes], bytes], levels: int) -> bytes:
    content = PICKLE
    for _ in range(levels):
        content = pack(content)
    return content


def _npy() -> bytes:
    out = io.BytesIO()
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }"
    out.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + head.ljust(117) + b"\n" + bytes(8))
    return out.getvalue()


def _noise(size: int) -> bytes:
    import random

    return random.Random(3).randbytes(size)
