"""Canonical JSON has the form of RFC 8785: numbers as ECMAScript writes them, keys by UTF-16."""

import json
import math
import shutil
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.core.canonical import canonical_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=5),
    max_leaves=20,
)
# RFC 8785, appendix B: the bits of a double and what is written.
APPENDIX_B = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


@pytest.mark.parametrize("bits,text", APPENDIX_B)
def test_numbers_of_the_appendix(bits, text):
    assert canonical_json(struct.unpack(">d", bytes.fromhex(bits))[0]) == text.encode()


def test_keys_are_sorted_by_utf_16():
    # RFC 8785, section 3.2.3: the emoji's surrogates sort before U+FB33.
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert list(json.loads(canonical_json(value)).values()) == [2, 4, 6, 7, 1, 5, 3]


@given(VALUES)
def test_the_value_comes_back_and_the_form_is_stable(value):
    form = canonical_json(value)
    # As ECMAScript reads it, whose numbers are all doubles.
    read = json.loads(form, parse_int=float)
    assert read == value
    assert canonical_json(read) == form


@given(VALUES)
def test_what_is_written_at_once_is_what_is_written_piece_by_piece(value):
    """A number with a fraction, or a text that is long, is not written by msgspec alone."""
    form = canonical_json(value)
    assert canonical_json([value, 0.5]) == b"[" + form + b",0.5]"
    assert canonical_json([value, "x" * 70_000]) == b"[" + form + b',"' + b"x" * 70_000 + b'"]'


@pytest.mark.parametrize("text", ['"', "\\", '\\"', "a\\\\", "1.5", "null", "\n", "1e5", '","b":0.10'])
def test_texts_that_look_like_the_end_of_one(text):
    assert canonical_json({text: [text, 2.0], "n": None}) == canonical_json([{text: [text, 2], "n": None}])[1:-1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2**53 + 1, "\ud800", {"\ud800": 1}])
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(ValueError, match="canonical"):
        canonical_json(value)


@pytest.mark.skipif(shutil.which("node") is None, reason="ECMAScript itself is the oracle here, and no node is installed")
def test_numbers_are_what_ecmascript_writes():
    import random

    random.seed(8785)
    numbers = [struct.unpack(">d", random.randbytes(8))[0] for _ in range(5000)]
    numbers = [x for x in numbers if math.isfinite(x)]
    numbers += [random.uniform(-1, 1) * 10 ** random.randint(-12, 25) for _ in range(5000)]
    script = "process.stdout.write(JSON.stringify(JSON.parse(require('fs').readFileSync(0,'utf8'))))"
    run = subprocess.run(["node", "-e", script], input=json.dumps(numbers).encode(), capture_output=True, check=True)
    assert canonical_json(numbers) == run.stdout


def test_what_a_tuple_holds_is_sorted_too():
    """As in the signatures of an envelope: msgspec leaves tuples tuples."""
    assert canonical_json({"a": ({"b": 1, "a": ({"d": 1, "c": 2.0},)},)}) == b'{"a":[{"a":[{"c":2,"d":1}],"b":1}]}'
