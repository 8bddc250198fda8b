"""What was measured of a version beside another: by intervals, with what differs about the samples; and a policy on it."""

import msgspec
import pytest

from stannary.core.evidence import Measurement
from stannary.evidence.from_evaluation import evaluation
from stannary.policy.model import Measure, Policy, Requirement
from stannary.registry import promotion
from stannary.registry.compare import compare
from stannary.registry.measured import card_of, change, direction, measured
from stannary.registry.names import Name, Reference
from stannary.registry.retention import delete

CLAIMS = Name("default", "claims")
LINF = "robustness.linf.eps_0.1"
DATA = {"path": "test.npz", "digest": "sha256:" + "ab" * 32, "n": 500}


def evaluate(bench, version, rows, *, data=DATA, n=500, seed=7, suite=("robustness",), **more):
    """State the card of an evaluation about a version: {metric: (low, value, high)}."""
    card = {
        "schema": "stannary.evaluate/1",
        "tool": {"version": "0.1"},
        "model": {"path": "m", "name": "m", "digest": version.digest},
        "suite": list(suite),
        "seed": seed,
        "outcome": "passed",
        "data": data,
        "measurements": [
            {"metric": name, "low": low, "value": value, "high": high, "n": n, "seed": seed}
            for name, (low, value, high) in rows.items()
        ],
        **more,
    }
    found = evaluation(card, bench.clock())
    registry = bench.opened[0]
    return registry.chain.state(registry.subject(version), "eval-result", msgspec.to_builtins(found.predicate))


def card(bench, number):
    registry = bench.opened[0]
    return card_of(registry, registry.show(Reference(CLAIMS, number)))


def test_a_version_stands_beside_the_last_one_that_was_measured(bench):
    first = bench.push(b"one")
    assert card(bench, 1) is None
    evaluate(bench, first, {"accuracy": (0.90, 0.92, 0.94), LINF: (0.60, 0.65, 0.70), "privacy.membership.auc": (0.5, 0.52, 0.54)})
    assert {row.metric: row.verdict for row in card(bench, 1).rows} == dict.fromkeys(
        ("accuracy", LINF, "privacy.membership.auc"), "new"
    )
    bench.push(b"nobody measured it")
    third = bench.push(b"three")
    assert card(bench, 2) is card(bench, 3) is None
    said = evaluate(
        bench, third,
        {
            "accuracy": (0.91, 0.93, 0.95), LINF: (0.40, 0.45, 0.50), "privacy.membership.auc": (0.6, 0.7, 0.8),
            "odd.metric": (0, 1, 2),
        },
    )  # fmt: skip
    found = card(bench, 3)
    assert found.before == 1
    assert {row.metric: row.verdict for row in found.rows} == {
        "accuracy": "no difference shown", LINF: "worse", "privacy.membership.auc": "worse", "odd.metric": "new",
    }  # fmt: skip
    assert {row.evidence for row in found.rows} == {str(said.id)}
    assert all(row.samples == "" for row in found.rows)
    rows = compare(bench.opened[0], Reference(CLAIMS, 3), Reference(CLAIMS, 1)).measurements
    assert {row.metric: row.verdict for row in rows} == {
        "accuracy": "no difference shown", LINF: "better", "privacy.membership.auc": "better", "odd.metric": "not measured",
    }  # fmt: skip
    delete(bench.opened[0], CLAIMS, 1, "old")
    assert card(bench, 3).before == 0


@pytest.mark.parametrize(
    "more, says",
    [
        ({"n": 1000}, "500 samples before, 1,000 now"),
        ({"seed": 8}, "another seed"),
        ({"data": {**DATA, "digest": "sha256:" + "cd" * 32}}, "other data"),
        ({"data": None}, "data that is not known to be the same"),
        ({}, ""),
    ],
)
def test_it_is_said_what_differs_about_the_samples(bench, more, says):
    evaluate(bench, bench.push(b"one"), {LINF: (0.6, 0.65, 0.7)})
    evaluate(bench, bench.push(b"two"), {LINF: (0.8, 0.85, 0.9)}, **more)
    (row,) = card(bench, 2).rows
    assert (row.verdict, row.samples) == ("better", says)


def test_suites_that_were_run_apart_stand_in_one_card_and_the_newest_counts(bench):
    version = bench.push(b"one")
    evaluate(bench, version, {LINF: (0.1, 0.2, 0.3)})
    evaluate(bench, version, {LINF: (0.6, 0.65, 0.7)})
    evaluate(bench, version, {"llm.jailbreak.success": (0.0, 0.1, 0.2)}, suite=("probes",), incomplete=["3 attempts had no answer"])
    found = card(bench, 1)
    assert {row.metric: row.after.value for row in found.rows} == {LINF: 0.65, "llm.jailbreak.success": 0.1}
    assert found.missed == ("3 attempts had no answer",)


def test_intervals_that_touch_show_no_difference_and_unknown_metrics_are_only_apart():
    def one(low, high):
        row = Measurement(metric="x", value=(low + high) / 2, low=low, high=high, n=9)
        return type("M", (), {"row": row, "data": (), "evidence": "", "issued": ""})()

    assert change(("c", "accuracy"), one(0.1, 0.2), one(0.2, 0.3)).verdict == "no difference shown"
    assert change(("c", "accuracy"), one(0.1, 0.2), one(0.21, 0.3)).verdict == "better"
    assert change(("c", "robustness.brittleness.ulp_one"), one(0.1, 0.2), one(0.21, 0.3)).verdict == "worse"
    assert change(("c", "latency"), one(0.1, 0.2), one(0.21, 0.3)).verdict == "apart"
    assert change(("c", "accuracy"), one(0.1, 0.2), None).verdict == "not measured"
    assert [direction(name) for name in ("robustness.l2.median", "privacy.membership.auc", "backdoor.score", "speed")] == [
        "higher", "lower", "lower", "",
    ]  # fmt: skip


@pytest.mark.parametrize("interval, moved", [((0.61, 0.65, 0.7), True), ((0.59, 0.65, 0.7), False), ((0.3, 0.4, 0.5), False)])
def test_an_alias_moves_by_the_worse_end_of_what_was_measured(bench, interval, moved):
    registry = bench.opened[0]
    bound = Measure(metric=LINF, min=0.6, min_samples=500)
    policy = Policy(name="robust", require=(Requirement(kind="eval-result", check="robustness", measures=(bound,)),))
    promotion.protect(registry, CLAIMS, "production", policy)
    version = bench.push(b"one")
    none = promotion.promote(registry, CLAIMS, 1, "production")
    assert not none.moved
    evaluate(bench, version, {LINF: interval})
    found = promotion.promote(registry, CLAIMS, 1, "production")
    assert found.moved == moved
    assert any(f"{LINF} = {interval[1]:g}" in reason.message for reason in found.decision.reasons)
    assert measured(registry.chain, version.digest)["robustness", LINF].row.low == interval[0]
