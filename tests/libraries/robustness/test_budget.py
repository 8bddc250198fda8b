"""Accuracy against the budget: what each sample took, held against a hook in the model that knows nothing of the engine."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from stannary.app.evaluation_measurements import measurements_of
from stannary.checks.robustness.attacks.apgd import APGDT
from stannary.checks.robustness.attacks.estimated import NES, SPSA
from stannary.checks.robustness.attacks.hopskipjump import HopSkipJump
from stannary.checks.robustness.attacks.pgd import PGD
from stannary.checks.robustness.attacks.square import Square
from stannary.checks.robustness.attacks.transfer import Transfer
from stannary.checks.robustness.budget import NOT_GIVEN, STOOD
from stannary.checks.robustness.cascade import BROKEN, UNFINISHED, WRONG, cascade
from stannary.checks.robustness.engine import attack_block
from stannary.checks.robustness.presets import Plan
from stannary.checks.robustness.rows import Problem
from stannary.checks.robustness.suite import Options, robustness
from stannary.checks.robustness.table_card import table_robustness
from stannary.checks.robustness.table_suite import TableOptions, smallest
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.domain import Column, TableDomain
from stannary.checks.target.sklearn_model import sklearn_target
from stannary.checks.target.statistics import clopper_pearson
from stannary.checks.target.torch_model import TorchTarget

EPS = 0.1


@pytest.fixture(scope="module")
def samples(digits):
    return digits[0][-120:], digits[1][-120:]


class Log:
    """What passed through a network: each input belongs to the one sample that is nearer than twice the radius."""

    def __init__(self, net, x, labels, radius=EPS) -> None:
        self.origin, self.labels, self.radius = x.flatten(1), labels, radius
        self.asked, self.first = [0] * len(x), [0] * len(x)
        self.gaps = torch.cdist(self.origin, self.origin, p=float("inf")).fill_diagonal_(torch.inf)
        assert float(self.gaps.min()) > 2 * radius  # or the hook could not tell samples apart
        net.register_forward_hook(self)

    def __call__(self, _, given, scores) -> None:
        far = torch.cdist(given[0].detach().flatten(1), self.origin, p=float("inf"))
        for row, sample in enumerate(far.argmin(1).tolist()):
            self.asked[sample] += 1
            inside = float(far[row, sample]) <= self.radius * (1 + 1e-6)
            if not self.first[sample] and inside and int(scores[row].argmax()) != int(self.labels[sample]):
                self.first[sample] = self.asked[sample]


def logged(net, samples, kind=TorchTarget):
    """Return a problem whose model is watched, and what watches it."""
    copy = torch.nn.Sequential(net)
    return Problem(Counting(kind(copy, (1, 8, 8))), Box(), eps=EPS), Log(copy, *samples)


@pytest.mark.parametrize("attack", [Square(300), NES(8, pairs=6), SPSA(8, pairs=6)], ids=lambda attack: attack.id)
def test_queries_until_a_sample_falls_are_those_that_a_hook_counts(attack, samples, digits_net) -> None:
    problem, log = logged(digits_net, samples)
    found = attack_block(attack, problem, *samples, slots=50)
    meter, fell = found.meter, found.success
    assert 10 < int(fell.sum()) < 120
    assert meter.unit(attack.access) == "queries"
    assert meter.spent.tolist() == log.asked
    assert int(meter.spent.sum()) == found.spend.queries
    for cost, first, hit in zip(meter.costs(fell).tolist(), log.first, fell.tolist(), strict=True):
        if hit and isinstance(attack, NES):  # an example that it meets while it probes the slope it does not take for one
            assert cost >= first
            assert cost % (2 * attack.pairs + 1) == 1
        elif hit:
            assert cost == first
    assert set(meter.costs(fell)[~fell].tolist()) == {STOOD}


def test_queries_to_a_target_are_counted_and_not_those_to_the_surrogate(samples, digits_net) -> None:
    problem, log = logged(digits_net, samples)
    attack = Transfer(TorchTarget(digits_net, (1, 8, 8), name="s"), 10)
    found = attack_block(attack, problem, *samples)
    assert found.meter.unit(attack.access) == "queries"
    assert found.meter.spent.tolist() == log.asked
    assert set(log.asked) <= {1, 2}  # every fifth step of ten, until it falls


@pytest.mark.parametrize("attack", [PGD(10, rounds=3), APGDT(10, targets=3, steps=10)], ids=lambda attack: attack.id)
def test_iterations_are_counted_over_all_rounds_of_a_sample(attack, samples, digits_net) -> None:
    problem, log = logged(digits_net, samples)
    found = attack_block(attack, problem, *samples)
    meter, fell = found.meter, found.success
    assert meter.unit(attack.access) == "iterations"
    looks = attack.rounds if isinstance(attack, APGDT) else 0  # at the sample, once for each round that begins: no step
    assert all(asked - looks <= spent <= asked for spent, asked in zip(meter.spent.tolist(), log.asked, strict=True))
    for cost, first, hit in zip(meter.costs(fell).tolist(), log.first, fell.tolist(), strict=True):
        if hit:  # rounds go side by side: the step in which one of them succeeds is taken by all
            assert first - looks <= cost < first + attack.rounds


def test_a_curve_begins_with_what_is_given_and_ends_with_what_stands(samples, digits_net) -> None:
    x, y = samples
    y = y.clone()
    y[:3] = (y[:3] + 1) % 10  # wrong from the start
    data = Dataset(x, y, (), "sha256:0", tuple(map(str, range(10))))
    found = robustness(Counting(TorchTarget(digits_net, (1, 8, 8))), data, Box(), Options(preset="smoke", eps=EPS))
    part = found.part
    first, second = part.budgets
    runs = {run.id: run for run in part.attacks}
    assert [(one.attack, one.unit) for one in part.budgets] == [("pgd-10", "iterations"), ("square-200", "queries")]
    for curve in part.budgets:
        run = runs[curve.attack]
        left = [round(point.accuracy.value * 120) for point in curve.points]
        assert (left[0], left[-1]) == (run.survivors_in, run.survivors_out)
        assert curve.fell == run.survivors_in - run.survivors_out
        assert left == sorted(left, reverse=True)
        assert all((p.accuracy.low, p.accuracy.high) == clopper_pearson(n, 120) for p, n in zip(curve.points, left, strict=True))
    assert first.points[0].accuracy == part.clean
    assert second.points[-1].accuracy.value == part.robust.value
    assert [point.eps for point in first.points][:5] == [0, 1, 2, 5, 10]
    assert 1 <= first.half <= first.most <= 11
    names = {row.metric: row for row in measurements_of(part, 0)}
    ten = next(point for point in second.points if point.eps == 10)
    row = names["robustness.linf.eps_0.1.square-200.queries_10"]
    assert (row.value, row.low, row.high, row.n) == msgspec.structs.astuple(ten.accuracy)
    assert "robustness.linf.eps_0.1.square-200.queries_1000" not in names  # more than it may spend


@pytest.mark.parametrize("workers", [1, 2])
def test_costs_are_the_same_in_blocks_for_any_workers_and_from_a_checkpoint(samples, digits_net, tmp_path, workers) -> None:
    plan = Plan("two", (PGD(3), Square(60)), block=40)
    problem = Problem(Counting(TorchTarget(digits_net, (1, 8, 8))), Box(), eps=EPS)
    made = cascade(plan, problem, *samples, folder=tmp_path, workers=workers)
    again = cascade(plan, problem, *samples, folder=tmp_path)
    alone = cascade(plan, problem, *samples)
    for other in (again, alone):
        assert torch.equal(made.cost, other.cost)
        assert [(s.unit, s.longest) for s in made.stages] == [(s.unit, s.longest) for s in other.stages]
    for at, stage in enumerate(made.stages):
        assert torch.equal(made.cost[:, at] >= 0, (made.status == BROKEN) & (made.by == at))
        assert int(made.cost[:, at].max()) <= stage.longest
    assert bool((made.cost[made.status == WRONG] == NOT_GIVEN).all())


def test_what_was_not_attacked_to_the_end_stands_at_no_budget_and_may_at_all(samples, digits_net) -> None:
    class Scores(TorchTarget):
        access = "score"

    x, y = samples
    data = Dataset(x, y, (), "sha256:0", tuple(map(str, range(10))))
    target = Counting(Scores(digits_net, (1, 8, 8)), 120 + 120 * 20)
    found = robustness(
        target, data, Box(), Options(preset="smoke", eps=EPS, surrogate=TorchTarget(digits_net, (1, 8, 8), name="s"))
    )
    lost = int((found.status == UNFINISHED).sum())
    assert lost > 0
    curve = found.part.budgets[-1]
    assert curve.points[-1].accuracy.value == 0.0  # nothing is known to stand
    assert curve.points[-1].accuracy.high == clopper_pearson(lost, 120)[1]


def test_tables_say_what_brought_a_row_within_the_radius() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 4))
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    forest = RandomForestClassifier(15, max_depth=4, random_state=0).fit(x, y)
    data = Dataset(torch.tensor(x[:80]), torch.tensor(y[:80]), tuple("abcd"), "sha256:0", ("no", "yes"))
    domain = TableDomain(tuple(Column(name, "continuous", -5, 5, scale=1) for name in "abcd"))
    target = Counting(sklearn_target(forest, probe=data.x[:20]))
    options = TableOptions(preset="gate", eps=0.5)
    found = smallest(target, data, domain, options)
    part = table_robustness(Counting(sklearn_target(forest, probe=data.x[:20])), data, domain, options).part
    assert {curve.unit for curve in part.budgets} == {"queries"}
    for at, (curve, stage) in enumerate(zip(part.budgets, found.stages, strict=True)):
        assert curve.attack == stage.id
        assert curve.points[0].accuracy == part.clean  # each attack was given every row that was right
        assert curve.fell == int((found.cost[:, at] >= 0).sum())
        assert curve.points[-1].eps == stage.longest > 0
    fell = (found.cost >= 0).any(1)
    assert torch.equal(fell, found.size <= 0.5)
    walk = next(at for at, stage in enumerate(found.stages) if stage.id.startswith("hopskipjump"))
    assert found.stages[walk].longest == found.cost.new_tensor([found.stages[walk].longest])
    assert 0 < int(found.cost[:, walk].max()) <= found.stages[walk].longest


def test_a_walk_takes_no_more_for_the_radius_than_a_hook_counts_until_then(samples, digits_net) -> None:
    problem, log = logged(digits_net, samples, type("Decisions", (TorchTarget,), {"access": "decision"}))
    x, y = samples[0][:10], samples[1][:10]
    log.origin, log.labels = log.origin[:10], log.labels[:10]
    free = Problem(problem.target, problem.domain, norm="linf")
    attack = HopSkipJump(10, pool=samples)
    found = attack_block(attack, free, x, y, within=EPS)
    inside = found.size <= EPS
    assert bool(inside.any())
    assert torch.equal(found.meter.first >= 0, inside)
    assert int(found.meter.spent.sum()) == found.spend.queries
    assert bool((found.meter.first[inside] < found.meter.spent[inside]).any())  # it went on for smaller ones
