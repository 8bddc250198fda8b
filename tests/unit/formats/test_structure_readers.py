"""FlatBuffers, Thrift, MessagePack, UBJSON, bounded JSON: what was written is read, what cannot be true is an error."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.formats.bounded_json import DUPLICATE, loads
from stannary.formats.flatbuffer import root
from stannary.formats.interface import View
from stannary.formats.msgpack import events
from stannary.formats.thrift_compact import parse as parse_thrift
from stannary.formats.ubjson import parse as parse_ubjson
from stannary.testing.forges._format_writers import flatbuffer, msgpack, thrift, ubjson

TEXTS = st.text(max_size=20)
VALUES = st.recursive(
    st.integers(-(2**40), 2**40) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def free(_count):
    """Count nothing."""


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_ubjson_reads_what_was_written(value):
    raw = ubjson(value)
    assert parse_ubjson(View(raw), free) == (value, len(raw))


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.data())
def test_ubjson_cut_short_is_an_error(value, data):
    raw = ubjson(value)
    with pytest.raises(FormatError):
        parse_ubjson(View(raw[: data.draw(st.integers(0, len(raw) - 1))]), free)


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.data())
def test_msgpack_ends_where_it_ends(value, data):
    raw = msgpack(value)
    last = list(events(View(raw + b"tail"), free))[-1]
    assert (last.kind, last.at) == ("end", len(raw))
    with pytest.raises(FormatError):
        list(events(View(raw[: data.draw(st.integers(0, len(raw) - 1))]), free))


@given(st.dictionaries(st.integers(1, 200), st.integers(-(2**60), 2**60) | st.binary(max_size=30), max_size=8), st.data())
def test_thrift_reads_what_was_written(value, data):
    raw = thrift(value)
    assert parse_thrift(View(raw), 0, free) == (value, len(raw))
    with pytest.raises(FormatError):
        parse_thrift(View(raw[: data.draw(st.integers(0, len(raw) - 1))]), 0, free)


def test_flatbuffers_read_what_was_written():
    table = root(
        View(
            flatbuffer(
                {0: ("i", -5), 2: "text", 3: b"bytes", 4: {1: ("Q", 7)}, 5: ["a", "b"], 6: [{0: "x"}], 7: ("*i", [1, 2])}, b"TEST"
            )
        )
    )
    assert (table.scalar(0, "i"), table.scalar(1, "i", 9), table.string(2), bytes(table.blob(3))) == (-5, 9, "text", b"bytes")
    assert table.table(4).scalar(1, "Q") == 7
    assert list(table.strings(5)) == ["a", "b"]
    assert [inner.string(0) for inner in table.tables(6)] == ["x"]
    assert (table.string(40), table.table(40), list(table.tables(40))) == ("", None, [])


@given(st.binary(min_size=4, max_size=200))
def test_any_bytes_as_a_flatbuffer_are_an_error_or_a_table(raw):
    try:
        table = root(View(raw))
        for field in range(6):
            table.string(field)
            list(table.tables(field))
    except FormatError:
        pass


@pytest.mark.parametrize(
    "reader, content",
    [
        (lambda v: list(events(v, free)), b"\xdd\xff\xff\xff\xff"),
        (lambda v: list(events(v, free)), b"\xc6\xff\xff\xff\xff"),
        (lambda v: parse_ubjson(v, free), b"[$d#L" + struct.pack(">q", 1 << 60)),
        (lambda v: parse_ubjson(v, free), b"SL" + struct.pack(">q", 1 << 60)),
        (lambda v: parse_thrift(v, 0, free), b"\x18\xff\xff\xff\xff\x0f"),
        (lambda v: parse_thrift(v, 0, free), b"\x19\xfc\xff\xff\xff\xff\x0f"),
    ],
)
def test_huge_lengths_are_refused_at_once(reader, content):
    with pytest.raises(Truncated):
        reader(View(content))


@pytest.mark.parametrize(
    "reader, content",
    [
        (lambda v: list(events(v, free)), b"\x91" * 500),
        (lambda v: parse_ubjson(v, free), b"[" * 500),
        (lambda v: parse_thrift(v, 0, free), b"\x1c" * 500),
    ],
)
def test_deep_nesting_is_refused(reader, content):
    with pytest.raises(FormatError, match="nested deeper"):
        reader(View(content))


def test_bounded_json_marks_a_repeated_key_and_refuses_what_would_not_fit():
    assert loads('{"a": {"b": 1, "b": 2}}') == {"a": {"b": 2, DUPLICATE: "b"}}
    assert loads(json.dumps({"a": [1, None]})) == {"a": [1, None]}
    with pytest.raises(FormatError):
        loads("{")
    with pytest.raises(FormatError):
        loads("[" * 100_000)
    with pytest.raises(BudgetExceeded):
        loads("[" + "[]," * 600_000 + "[]]")
