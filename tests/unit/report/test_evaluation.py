"""Report cards in every format: complete, escaped, within bounds; and the evidence that is made of one."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from xml.etree import ElementTree as ET

import jsonschema
import msgspec
import pytest

from stannary.checks.target.card import (
    AttackRun,
    BudgetCurve,
    Change,
    CorruptionPoint,
    CurvePoint,
    Distance,
    EvaluationResult,
    Example,
    MaskingPoint,
    Model,
    PatchPoint,
    Privacy,
    Probes,
    Robustness,
    Stop,
    TestData,
    Threat,
    Tool,
)
from stannary.checks.target.statistics import rate
from stannary.core.errors import InputError
from stannary.core.evidence import Measurement
from stannary.evidence.from_evaluation import evaluation
from stannary.evidence.predicates.table import OURS
from stannary.report.evaluation import FORMATS, renderer
from stannary.report.evaluation.html_ import LIMIT
from stannary.report.json_ import schema

EVIL = "<script>alert(1)</script>\x1b[31m|`x`\u202e"
NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 40).decode()


def card(**more) -> EvaluationResult:
    robustness = Robustness(
        preset="standard",
        threat=Threat(norm="linf", eps=0.1),
        clean=rate(97, 100),
        robust=rate(60, 100),
        attacks=(
            AttackRun(id=EVIL, survivors_in=97, survivors_out=60, forward=4000, backward=2000, queries=4000, seconds=1.5),
            AttackRun(id="square", skipped="needs scores"),
        ),
        curve=tuple(CurvePoint(eps=e / 10, accuracy=rate(100 - 9 * e, 100)) for e in range(8)),
        budgets=(
            BudgetCurve(
                attack=EVIL, unit="queries", fell=30, half=120, most=900,
                points=tuple(CurvePoint(eps=e, accuracy=rate(left, 100)) for e, left in ((0, 97), (1, 97), (10, 90), (5000, 67))),
            ),
            BudgetCurve(attack="pgd-10", unit="iterations", points=(CurvePoint(eps=0, accuracy=rate(67, 100)),) * 2),
        ),
        distance=Distance(norm="l2", median=1.1, low=0.9, high=1.2, n=97),
        brittleness={"1 ulp": rate(76, 100)},
        corruptions=tuple(CorruptionPoint(corruption=EVIL, severity=n, accuracy=rate(90 - 9 * n, 100)) for n in range(1, 6)),
        corrupted={"mean": rate(63, 100), "severity_1": rate(50, 100)},
        poses=rate(12, 100),
        patch=PatchPoint(side=8, accuracy=rate(40, 100), success=rate(57, 97), noise=rate(5, 97), picture=PNG),
        masking=(MaskingPoint(id="zero", title="zero gradients", value=0.9, threshold=0.1, warn=True, note=EVIL),),
        masked=True,
        examples=(
            Example(sample=3, attack="pgd-40", label=EVIL, decided="9", distance=0.05, before=PNG, after=PNG),
            Example(
                sample=4, attack="pull-back", label="bad", decided="good", distance=0.4, cost=12.5,
                changes=(Change(column=EVIL, before=1.0, after=2.0),),
            ),
        ),
    )  # fmt: skip
    given = {
        "tool": Tool(version="0.1"),
        "model": Model(path="m.pt", name=EVIL, digest="sha256:" + "a" * 64, access="white", format="torchscript"),
        "data": TestData(path="d.csv", digest="sha256:" + "b" * 64, rows=1000, n=100),
        "suite": ("robustness", "privacy", "llm"),
        "seed": 7,
        "outcome": "passed",
        "queries": 4000,
        "robustness": robustness,
        "privacy": Privacy(
            attack="lira",
            auc=rate(72, 100),
            rates={"tpr at 1 % fpr": rate(14, 100)},
            refused={"tpr at 0.1 % fpr": "100 are too few"},
            roc=((0.001, 0.01), (0.01, 0.14), (0.1, 0.4), (1.0, 1.0)),
            extraction=(CurvePoint(eps=100, accuracy=rate(60, 100)), CurvePoint(eps=5000, accuracy=rate(96, 100))),
        ),
        "probes": Probes(families={"injection": rate(3, 20)}, attempts=20),
        "measurements": (Measurement(metric="robustness.linf.eps_0.1", value=0.6, low=0.49, high=0.7, n=100, seed=7),),
        "atlas": ("AML.T0043.000",),
    }  # fmt: skip
    return EvaluationResult(**(given | more))


def test_a_card_says_in_one_line_what_it_takes() -> None:
    found = card()
    text = renderer("table")(found)
    assert "half of the 30 that fall do within 120 queries, nine in ten within 900 queries" in text
    (one, flat) = found.robustness.budgets
    single = msgspec.structs.replace(one, fell=1, half=1, most=1)
    less = msgspec.structs.replace(found.robustness, budgets=(flat, single))
    assert "the one that falls does within 1 query\n" in renderer("table")(msgspec.structs.replace(found, robustness=less))
    none = msgspec.structs.replace(found.robustness, budgets=(flat,))
    assert "budget of" not in renderer("table")(msgspec.structs.replace(found, robustness=none))


@pytest.mark.parametrize("name", FORMATS)
def test_what_others_named_does_nothing_in_any_format(name: str) -> None:
    text = renderer(name)(card())
    assert text.endswith("\n")
    assert "\x1b" not in text
    assert "\u202e" not in text
    if name in ("html", "junit"):
        assert "<script" not in text
    if name == "markdown":
        assert re.search(r"(?<!`)<script", text) is None or "`" in text


def test_the_page_has_every_part_and_loads_nothing() -> None:
    page = renderer("html")(card())
    assert "81.0 %" in page
    assert "right in every pose" in page
    for part in (
        "measured",
        "curve",
        "budget",
        "roc",
        "extraction",
        "attacks",
        "corruptions",
        "patch",
        "masking",
        "examples",
        "facts",
    ):
        assert f'id="{part}"' in page, part
    assert page.count("<svg") == 4
    assert "5,000</text>" in page
    assert "Turned nothing: pgd-10" in page
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert "style=" not in page


def test_a_page_stays_within_its_bound() -> None:
    big = base64.b64encode(b"\x89PNG" + bytes(40_000)).decode()
    many = tuple(Example(sample=n, attack="a", label="1", decided="2", distance=0.1, before=big, after=big) for n in range(24))
    found = card()
    page = renderer("html")(msgspec.structs.replace(found, robustness=msgspec.structs.replace(found.robustness, examples=many)))
    assert len(page.encode()) <= LIMIT
    assert "more are in the JSON" in page


def test_a_picture_that_is_none_is_no_address() -> None:
    found = card()
    wrong = (Example(sample=1, attack="a", label="1", decided="2", distance=0.1, before='x" onerror="y', after=PNG),)
    page = renderer("html")(msgspec.structs.replace(found, robustness=msgspec.structs.replace(found.robustness, examples=wrong)))
    assert "onerror" not in page


def test_json_is_what_its_schema_says() -> None:
    document = json.loads(renderer("json")(card()))
    jsonschema.Draft202012Validator(schema(EvaluationResult, "stannary.evaluate/1", "a report card")).validate(document)
    assert document["robustness"]["robust"]["n"] == 100
    assert set(document["robustness"]["robust"]) == {"value", "low", "high", "n"}
    assert document["queries"] == 4000
    assert document["seed"] == 7


def test_junit_fails_what_failed() -> None:
    root = ET.fromstring(renderer("junit")(card(outcome="failed", reasons=("too weak",), incomplete=("square was cut",))))
    assert root.attrib["failures"] == "1"
    assert [case.find("failure") is not None for case in root.findall("testcase")] == [True, False]
    assert root.findall("testcase")[1].find("error") is not None


def test_the_gates_decision_is_the_verdict() -> None:
    found = card()
    stop = Stop(rule="beta-binomial", alpha=0.05, threshold=0.5, decision="pass", samples=64)
    text = renderer("table")(msgspec.structs.replace(found, robustness=msgspec.structs.replace(found.robustness, stop=stop)))
    assert text.startswith("PASSES THE GATE")


def test_a_card_becomes_evidence_with_its_intervals() -> None:
    made = evaluation(msgspec.to_builtins(card()), NOW)
    assert str(made.digest) == "sha256:" + "a" * 64
    projected = OURS["eval-result"].project(made.predicate)
    [measured] = projected["measurements"]
    assert (measured.metric, measured.low, measured.n, measured.seed) == ("robustness.linf.eps_0.1", 0.49, 100, 7)
    assert projected["outcome"] == "passed"
    assert projected["check"].parameters["robustness"]["masked"] is True


def test_what_could_not_be_measured_is_never_passed() -> None:
    made = evaluation(msgspec.to_builtins(card(incomplete=("the budget was used up",))), NOW)
    assert made.predicate.outcome == "incomplete"
    assert made.predicate.partial


@pytest.mark.parametrize(
    "change", [{"schema": "stannary.scan/1"}, {"model": {"path": "x", "name": "x", "digest": "md5:ab"}}, {"seed": "x"}]
)
def test_no_card_is_an_error(change: dict) -> None:
    with pytest.raises(InputError, match="no report card"):
        evaluation(msgspec.to_builtins(card()) | change, NOW)


def test_figures_have_six_digits_notes_are_not_called_unmeasured_and_flips_are_in_words() -> None:
    long = Change(column="income", before=27.4, after=27.882265624999998)
    one = Example(sample=4, attack="pull-back", label="bad", decided="good", distance=0.4, cost=12.5, changes=(long,))
    base = card()
    found = msgspec.structs.replace(base.robustness, examples=(one,), brittleness={"ulp_one": rate(1, 100)})
    model = msgspec.structs.replace(base.model, notes=("its scores are taken for probabilities",))
    made = card(robustness=found, model=model)
    table = renderer("table")(made)
    assert "to know\n  its scores are taken for probabilities" in table
    assert "not measured" not in table
    for name in ("table", "html"):
        text = renderer(name)(made)
        assert "27.8823" in text
        assert "27.88226" not in text
        assert "decided otherwise when the last bit of a column turns" in text
