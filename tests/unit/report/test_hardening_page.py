"""The page of a hardening: both curves, the verdict by the interval, what to do next; nothing that others named acts."""

from __future__ import annotations

import itertools
import re

import msgspec
import pytest

from stannary.checks.target.card import (
    AttackRun,
    Compared,
    CurvePoint,
    EvaluationResult,
    Model,
    Privacy,
    Robustness,
    TestData,
    Threat,
    Tool,
)
from stannary.checks.target.statistics import rate
from stannary.harden.card import HardeningResult, Latency
from stannary.report.hardening import renderer
from stannary.report.hardening.words import next_steps, why

EVIL = "</code><script>alert(1)</script>\x1b[31m"


def card(stands: int) -> EvaluationResult:
    return EvaluationResult(
        tool=Tool(version="0"),
        model=Model(path=EVIL, name=EVIL, digest="sha256:" + "1" * 64),
        data=TestData(path=EVIL, digest="sha256:" + "2" * 64, target="", n=100),
        suite=("robustness",),
        seed=0,
        outcome="passed",
        robustness=Robustness(
            preset="gate",
            threat=Threat(norm="l2", eps=0.1),
            clean=rate(90, 100),
            robust=rate(stands, 100),
            attacks=(AttackRun(id=EVIL, survivors_in=90, survivors_out=stands, queries=400, seconds=1.5),),
            curve=tuple(CurvePoint(eps=e / 10, accuracy=rate(max(0, 90 - (90 - stands) * e), 100)) for e in range(3)),
        ),
    )


def compared(low: float, high: float) -> Compared:
    middle = (low + high) / 2
    return Compared(before=rate(40, 100), after=rate(55, 100), gained=20, lost=5, difference=middle, low=low, high=high, p=0.01)


def result(verdict: str = "hardened", low: float = 0.05, high: float = 0.2, **more: object) -> HardeningResult:
    made = HardeningResult(
        tool=Tool(version="0"),
        method="tree-robust",
        verdict=verdict,
        before=card(40),
        after=card(55),
        standing=compared(low, high),
        accuracy=compared(-0.03, -0.01),
        latency=(Latency(batch=1, before=1.0, after=1.5),),
        output="new model.ubj",
        training=EVIL,
        notes=(EVIL,),
    )
    return msgspec.structs.replace(made, **more)


def test_the_page_has_every_part_and_loads_nothing() -> None:
    page = renderer("html")(result())
    for part in ("compared", "curve", "said", "next", "attacks-before", "attacks-after", "facts"):
        assert f'id="{part}"' in page, part
    assert page.count("<svg") == 1
    assert page.count("<polyline") == 2
    assert "+12.5 points [+5.0, +20.0]" in page
    assert "1.50x" in page
    assert "lies above zero" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "style=" not in page
    assert "<script" not in page
    assert "\x1b" not in page


def test_curves_of_privacy_stand_one_below_the_other() -> None:
    leak = Privacy(attack="lira", auc=rate(60, 100), roc=((0.001, 0.01), (0.1, 0.3), (1.0, 1.0)))
    sides = [msgspec.structs.replace(card(40), robustness=None, privacy=leak) for _ in range(2)]
    page = renderer("html")(result(before=sides[0], after=sides[1], standing=None, judged_by="privacy"))
    assert 'id="roc-before"' in page
    assert 'id="roc-after"' in page
    assert 'id="curve"' not in page


@pytest.mark.parametrize(
    "verdict, low, high, says, does",
    [
        ("hardened", 0.05, 0.2, "lies above zero", "stannary gate 'new model.ubj'"),
        ("not shown", -0.02, 0.2, "holds zero", "--samples N"),
        ("not shown", 0.05, 0.2, "not whole", "keep the original"),
        ("weaker", -0.3, -0.1, "lies below zero", "keep the original"),
        ("masking", 0.05, 0.2, "hides what attackers look at", "adversarial-training"),
    ],
)
def test_the_verdict_says_why_and_what_to_do(verdict: str, low: float, high: float, says: str, does: str) -> None:
    found = result(verdict, low, high)
    assert says in why(found)
    assert does in " ".join(next_steps(found))


def fell(before: int, after: int, low: float, high: float) -> Compared:
    sides = {"before": rate(before, 100), "after": rate(after, 100)}
    return Compared(**sides, gained=0, lost=before - after, difference=(after - before) / 100, low=low, high=high, p=0.001)


@pytest.mark.parametrize(
    "verdict, accuracy, says, does",
    [
        (
            "too costly",
            fell(99, 80, -0.28, -0.12),
            "fell by 19.0 points, from 99.0% to 80.0% (the interval goes to 28.0): 10",
            "--eps",
        ),
        (
            "too costly",
            fell(99, 10, -0.95, -0.8),
            "no more than always deciding for the commonest class gets right (12.0%)",
            "keep",
        ),
        (
            "not shown",
            fell(99, 94, -0.12, -0.01),
            "from 99.0% to 94.0%, but the interval goes to 12.0, and 10 points",
            "--test FILE",
        ),
    ],
)
def test_accuracy_that_was_the_price_is_said(verdict: str, accuracy: Compared, says: str, does: str) -> None:
    found = result(verdict, accuracy=accuracy, max_accuracy_loss=0.1, chance=0.12)
    assert says in why(found)
    assert does in " ".join(next_steps(found))
    for name in ("html", "markdown", "table"):
        assert f"from {accuracy.before.value:.1%} to" in renderer(name)(found), name


def test_where_nothing_changed_that_is_said() -> None:
    same = Compared(before=rate(40, 100), after=rate(40, 100), gained=0, lost=0, difference=0.0, low=0.0, high=0.0, p=1.0)
    assert "Both stand the same samples" in why(result("not shown", standing=same))


def test_a_loss_of_accuracy_that_is_no_chance_is_said() -> None:
    assert any("2.0 points of accuracy" in step for step in next_steps(result()))
    unsure = result(accuracy=compared(-0.03, 0.01))
    assert not any("of accuracy" in step for step in next_steps(unsure))


def test_quick_attacks_are_followed_by_real_ones() -> None:
    quick = result("not shown", notes=("--preset smoke is too weak an attack to show hardening: take gate or more",))
    assert any("--preset gate" in step for step in next_steps(quick))


def test_one_page_with_two_curves_marks_each_radius_once() -> None:
    page = renderer("html")(result())
    ticks = re.findall(r'text-anchor="middle">([0-9.]+)</text>', page)
    assert sorted(ticks) == ["0", "0.1", "0.2"]


def test_radii_that_double_do_not_write_over_each_other() -> None:
    side = card(40)
    points = tuple(CurvePoint(eps=e, accuracy=rate(50, 100)) for e in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0))
    side = msgspec.structs.replace(side, robustness=msgspec.structs.replace(side.robustness, curve=points))
    page = renderer("html")(result(before=side, after=side))
    places = sorted(float(at) for at in re.findall(r'class="tick" x="([0-9.]+)" y="274"', page))
    assert len(places) >= 4
    assert all(after - before >= 39.9 for before, after in itertools.pairwise(places))
