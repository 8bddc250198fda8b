"""Every kind: its example is taken, what is wrong with a predicate is named, its schema says the same."""

import copy

import jsonschema
import pytest

from stannary.cli.schema import schema_of
from stannary.core.errors import InputError
from stannary.evidence.predicates.table import KINDS, OURS, decoded, kind_of_type
from stannary.testing.statements import EXAMPLES


def test_there_is_an_example_of_every_kind():
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_the_example_is_taken_and_projected(name):
    row = KINDS[name]
    fields = row.project(decoded(row, EXAMPLES[name]))
    assert fields["outcome"] in {"passed", "failed", "incomplete", "error"}
    assert kind_of_type(row.predicate_type) is row


@pytest.mark.parametrize("name", OURS)
def test_the_schema_takes_the_example_and_refuses_what_the_reader_refuses(name):
    schema = schema_of(f"predicate:{name}")
    check = jsonschema.Draft202012Validator(schema).is_valid
    assert check(EXAMPLES[name])
    for field in EXAMPLES[name]:
        for value in ({"x": []}, None):
            broken = copy.deepcopy(EXAMPLES[name])
            if value is None:
                del broken[field]
            else:
                broken[field] = [value] if not isinstance(broken[field], list) else 7
            if check(broken):
                decoded(OURS[name], broken)
                continue
            with pytest.raises(InputError) as caught:
                decoded(OURS[name], broken)
            assert caught.value.help == f"stannary schema predicate:{name}"


@pytest.mark.parametrize(
    "outcome,change",
    [
        ("passed", {}),
        ("passed", {"result": "WARNED"}),
        ("failed", {"result": "FAILED"}),
        ("failed", {"result": "PASSED", "failedTests": ["x"]}),
    ],
)
def test_results_of_tests_by_others(outcome, change):
    row = KINDS["test-result"]
    assert row.project(decoded(row, {**EXAMPLES["test-result"], **change}))["outcome"] == outcome


@pytest.mark.parametrize(
    "score,severity", [("9.8", "critical"), ("HIGH", "high"), ("5.0", "medium"), ("0.0", "info"), ("CVSS:3.1/AV:N", "high")]
)
def test_vulnerabilities_are_counted_and_an_unreadable_score_is_not_harmless(score, severity):
    row = KINDS["vuln"]
    predicate = copy.deepcopy(EXAMPLES["vuln"])
    predicate["scanner"]["result"][0]["severity"] = [{"method": "x", "score": score}]
    found = row.project(decoded(row, predicate))
    assert getattr(found["counts"], severity) == 1
    assert found["outcome"] == "failed"


def test_a_rejection_and_an_open_incident_fail():
    row = KINDS["statement"]
    assert row.project(decoded(row, {**EXAMPLES["statement"], "decision": "reject"}))["outcome"] == "failed"
    row = KINDS["incident"]
    assert row.project(decoded(row, {**EXAMPLES["incident"], "state": "open"}))["outcome"] == "failed"
    assert row.project(decoded(row, {**EXAMPLES["incident"], "state": "closed"}))["outcome"] == "passed"
