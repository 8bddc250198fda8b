"""Snappy blocks written by hand from the format's description, and pickles among values."""

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.column_values import search_values, unsnap
from stannary.formats.interface import View
from stannary.testing.forges import make

PICKLE = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0decho stannary\x85R."


@pytest.mark.parametrize(
    "packed, plain",
    [
        (b"\x05\x10hello", b"hello"),
        (b"\x0a\x00a\x15\x01", b"a" * 10),  # a copy of nine bytes, one back: it reaches into what it makes
        (b"\x08\x0cabcd\x0e\x04\x00", b"abcdabcd"),
        (b"\x46\xf0\x45" + b"x" * 70, b"x" * 70),
    ],
)
def test_a_block_is_unpacked(packed, plain):
    assert unsnap(packed, len(plain)) == plain


def test_a_copy_from_before_the_start_is_refused():
    assert unsnap(b"\x08\x00a\x15\x09", 8) is None


def test_what_comes_out_is_bounded_whatever_the_block_says():
    assert len(unsnap(b"\xff\xff\xff\x7f\x00a" + b"\xfe\x01\x00" * 100_000, 1000)) < 1100


class _Children:
    def __init__(self):
        self.found = []

    def child(self, name, raw, *, offset=None):
        self.found.append((name, bytes(raw), offset))


def test_each_stream_that_calls_something_is_handed_on_whole():
    sink = _Children()
    search_values(sink, "x", b"\x80\x04ab" + PICKLE + b"\x80\x04K\x01." + bytes(9) + PICKLE, 7)
    assert sink.found == [("x[0]", PICKLE, 7), ("x[1]", PICKLE, 7)]


def test_random_bytes_hold_none():
    import random

    sink = _Children()
    search_values(sink, "x", random.Random(3).randbytes(4 << 20))
    assert sink.found == []


def test_the_pickle_of_a_column_is_read():
    report = read_view(View(make("parquet.pickle_in_column"), "data.parquet"), strict=True)
    assert any(fact.kind.startswith("pickle.") and "x[0]" in fact.part for fact in report.facts)
