"""Expressions in configurations: which strings are read as Python, in what order, and which are none."""

import json

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View


def _calls(document, name="inference.json"):
    text = document if isinstance(document, str) else json.dumps(document)
    facts = read_view(View(text.encode(), name), strict=True).facts
    return [fact.data.get("name") for fact in facts if fact.kind == "python.call" and fact.part == "expressions.py"]


def test_an_import_counts_for_expressions_in_front_of_it():
    assert "os.system" in _calls({"run": "$o.system('x')", "imports": ["$import os as o"]})


def test_references_stand_for_other_parts():
    assert "os.system" in _calls({"run": ["$__import__('os').system(@cmd::x#0 + %other)"]})


@pytest.mark.parametrize(
    "value", ["$HOME/models", "$ref", "$1.00", "$ os.system('x'", "os.system('x')", "$(rm -rf x)", "${a.b}", "$"]
)
def test_other_strings_are_no_expressions(value):
    assert _calls({"imports": ["$import os"], "value": value}) == []


def test_a_folded_text_is_one_expression():
    assert "os.system" in _calls("x: >-\n  $__import__('os')\n  .system('y')\n", "train.yaml")


def test_records_are_data():
    lines = "\n".join(json.dumps({"text": "$__import__('os').system('x')"}) for _ in range(3))
    assert _calls(lines, "rows.jsonl") == []
