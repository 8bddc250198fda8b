"""Decisions in every format: valid by its schema, hostile text harmless, nothing left out."""

import json
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from stannary.cli.schema import schema_of
from stannary.core.evidence import Decision, Reason
from stannary.core.model import Digest
from stannary.report.decision import FORMATS, DecisionContext, renderer

HOSTILE = "\x1b[31mok\u202e</failure>|`@everyone`<script>\n# x"
DENIED = Decision(
    verdict="deny",
    subject=Digest("a" * 64),
    subject_name=HOSTILE,
    policy=Digest("b" * 64),
    policy_name="production",
    reasons=(
        Reason(rule="model-scan", ok=True, message="no finding above low", evidence=f"sha256:{'c' * 64}"),
        Reason(rule="statement:approval", ok=False, message=HOSTILE, help="stannary attest TARGET --kind statement"),
    ),
    evidence=(Digest("c" * 64),),
    decided=datetime(2026, 11, 25, 12, tzinfo=UTC),
)
CONTEXT = DecisionContext(target=HOSTILE, recorded=f"sha256:{'d' * 64}", version="0.1.0")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_all_and_nothing_hostile_acts(name):
    text = renderer(name)(DENIED, CONTEXT)
    assert text.endswith("\n")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "statement:approval" in text
    # An issue list has the failures only; every other format tells what passed too.
    assert ("o finding above low" in text) == (name != "gitlab")


def test_json_is_what_its_schema_says():
    document = json.loads(renderer("json")(DENIED, CONTEXT))
    jsonschema.validate(document, schema_of("decision"))
    assert document["verdict"] == "deny"


def test_sarif_is_valid():
    schema = json.loads((Path(__file__).parent / "sarif-2.1.0.json").read_text())
    log = json.loads(renderer("sarif")(DENIED, CONTEXT))
    jsonschema.validate(log, schema)
    assert [r["kind"] for r in log["runs"][0]["results"]] == ["pass", "fail"]


def test_junit_counts_what_fails():
    suites = ET.fromstring(renderer("junit")(DENIED, CONTEXT))
    assert (suites.get("tests"), suites.get("failures")) == ("2", "1")
    assert len(suites.findall(".//failure")) == 1


def test_code_quality_has_one_issue_a_failure_with_a_stable_fingerprint():
    one, two = (json.loads(renderer("gitlab")(DENIED, CONTEXT)) for _ in range(2))
    assert one == two
    (issue,) = one
    assert issue["severity"] in {"info", "minor", "major", "critical", "blocker"}
    assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}


def test_colour_is_only_where_it_is_wanted():
    coloured = DecisionContext(target="m", color=True)
    assert "\x1b[" in renderer("table")(DENIED, coloured)
