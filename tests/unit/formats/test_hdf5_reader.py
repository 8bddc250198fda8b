"""The HDF5 reader on hand-made files: objects, values, loops, sizes."""

from __future__ import annotations

import struct

import pytest

from stannary.checks.static.walk import read_view
from stannary.core.errors import FormatError
from stannary.formats.hdf5_chunks import decode
from stannary.formats.hdf5_file import find_superblock
from stannary.formats.interface import Limits, View
from stannary.testing.forges._hdf5_writer import Writer, external_link, hard_link


def facts(raw, kind, **options):
    report = read_view(View(raw, "x.h5"), strict=True, **options)
    return [fact for fact in report.facts if fact.kind == kind]


def test_superblock_is_found_at_powers_of_two():
    raw = Writer().finish(0)
    for offset in (0, 512, 1024, 65536):
        assert find_superblock(View(bytes(offset) + raw)) == offset
    assert find_superblock(View(bytes(513) + raw)) is None


def test_every_object_is_visited_once_even_in_a_loop():
    w = Writer()
    inner = w.group({"w": w.dataset((2, 4), bytes(32))})
    links = [hard_link("again", inner), hard_link("root", len(w.data) + (-len(w.data) % 8))]
    root = w.group({"inner": inner}, links)
    (fact,) = facts(w.finish(root), "hdf5.file")
    assert fact.data["objects"] == 3


def test_external_link_names_file_and_target():
    w = Writer()
    (fact,) = facts(w.finish(w.group({}, [external_link("a", "other.h5", "/b")])), "hdf5.external_link")
    assert fact.data == {"path": "/a", "file": "other.h5", "target": "/b"}


def test_links_before_a_broken_message_are_reported():
    w = Writer()
    raw = w.finish(w.group({}, [external_link("a", "/etc/passwd", "/b"), (0x06, b"\x09\0")]))
    report = read_view(View(raw, "x.h5"), strict=True)
    assert [f.data["file"] for f in report.facts if f.kind == "hdf5.external_link"] == ["/etc/passwd"]
    assert report.missed


def test_model_config_is_read_as_keras():
    w = Writer()
    text = b'{"class_name": "Sequential", "config": {"layers": []}}'
    (fact,) = facts(w.finish(w.group({}, [w.attribute("model_config", text)])), "keras.config")
    assert fact.part == "/@model_config"


def test_a_chain_of_continuations_is_bounded():
    w = Writer()
    here = 96
    body = struct.pack("<HHB3xQQ", 0x10, 16, 0, here + 16, 24)  # a continuation that points to itself
    w.put(struct.pack("<BxHII4x", 1, 1, 1, len(body)) + body)
    assert facts(w.finish(here), "hdf5.file")


def test_members_are_counted():
    w = Writer()
    root = w.group({f"g{i}": w.group({}) for i in range(50)})
    report = read_view(View(w.finish(root), "x.h5"), limits=Limits(members=10), strict=True)
    assert any("entries" in missed.reason for missed in report.missed)


@pytest.mark.parametrize(
    "mask,expected", [(0, b"\x01\x02\x03\x04" * 4), (1, b"\x01\x01\x01\x01\x02\x02\x02\x02\x03\x03\x03\x03\x04\x04\x04\x04")]
)
def test_shuffle_is_undone_unless_the_chunk_left_it_out(mask, expected):
    shuffled = b"\x01" * 4 + b"\x02" * 4 + b"\x03" * 4 + b"\x04" * 4
    assert decode(shuffled, [2], mask, 4) == expected


def test_lzf_back_references():
    assert decode(b"\x02abc" + b"\x20\x02" + b"\x00!", [32000], 0, 1) == b"abcabc!"
    with pytest.raises(FormatError):
        decode(b"\x20\x10", [32000], 0, 1)


def test_a_chunk_that_does_not_inflate():
    with pytest.raises(FormatError):
        decode(b"not deflate", [1], 0, 1)
