"""The safetensors reader: what the reference implementation refuses is named, what it takes is silent."""

from __future__ import annotations

import json
import time

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View


def build(header, data=b"", length=None):
    raw = (header if isinstance(header, str) else json.dumps(header)).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def tensor(begin, end, dtype="U8", shape=None):
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def problems(content):
    report = read_view(View(content, "m.safetensors"), strict=True)
    return [fact.data["what"] for fact in report.facts if fact.kind == "safetensors.problem"], report


@pytest.mark.parametrize(
    "header",
    [
        {"w": tensor(0, 8, "F32", [2])},
        {"w": tensor(0, 4, "F32", []), "v": tensor(4, 4, "F16", [0, 3]), "u": tensor(4, 8, "BF16", [2])},
        {"b": tensor(4, 8), "a": tensor(0, 4)},
        {"w": tensor(0, 2, "F4", [4]), "v": tensor(2, 8)},
        {"__metadata__": {"format": "pt", "text": 'quoted \\" and } braces {'}, "w": tensor(0, 8)},
    ],
)
def test_what_the_reference_takes_is_silent(header):
    found, report = problems(build(header, bytes(8)))
    assert found == []
    assert report.missed == ()


@pytest.mark.parametrize(
    "header, data, what",
    [
        ({"w": tensor(4, 8)}, bytes(8), "gap"),
        ({"w": tensor(0, 4)}, bytes(8), "trailing"),
        ({"w": tensor(0, 6), "v": tensor(4, 8)}, bytes(8), "overlap"),
        ({"w": tensor(0, 9)}, bytes(8), "outside"),
        ({"w": tensor(0, 8, "F64", [2])}, bytes(8), "size_mismatch"),
        ({"w": tensor(0, 8, "F32", [1 << 40, 1 << 40])}, bytes(8), "dims_overflow"),
        ({"w": {"dtype": "U8", "shape": [8], "data_offsets": [8, 0]}}, bytes(8), "offsets"),
        ({"w": {"dtype": "U8", "shape": [-8], "data_offsets": [0, 8]}}, bytes(8), "entry"),
        ({"w": {"shape": [8], "data_offsets": [0, 8]}}, bytes(8), "entry"),
        ({"w": {**tensor(0, 8), "more": 1}}, bytes(8), "entry_extra"),
        ({"w": tensor(0, 8, "Q8")}, bytes(8), "dtype"),
        ({"__metadata__": {"a": 1}, "w": tensor(0, 8)}, bytes(8), "metadata"),
        ({"__metadata__": ["a"], "w": tensor(0, 8)}, bytes(8), "metadata"),
    ],
)
def test_lies_are_named(header, data, what):
    assert what in problems(build(header, data))[0]


@pytest.mark.parametrize("second", ["w", "\\u0077"])
def test_a_name_twice_is_seen_through_escapes(second):
    entry = json.dumps(tensor(0, 8))
    assert "duplicate_key" in problems(build('{"w":' + entry + ',"' + second + '":' + entry + "}", bytes(8)))[0]


def test_a_key_twice_inside_an_entry():
    assert "duplicate_key" in problems(build('{"w":{"dtype":"U8","dtype":"U8","shape":[8],"data_offsets":[0,8]}}', bytes(8)))[0]


@pytest.mark.parametrize(
    "content", [b"", b"\x10", build({"w": tensor(0, 8)})[:20], build('{"w":'), build("[]"), build("{}", length=1 << 60)]
)
def test_cut_and_wrong_files_are_incomplete(content):
    assert problems(content)[1].missed


@pytest.mark.parametrize(
    "header",
    [
        "{}" + " " * (20 << 20),
        '{"a":' + "[" * (20 << 20),
        '{"a":{"dtype":"U8","shape":[' + "1," * (8 << 20) + '1],"data_offsets":[0,1]}}',
        '{"__metadata__":{"a":"' + "x" * (20 << 20) + '"}}',
        "{" + ",".join(f'"t{i:06}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{i + 1}]}}' for i in range(250_000)) + "}",
    ],
    ids=["white", "nested", "shape", "metadata", "tensors"],
)
def test_a_large_header_costs_little(header):
    content = build(header)
    started = time.process_time()
    problems(content)
    assert time.process_time() - started < 6


def test_what_is_hidden_is_read():
    content = build({"w": tensor(0, 4)}, bytes(4) + b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00echo\x85R.")
    assert "trailing:pickle" in problems(content)[1].formats
