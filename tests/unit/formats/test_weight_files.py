"""Taggers, vectors and indexes are told by what they are, and what lies behind their end is read."""

from __future__ import annotations

import pytest

import stannary
from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.forges import all_forges
from stannary.testing.forges.weight_files import KINDS

PAYLOAD = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0decho stannary\x85R."


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_recognised_by_its_own_reading(kind):
    name, make = KINDS[kind]
    report = read_view(View(make(), name), strict=True)
    assert [fact.kind for fact in report.facts if fact.kind == "inert.weights"] == ["inert.weights"]
    assert not report.missed


@pytest.mark.parametrize("kind", ["annoy", "tesseract", "dlib"])
def test_a_kind_without_magic_number_needs_its_name(kind):
    report = read_view(View(KINDS[kind][1](), "blob"), strict=True)
    assert report.missed


@pytest.mark.parametrize("kind", ["fasttext", "kenlm", "faiss", "hnswlib"])
def test_a_header_that_is_wrong_is_not_believed(kind):
    name, make = KINDS[kind]
    raw = bytearray(make())
    raw[4:34] = b"\xee" * 30
    assert read_view(View(bytes(raw), name), strict=True).missed


def test_a_text_of_numbers_is_no_word_vectors():
    text = b"2 2\n0.5 1.5\n2.5 3.5\n" * 20
    report = read_view(View(text, "points.txt"), strict=True)
    assert not [fact for fact in report.facts if fact.kind == "inert.weights"]


def test_what_is_behind_the_stated_end_is_flagged(tmp_path):
    for name in ("weights.crfsuite_then_pickle", "weights.word2vec_then_pickle"):
        path = tmp_path / all_forges()[name].filename
        path.write_bytes(all_forges()[name].build())
        assert stannary.scan(path).targets[0].verdict == "unsafe"


@pytest.mark.parametrize(
    "text,clean",
    [
        (b"dr\nDr\nitd\nitn\njan\nd\n", True),  # abbreviations: opcodes that fail before any name
        (b"cposix\nsystem\n(S'echo stannary'\ntR\xc5", False),
    ],
)
def test_a_text_that_no_unpickler_gets_into_is_a_text(tmp_path, text, clean):
    path = tmp_path / "prefixes.txt"
    path.write_bytes(text)
    assert (stannary.scan(path).targets[0].verdict == "clean") is clean


def test_numbers_escaped_in_a_text_are_no_pickle():
    noise = "".join(f"\\x{b:02x}" for b in bytes.fromhex("8002a195038ab5bf") * 3)
    kinds = {fact.kind for fact in read_view(View(noise.encode(), "notes.txt"), strict=True).facts}
    assert "text.encoded" not in kinds


def test_an_escaped_pickle_is_found_also_when_it_is_cut():
    for size in (16, 24, len(PAYLOAD)):
        text = "".join(f"\\x{b:02x}" for b in PAYLOAD[:size]).encode()
        kinds = {fact.kind for fact in read_view(View(b"x = b'" + text + b"'", "notes.txt"), strict=True).facts}
        assert "text.encoded" in kinds


def test_words_of_a_vocabulary_are_no_chain(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text('{"version": "1.0", "model": {"type": "WordPiece", "vocab": {"lc": 1, "id": 8909, "type": 2}}}')
    assert stannary.scan(path).targets[0].verdict == "clean"
