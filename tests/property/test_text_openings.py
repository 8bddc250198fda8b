"""A text that may be an encoded pickle is told by its first two bytes before it is looked at: none is passed over by that."""

from __future__ import annotations

import base64
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.checks.static.walk import read_view
from stannary.formats import pickle_embedded, pickle_encodings
from stannary.formats.interface import View
from stannary.formats.pickle_embedded import encoded_head, may_open
from stannary.testing.forges.pickle import Assembler

_PATTERNS = (pickle_embedded._ENCODED_HEAD, pickle_embedded._TEXT_PICKLE, pickle_encodings._RARE)
_OPENED = [st.from_regex(re.compile(rb"\A(?:" + pattern.pattern + rb")")) for pattern in _PATTERNS]


@given(st.one_of(_OPENED))
def test_what_opens_is_told_by_two_bytes(head):
    assert may_open(head) or not encoded_head(head)


def test_every_pair_before_what_opens():
    for pair in itertools.product(range(256), repeat=2):
        for tail in (b"0205AAAA" * 4, b"cos\nsystem\n", b"os\nsystem\n", b"ABCDEFGH" * 4, b"VMRAAAAA" * 4, b"zzzzzzzz" * 4):
            head = bytes(pair) + tail
            assert may_open(head) or not encoded_head(head), head


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("padding", [0, 200, 300])
def test_texts_of_every_length_are_looked_into(protocol, padding):
    inner = Assembler(2).call("os", "system", "echo stannary " + "x" * padding).stop()
    text = base64.b64encode(inner).decode()
    found = read_view(View(Assembler(protocol).push([text]).stop(), "m.pkl"), strict=True).facts
    assert any(f.kind == "pickle.global" and f.data["name"] == "system" for f in found)
