"""Attacks that see only decisions: near the exact answer, inside the domain at every query, and never without an end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stannary.checks.robustness.attacks.boundary import Boundary
from stannary.checks.robustness.attacks.hopskipjump import HopSkipJump
from stannary.checks.robustness.attacks.pullback import PullBack
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.engine import run
from stannary.checks.robustness.rows import Problem
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.core.errors import UsageError

WIDE = Box(-50, 50)


class Rule:
    """A target that decides by a function of rows, and remembers what it was shown."""

    access, classes, device = "decision", 2, "cpu"

    def __init__(self, decide, features, domain=None, origin=None):
        self.name, self.shape, self._decide = "rule", (features,), decide
        self.domain, self.origin, self.bad = domain, origin, 0

    def decide(self, x):
        if self.domain is not None:
            self.bad += int(self.domain.violations(x, self.origin[:1].expand_as(x)).sum())
        return self._decide(x).long()


class Whole(Box):
    """A box whose first column holds whole numbers, and whose second one never changes."""

    def project(self, x, origin):
        x = x.clamp(self.low, self.high)
        x = torch.cat((x[:, :1].round(), origin[:, 1:2], x[:, 2:]), 1)
        return torch.where(x.isnan(), origin, x)

    def violations(self, x, origin):
        return super().violations(x, origin) | (x[:, 0] % 1 != 0) | (x[:, 1] != origin[:, 1])


def attacks(x, y):
    return [HopSkipJump(10, pool=(x, y)), Boundary(100, pool=(x, y)), PullBack((x, y), rounds=4)]


def linear(features=12, count=40, seed=0):
    """Return a linear rule, samples, labels, and their exact distances from it in l2 and linf."""
    torch.manual_seed(seed)
    w = torch.randn(features, dtype=torch.float64)
    x = torch.randn(count, features, dtype=torch.float64)
    z = x @ w + 0.3
    return Rule(lambda rows: rows @ w + 0.3 > 0, features), x, (z > 0).long(), (z.abs() / w.norm(), z.abs() / w.abs().sum())


@pytest.mark.parametrize("norm,which,factor", [("l2", 0, 1.05), ("linf", 1, 1.25)])
def test_hopskipjump_comes_near_the_exact_distance(norm, which, factor) -> None:
    rule, x, y, exact = linear()
    problem = Problem(Counting(rule), WIDE, norm=norm)
    found = run(HopSkipJump(25), problem, x, y)
    assert found.success.all()
    assert check(problem, found.x, x, y).all()
    ratio = found.size / exact[which]
    assert (ratio > 1 - 1e-6).all()
    assert ratio.median() < factor


def test_the_boundary_attack_comes_near_the_exact_distance() -> None:
    rule, x, y, exact = linear()
    found = run(Boundary(300), Problem(Counting(rule), WIDE, norm="l2"), x, y)
    ratio = found.size / exact[0]
    assert (ratio > 1 - 1e-6).all()
    assert ratio.median() < 1.1


def test_pull_back_changes_the_one_feature_that_matters_and_no_more_than_needed() -> None:
    torch.manual_seed(2)
    x = torch.rand(300, 8, dtype=torch.float64)
    y = (x[:, 3] > 0.5).long()
    problem = Problem(Counting(Rule(lambda rows: rows[:, 3] > 0.5, 8)), Box(), norm="l2")
    found = run(PullBack((x[40:], y[40:]), rounds=4), problem, x[:40], y[:40])
    assert found.success.all()
    assert torch.equal((found.x != x[:40]).nonzero()[:, 1], torch.full((40,), 3))
    assert (found.size - (x[:40, 3] - 0.5).abs()).abs().max() < 2e-3
    assert found.spend.queries / 40 < 150


def test_what_is_nearest_counts_in_the_units_of_the_columns() -> None:
    """Either column flips the decision; in plain numbers the first is nearer, in its own small unit it is not."""
    x = torch.zeros(1, 2, dtype=torch.float64)
    pool = torch.tensor([[0.9, 0.9]], dtype=torch.float64), torch.tensor([1])
    rule = Rule(lambda rows: (rows[:, 0] > 0.2) | (rows[:, 1] > 0.6), 2)
    plain = run(PullBack(pool, rounds=1), Problem(rule, Box(), norm="l1"), x, torch.tensor([0]))
    scaled = run(
        PullBack(pool, rounds=1),
        Problem(rule, Box(), norm="l1", scale=torch.tensor([0.01, 1.0], dtype=torch.float64)),
        x,
        torch.tensor([0]),
    )
    assert scaled.x[0, 0] == 0
    assert scaled.x[0, 1] == pytest.approx(0.6, abs=1e-3)
    assert scaled.size[0] == pytest.approx(0.6, abs=1e-3)
    assert plain.success.all()


@pytest.mark.parametrize("number", range(3))
def test_no_query_leaves_the_domain(number) -> None:
    torch.manual_seed(3)
    domain = Whole(-5, 5)
    pool = domain.project(torch.randn(200, 5, dtype=torch.float64) * 2, torch.zeros(200, 5, dtype=torch.float64))
    decide = lambda rows: rows[:, 0] + rows[:, 1] + rows[:, 2] * rows[:, 3] > 1  # noqa: E731 - a rule
    x = torch.tensor([[0.0, 0.0, 0.3, 0.2, 1.0]], dtype=torch.float64)
    rule = Rule(decide, 5, domain, x)
    attack = attacks(pool, decide(pool).long())[number]
    problem = Problem(Counting(rule), domain, norm="l2")
    found = run(attack, problem, x, torch.tensor([0]))
    assert found.success.all()
    assert rule.bad == 0
    assert problem.target.spend.queries > 50
    assert check(problem, found.x, x, torch.tensor([0])).all()


@pytest.mark.parametrize("answer", [0, -1])
def test_a_model_that_never_changes_its_mind_is_not_fooled(answer) -> None:
    x, y = torch.rand(6, 4, dtype=torch.float64), torch.zeros(6, dtype=torch.int64)
    pool = torch.rand(30, 4, dtype=torch.float64), torch.ones(30, dtype=torch.int64)
    for attack in attacks(*pool):
        rule = Rule(lambda rows: torch.full((len(rows),), answer), 4)
        found = run(attack, Problem(Counting(rule), Box(), norm="l2"), x, y)
        assert not found.success.any()
        assert found.finished.all()
        assert found.spend.queries <= 6 * attack.rounds * 120


def test_a_sample_that_is_decided_wrongly_needs_no_change() -> None:
    rule, x, y, _ = linear()
    for attack in attacks(x, y):
        found = run(attack, Problem(Counting(rule), WIDE, norm="l2"), x, 1 - y)
        assert found.success.all()
        assert (found.size == 0).all()
        assert found.spend.queries == len(x) * attack.rounds


def test_a_limit_of_queries_holds_for_each_row() -> None:
    rule, x, y, _ = linear(count=1)
    problem = Problem(Counting(rule), WIDE, norm="l2")
    found = run(HopSkipJump(50, queries=500), problem, x, y)
    assert found.success.all()
    assert 400 < found.spend.queries <= 500 + 40  # the last jump and bisection end


def test_all_rows_are_asked_at_once() -> None:
    rule, x, y, _ = linear(count=40)
    one, all_ = Counting(rule), Counting(rule)
    run(HopSkipJump(10), Problem(one, WIDE, norm="l2"), x[:1], y[:1])
    run(HopSkipJump(10), Problem(all_, WIDE, norm="l2"), x, y)
    assert all_.spend.calls < 3 * one.spend.calls
    assert all_.spend.queries > 30 * one.spend.queries


def test_costs_need_a_domain_that_has_them() -> None:
    with pytest.raises(UsageError, match="no costs"):
        Problem(Rule(lambda rows: rows[:, 0] > 0, 1), Box(), norm="cost")


def brittle(seed, rounds, whole):
    """Return a boosted model whose thresholds lie on data values, with its data."""
    xgboost = pytest.importorskip("xgboost")
    random = np.random.default_rng(seed)
    x = random.normal(size=(120, 4)).round(0 if whole else 1)
    y = (x.sum(1) + random.normal(size=120) > 0).astype(int)
    y[:2] = 0, 1
    return xgboost.XGBClassifier(n_estimators=rounds, max_depth=3, n_jobs=1).fit(x, y), torch.tensor(x), torch.tensor(y)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), rounds=st.integers(1, 12), whole=st.booleans(), norm=st.sampled_from(["l2", "linf"]))
def test_boosted_trees_that_turn_with_the_last_bit_are_attacked_within_the_bound(seed, rounds, whole, norm) -> None:
    model, x, y = brittle(seed, rounds, whole)
    rule = Rule(lambda rows: torch.tensor(model.predict(rows.numpy())), 4)
    for attack in (HopSkipJump(6), HopSkipJump(6, pool=(x, y)), Boundary(20), PullBack((x, y), rounds=2)):
        if norm not in attack.norms:
            continue
        problem = Problem(Counting(rule), Box(-4, 4), norm=norm)
        found = run(attack, problem, x[:6], y[:6])
        assert found.finished.all()
        assert found.spend.queries < 6 * 3000
        assert check(problem, found.x[found.success], x[:6][found.success], y[:6][found.success]).all()
