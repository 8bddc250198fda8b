"""Mutations of any artifact: by structure where it is known (pickle, zip, tar, npy, compressed), else by fields and lines.

    changed = mutate(content, random.Random(7), pool)

Deterministic: the same content, generator and pool give the same bytes.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import zlib
from collections.abc import Callable, Sequence

from stannary.testing.forges.zip_writer import Item, Raw, build_zip
from stannary.testing.mutations_pickle import mutate_pickle, tokens
from stannary.testing.mutations_zip import mutate_zip

__all__ = ["mutate", "mutate_bytes", "wrap"]

_EDGES = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)
_TEXT = (b"\n", b"\x00", b"{{", b"}}", b"[" * 40, b"{" * 40, b'"', b"'", b"\\", b"<!--", b"&a;", b"1e999", b"-1", b"9" * 400, b"NaN",
         b"null", b"!!python/object/apply:os.system", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xe2\x80\xae", b"%s" * 9, b"../" * 5)  # fmt: skip
_COMPRESSED: tuple[tuple[bytes, Callable[[bytes], bytes], Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", lambda raw: zlib.decompressobj(31).decompress(raw), lambda raw: gzip.compress(raw, mtime=0)),
    (b"BZh", lambda raw: bz2.BZ2Decompressor().decompress(raw), bz2.compress),
    (b"\xfd7zXZ", lambda raw: lzma.LZMADecompressor().decompress(raw), lzma.compress),
    (b"\x5d\x00\x00", lambda raw: lzma.LZMADecompressor().decompress(raw), lambda raw: lzma.compress(raw, lzma.FORMAT_ALONE)),
    (b"\x78", lambda raw: zlib.decompressobj().decompress(raw), zlib.compress),
)
_MOST = 1 << 16  # of decompressed content that is mutated


def mutate(content: bytes, rng: random.Random, pool: Sequence[bytes] = ()) -> bytes:
    """Return a changed copy. `pool`: pickle streams to splice from and to hide in containers."""
    changed = _by_structure(content, rng, pool)
    if rng.random() < 0.1:
        changed = mutate_bytes(changed, rng)
    if rng.random() < 0.06 and len(changed) < _MOST:
        changed = wrap(changed, rng)
    return changed


def _by_structure(content: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    if content[:2] == b"PK" or b"PK\x05\x06" in content[-64:]:
        return mutate_zip(content, rng, pool)
    if content[257:262] == b"ustar":
        return _tar(content, rng, pool)
    if content[:6] == b"\x93NUMPY":
        return _npy(content, rng, pool)
    for magic, unpack, pack in _COMPRESSED:
        if content.startswith(magic):
            return _compressed(content, rng, pool, (unpack, pack))
    head = content[:512]
    if (
        content[:1] == b"\x80"
        or (len(tokens(content[:4096])) > 3 and not head[:64].isascii())
        or b"\nR" in head
        or b"tR." in content
    ):
        return mutate_pickle(content, rng, pool)
    return _lines(content, rng) if _textual(head) else mutate_bytes(content, rng)


def _textual(head: bytes) -> bool:
    return b"\x00" not in head and all(c >= 32 or c in b"\t\r\n" for c in head)


# Bytes and lines


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Overwrite a number, flip, cut, repeat, move or drop a piece: one to four times."""
    raw = bytearray(content or b"\x00")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(raw) + 1) if rng.random() < 0.5 else rng.randrange(min(len(raw), 96) + 1)
        match rng.randrange(8):
            case 0 | 1:
                width = rng.choice((1, 2, 4, 8))
                value = rng.choice((*_EDGES, len(raw), len(raw) - at, rng.randrange(1 << 16))) & ((1 << 8 * width) - 1)
                raw[at : at + width] = value.to_bytes(width, "little" if rng.random() < 0.5 else "big")
            case 2:
                raw[at : at + 1] = bytes((rng.randrange(256),))
            case 3:
                raw[at : at + 1] = bytes((raw[at] ^ (1 << rng.randrange(8)),)) if at < len(raw) else b"\x00"
            case 4:
                piece = raw[at : at + rng.choice((1, 4, 16, 200))]
                to = rng.randrange(len(raw) + 1)
                raw[to:to] = piece * rng.choice((1, 2, 30))
            case 5:
                del raw[at : at + rng.choice((1, 2, 4, 8, 64))]
            case 6:
                raw[at:at] = rng.choice((bytes(8), b"\xff" * 8, rng.randbytes(5)))
            case _:
                if rng.random() < 0.3:
                    del raw[at:]
        if not raw:
            raw.append(0)
    return bytes(raw)


def _lines(content: bytes, rng: random.Random) -> bytes:
    """Repeat, drop, swap and spoil lines."""
    if rng.random() < 0.3:
        return mutate_bytes(content, rng)
    lines = content.splitlines(keepends=True) or [b""]
    for _ in range(rng.choice((1, 2, 4))):
        at = rng.randrange(len(lines))
        match rng.randrange(5):
            case 0:
                lines[at:at] = [lines[at]] * rng.choice((1, 2, 50))
            case 1 if len(lines) > 1:
                del lines[at]
            case 2:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = b" " * rng.choice((1, 4, 90)) + lines[at]
            case _:
                to = rng.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:to] + rng.choice(_TEXT) + lines[at][to + rng.choice((0, 0, 1, 5)) :]
    return b"".join(lines)


# Containers


def _compressed(
    content: bytes, rng: random.Random, pool: Sequence[bytes], codec: tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]
) -> bytes:
    unpack, pack = codec
    choice = rng.random()
    if choice < 0.55:
        try:
            inside = unpack(content[:_MOST])[:_MOST]
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
            return mutate_bytes(content, rng)
        return pack(mutate(inside, rng, pool))
    if choice < 0.65:
        return content + rng.choice((pack(rng.choice(pool) if pool else b"x"), b"\x00" * 9, b"junk", content[:9]))
    if choice < 0.75:
        return pack(content)
    if choice < 0.8 and content[:2] == b"\x1f\x8b":
        extra = rng.choice(
            (
                b"\x04" + bytes(6) + b"\x03\x00abc",
                b"\x08" + bytes(6) + b"../x.pkl\x00",
                b"\x10" + bytes(6) + b"c\x00",
                b"\x02" + bytes(6) + b"\x00\x00",
            )
        )
        return content[:3] + extra + content[10:]
    return mutate_bytes(content, rng)


def _npy(content: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    width = 2 if content[6:7] == b"\x01" else 4
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    header, rest = content[8 + width : start], content[start:]
    match rng.randrange(6):
        case 0 | 1:
            rest = mutate_pickle(rest, rng, pool) if b"O" in header else mutate_bytes(rest, rng)
        case 2:
            header = _lines(header, rng)
        case 3:
            old, new = rng.choice(((b"|O", b"O"), (b"O", b"O8"), (b"|O", b"object"), (b"<f8", b"|O"), (b"False", b"True"), (b"(", b"(1,"), (b", }", b"}"),
                                   (b"(", b"(0,"), (b"'|O'", b"[('a', '|O')]"), (b"'|O'", b"('|O', 2)"), (b"{", b"  {"), (b"|O", b"|O4"), (b"|O", b">O")))  # fmt: skip
            header = header.replace(old, new, 1)
        case 4:
            return mutate_bytes(content, rng)
        case _:
            rest += rng.choice(pool) if pool else content
    length = rng.choice((len(header),) * 6 + (len(header) + 1, 0))
    version = rng.choice((content[6:8],) * 4 + (b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x01\x07"))
    wide = 2 if version[:1] == b"\x01" else 4
    return b"\x93NUMPY" + version + min(length, (1 << 8 * wide) - 1).to_bytes(wide, "little") + header + rest


def _tar(content: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    blocks = [content[i : i + 512] for i in range(0, len(content), 512)]
    heads = [i for i, block in enumerate(blocks) if block[257:262] == b"ustar"]
    at = rng.choice(heads) if heads else 0
    fields = ((0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (148, 8), (156, 1), (157, 100), (257, 8), (345, 155))
    head = bytearray(blocks[at].ljust(512, b"\x00"))
    match rng.randrange(7):
        case 0 | 1 | 2:
            start, size = rng.choice(fields)
            value = rng.choice((b"%o" % rng.choice(_EDGES[:12]), b"", b"\x80" + b"\x00" * 6 + b"\x01", b"\xff" * 12, b"-1", b"  7 ", b"g", b"x", b"L", b"S", b"0", b"\x00",
                                b"5", b"1", b"2", b"../../x", b"/etc/x", b"ustar  \x00", b"99999999999"))  # fmt: skip
            head[start : start + size] = value[:size].ljust(size, rng.choice((b"\x00", b" ")))
            blocks[at] = bytes(head)
        case 3:
            body = mutate_pickle(blocks[at + 1], rng, pool)[:512].ljust(512, b"\x00") if at + 1 < len(blocks) else b""
            blocks[at + 1 : at + 2] = [body]
        case 4:
            blocks[at:at] = blocks[at : at + rng.choice((1, 2))]
        case 5:
            del blocks[at : at + rng.choice((1, 2))]
        case _:
            return mutate_bytes(content, rng)
    if at < len(blocks) and len(blocks[at]) == 512 and rng.random() < 0.8:
        blocks[at] = _summed(blocks[at])
    return b"".join(blocks) or b"\x00"


def _summed(block: bytes) -> bytes:
    if block[257:262] != b"ustar":
        return block
    return block[:148] + b"%06o\x00 " % (sum(block[:148]) + 256 + sum(block[156:])) + block[156:]


def wrap(content: bytes, rng: random.Random) -> bytes:
    """Put content into one of the wrappings that loaders open."""
    match rng.randrange(8):
        case 0:
            return zlib.compress(content)
        case 1:
            return gzip.compress(content, mtime=0)
        case 2:
            return bz2.compress(content)
        case 3:
            return lzma.compress(content, rng.choice((lzma.FORMAT_XZ, lzma.FORMAT_ALONE)))
        case 4:
            return _torch_zip(content, rng)
        case 5:
            header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
            return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content
        case 6:
            return _tarred(content)
        case _:
            return b"ZF" + hex(len(content)).encode().ljust(19) + zlib.compress(content)


def _torch_zip(content: bytes, rng: random.Random) -> bytes:
    root = rng.choice(("archive/", "model/", ""))
    items: list[Item | Raw] = [
        Item(f"{root}data.pkl", content, method=rng.choice((0, 8))),
        Item(f"{root}version", b"3\n"),
        Item(f"{root}data/0", bytes(16)),
    ]
    return build_zip(items)


def _tarred(content: bytes) -> bytes:
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("pickle")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()
