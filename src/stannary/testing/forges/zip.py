"""ZIP tricks: what one loader reads and another does not see."""

from __future__ import annotations

import struct
import zlib

from stannary.testing.forges.pickle import PAYLOAD, register
from stannary.testing.forges.pickle_streams import benign
from stannary.testing.forges.torch import state_dict, torch_zip
from stannary.testing.forges.zip_writer import Item, Raw, build_zip

__all__ = ["zeros"]

_TRICKS = "zip header tricks torch loads"
_PATHS = "traversal/symlink/bomb"
_NESTED = "nested tar/zip/7z/OCI"
_BENIGN = "benign zip"
_ROOT = "archive"
_LINK = 0o120777 << 16


def _model(first: Item | list[Item | Raw], **end: object) -> bytes:
    items: list[Item | Raw] = list(first) if isinstance(first, list) else [first]
    items += [Item(f"{_ROOT}/version", b"3\n"), Item(f"{_ROOT}/byteorder", b"little"), Item(f"{_ROOT}/data/0", bytes(16), align=64)]
    return build_zip(items, **end)  # type: ignore[arg-type]


def _evil(**fields: object) -> Item:
    return Item(f"{_ROOT}/data.pkl", PAYLOAD, **fields)  # type: ignore[arg-type]


def _good(**fields: object) -> Item:
    return Item(f"{_ROOT}/data.pkl", state_dict(), **fields)  # type: ignore[arg-type]


def _trick(name: str, build: object, *, filename: str = "model.pt") -> None:
    register(f"zip.{name}", _TRICKS, build, filename=filename)  # type: ignore[arg-type]


def torch_zip_prefixed(prefix: bytes) -> bytes:
    """Return an archive with something in front of it, offsets shifted."""
    return _model(_good(), prefix=prefix)


def _deflate(content: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(content) + engine.flush()


def _unicode_path(name: str, other: str) -> bytes:
    body = b"\x01" + struct.pack("<I", zlib.crc32(name.encode())) + other.encode()
    return struct.pack("<HH", 0x7075, len(body)) + body


def _without_directory(archive: bytes) -> bytes:
    return archive[: archive.index(b"PK\x01\x02")]


def _eocd_in_comment(outer: bytes | None = None, inner: bytes = PAYLOAD) -> bytes:
    # Two directories over one file: the comment of the first end record holds a directory and an end record of its own.
    first = Item(f"{_ROOT}/data.pkl", outer or state_dict())
    second = Item(f"{_ROOT}/data.pkl", inner, in_central=False)
    body = build_zip([first, second])
    at = body.index(b"PK\x03\x04", 4)
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0x21, zlib.crc32(inner), len(inner), len(inner), len(second.name), 0, 0, 0, 0, 0, at) + str(second.name).encode()
    start = len(body)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), start, 0)
    comment = entry + end
    return body[:-2] + struct.pack("<H", len(comment)) + comment


def _shifted() -> bytes:
    # The offsets are right twice: as written (a first archive's header) and counted from the directory (a second's).
    evil = build_zip([_evil()])
    header = evil[: evil.index(b"PK\x01\x02")]
    return header + build_zip([_good()])


def _overlapping() -> bytes:
    body = build_zip([Item("a.pkl", PAYLOAD)])
    size = body.index(b"PK\x01\x02")
    entries = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0x21, zlib.crc32(PAYLOAD), len(PAYLOAD), len(PAYLOAD), 5, 0, 0, 0, 0, 0, 0) + name
        for name in (b"a.pkl", b"b.pkl", b"c.txt")
    )
    return body[:size] + entries + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 3, 3, len(entries), size, 0)


def _zip64_conflict() -> bytes:
    good = build_zip([_good(), _evil(in_central=False)])
    start, record = good.index(b"PK\x01\x02"), good.rindex(b"PK\x05\x06")
    at = good.index(b"PK\x03\x04", 4)
    name = f"{_ROOT}/data.pkl".encode()
    other = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0x21, zlib.crc32(PAYLOAD), len(PAYLOAD), len(PAYLOAD), len(name), 0, 0, 0, 0, 0, at) + name
    wide_start = record
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(other), wide_start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, wide_start + len(other), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, record - start, start, 0)
    return good[:record] + other + wide + locator + end


def _path(name: str, build: object, *, filename: str = "model.zip", malicious: bool | None = True) -> None:
    register(f"zip.{name}", _PATHS, build, filename=filename, malicious=malicious)  # type: ignore[arg-type]


def zeros(size: int) -> bytes:
    """Return a raw deflate stream of that many zeros (whole MiB), without compressing them all."""
    # One block, flushed so that it stands alone, as often as needed; b"\x03\x00" is an empty last block.
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = engine.compress(bytes(1 << 20)) + engine.flush(zlib.Z_FULL_FLUSH)
    return block * (size >> 20) + b"\x03\x00"


def _bomb(size: int) -> bytes:
    return build_zip([Item("weights.bin", b"", method=8, packed=zeros(size), size=size, crc=0)])


def _overlap_bomb() -> bytes:
    kernel = zeros(64 << 20)
    body = build_zip([Item("0", b"", method=8, packed=kernel, size=64 << 20, crc=0)])
    start = body.index(b"PK\x01\x02")
    entries = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0x21, 0, len(kernel) - i, 64 << 20, 4, 0, 0, 0, 0, 0, 0) + b"%04d" % i for i in range(40)
    )
    return body[:start] + entries + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 40, 40, len(entries), start, 0)


def _deep(levels: int) -> bytes:
    content = build_zip([Item("model.pkl", PAYLOAD)])
    for level in range(levels):
        content = build_zip([Item(f"{level}.zip", content, method=8 * (level % 2))])
    return content


# Names: which of two is read
_trick("duplicate_first", lambda: _model([_evil(), _good()]))
_trick("duplicate_last", lambda: _model([_good(), _evil()]))
_trick("duplicate_case", lambda: _model([Item(f"{_ROOT}/DATA.PKL", PAYLOAD), _good()]))
_trick("duplicate_slashes", lambda: _model([Item(f"{_ROOT}//data.pkl", PAYLOAD), _good()]))
_trick("duplicate_plain_content", lambda: build_zip([Item("weights.bin", b"weights one"), Item("weights.bin", b"weights two")]), filename="model.zip")
_trick("name_differs", lambda: _model([_evil(local_name=f"{_ROOT}/readme.txt"), Item(f"{_ROOT}/x", b"x")]))
_trick("name_differs_central", lambda: _model(Item(f"{_ROOT}/readme.txt", PAYLOAD, local_name=f"{_ROOT}/data.pkl")))
_trick("name_nul", lambda: _model([Item(f"{_ROOT}/data.pkl\x00.txt", PAYLOAD), _good()]))
_trick("name_control", lambda: _model([Item(f"{_ROOT}/data\u202elkp.txt", PAYLOAD), _good()]))
_trick("name_unicode_path", lambda: _model([Item(f"{_ROOT}/notes.txt", PAYLOAD, extra=_unicode_path(f"{_ROOT}/notes.txt", f"{_ROOT}/data.pkl")), _good()]))

# Fields that make a reader give up
_trick("flag_encrypted", lambda: _model(_evil(flags=1)))
_trick("flag_encrypted_local", lambda: _model(_evil(local_flags=1)))
_trick("flag_encrypted_deflated", lambda: _model(_evil(flags=1, method=8)))
_trick("flag_strong_encryption", lambda: _model(_evil(flags=0x41)))
_trick("crc_wrong", lambda: _model(_evil(crc=0x12345678)))
_trick("crc_wrong_deflated", lambda: _model(_evil(crc=0x12345678, method=8)))
_trick("crc_differs", lambda: _model(_evil(local_crc=1)))
_trick("method_differs", lambda: _model(_evil(local_method=8)))
_trick("method_unknown", lambda: _model(_evil(method=77, local_method=0, packed=PAYLOAD)))
_trick("method_bzip2_not_so", lambda: _model(_evil(method=12, local_method=12, packed=PAYLOAD)))
_trick("method_zstd_not_so", lambda: _model(_evil(method=93, local_method=93, packed=PAYLOAD)))
_trick("method_xz_not_so", lambda: _model(_evil(method=95, local_method=95, packed=PAYLOAD)))
_trick("method_unknown_local", lambda: _model(_evil(local_method=77)))
_trick("version_255", lambda: _model(_evil(version=255)))
_trick("version_255_local", lambda: _model(_evil(local_version=255)))
_trick("size_local_zero", lambda: _model(_evil(local_size=0)))
_trick("size_local_huge", lambda: _model(_evil(local_size=0x7FFFFFFF)))
_trick("size_lies", lambda: _model(_evil(size=3)))
_trick("size_lies_deflated", lambda: _model(_evil(size=3, method=8)))
_trick("descriptor", lambda: _model(_evil(descriptor=True)))
_trick("descriptor_wrong", lambda: _model(_evil(descriptor=True, descriptor_crc=5)))
_trick("disk_number", lambda: _model(_evil(), disk=3))
_trick("count_short", lambda: _model([_good(), _evil()], count=1))
_trick("count_zero", lambda: _model(_evil(), count=0))

# Members that only one kind of reader sees
_trick("local_only", lambda: _model([_good(), Item("extra.pkl", PAYLOAD, in_central=False)]))
_trick("local_only_first", lambda: _model([Item("extra.pkl", PAYLOAD, in_central=False), _good()]))
_trick("no_directory", lambda: _without_directory(_model(_evil())))
_trick("no_directory_descriptor", lambda: _without_directory(_model(_evil(descriptor=True, method=8))))
_trick("directory_in_comment", _eocd_in_comment)
_trick("directory_in_comment_inner_good", lambda: _eocd_in_comment(outer=PAYLOAD, inner=state_dict()))
_trick("two_archives", lambda: torch_zip(PAYLOAD) + torch_zip(state_dict()))
_trick("two_archives_reversed", lambda: torch_zip(state_dict()) + torch_zip(PAYLOAD))
_trick("shifted_two_headers", _shifted)
_trick("overlap_same", _overlapping)
_trick("zip64_conflict", _zip64_conflict)

# Things around an archive
_trick("prefix_pickle", lambda: torch_zip_prefixed(PAYLOAD))
_trick("prefix_pickle_unshifted", lambda: _model(_good(), prefix=PAYLOAD, shift=False))
_trick("gap_pickle", lambda: _model([_good(), Raw(PAYLOAD)]))
_trick("gap_before_directory", lambda: _model(_good(), gap=PAYLOAD))
_trick("trailing_pickle", lambda: torch_zip(state_dict()) + PAYLOAD)
_trick("comment_pickle", lambda: _model(_good(), comment=b"\x80\x04" + PAYLOAD[2:]))
_trick("comment_zip", lambda: _model(_good(), comment=build_zip([Item("x.pkl", PAYLOAD)])))
_trick("member_comment_pickle", lambda: _model(_good(comment=b"\x80\x04" + PAYLOAD[2:])))
_trick("behind_deflate", lambda: _model(_good(method=8, packed=_deflate(state_dict()) + PAYLOAD)))

# Paths, links, bombs


_path("traversal", lambda: build_zip([Item("../../../../tmp/stannary.txt", b"stannary"), Item("a.txt", b"a")]))
_path("traversal_backslash", lambda: build_zip([Item("..\\..\\stannary.txt", b"stannary")]))
_path("traversal_middle", lambda: build_zip([Item("a/b/../../../stannary.txt", b"stannary")]))
_path("absolute", lambda: build_zip([Item("/tmp/stannary.txt", b"stannary")]))
_path("absolute_own", lambda: build_zip([Item("/data/frame.pkl.zip", b"stannary")]), filename="frame.pkl.zip", malicious=None)
_path("drive", lambda: build_zip([Item("C:\\stannary.txt", b"stannary")]))
_path("traversal_local", lambda: build_zip([Item("a.txt", b"stannary", local_name="../a.txt")]))
_path("symlink_absolute", lambda: build_zip([Item("link", b"/etc/passwd", made_by=0x0314, attributes=_LINK)]))
_path("symlink_out", lambda: build_zip([Item("a/link", b"../../etc", made_by=0x0314, attributes=_LINK), Item("a/link/x", b"x")]))
_path("device", lambda: build_zip([Item("null", b"x", made_by=0x0314, attributes=0o020666 << 16)]), malicious=None)
_path("central_without_member", lambda: build_zip([Item("a.txt", b"a"), Item("b.pkl", PAYLOAD, in_local=False, offset=9)]), malicious=None)
_path("bomb_ratio", lambda: _bomb(400 << 20))
_path("bomb_overlap", _overlap_bomb)
_path("bomb_nested", lambda: build_zip([Item(f"{i}.zip", build_zip([Item("0", b"", method=8, packed=zeros(100 << 20), size=100 << 20, crc=0)]), method=8) for i in range(6)]))
_path("encrypted", lambda: build_zip([Item("model.pkl", b"", packed=bytes(range(7, 119)) * 2, flags=1, size=212, crc=0xABCDEF01)]))
_path("encrypted_aes", lambda: build_zip([Item("model.pkl", b"", packed=bytes(range(7, 119)) * 2, flags=1, method=99, size=212, crc=0)]))

# Nested

_nest = [
    ("zip_in_zip", lambda: build_zip([Item("inner.zip", build_zip([Item("model.pkl", PAYLOAD)]), method=8)])),
    ("zip_in_zip_stored", lambda: build_zip([Item("inner.zip", build_zip([Item("model.pkl", PAYLOAD)]))])),
    ("zip_six_deep", lambda: _deep(6)),
    ("zip_renamed_member", lambda: build_zip([Item("notes.txt", PAYLOAD)])),
    ("zip_deflated_pickle", lambda: build_zip([Item("m/model.pkl", PAYLOAD, method=8)])),
    ("zip_torch_inside", lambda: build_zip([Item("m/pytorch_model.bin", torch_zip(PAYLOAD), method=8)])),
]
for _name, _build in _nest:
    register(f"zip.{_name}", _NESTED, _build, filename="models.zip")

# Quiet

register("zip.plain", _BENIGN, lambda: build_zip([Item("a/readme.txt", b"hello\n"), Item("a/model.pkl", benign(), method=8)]), filename="model.zip", malicious=False)
register("zip.plain_descriptor", _BENIGN, lambda: build_zip([Item("a.txt", b"hello\n", method=8, descriptor=True)]), filename="model.zip", malicious=False)
register("zip.plain_comment", _BENIGN, lambda: build_zip([Item("a.txt", b"hello\n")], comment=b"made by stannary"), filename="model.zip", malicious=False)
register("zip.plain_prefix", _BENIGN, lambda: build_zip([Item("a.txt", b"hello\n")], prefix=b"#!/usr/bin/env python3\n"), filename="app.pyz", malicious=False)
register("zip.plain_link", _BENIGN, lambda: build_zip([Item("a/b.txt", b"hello\n"), Item("a/link", b"b.txt", made_by=0x0314, attributes=_LINK)]), filename="model.zip", malicious=False)
register("zip.plain_empty", _BENIGN, lambda: build_zip([]), filename="empty.zip", malicious=False)
register("zip.plain_directory", _BENIGN, lambda: build_zip([Item("a/", b""), Item("a/b.txt", b"hello\n")]), filename="model.zip", malicious=False)
register("zip.plain_duplicate_same", _BENIGN, lambda: build_zip([Item("a.txt", b"hello\n"), Item("a.txt", b"hello\n")]), filename="model.zip", malicious=False)
register("zip.plain_keras", _BENIGN, lambda: build_zip([Item("metadata.json", b'{"keras_version": "3.5.0"}'), Item("config.json", b'{"module": "keras", "class_name": "Sequential", "config": {"layers": []}}')]), filename="model.keras", malicious=False)
register("zip.cut", "malformed", lambda: torch_zip(state_dict())[:-40], filename="model.pt", malicious=None)
register("zip.huge_length", "malformed", lambda: build_zip([Item("a.bin", b"abc", local_size=0xFFFFFFF0)])[:40], filename="model.zip", malicious=None)
register("zip.only_record", "malformed", lambda: b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 5, 5, 500, 4000, 0), filename="model.zip", malicious=None)
