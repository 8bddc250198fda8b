"""The ZIP reader: the union of what loaders see, streamed, bounded."""

from __future__ import annotations

import io
import time
import zipfile
import zlib

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats import zip as reader
from stannary.formats.interface import Limits, View
from stannary.testing.forges import make
from stannary.testing.forges.pickle import PAYLOAD
from stannary.testing.forges.torch import state_dict, torch_zip
from stannary.testing.forges.zip import zeros
from stannary.testing.forges.zip_writer import Item, build_zip

from .archive_sink import read_with


def packed(method, **members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_method_of_zipfile_is_decoded_without_a_finding(method):
    content = bytes(range(256)) * 5000
    sink = read_with(reader.read, packed(method, a=content, b=b"x"))
    assert sink.children == {"a": content, "b": b"x"}
    assert [kind for kind, _, _ in sink.facts] == ["zip.archive"]
    assert not sink.missed


def test_streamed_archives_with_data_descriptors_are_read():
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.out = b""

        def writable(self):
            return True

        def write(self, content):
            self.out += bytes(content)
            return len(content)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"a" * 1000)
        with archive.open("b.txt", "w", force_zip64=True) as member:
            member.write(b"b" * 1000)
    sink = read_with(reader.read, pipe.out)
    assert sink.children == {"a.txt": b"a" * 1000, "b.txt": b"b" * 1000}
    assert [kind for kind, _, _ in sink.facts] == ["zip.archive"]


def test_zip64_archives_are_read():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for index in range(65540):
            archive.writestr(zipfile.ZipInfo(str(index)), b"")
    sink = read_with(reader.read, out.getvalue())
    assert sink.of("zip.archive")[0]["members"] == 65540
    assert sink.of("zip.archive")[0]["zip64"]
    assert [kind for kind, _, _ in sink.facts] == ["zip.archive"]


def test_both_duplicates_are_handed_on():
    sink = read_with(reader.read, make("zip.duplicate_first"))
    assert sink.of("zip.duplicate")[0]["count"] == 2
    report = read_view(View(make("zip.duplicate_first"), "model.pt"))
    seen = [fact for fact in report.facts if fact.kind == "pickle.stream"]
    assert len(seen) == 2


def test_local_and_central_readings_are_both_handed_on():
    sink = read_with(reader.read, make("zip.method_differs"))
    assert sink.of("zip.mismatch")[0]["field"] == "method"
    assert PAYLOAD in sink.contents


@pytest.mark.parametrize("name", ["zip.directory_in_comment", "zip.directory_in_comment_inner_good"])
def test_a_directory_in_the_comment_is_found(name):
    sink = read_with(reader.read, make(name))
    assert sink.of("zip.directories")[0]["count"] == 2
    assert PAYLOAD in sink.contents


def test_a_nested_archive_stored_last_is_not_a_second_directory():
    inner = packed(zipfile.ZIP_STORED, x=b"inner")
    sink = read_with(reader.read, packed(zipfile.ZIP_STORED, **{"a.txt": b"a", "inner.zip": inner}))
    assert not sink.of("zip.directories")
    assert sink.children["inner.zip"] == inner


def test_raw_storages_are_passed_over_and_a_pickle_in_their_place_is_not():
    quiet = read_with(reader.read, torch_zip(state_dict(), storage=b"\x78\x9c" + bytes(1000)))
    assert not any("data/0" in name for name in quiet.children)
    loud = read_with(reader.read, torch_zip(state_dict(), storage=PAYLOAD))
    assert loud.children["archive/data/0"] == PAYLOAD


def test_large_storages_cost_nothing():
    content = torch_zip(state_dict(), storage=bytes(200 << 20))
    tries = []
    for _ in range(3):  # the least of them: the collector of garbage goes through all that this worker made, at any moment
        began = time.process_time()
        read_with(reader.read, content)
        tries.append(time.process_time() - began)
    assert min(tries) < 0.1


def test_a_bomb_is_stopped_and_said_to_be_one():
    content = build_zip([Item("a", b"", method=8, packed=zeros(4 << 30), size=0xFFFFFFFF, crc=0)])
    began = time.process_time()
    report = read_view(View(content, "a.zip"))
    assert time.process_time() - began < 6
    assert "zip.bomb" in {fact.kind for fact in report.facts}
    assert report.missed


def test_the_member_limit_is_kept():
    content = packed(zipfile.ZIP_STORED, **{str(i): b"x" for i in range(50)})
    report = read_view(View(content, "a.zip"), limits=Limits(members=20))
    assert any("more than 20 entries" in missed.reason for missed in report.missed)


def test_a_checksum_that_fails_at_the_end_does_not_hide_what_came_before():
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = engine.compress(PAYLOAD + bytes(100)) + engine.flush(zlib.Z_SYNC_FLUSH) + b"\xff\xff\xff"
    sink = read_with(reader.read, build_zip([Item("m.pkl", b"", method=8, packed=body, size=len(PAYLOAD), crc=0)]))
    assert sink.children["m.pkl"].startswith(PAYLOAD)
    assert sink.missed


TRUNCATED = ["zip.duplicate_first", "torch.torchscript", "zip.plain_descriptor", "zip.zip64_conflict", "zip.comment_zip"]


@pytest.mark.parametrize("name", TRUNCATED)
def test_every_truncation_is_survived_and_none_is_silent(name):
    content = make(name)
    for size in range(1, len(content)):
        report = read_view(View(content[:size], "model.pt"), strict=True)
        assert report.missed or report.facts


def test_empty_and_wrong_magic():
    assert read_view(View(b"", "a.zip")).missed
    assert read_view(View(b"PK\x03\x05" + bytes(60), "a.zip")).missed
    assert not reader.probe(View(b"nothing at all"))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_download_that_stopped_is_incomplete_and_its_checksum_is_no_finding(method):
    content = packed(method, a=b"a" * 200 + bytes(range(200)))
    for size in range(32, 100):
        sink = read_with(reader.read, content[:size])
        assert sink.missed
        assert not sink.of("zip.crc")
