"""Payloads in tensors: what was put there is found, random weights are not taken for it."""

from __future__ import annotations

import random

import pytest

from stannary.formats.embedded_payload import payload_kind
from stannary.testing.forges import make
from stannary.testing.forges._small_zip import small_zip


@pytest.mark.parametrize(
    "content, kind",
    [
        (make("executable.elf"), "elf"),
        (make("executable.pe"), "pe"),
        (small_zip({"a": b"b"}), "zip"),
        (b"#!/bin/sh\necho stannary\n", "script"),
        (b"cposix\nsystem\n(S'echo'\ntR.", "pickle"),
        (b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00echo\x85R.", "pickle"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04echo\x85R.", "pickle"),
    ],
)
def test_payloads_are_told_by_their_structure(content, kind):
    assert payload_kind(memoryview(content)) == kind
    assert payload_kind(memoryview(b"\0" + content)) == ""


def test_random_weights_are_no_payload():
    generator = random.Random(1)
    starts = [b"", b"\x80\x02", b"\x80\x04", b"MZ", b"PK\x03\x04", b"c", b"(", b"#!", b"\x7fELF"]
    taken = [start for start in starts for _ in range(2000) if payload_kind(memoryview(start + generator.randbytes(256)))]
    assert len(taken) <= 9, set(taken)
