"""Objects of Julia: the three forms, what is none, and what is cut short."""

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.forges import make


def _classes(name, filename):
    report = read_view(View(make(name), filename), strict=True)
    return [fact.data["classes"] for fact in report.facts if fact.kind == "serial.object"]


def test_the_types_of_each_form_are_named():
    assert _classes("serial.julia_bson_run", "model.bson") == [["Base.run"]]
    assert _classes("serial.julia_bson_dense", "model.bson") == [["Flux.Dense"]]
    assert _classes("serial.julia_stream_run", "model.jls") == [["Base", "Base.run"]]
    assert _classes("serial.jld2_run", "model.jld2") == [["Core.Function", "Base.run"]]


def test_a_document_that_is_no_julia_object_is_data():
    report = read_view(View(make("serial.bson_plain"), "data.bson"), strict=True)
    assert [fact.kind for fact in report.facts if fact.kind == "serial.object"] == []
    assert not report.missed


def test_the_document_is_known_by_its_content():
    assert any(fact.kind == "serial.object" for fact in read_view(View(make("serial.julia_bson_run"), "weights")).facts)


@pytest.mark.parametrize("raw", [b"\x02\0", b"no document at all", b"\xff\xff\xff\x7f\x02name\0\x02\0\0\0a\0\0", bytes(64)])
def test_what_is_no_document_is_incomplete(raw):
    assert read_view(View(raw, "data.bson"), strict=True).missed
