"""Every hostile pickle is at least suspicious, every plain one clean, or unverified. The bombs are in the benchmarks."""

from __future__ import annotations

import msgspec
import pytest

from stannary.checks.static.ruleset import RuleSet, _Packed, compile_sources
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.forges import all_forges

pytestmark = pytest.mark.tree

LARGE = ("pickle.pad", "pickle.bomb")
FORGES = {name: item for name, item in all_forges().items() if name.startswith("pickle.") and not name.startswith(LARGE)}


@pytest.fixture(scope="module")
def rules():
    packed = msgspec.json.decode(compile_sources(), type=_Packed)
    return RuleSet(packed.rules, packed.sets, "")


@pytest.mark.parametrize("name", sorted(FORGES))
def test_verdict(name, rules):
    item = FORGES[name]
    report = read_view(View(item.build(), item.filename), strict=True)
    verdict = verdict_of(findings_of(report, rules, item.filename), missed=bool(report.missed))
    if item.malicious:
        assert verdict in {"suspicious", "unsafe"}
    elif item.malicious is None:
        assert verdict != "clean"
    else:
        assert verdict == ("unverified" if ".unknown_" in name else "clean")  # a class that nobody knows stays one
