"""The 7z reader: every codec the standard library has, solid folders, packed headers; the rest is never silent."""

from __future__ import annotations

import random

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats import sevenzip as reader
from stannary.formats.interface import View
from stannary.testing.forges import make
from stannary.testing.forges.sevenzip import build_7z

from .archive_sink import read_with

FILES = {"a.txt": b"hello\n", "b/c.bin": bytes(range(256)) * 9000, "d.txt": b"end"}


@pytest.mark.parametrize("pack_header", [False, True])
@pytest.mark.parametrize("codec", ["copy", "lzma", "lzma2", "deflate", "bzip2"])
def test_solid_folders_are_cut_into_their_files(codec, pack_header):
    sink = read_with(reader.read, build_7z(FILES, codec, pack_header=pack_header))
    assert sink.children == FILES
    assert not sink.missed
    assert sink.of("7z.archive")[0]["packed_header"] is pack_header


@pytest.mark.parametrize("codec", ["aes", "ppmd"])
def test_codecs_that_are_not_read_are_incomplete(codec):
    sink = read_with(reader.read, build_7z(FILES, codec))
    assert sink.missed
    assert not sink.children


def test_a_wrong_checksum_is_a_fact():
    assert read_with(reader.read, make("7z.bad_crc")).of("7z.crc")


def test_truncations_and_flips_are_survived():
    content = build_7z({"a.txt": b"hello\n" * 50}, "lzma", pack_header=True)
    for size in range(6, len(content)):
        assert read_view(View(content[:size], "a.7z"), strict=True).missed
    chance = random.Random(7)
    for _ in range(400):
        broken = bytearray(content)
        broken[chance.randrange(6, len(broken))] = chance.randrange(256)
        read_view(View(bytes(broken), "a.7z"), strict=True)
