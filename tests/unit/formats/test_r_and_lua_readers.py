"""R and Torch7 objects: what they name, where it is, and how their streams end."""

from __future__ import annotations

import struct

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.forges import make
from stannary.testing.forges._format_writers import r_file


def facts(content, kind, name="m.rds"):
    return [fact.data for fact in read_view(View(content, name), strict=True).facts if fact.kind == kind]


RUN = ("call", "system", "echo stannary")


@pytest.mark.parametrize(
    "value, inside",
    [
        (("promise", "<unbound>", RUN), "unforced promise"),
        (("promise", 1.0, RUN), "forced promise"),
        (("closure", None, RUN), "closure"),
        (("list", RUN), "data"),
        (("list", ("tagged", "x", ("promise", "<unbound>", ("call", "{", ("call", "(", RUN))))), "unforced promise"),
    ],
)
def test_calls_are_reported_with_what_they_are_inside(value, inside):
    assert {"name": "system", "inside": inside} in facts(r_file(value), "rdata.call")


def test_a_promise_tells_whether_it_was_evaluated():
    (open_,) = facts(r_file(("promise", "<unbound>", RUN)), "rdata.promise")
    (done,) = facts(r_file(("promise", 1.0, RUN)), "rdata.promise")
    assert (open_["forced"], open_["code"], open_["calls"]) == (False, True, ["system"])
    assert done["forced"] is True


def test_an_object_used_twice_is_one_object():
    symbol = struct.pack(">iii", 1, 9, 6) + b"system"
    again = struct.pack(">i", 1 << 8 | 255)
    stream = (
        b"X\n"
        + struct.pack(">iii", 2, 0, 0)
        + struct.pack(">ii", 19, 2)
        + symbol
        + struct.pack(">i", 6)
        + again
        + struct.pack(">i", 254)
    )
    assert [fact["name"] for fact in facts(stream, "rdata.call")] == ["system"]


@pytest.mark.parametrize(
    "content", [b"X\n", b"X\n" + bytes(12), r_file("text")[:-2], r_file(("list", RUN))[:-9], b"A\n2\n1\n1\n14\n5\n1\n"]
)
def test_cut_streams_are_incomplete(content):
    report = read_view(View(b"RDX2\n" + content, "m.rds"), strict=True)
    assert report.missed


@pytest.mark.parametrize("vector", ["14\n3\n1\n2.5\nNA\n", "13\n3\n1\nNA\n-3\n", "10\n1\n1\n", "15\n1\n1\n2\n", "14\n0\n"])
def test_ascii_vectors_end_where_they_end(vector):
    report = read_view(View(("A\n2\n262912\n131840\n" + vector).encode(), "m.rds"), strict=True)
    assert not [miss for miss in report.missed if "rdata" in miss.reason]
    assert not [fact for fact in report.facts if fact.kind == "rdata.trailing"]


def test_lua_byte_code_is_found_in_both_forms():
    for name in ("torch7.function", "torch7.ascii_function"):
        (fact,) = facts(make(name), "torch7.function", "m.t7")
        assert fact["bytecode"] is True
        assert any("os.execute" in text for text in fact["texts"])


def test_torch7_classes_are_named_once():
    names = [fact["name"] for fact in facts(make("torch7.plain"), "torch7.class", "m.t7")]
    assert sorted(names) == ["nn.Linear", "torch.FloatStorage", "torch.FloatTensor"]
