"""What Python's own writers write, our readers read to the same members, with nothing to remark."""

from __future__ import annotations

import io
import tarfile
import zipfile

from hypothesis import given
from hypothesis import strategies as st

from stannary.checks.static.walk import read_view
from stannary.formats import tar
from stannary.formats import zip as zip_reader
from stannary.formats.interface import Budget, View

NAMES = st.text("abcXYZ_-.é", min_size=1, max_size=12).filter(lambda n: n.strip(". ") and not n.startswith("."))
MAGIC = [b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf\x27\x1c\x00\x04", b"\x1f\x8b\x08", b"\x93NUMPY\x01\x00", b"BZh9"]
PREFIXES = st.binary(max_size=40).filter(lambda c: b"PK" not in c)
MEMBERS = st.dictionaries(NAMES, st.binary(min_size=1, max_size=300), min_size=1, max_size=6)


class Kept:
    def __init__(self):
        self.budget, self.siblings = Budget(), frozenset()
        self.facts, self.children, self.missed = [], {}, []

    def fact(self, kind, offset=None, /, **data):  # noqa: ARG002 - the protocol's names
        self.facts.append(kind)

    def child(self, name, content, *, offset=None, hint=""):  # noqa: ARG002 - the protocol's names
        self.children[name] = bytes(content)

    def inflate(self, name, chunks, *, hint="", size=0):  # noqa: ARG002 - the protocol's names
        self.children[name] = b"".join(chunks)

    def incomplete(self, reason, offset=None):  # noqa: ARG002 - the protocol's names
        self.missed.append(reason)


@given(MEMBERS, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), PREFIXES)
def test_zip(members, method, prefix):
    out = io.BytesIO()
    out.write(prefix)
    with zipfile.ZipFile(out, "a", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    sink = Kept()
    zip_reader.read(View(out.getvalue()), sink)
    assert {name: sink.children.get(name) for name in members} == members
    assert set(sink.facts) <= {"zip.archive", "zip.hidden", "zip.duplicate"}  # names that differ in case only
    assert not sink.missed


@given(MEMBERS, st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_tar(members, form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    sink = Kept()
    tar.read(View(out.getvalue()), sink)
    assert sink.children == members
    assert sink.facts == ["tar.archive"]
    assert not sink.missed


@given(st.binary(max_size=400), st.sampled_from(MAGIC))
def test_anything_behind_a_magic_number_is_survived(content, magic):
    report = read_view(View(magic + content, "x"), strict=True)
    assert report.formats or report.missed  # recognised, or said to be unread
