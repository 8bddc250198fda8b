"""A result of a scan becomes a statement that says neither more nor less."""

from datetime import UTC, datetime

import msgspec
import pytest

import stannary
from stannary.core.errors import InputError
from stannary.evidence.from_scan import MOST_FINDINGS, model_scans
from stannary.testing.forges import make

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def stated(*paths, **options):
    return model_scans(msgspec.to_builtins(stannary.scan(*map(str, paths), **options)), NOW)


def test_a_clean_model_passes_and_a_hostile_one_fails(tmp_path):
    (tmp_path / "good.bin").write_bytes(make("torch.state_dict"))
    (tmp_path / "bad.pkl").write_bytes(make("pickle.rule_exec"))
    good, bad = stated(tmp_path / "good.bin", tmp_path / "bad.pkl")
    assert (good.predicate.outcome, good.predicate.verdict, good.name) == ("passed", "clean", "good.bin")
    assert good.digest is not None
    assert good.sha256 is not None
    assert (bad.predicate.outcome, bad.predicate.verdict) == ("failed", "unsafe")
    assert bad.predicate.findings[0].severity in {"critical", "high"}


def test_what_was_not_read_is_incomplete(tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(make("safetensors.plain")[:20])
    (found,) = stated(path)
    assert found.predicate.outcome in {"incomplete", "failed"}
    assert found.predicate.outcome != "passed"


def test_a_waiver_in_a_configuration_takes_no_finding_from_the_count(tmp_path):
    path = tmp_path / "bad.pkl"
    path.write_bytes(make("pickle.rule_exec"))
    (plain,) = stated(path)
    rules = {f.rule for f in plain.predicate.findings}
    waivers = [{"rule": rule, "file": "bad.pkl", "reason": "r", "owner": "o", "expires": "2099-01-01"} for rule in rules]
    (waived,) = stated(path, waivers=waivers)
    assert waived.predicate.counts == plain.predicate.counts
    assert waived.predicate.outcome == "failed"
    assert {f.waived for f in waived.predicate.findings} != {""}


def test_only_the_worst_findings_are_listed_and_the_rest_is_counted(tmp_path):
    path = tmp_path / "bad.pkl"
    path.write_bytes(make("pickle.rule_exec"))
    result = msgspec.to_builtins(stannary.scan(str(path)))
    found = dict(result["targets"][0]["findings"][0])
    low = [{**found, "severity": "low", "rule": f"X{n:03}"} for n in range(MOST_FINDINGS)]
    result["targets"][0]["findings"] = [*low, found]
    (made,) = model_scans(result, NOW)
    assert made.predicate.findings[0].severity == found["severity"]
    assert (len(made.predicate.findings), made.predicate.omitted) == (MOST_FINDINGS, 1)
    assert made.predicate.counts.low == MOST_FINDINGS


@pytest.mark.parametrize("result", [{}, {"schema": "stannary.scan/2"}, {"schema": "stannary.scan/1", "tool": {}, "targets": []}])
def test_what_is_no_result_of_a_scan_is_refused(result):
    with pytest.raises(InputError, match="no result of a scan"):
        model_scans(result, NOW)
