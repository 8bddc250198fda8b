"""Compressed streams: concatenation, what is behind, what is broken, what is a bomb."""

from __future__ import annotations

import bz2
import gzip
import lzma
import time
import zlib

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats import compressed as reader
from stannary.formats.interface import View
from stannary.testing.forges import make
from stannary.testing.forges.joblib import lz4_frame, zstd_frame

from .archive_sink import read_with

CONTENT = bytes(range(256)) * 20_000
CODECS = {
    "gzip": (reader.read_gzip, lambda raw: gzip.compress(raw, mtime=0)),
    "bz2": (reader.read_bz2, bz2.compress),
    "xz": (reader.read_xz, lzma.compress),
    "lzma": (reader.read_lzma, lambda raw: lzma.compress(raw, lzma.FORMAT_ALONE)),
    "zlib": (reader.read_zlib, zlib.compress),
    "zstd": (reader.read_zstd, zstd_frame),
    "lz4": (reader.read_lz4, lz4_frame),
}


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_content_comes_back(codec):
    read, pack = CODECS[codec]
    sink = read_with(read, pack(CONTENT))
    assert list(sink.children.values()) == [CONTENT]
    assert not sink.missed


@pytest.mark.parametrize("codec", sorted(set(CODECS) - {"lzma"}))
def test_streams_that_follow_are_joined(codec):
    read, pack = CODECS[codec]
    sink = read_with(read, pack(b"one ") + pack(b"two"))
    assert list(sink.children.values()) == [b"one two"]
    assert sink.of("compressed.stream")[0]["streams"] == 2


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_what_is_behind_is_handed_on(codec):
    read, pack = CODECS[codec]
    sink = read_with(read, pack(b"content") + b"something else")
    assert sink.children["(trailing)"] == b"something else"
    assert sink.of("compressed.trailing")[0]["size"] == 14
    assert not read_with(read, pack(b"content") + bytes(600)).of("compressed.trailing")


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_cut_streams_are_incomplete_and_keep_what_they_had(codec):
    read, pack = CODECS[codec]
    whole = pack(CONTENT)
    sink = read_with(read, whole[: len(whole) * 3 // 4])
    assert sink.missed
    assert sink.of("compressed.broken")
    assert CONTENT.startswith(next(iter(sink.children.values())))


@pytest.mark.parametrize("codec", ["gzip", "bz2", "xz", "zlib"])
def test_a_failed_check_does_not_hide_the_content(codec):
    read, pack = CODECS[codec]
    whole = bytearray(pack(b"the payload, all of it"))
    place = {"gzip": -8, "zlib": -4, "bz2": 10, "xz": -30}[codec]
    whole[place] ^= 0xFF
    sink = read_with(read, bytes(whole))
    assert sink.missed
    if codec != "xz":
        assert next(iter(sink.children.values()))[:20] == b"the payload, all of "


def test_text_that_begins_like_zlib_is_left_alone():
    sink = read_with(reader.read_zlib, b"x^2 + y^2 = z^2\n")
    assert not sink.missed
    assert not sink.children
    assert read_with(reader.read_zlib, b"x\x9c\xff\xff\xff\xff" * 9).missed


def test_a_bomb_is_stopped_quickly():
    began = time.process_time()
    report = read_view(View(make("compressed.gz_bomb"), "model.gz"))
    assert time.process_time() - began < 3
    assert "compressed.bomb" in {fact.kind for fact in report.facts}


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_every_truncation_is_survived(codec):
    content = CODECS[codec][1](b"a little content " * 3)
    for size in range(4, len(content)):
        assert read_view(View(content[:size], "a"), strict=True).missed
