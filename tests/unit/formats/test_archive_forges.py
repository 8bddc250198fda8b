"""Every forge of archives, compressed streams, arrays, torch and joblib files gets the verdict it deserves."""

from __future__ import annotations

import msgspec
import pytest

from stannary.checks.static.ruleset import RuleSet, _Packed, compile_sources
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.forges import all_forges

pytestmark = pytest.mark.tree

FAMILIES = ("zip.", "tar.", "7z.", "compressed.", "numpy.", "joblib.", "torch.", "nemo.", "oci.")
FORGES = {name: item for name, item in all_forges().items() if name.startswith(FAMILIES)}
OWN_RULES = ("ZIP", "TAR", "SVZ", "CMP", "NPY")
# A class that only the model's own code has: low, and known to be.
UNVERIFIED = {"torch.torchscript"}


@pytest.fixture(scope="module")
def rules():
    packed = msgspec.json.decode(compile_sources(), type=_Packed)
    return RuleSet(packed.rules, packed.sets, "")


def assay(name, rules):
    item = FORGES[name]
    report = read_view(View(item.build(), item.filename), strict=True)
    found = findings_of(report, rules, item.filename)
    return verdict_of(found, missed=bool(report.missed)), {f.rule for f in found if f.severity != "info"}, {f.rule for f in found}


@pytest.mark.parametrize("name", sorted(FORGES))
def test_verdict(name, rules):
    verdict, _, _ = assay(name, rules)
    if FORGES[name].malicious:
        assert verdict in {"suspicious", "unsafe"}
    elif FORGES[name].malicious is None:
        assert verdict != "clean"
    else:
        assert verdict == "clean" or (name in UNVERIFIED and verdict == "unverified")


def own_rules():
    packed = msgspec.json.decode(compile_sources(), type=_Packed)
    return {rule.id: rule for rule in packed.rules if rule.id.startswith(OWN_RULES)}


@pytest.mark.parametrize("rule", sorted(own_rules()))
def test_rule_matches_its_example_and_not_the_other(rule, rules):
    examples = own_rules()[rule].examples
    assert rule in assay(examples.yes, rules)[2]
    assert rule not in assay(examples.no, rules)[2]


def test_every_archive_rule_is_about_a_fact_that_a_reader_reports(rules):
    seen = set()
    for item in FORGES.values():
        if "bomb" not in item.name:
            seen |= {fact.kind for fact in read_view(View(item.build(), item.filename)).facts}
    wanted = {match.fact for rule in own_rules().values() for match in rule.match}
    assert wanted - seen <= {"zip.bomb", "7z.bomb", "compressed.bomb"}
