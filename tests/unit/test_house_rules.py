"""Every rule is complete, names what exists, fires on its true example and not on its false one, and is documented."""

import functools
import json
import re
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from stannary.checks.static import ruleset
from stannary.testing import forges

ROOT = Path(__file__).resolve().parents[2]
STATIC = resources.files("stannary.checks.static")
FILES = sorted((path for path in STATIC.joinpath("rules").iterdir() if path.name.endswith(".toml")), key=lambda path: path.name)
RULES = [pytest.param(path, id=path.name.removesuffix(".toml")) for path in FILES]
# What befalls a scan, not what a file holds: no content is an example; tests/unit/checks/static/test_scan_*.py make it happen.
# DEP007 and DEP008 need an advisory database beside the file: tests/unit/checks/dependencies/.
# PKL035 and SCN004 are for what a limit of processor time leaves unread: tests/unit/checks/static/test_limits.py sets a low one.
BEFALLS = {"SCN001", "SCN002", "DEP007", "DEP008", "PKL035", "SCN004"}
OWASP = re.compile(r"(LLM(0[1-9]|10):2025|ML(0[1-9]|10):2023|ASI(0[1-9]|10):2026|A(0[1-9]|10):2021)")


def rule_of(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found_in(tmp_path_factory):
    """Return the findings of a forge, scanned as a user would; examples that rules share are scanned once."""
    import stannary

    @functools.cache
    def scan(name):
        return stannary.scan(forges.write(name, tmp_path_factory.mktemp("forge"))).findings

    return scan


def test_there_are_rules():
    assert FILES


@pytest.mark.parametrize("path", RULES)
def test_a_rule_is_complete(path):
    rule = rule_of(path)
    assert re.fullmatch(r"[A-Z][A-Z0-9]{1,7}\d{3}", rule["id"])
    assert f"{rule['id']}.toml" == path.name
    assert rule["severity"] in {"critical", "high", "medium", "low", "info"}
    for field in ("title", "what", "why", "exploit", "fix", "message"):
        assert rule[field].strip(), field
    for field in ("what", "why", "exploit", "fix"):
        assert len(rule[field].split()) >= (3 if field == "fix" else 5), f"{field} says too little"
        assert rule[field].strip().endswith((".", ")", "`", "!")), f"{field} is not a sentence"
    assert rule["cwe"]
    assert all(re.fullmatch(r"CWE-\d{1,4}", item) for item in rule["cwe"])
    assert rule["owasp"]
    assert all(OWASP.fullmatch(item) for item in rule["owasp"])


@pytest.mark.parametrize("path", RULES)
def test_a_rule_names_techniques_that_exist(path):
    techniques = json.loads(STATIC.joinpath("data", "atlas.json").read_text("utf-8"))["techniques"]
    rule = rule_of(path)
    assert rule["atlas"]
    assert set(rule["atlas"]) <= techniques.keys()


@pytest.mark.parametrize("path", RULES)
def test_a_rule_fires_on_its_true_example(path, found_in):
    rule = rule_of(path)
    if rule["id"] in BEFALLS:
        return
    found = [finding for finding in found_in(rule["examples"]["true"]) if finding.rule == rule["id"]]
    assert found, f"{rule['id']} does not fire on {rule['examples']['true']}"
    fields = set(re.findall(r"\{(\w+)", rule["message"]))
    for finding in found:
        assert finding.message
        # A field that the fact does not have is printed as "?": allowed only where a judge words the message.
        assert rule.get("match") is None or "?" not in finding.message or fields <= finding.evidence.keys()


@pytest.mark.parametrize("path", RULES)
def test_a_rule_is_silent_on_its_false_example(path, found_in):
    rule = rule_of(path)
    assert [finding.message for finding in found_in(rule["examples"]["false"]) if finding.rule == rule["id"]] == []


def test_what_is_shipped_is_what_the_rule_files_say():
    assert STATIC.joinpath("data", "rules.json").read_bytes() == ruleset.compile_sources()


@pytest.mark.tree
@pytest.mark.parametrize("path", RULES)
def test_a_rule_is_documented(path):
    rule = rule_of(path)
    page = (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    assert f"## {rule['id']}: {rule['title']}" in page
