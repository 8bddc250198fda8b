"""The tar reader: what tarfile writes is read in full; what readers skip is said."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats import tar as reader
from stannary.formats.identify import identify
from stannary.formats.interface import View
from stannary.testing.forges import make
from stannary.testing.forges.pickle import PAYLOAD
from stannary.testing.forges.tar import build_tar, entry, pax

from .archive_sink import read_with


def archived(form, **members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_tarfile_is_read_without_a_finding(form):
    long = "/".join(["folder"] * 20) + "/name.txt"
    members = {"a.txt": b"a" * 513, long: b"b", "ü.txt": b"c"}
    sink = read_with(reader.read, archived(form, **members))
    assert sink.children == members
    assert [kind for kind, _, _ in sink.facts] == ["tar.archive"]
    assert not sink.missed


def test_base_256_sizes_are_read():
    block = bytearray(entry("a.txt", b"hello"))
    block[124:136] = b"\x80" + (5).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\x00 " % sum(block[:512])
    sink = read_with(reader.read, build_tar(bytes(block)))
    assert sink.children["a.txt"] == b"hello"


def test_old_archives_without_a_magic_number_are_recognised():
    assert reader.probe(View(build_tar(entry("a.txt", b"x", magic=bytes(8)))))
    assert not reader.probe(View(b"just a text file\n" * 100))
    assert not reader.probe(View(bytes(2000)))


def test_links_are_followed_to_where_they_lead():
    sink = read_with(reader.read, make("tar.plain_link"))
    assert [data["escapes"] for data in sink.of("tar.link")] == [False, False]
    sink = read_with(reader.read, make("tar.write_through_link"))
    assert sink.of("tar.through_link")[0]["link"] == "/tmp"


def test_members_behind_the_end_are_read():
    sink = read_with(reader.read, make("tar.behind_end"))
    assert "model.pkl" in sink.children
    assert sink.of("tar.trailing")


def test_legacy_torch_tar_is_split_into_its_pickles():
    sink = read_with(reader.read, make("torch.tar_legacy"))
    assert {"storages[0]", "storages[1]", "tensors[0]"} <= set(sink.children)
    assert not sink.missed


@pytest.mark.parametrize("name", ["tar.plain_pax", "tar.sparse_pickle", "torch.tar_legacy", "tar.traversal_gnu_long"])
def test_truncations_are_survived_and_none_is_silent(name):
    content = make(name)
    for size in range(1, len(content), 7):
        report = read_view(View(content[:size], "model.tar"), strict=True)
        assert report.missed or report.facts


def test_archives_in_a_plain_tar_are_read_as_its_members_alone():
    content = make("tar.plain_two_torch")
    assert [row.name for row in identify(View(content, "models.tar"))] == ["tar"]
    assert read_view(View(content, "models.tar"), strict=True).missed == ()


def test_an_archive_that_leads_from_one_member_into_another_is_read_as_a_zip_too():
    with zipfile.ZipFile(io.BytesIO(make("tar.zip_across"))) as archive:
        assert archive.read("archive/data.pkl") == PAYLOAD
    names = [row.name for row in identify(View(make("tar.zip_across"), "models.tar"))]
    assert names == ["zip", "tar"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: build_tar(pax(size="1"), entry("a.zip", make("torch.state_dict"))),
        lambda: build_tar(entry("a.zip", make("torch.state_dict"), kind=b"S")),
        lambda: build_tar(entry("a.zip", make("torch.state_dict")))[:-1024] + make("torch.state_dict"),
    ],
)
def test_a_tar_that_readers_disagree_on_hides_no_archive(spoil):
    assert "zip" in {row.name for row in identify(View(spoil(), "models.tar"))}
