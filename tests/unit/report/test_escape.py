"""Hostile text becomes visible and harmless, and stays one line."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.report.escape import code_span, encodable, inline, json_text, relative_uri, visible


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain text, ünïcode, 模型", "plain text, ünïcode, 模型"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("two\nlines\r\tx", "two\\nlines\\r\\tx"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("filler\u3164\u2800", "filler\\u3164\\u2800"),
        ("\x9b31m", "\\x9b31m"),
        ("undecodable \udcff", "undecodable \\xff"),
        ("nul\x00", "nul\\x00"),
    ],
)
def test_what_a_terminal_acts_on_is_written_out(text, shown):
    assert visible(text) == shown


@given(st.text())
def test_visible_text_is_printable_and_has_no_format_characters(text):
    shown = visible(text)
    assert shown.isprintable()
    assert not {unicodedata.category(ch) for ch in shown} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert visible(shown) == shown


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.binary(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_any_evidence_becomes_one_short_visible_line(value):
    line = inline(value, 80)
    assert line.isprintable()
    assert len(line) <= 80


@given(st.text())
def test_a_code_span_cannot_be_left(text):
    span = code_span(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    inside = span[len(fence) : -len(fence)]
    runs = {len(run) for run in "".join(c if c == "`" else " " for c in inside).split()}
    assert span.endswith(fence)
    assert len(fence) not in runs
    assert "\n" not in span


def test_a_pipe_does_not_end_a_table_cell():
    assert code_span("a|b", table=True) == "`a\\|b`"


@given(st.text())
def test_json_text_is_the_same_value_and_safe_to_print(text):
    value = encodable({"k": text})
    shown = json_text(json.dumps(value, ensure_ascii=False).encode())
    assert json.loads(shown) == value
    assert not set("\u202e\u2066\x9b\x7f\u200b\ufeff") & set(shown)


def test_numbers_over_64_bits_and_undecodable_names_can_be_encoded():
    assert encodable({"n": 1 << 80, "s": "\udcff", "l": [True, 3]}) == {"n": hex(1 << 80), "s": "\\udcff", "l": [True, 3]}


@pytest.mark.parametrize(
    "path, uri",
    [
        ("models/a b.pkl", "models/a%20b.pkl"),
        ("/etc/passwd", "etc/passwd"),
        ("../../x", "x"),
        ("C:\\models\\x", "C%3A/models/x"),
        ("a?b#c%d", "a%3Fb%23c%25d"),
        ("javascript:alert(1)", "javascript%3Aalert(1)"),
        ("", "unnamed"),
        ("name-\udcff", "name-%5Cudcff"),
    ],
)
def test_uris_are_relative_and_encoded(path, uri):
    assert relative_uri(path) == uri
