"""Policies as written: what is read, and what is wrong with which line."""

import itertools
import re

import pytest

from stannary.core.errors import InputError, UsageError
from stannary.evidence.predicates.table import KINDS
from stannary.policy.language import parse
from stannary.policy.library import SHIPPED, load
from stannary.policy.model import WaiverRule

KIND_NAMES = frozenset(KINDS)


def nothing(name, parent=""):
    msg = f"there is no policy {name!r}"
    raise UsageError(msg, where=name)


def read(text, stage=""):
    return parse(text, "p.yaml", lambda name: load(name, nothing, KIND_NAMES), stage, KIND_NAMES)


def problems(text, stage=""):
    with pytest.raises(ExceptionGroup) as caught:
        read(text, stage)
    assert all(isinstance(error, InputError) for error in caught.value.exceptions)
    return [str(error) for error in caught.value.exceptions]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_policies_are_read_and_require_something(name):
    policy = load(name, nothing, KIND_NAMES)
    assert policy.name == name
    assert policy.description
    assert policy.require


def test_each_shipped_policy_asks_for_all_that_the_one_before_asks_for():
    found = [load(name, nothing, KIND_NAMES) for name in SHIPPED]
    for weaker, stronger in itertools.pairwise(found):
        assert {r.name for r in weaker.require} < {r.name for r in stronger.require}


def test_what_is_inherited_is_replaced_by_name_and_added_to():
    policy = read("name: x\nextends: baseline\nrequire:\n- {kind: model-scan, max_severity: info}\n- {kind: vuln}\n")
    assert [(r.name, r.max_severity, r.max_age) for r in policy.require] == [("model-scan", "info", None), ("vuln", None, None)]
    assert policy.waivers.max_days == 180


STAGES = """\
name: release
require: [{kind: model-scan}]
stages:
  staging:
    require: [{kind: vuln, max_severity: medium}]
  live:
    extends: staging
    require: [{kind: statement, check: approval, approvals: 2}]
"""


def test_a_stage_builds_on_another_and_on_what_stands_above():
    assert [r.name for r in read(STAGES).require] == ["model-scan"]
    assert [r.name for r in read(STAGES, "staging").require] == ["model-scan", "vuln"]
    live = read(STAGES, "live")
    assert [r.name for r in live.require] == ["model-scan", "vuln", "statement:approval"]
    assert live.name == "release#live"


def test_everything_wrong_is_said_at_once_with_its_line():
    text = """\
name: x
requires: []
require:
  - kind: model-scam
  - kind: model-scan
    max_age: 30
    max_severity: severe
    mesures: []
  - check: approval
  - kind: eval-result
    measures:
      - metric: accuracy
      - {metric: x, min: low}
"""
    assert problems(text) == [
        "p.yaml:2: requires: is not known here",
        "p.yaml:4: require[1].kind: there is no kind of evidence 'model-scam'",
        "p.yaml:6: require[2].max_age: is a time such as 30d, 12h or 90m, not 30",
        "p.yaml:7: require[2].max_severity: is one of critical, high, medium, low, info, none, not 'severe'",
        "p.yaml:8: require[2].mesures: is not known here",
        "p.yaml:9: require[3]: `kind` is missing",
        "p.yaml:12: require[4].measures[1]: bounds nothing",
        "p.yaml:13: require[4].measures[2].min: is a number, not 'low'",
    ]


@pytest.mark.parametrize(
    "text,line,words",
    [
        ("", 1, "mapping"),
        ("- a\n- b\n", 1, "mapping"),
        ("name: x\nrequire: [\n", 3, "not YAML"),
        ("name: x\nname: y\n", 2, "twice"),
        ("name: &a x\ndescription: *a\n", 2, "alias"),
        ("name: x\n---\nname: y\n", 2, "not YAML"),
        ("name: x\nrequire: {kind: model-scan}\n", 2, "list"),
        ("name: x\nrequire: [model-scan]\n", 2, "mapping"),
        ("name: x\nextends: nowhere\n", 2, "no policy"),
        ("name: x\nstages: {a: {extends: b}, b: {extends: a}}\n", 2, "extend each other"),
        ("name: x\nwaivers: {max_days: never}\n", 2, "is a whole number, not 'never'"),
        ("require: []\n", 1, "`name` is missing"),
        ("name: !!python/object/apply:os.system [echo]\n", 1, "is a text"),
        ("name: x\nrequire:\n- {kind: vuln}\n- {kind: vuln}\n", 4, "above"),
        ("name: x\ndescription: " + "[" * 40 + "]" * 40, 2, "deeply"),
        ("name: \0\n", 1, "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, line, words):
    found = problems(text)
    assert any(f"p.yaml:{line}:" in problem and words in problem for problem in found), found


def test_a_kind_that_nothing_is_of_is_said_beside_what_else_is_wrong_with_a_requirement():
    text = "name: x\nrequire:\n- kind: nope\n  max_age: 3 fortnights\n  not_by: [nobody]\n"
    assert problems(text) == [
        "p.yaml:3: require[1].kind: there is no kind of evidence 'nope'",
        "p.yaml:4: require[1].max_age: is a time such as 30d, 12h or 90m, not '3 fortnights'",
        "p.yaml:5: require[1].not_by: there is no kind of evidence 'nobody'",
    ]


def test_what_was_probably_meant_is_the_help():
    with pytest.raises(ExceptionGroup) as caught:
        read("name: x\nrequire: [{kind: vuln, max_severity: critcal}]\n")
    assert [error.help for error in caught.value.exceptions] == ["did you mean 'critical'?"]


def test_a_stage_that_is_not_there_is_said():
    assert "there is no stage 'prod'" in problems(STAGES, "prod")[0]
    with pytest.raises(ExceptionGroup) as caught:
        read("name: x\n", "prod")
    assert caught.value.exceptions[0].help == "name the policy without #STAGE: it has none"


def test_files_that_extend_each_other_are_an_error():
    files = {"a.yaml": "name: a\nextends: b.yaml\n", "b.yaml": "name: b\nextends: a.yaml\n"}
    with pytest.raises(ExceptionGroup, match="policy") as caught:
        load("a.yaml", lambda name, _: (files[name], name), KIND_NAMES)
    assert "extend each other" in str(caught.value.exceptions[0])


def test_the_digest_is_of_what_is_demanded_not_of_how_it_is_written():
    a = read("name: x\nrequire: [{kind: vuln, max_severity: low}]\n")
    b = read("# the same\nname: 'x'\nrequire:\n  - max_severity: low\n    kind: vuln\n")
    assert a.digest == b.digest != read("name: x\nrequire: [{kind: vuln}]\n").digest


def test_who_may_waive_is_not_inherited_away():
    base = "name: base\nwaivers: {signers: [security], max_days: 30}\n"
    policy = parse("name: mine\nextends: base\nwaivers: {max_days: 5}\n", "mine", lambda _: parse(base, "base", nothing))
    assert policy.waivers == WaiverRule(signers=("security",), max_days=5)
    stage = parse(base + "stages: {live: {waivers: {max_days: 1}}}\n", "base", nothing, "live")
    assert stage.waivers == WaiverRule(signers=("security",), max_days=1)
    none = parse("name: mine\nextends: base\nwaivers: {allow: false}\n", "mine", lambda _: parse(base, "base", nothing))
    assert not none.waivers.allow


def test_every_error_of_a_policy_has_file_line_and_fix():
    text = (
        "name: x\nrequire:\n  - kind: 7\n  - kind: model-scan\n    max_age: 3 fortnights\n    max_severity: extreme\n"
        "    signers: ann\n"
        "  - kind: statement\n    approvals: -1\n    waivable: perhaps\n    colour: red\n  - measures\n"
        "valid_for: long\nwaivers: [1]\nstages: 3\n"
    )
    with pytest.raises(ExceptionGroup) as caught:
        parse(text, "own.yaml", lambda name: load(name, nothing, KIND_NAMES), "", KIND_NAMES)
    errors = caught.value.exceptions
    assert len(errors) >= 9
    assert all(re.fullmatch(r"own\.yaml:\d+", error.where) for error in errors)
    assert [error.message for error in errors if not error.help] == []
    assert "require[3].approvals: is a whole number of at least 1, not -1" in [error.message for error in errors]
