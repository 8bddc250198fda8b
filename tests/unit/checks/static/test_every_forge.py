"""Every forge is told for what it is: hostile ones are findings, harmless ones are not, broken ones are never clean."""

import pytest

import stannary
from stannary.testing.forges import all_forges, write

FORGES = all_forges()
BAD = {"unsafe", "suspicious"}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forges")
    paths = {name: write(name, folder / str(number)) for number, name in enumerate(FORGES)}
    result = stannary.scan(*paths.values())
    return dict(zip(paths, result.targets, strict=True))


def _shown(names, verdicts):
    return {
        name: (verdicts[name].verdict, [(f.rule, f.severity, f.message[:80]) for f in verdicts[name].findings][:3])
        for name in names
    }


def test_hostile_forges_are_findings(verdicts):
    missed = [name for name, item in FORGES.items() if item.malicious and verdicts[name].verdict not in BAD]
    assert not missed, _shown(missed, verdicts)


def test_harmless_forges_are_no_alarm(verdicts):
    alarms = [name for name, item in FORGES.items() if item.malicious is False and verdicts[name].verdict in BAD]
    assert not alarms, _shown(alarms, verdicts)


def test_all_verdicts_occur(verdicts):
    assert len(verdicts) == len(FORGES) > 2000
    assert {verdict.verdict for verdict in verdicts.values()} == {"unsafe", "suspicious", "unverified", "incomplete", "clean"}
