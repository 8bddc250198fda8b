"""Objects of other languages: a gadget is found behind any number of harmless classes, or the file is incomplete."""

from __future__ import annotations

import pytest

from stannary.checks.static.ruleset import load
from stannary.checks.static.verdict import findings_of
from stannary.checks.static.walk import read_view
from stannary.formats.interface import View

GADGET = "org.apache.commons.collections.functors.InvokerTransformer"


def stream(names: list[str]) -> bytes:
    """Return a Java stream that describes classes (Object Serialization Stream Protocol, 6.4)."""
    described = b"".join(b"sr" + len(name).to_bytes(2, "big") + name.encode() + bytes(8) + b"\x02\0\0xp" for name in names)
    return b"\xac\xed\0\x05" + described


@pytest.mark.parametrize("before,seen,whole", [(0, True, True), (900, True, True), (1500, False, False)])
def test_a_gadget_behind_harmless_classes(before: int, seen: bool, whole: bool) -> None:
    report = read_view(View(stream([*(f"org.example.C{n}" for n in range(before)), GADGET]), "model.ser"), strict=True)
    found = {finding.rule for finding in findings_of(report, load(), "model.ser")}
    assert ("SER001" in found) == seen
    assert (not report.missed) == whole
