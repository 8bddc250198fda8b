"""The GGUF reader: versions, byte orders, and every number a file can lie with."""

from __future__ import annotations

import struct

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.forges.gguf import Writer


def problems(content):
    report = read_view(View(content, "m.gguf"), strict=True)
    return [fact.data["what"] for fact in report.facts if fact.kind == "gguf.problem"], report


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_versions_and_byte_orders(version, order):
    writer = (
        Writer(version=version, order=order).pair("general.name", "x").pair("a", [1, 2]).pair("b", ["x", "y"]).tensor("w", [4, 2])
    )
    found, report = problems(writer.bytes(bytes(32)))
    assert found == []
    assert report.missed == ()
    (header,) = [fact.data for fact in report.facts if fact.kind == "gguf.header"]
    assert header == {"version": version, "tensors": 1, "pairs": 3, "big_endian": order == ">"}


@pytest.mark.parametrize("code", ["B", "b", "H", "h", "I", "i", "f", "?", "Q", "q", "d"])
def test_every_scalar_has_its_width(code):
    kind = "BbHhIif?XXQqd".index(code)
    found, report = problems(Writer().pair("k", struct.pack("<I" + code, kind, 1)).pair("after", "text").bytes())
    assert found == []
    assert report.missed == ()


@pytest.mark.parametrize(
    "kind, dims, size",
    [(0, [8], 32), (1, [8], 16), (2, [32], 18), (8, [64], 68), (12, [256, 2], 288), (30, [4], 8), (39, [32], 17)],
)
def test_tensor_types_have_their_size(kind, dims, size):
    assert problems(Writer().tensor("w", dims, kind=kind).bytes(bytes(size)))[0] == []
    assert "outside" in problems(Writer().tensor("w", dims, kind=kind).bytes(bytes(size - 1)))[0]


@pytest.mark.parametrize(
    "content, what",
    [
        (Writer().bytes(tensors=1 << 60), "count_overflow"),
        (Writer().bytes(pairs=1 << 60), "count_overflow"),
        (Writer().pair("k", struct.pack("<IQ", 8, 1 << 60)).bytes(), "string_overflow"),
        (Writer().pair("k", struct.pack("<IIQ", 9, 10, 1 << 61)).bytes(), "array_overflow"),
        (Writer().pair("k", struct.pack("<IIQ", 9, 9, 1 << 61)).bytes(), "array_overflow"),
        (Writer().pair("k", struct.pack("<I", 99)).bytes(), "value_type"),
        (Writer().pair("k", 1).pair("k", 2).bytes(), "duplicate_key"),
        (Writer().tensor("w", [1 << 40, 1 << 40]).bytes(bytes(32)), "dims_overflow"),
        (Writer().tensor("w", [1] * 5).bytes(bytes(32)), "dims"),
        (Writer().tensor("w", [8]).tensor("v", [8]).bytes(bytes(64)), "overlap"),
        (Writer().tensor("w", [8], offset=8).bytes(bytes(64)), "unaligned"),
        (Writer().tensor("w", [8], offset=1 << 63).bytes(bytes(64)), "outside"),
        (Writer().tensor("w", [8]).tensor("v", [8], offset=4096).bytes(b"x" * 4128), "gap"),
        (Writer().tensor("w", [8]).bytes(b"x" * 4096), "trailing"),
        (Writer().tensor("w", [7], kind=2).bytes(bytes(64)), "block"),
        (Writer().pair("general.alignment", 3).bytes(), "alignment"),
        (Writer().pair("general.alignment", "x").bytes(), "alignment"),
        (Writer().tensor("w" * 64, [8]).bytes(bytes(32)), "name_length"),
    ],
)
def test_lies_are_named(content, what):
    assert what in problems(content)[0]


def test_an_alignment_of_its_own_is_used():
    writer = Writer().pair("general.alignment", 64).tensor("w", [8]).tensor("v", [8], offset=64)
    assert problems(writer.bytes(bytes(96), alignment=64))[0] == []


@pytest.mark.parametrize("key", ["tokenizer.chat_template", "tokenizer.chat_template.rag", "general.description", "x.y"])
def test_templates_reach_the_template_reader(key):
    _, report = problems(Writer().pair(key, "{{ x.__class__ }}").bytes())
    assert [fact.data["name"] for fact in report.facts if fact.kind == "jinja.attribute"] == ["__class__"]


@pytest.mark.parametrize(
    "content", [b"GGUF", b"GGUF\x03\0\0\0", b"GGUF" + struct.pack("<IQQ", 9, 0, 0), Writer().pair("k", "v").bytes()[:40]]
)
def test_cut_and_unknown_files_are_incomplete(content):
    assert problems(content)[1].missed
