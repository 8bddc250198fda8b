"""JSON, SARIF, JUnit and GitLab: valid, complete, and silent about this host."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import msgspec
import pytest

from stannary.checks.static.result import FileResult, Missed, ScanFinding, ScanResult, Summary, TargetResult, Tool
from stannary.report import gitlab, json_, junit, sarif
from stannary.report.interface import FORMATS, renderer

SARIF_SCHEMA = json.loads(Path(__file__).with_name("sarif-2.1.0.json").read_text(encoding="utf-8"))

# The constraints of sast-report-format.json 15.2.1 that our fields fall under.
GITLAB_TOOL = {
    "type": "object",
    "required": ["id", "name", "version", "vendor"],
    "properties": {"vendor": {"type": "object", "required": ["name"]}, "id": {"type": "string", "minLength": 1}},
}
GITLAB_TIME = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$"}
GITLAB_SCHEMA = {
    "type": "object",
    "required": ["scan", "version", "vulnerabilities"],
    "properties": {
        "version": {"const": "15.2.1"},
        "scan": {
            "type": "object",
            "required": ["analyzer", "end_time", "scanner", "start_time", "status", "type"],
            "properties": {
                "analyzer": GITLAB_TOOL,
                "scanner": GITLAB_TOOL,
                "start_time": GITLAB_TIME,
                "end_time": GITLAB_TIME,
                "status": {"enum": ["success", "failure"]},
                "type": {"const": "sast"},
                "messages": {
                    "items": {
                        "required": ["level", "value"],
                        "properties": {"level": {"enum": ["info", "warn", "fatal"]}, "value": {"type": "string", "minLength": 1}},
                    }
                },
            },
        },
        "vulnerabilities": {
            "items": {
                "required": ["id", "identifiers", "location"],
                "properties": {
                    "id": {"type": "string", "minLength": 1},
                    "name": {"type": "string", "maxLength": 255},
                    "solution": {"type": "string", "maxLength": 7000},
                    "severity": {"enum": ["Info", "Unknown", "Low", "Medium", "High", "Critical"]},
                    "identifiers": {
                        "minItems": 1,
                        "items": {
                            "required": ["type", "name", "value"],
                            "properties": {"url": {"pattern": "^(https?|ftp)://.+"}, "value": {"minLength": 1}},
                        },
                    },
                    "location": {"properties": {"file": {"type": "string"}, "start_line": {"type": "number"}}},
                    "details": {
                        "additionalProperties": {
                            "required": ["name", "type"],
                            "oneOf": [
                                {
                                    "properties": {"type": {"const": "value"}, "value": {"type": ["number", "string", "boolean"]}},
                                    "required": ["value"],
                                },
                                {
                                    "properties": {
                                        "type": {"const": "module-location"},
                                        "module_name": {"minLength": 1},
                                        "offset": {"type": "integer"},
                                    },
                                    "required": ["module_name", "offset"],
                                },
                            ],
                        }
                    },
                },
            }
        },
    },
}


@pytest.fixture(params=["mixed", "clean", "hostile"])
def result(request) -> ScanResult:
    return request.getfixturevalue(request.param)


def test_json_has_the_fields_of_the_contract(mixed, context):
    data = json.loads(json_.render(mixed, context))
    assert data["schema"] == "stannary.scan/1"
    assert set(data["tool"]) >= {"name", "version", "ruleset"}
    target = data["targets"][0]
    assert set(target) >= {"path", "digest", "kind", "size", "verdict", "files", "findings"}
    assert set(target["files"][0]) >= {"path", "format", "sha256", "size", "status", "reason"}
    assert set(target["findings"][0]) >= {"rule", "severity", "file", "offset", "message", "evidence", "atlas", "cwe"}
    assert set(data["summary"]) >= {"files", "bytes", "seconds", "critical", "high", "medium", "low", "info"}
    assert data["summary"]["critical"] == 1


def test_json_is_valid_against_its_own_schema_and_reads_back(result, context):
    text = json_.render(result, context)
    schema = json_.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(text), schema)
    again = msgspec.json.decode(text, type=ScanResult)
    assert [target.verdict for target in again.targets] == [target.verdict for target in result.targets]


def test_sarif_is_valid(result, context):
    log = json.loads(sarif.render(result, context))
    jsonschema.validate(log, SARIF_SCHEMA)


def test_sarif_names_rules_taxa_fingerprints_and_what_was_not_read(mixed, context):
    run = json.loads(sarif.render(mixed, context))["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    first = run["results"][0]
    assert rules[first["ruleIndex"]]["id"] == first["ruleId"] == "PKL001"
    assert rules[0]["help"]["markdown"]
    assert rules[0]["properties"]["security-severity"] == "9.5"
    assert first["locations"][0]["physicalLocation"]["region"] == {"byteOffset": 12, "byteLength": 1}
    assert first["partialFingerprints"]["stannary/v1"]
    assert {taxonomy["name"] for taxonomy in run["taxonomies"]} == {"CWE", "ATLAS", "OWASP"}
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert len(notes) == 2
    assert all(note["level"] == "error" for note in notes)
    assert run["invocations"][0]["exitCode"] == 1


def test_sarif_keeps_offsets_of_members_apart_from_offsets_of_files(mixed, context):
    run = json.loads(sarif.render(mixed, context))["runs"][0]
    found = next(r for r in run["results"] if r["ruleId"] == "ZIP010")
    assert found["locations"][0]["physicalLocation"]["region"]["byteOffset"] == 0
    inner = found["relatedLocations"][0]["physicalLocation"]
    assert inner["region"]["byteOffset"] == 7
    artifact = run["artifacts"][inner["artifactLocation"]["index"]]
    assert run["artifacts"][artifact["parentIndex"]]["location"]["uri"] == "downloads/weights/odd.pt"


def test_sarif_marks_waived_findings_as_suppressed(mixed, context):
    run = json.loads(sarif.render(mixed, context))["runs"][0]
    suppressed = [r for r in run["results"] if r.get("suppressions")]
    assert [r["suppressions"][0]["justification"] for r in suppressed] == ["reviewed by the owner"]


@pytest.mark.parametrize("form", ["sarif", "gitlab"])
def test_no_absolute_path_of_this_host_is_told(form, mixed, context, tmp_path):
    target = msgspec.structs.replace(mixed.targets[0], path=str(tmp_path / "secret-home" / "downloads"))
    text = renderer(form)(msgspec.structs.replace(mixed, targets=(target,)), context)
    assert "secret-home" not in text
    assert "downloads/model.pkl" in text


def test_gitlab_is_valid(result, context):
    jsonschema.validate(json.loads(gitlab.render(result, context)), GITLAB_SCHEMA)


def test_gitlab_leaves_out_notes_and_waived_findings_and_tells_what_was_not_read(mixed, context):
    report = json.loads(gitlab.render(mixed, context))
    assert [v["severity"] for v in report["vulnerabilities"]] == ["Critical", "Low", "Medium"]
    assert len({v["id"] for v in report["vulnerabilities"]}) == 3
    assert len(report["scan"]["messages"]) == 2


def test_junit_has_one_case_a_file_and_counts_that_agree(result, context):
    root = ET.fromstring(junit.render(result, context))  # our own output
    files = sum(len(target.files) for target in result.targets)
    errors = sum(len(target.errors) for target in result.targets)
    assert int(root.get("tests")) == len(root.findall("testsuite/testcase")) == files + errors
    for key, tag in (("failures", "failure"), ("errors", "error")):
        assert int(root.get(key)) == len(root.findall(f"testsuite/testcase/{tag}"))


@pytest.mark.parametrize("fail_on, failures", [("critical", 1), ("medium", 2), ("low", 3), ("never", 0)])
def test_junit_fails_from_the_threshold_on(mixed, context, fail_on, failures):
    root = ET.fromstring(junit.render(mixed, msgspec.structs.replace(context, fail_on=fail_on)))
    assert int(root.get("failures")) == failures
    assert int(root.get("errors")) == 2


@pytest.mark.parametrize("form", list(FORMATS))
def test_every_format_tells_of_every_finding_and_gap(form, context, build):
    """A file nobody listed, a rule nobody knows, a gap without a part: none may be lost."""
    target = TargetResult(
        path="x",
        digest=None,
        kind="model",
        size=1,
        verdict="unsafe",
        files=(build.file("read.bin", "incomplete", missed=(Missed("GAP-REASON"),)),),
        findings=(build.finding(rule="NEW999", file="not-listed.pkl", message="LOST-FINDING"),),
        errors=("TARGET-ERROR",),
    )
    text = renderer(form)(build.outcome(target), context)
    for expected in ("LOST-FINDING", "GAP-REASON", "TARGET-ERROR", "NEW999"):
        assert expected in text


def test_sarif_keeps_numbers_over_two_gigabytes_out_of_typed_fields(build, context):
    """Microsoft's SDK reads sizes and offsets as 32-bit integers and refuses the whole log otherwise."""
    target = TargetResult(
        path="big.safetensors",
        digest=None,
        kind="model",
        size=5 << 30,
        verdict="unsafe",
        files=(build.file("big.safetensors", "unsafe", size=5 << 30, missed=(Missed("cut", "", 1 << 40),)),),
        findings=(build.finding(file="big.safetensors", offset=3 << 30),),
    )
    run = json.loads(sarif.render(build.outcome(target), context))["runs"][0]
    assert "length" not in run["artifacts"][0]
    assert "region" not in run["results"][0]["locations"][0]["physicalLocation"]
    assert run["results"][0]["properties"]["offset"] == 3 << 30
    note = run["invocations"][0]["toolExecutionNotifications"][0]
    assert note["message"]["text"].endswith(f"At byte {1 << 40}.")
    assert "region" not in note["locations"][0]["physicalLocation"]


@pytest.fixture(scope="module")
def flood() -> ScanResult:
    """A folder with 12,000 findings, of which one is worse than the others, and 12,000 files without one."""
    calm = tuple(
        FileResult(path=f"{n}.bin", format="x", sha256=None, size=1, status="scanned", verdict="clean") for n in range(12_000)
    )
    found = [
        ScanFinding(
            rule="PKL001",
            severity="critical" if n == 11_999 else "medium",
            file="a.pkl",
            offset=n,
            message=f"call number {n}",
            fingerprint=f"{n:032x}",
        )
        for n in range(12_000)
    ]
    noisy = FileResult(path="a.pkl", format="pickle", sha256=None, size=1, status="scanned", verdict="unsafe")
    target = TargetResult(
        path="x", digest=None, kind="model", size=1, verdict="unsafe", files=(*calm, noisy), findings=tuple(found)
    )
    return ScanResult(tool=Tool(version="0", ruleset="sha256:0"), targets=(target,), summary=Summary(files=1, bytes=1, seconds=1))


@pytest.mark.parametrize(
    "form, said",
    [
        ("sarif", "2000 more findings are left out of this log, none worse than those in it"),
        ("gitlab", "2000 more findings are left out of this report, none worse than those in it"),
        ("junit", "and 11800 more, none worse"),
        ("markdown", "and 11,940 findings more, not shown here"),
        ("table", "and 11,988 findings more in this file (11,988 medium)"),
        ("html", "more of the same are not shown here"),
    ],
)
def test_a_flood_of_findings_is_cut_at_the_least_of_them_and_the_report_says_so(flood, context, form, said):
    text = renderer(form)(flood, context)
    assert said in text
    assert "call number 11999" in text
    assert len(text) < 25_000_000


def test_a_cut_sarif_log_is_valid_and_names_the_files_it_speaks_of(flood, context):
    run = json.loads(sarif.render(flood, context))["runs"][0]
    assert len(run["results"]) == 10_000
    assert [artifact["location"]["uri"] for artifact in run["artifacts"]] == ["x/a.pkl"]
    assert run["invocations"][0]["toolExecutionNotifications"][0]["level"] == "warning"


def test_json_cuts_nothing(flood, context):
    target = json.loads(renderer("json")(flood, context))["targets"][0]
    assert (len(target["findings"]), len(target["files"])) == (12_000, 12_001)
