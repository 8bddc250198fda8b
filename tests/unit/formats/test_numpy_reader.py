"""NumPy headers: literals only, sizes that must fit, objects handed to the pickle reader."""

from __future__ import annotations

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats import numpy_array as reader
from stannary.formats.interface import View
from stannary.testing.forges import make
from stannary.testing.forges.numpy import npy
from stannary.testing.forges.pickle import PAYLOAD

from .archive_sink import read_with


@pytest.mark.parametrize(
    "descr, shape, size",
    [
        ("'<f8'", "(2,)", 16), ("'|b1'", "(3, 3)", 9), ("'<U5'", "(2,)", 40), ("'|S7'", "(2,)", 14), ("'<M8[ns]'", "(2,)", 16),
        ("'<c16'", "(1,)", 16), ("'<u2'", "(4,)", 8), ("'|V12'", "()", 12), ("[('a', '<f4'), ('b', '|S5', (2,))]", "(3,)", 42),
        ("[(('title', 'name'), '<i8')]", "(1,)", 8), ("('<f4', (2, 2))", "(1,)", 16), ("'<f8'", "(0, 5)", 0),
    ],
)  # fmt: skip
def test_sizes(descr, shape, size):
    sink = read_with(reader.read, npy(descr, shape, bytes(size)))
    assert sink.of("numpy.array")[0]["bytes"] == size
    assert not sink.missed
    assert not sink.children
    if size:
        assert read_with(reader.read, npy(descr, shape, bytes(size - 1))).missed
    assert read_with(reader.read, npy(descr, shape, bytes(size) + b"more")).of("numpy.trailing")


@pytest.mark.parametrize("descr", ["'|O'", "'O'", "'object'", "[('a', '<f8'), ('b', 'O')]", "[('a', [('b', '|O8')])]"])
def test_objects_go_to_the_pickle_reader(descr):
    sink = read_with(reader.read, npy(descr, "(1,)", PAYLOAD))
    assert sink.children["(objects)"] == PAYLOAD
    assert sink.hints["(objects)"] == "pickle"


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': f(), 'fortran_order': False, 'shape': (1,)}",
        "[1, 2]",
        "{'descr': '<f8'}",
        "((((" * 200,
        "\x00",
        "{'descr': " + "[" * 90 + "]" * 90 + ", 'fortran_order': 0, 'shape': ()}",
    ],
)
def test_headers_that_are_not_plain_literals(header):
    sink = read_with(reader.read, npy(header=header))
    assert sink.missed
    assert sink.of("numpy.header")


def test_a_huge_header_is_refused_before_it_is_read():
    assert read_with(reader.read, b"\x93NUMPY\x02\x00\xff\xff\xff\xff{").missed


def test_truncations_are_survived():
    content = make("numpy.object_payload")
    for size in range(1, len(content)):
        report = read_view(View(content[:size], "a.npy"), strict=True)
        assert report.missed
