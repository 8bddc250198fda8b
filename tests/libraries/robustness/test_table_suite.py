"""Tables: the smallest allowed change by several attacks, its card, and data and models that are poor."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import xgboost
from sklearn.ensemble import RandomForestClassifier

from stannary.checks.robustness.brittleness import KINDS, float_brittleness
from stannary.checks.robustness.cascade import BROKEN, UNFINISHED, WRONG
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.replay import Replay, load
from stannary.checks.robustness.table_card import table_part, table_robustness
from stannary.checks.robustness.table_suite import TableOptions, smallest
from stannary.checks.target.array_model import ArrayTarget
from stannary.checks.target.boosted import xgboost_target
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.domain import Column, Group, TableDomain
from stannary.checks.target.sklearn_model import sklearn_target
from stannary.checks.target.statistics import StopRule
from stannary.core.errors import InputError, UsageError

NAMES = ("income", "age", "sex", "loans", "job_a", "job_b", "job_c")
DOMAIN = TableDomain(
    (
        Column("income", "continuous", 0, 100, scale=20, cost=0.1),
        Column("age", "integer", 18, 90, immutable=True, scale=15),
        Column("sex", "binary", immutable=True),
        Column("loans", "integer", 0, 9, monotone="rise", scale=2, cost=3),
        *(Column(name, "onehot") for name in NAMES[4:]),
    ),
    (Group("job", NAMES[4:], cost=5),),
)


def people(n=400, seed=0) -> Dataset:
    """Return people of whom the well paid, with few loans, are good."""
    random = np.random.default_rng(seed)
    income, age = random.uniform(5, 95, n).round(1), random.integers(18, 80, n)
    job = random.integers(0, 3, n)
    x = np.stack([income, age, random.integers(0, 2, n), random.integers(0, 6, n), job == 0, job == 1, job == 2], 1).astype(float)
    y = (income - 8 * x[:, 3] + 10 * (job == 1) + random.normal(0, 3, n) > 25).astype(int)
    return Dataset(torch.tensor(x), torch.tensor(y), NAMES, f"sha256:{seed}", ("bad", "good"))


@pytest.fixture(scope="module")
def forest():
    data = people()
    return RandomForestClassifier(30, max_depth=6, random_state=0).fit(data.x.numpy(), data.y.numpy())


def target_of(model, data=None) -> Counting:
    return Counting(sklearn_target(model, probe=(data or people()).x[:50]))


def test_every_example_is_allowed_and_decided_otherwise(forest) -> None:
    data, target = people(60, seed=1), target_of(forest)
    found = smallest(target, data, DOMAIN, TableOptions(norm="l2", seed=1), pool=people())
    broken = found.status == BROKEN
    assert broken.sum() > 40
    assert (found.status != UNFINISHED).all()
    assert not DOMAIN.violations(found.x[broken], data.x[broken]).any()
    again = sklearn_target(forest).decide(found.x[broken])
    assert (again != data.y[broken]).all()
    assert check(found.problem, found.x[broken], data.x[broken], data.y[broken]).all()
    moved = (found.x[broken] - data.x[broken]) / DOMAIN.scale(data.x)
    assert torch.allclose(found.size[broken], moved.square().sum(1).sqrt())
    assert (found.x[found.status == WRONG] == data.x[found.status == WRONG]).all()


def test_the_counts_are_those_of_a_hook(forest) -> None:
    data, seen = people(30, seed=2), []
    inner = sklearn_target(forest, probe=data.x)
    ask = inner.decide
    inner.decide = lambda x: seen.append(len(x)) or ask(x)  # type: ignore[method-assign]
    target = Counting(inner)
    found = smallest(target, data, DOMAIN, TableOptions("smoke", norm="l1"))
    assert found.spend.queries == sum(seen) == target.spend.queries
    assert found.spend.calls == len(seen)
    assert found.done.all()
    assert sum(stage.spend.queries for stage in found.stages) == found.spend.queries - 2 * len(
        data
    )  # the first look, and at its trees


@pytest.mark.parametrize("norm", ["l0", "l1", "l2", "linf", "cost"])
def test_the_card(forest, norm, tmp_path) -> None:
    data, target = people(40, seed=3), target_of(forest)
    part, incomplete, _ = table_robustness(
        target, data, DOMAIN, TableOptions("gate", norm=norm, eps=0.4, seed=3), pool=people(), folder=tmp_path
    )
    assert incomplete == ()
    assert part.clean.n == part.robust.n == 40
    assert [point.eps for point in part.curve] == sorted(point.eps for point in part.curve)
    assert next(point for point in part.curve if point.eps == 0.4).accuracy == part.robust
    heights = [point.accuracy.value for point in part.curve]
    assert heights == sorted(heights, reverse=True)
    assert part.distance is not None
    assert part.distance.low <= part.distance.median <= part.distance.high
    assert set(part.brittleness) == set(KINDS)
    assert next(iter(part.needed)) in ("income", "job", "loans")
    assert {"age", "sex"}.isdisjoint(part.needed)
    costs = [example.cost for example in part.examples]
    assert costs == sorted(costs)
    assert all(change.column in NAMES and change.before != change.after for e in part.examples for change in e.changes)
    assert sum(run.params["smallest_of"] for run in part.attacks) == part.distance.n
    assert all(run.skipped or run.queries > 0 for run in part.attacks)
    if norm != "cost":
        again = Replay(*load(tmp_path, part.adversarials))
        second = smallest(target, data, DOMAIN, TableOptions("smoke", norm=norm, first=(again,)), pool=people())
        assert second.stages[0].survivors_out == second.stages[0].survivors_in - part.distance.n


def test_the_gate_stops_when_enough_is_known(forest) -> None:
    data = people(300, seed=4)
    rule = StopRule(0.8)
    found = smallest(target_of(forest), data, DOMAIN, TableOptions("gate", eps=3.0, stop=rule), pool=people())
    assert rule.decision() == "fail"
    assert 0 < found.seen.sum() < 300
    assert (found.status[~found.seen] == UNFINISHED).all()
    part = table_part(found, data, DOMAIN, TableOptions("gate", eps=3.0, stop=rule))
    assert part.stop is not None
    assert (part.stop.decision, part.unfinished, part.robust.n) == ("fail", 0, int(found.seen.sum()))
    with pytest.raises(UsageError, match="radius"):
        smallest(target_of(forest), data, DOMAIN, TableOptions("gate", stop=StopRule(0.8)))


def test_a_budget_that_ends_leaves_samples_unfinished(forest) -> None:
    data = people(40, seed=5)
    target = Counting(sklearn_target(forest, probe=data.x), budget=900)
    part, incomplete, _ = table_robustness(target, data, DOMAIN, TableOptions("gate", eps=0.1))
    assert target.spend.queries <= 900
    assert part.unfinished > 0
    assert any("budget" in text for text in incomplete)
    assert part.robust.high > part.robust.value
    assert part.robust.low <= part.robust.value


@pytest.mark.parametrize("budget", range(300, 2400, 150))
def test_wherever_a_budget_ends_there_is_a_card(forest, budget) -> None:
    """What was found before is shown, though nobody can be asked any more what it is taken for."""
    target = Counting(sklearn_target(forest, probe=people(40, seed=5).x), budget=budget)
    part, incomplete, _ = table_robustness(target, people(40, seed=5), DOMAIN, TableOptions("gate", eps=0.1))
    assert target.spend.queries <= budget
    assert bool(part.unfinished) <= bool(incomplete)
    assert all(one.decided in ("bad", "good", "another class") and one.decided != one.label for one in part.examples)


def test_an_interrupted_run_goes_on(forest, tmp_path) -> None:
    data, rule = people(96, seed=6), lambda: StopRule(0.5)
    options = lambda folder: TableOptions("gate", eps=0.3, folder=folder, stop=rule())  # noqa: E731 - a fresh rule each time
    whole = smallest(target_of(forest), data, DOMAIN, options(None))

    class Interrupted(Exception):
        pass

    def stop(done, seen=[]):  # noqa: B006 - counts
        seen.append(done)
        if len(seen) == 1:
            raise Interrupted

    with pytest.raises(Interrupted):
        smallest(target_of(forest), data, DOMAIN, options(tmp_path), tick=stop)
    target = target_of(forest)
    again = smallest(target, data, DOMAIN, options(tmp_path))
    assert torch.equal(again.x, whole.x)
    assert torch.equal(again.status, whole.status)
    assert again.spend == whole.spend
    assert target.spend.queries < whole.spend.queries
    with pytest.raises(UsageError, match="another run"):
        smallest(target_of(forest), data, DOMAIN, TableOptions("gate", eps=0.2, folder=tmp_path))


class Silent(ArrayTarget):
    """Right on every row of the data, and without an answer anywhere else."""

    def __init__(self, data, other):
        known = {row.numpy().tobytes(): int(label) for row, label in zip(data.x, data.y, strict=True)}
        super().__init__((7,), 2, None, lambda x: np.array([known.get(row.tobytes(), other) for row in x]))


def test_a_model_that_falls_silent_is_not_called_robust() -> None:
    data = people(20, seed=7)
    found = smallest(Counting(Silent(data, np.nan)), data, DOMAIN, TableOptions("smoke"), pool=people(50, seed=8))
    assert (found.status == UNFINISHED).all()
    assert any("no answer" in note for note in found.notes)


@pytest.mark.parametrize("answer", [0, 1])
def test_a_constant_model_is_noted(answer) -> None:
    data = people(20, seed=9)
    target = Counting(ArrayTarget((7,), 2, None, lambda x: np.full(len(x), answer)))
    part, incomplete, _ = table_robustness(target, data, DOMAIN, TableOptions("gate"))
    assert any("constant" in text for text in incomplete)
    assert part.distance is None
    assert part.examples == ()


def test_data_of_one_class_is_attacked_from_random_points(forest) -> None:
    data = people(60, seed=10)
    good = data.take(data.y == 1)
    found = smallest(target_of(forest), good, DOMAIN, TableOptions("gate"))
    assert (found.status == BROKEN).any()
    assert any("one label" in note for note in found.notes)


def test_what_does_not_fit_is_refused(forest) -> None:
    data = people(10, seed=11)
    outside = data.x.clone()
    outside[0, 0] = torch.nan
    with pytest.raises(InputError, match="outside the domain"):
        smallest(target_of(forest), Dataset(outside, data.y, NAMES, "", data.label_names), DOMAIN, TableOptions())
    with pytest.raises(UsageError, match="preset"):
        smallest(target_of(forest), data, DOMAIN, TableOptions("strong"))
    with pytest.raises(InputError, match="shape"):
        smallest(target_of(forest), Dataset(data.x[:, :3], data.y, NAMES[:3], "", data.label_names), DOMAIN, TableOptions())


def test_cuts_on_data_values_are_brittle_and_cuts_between_them_are_not() -> None:
    """XGBoost's exact cuts lie between values, a tree of `x < v` for a value `v` of the data on it."""
    random = np.random.default_rng(12)
    x = random.integers(0, 50, (400, 3)).astype(float)
    y = (x[:, 0] >= 25).astype(int)
    rows, scale = torch.tensor(x), torch.tensor(x).std(0)
    on = xgboost_target(xgboost.XGBClassifier(n_estimators=1, max_depth=1, tree_method="hist", n_jobs=1).fit(x, y))
    between = sklearn_target(RandomForestClassifier(1, max_depth=1, bootstrap=False, max_features=None, random_state=0).fit(x, y))
    counted = Counting(on)
    found = float_brittleness(counted, rows, scale)
    at_cut = float((rows[:, 0] == 25).double().mean())
    assert at_cut > 0
    for kind in KINDS:
        assert found.rates[kind].value == pytest.approx(at_cut), kind
    assert found.spend.queries == counted.spend.queries
    assert all(value.value == 0 for value in float_brittleness(between, rows, scale).rates.values())


def test_brittleness_leaves_out_what_is_not_answered_and_ends_with_the_budget() -> None:
    target = ArrayTarget((2,), 2, None, lambda x: np.where(x[:, 0] > 0.5, np.nan, 0))
    x = torch.tensor([[0.2, 0.0], [0.7, 0.0], [0.4, 1.0]], dtype=torch.float64)
    found = float_brittleness(Counting(target), x, torch.ones(2, dtype=torch.float64))
    assert all(value.n == 2 and value.value == 0 for value in found.rates.values())
    stopped = float_brittleness(Counting(target, budget=20), x, torch.ones(2, dtype=torch.float64))
    assert "budget" in stopped.stopped
    assert len(stopped.rates) < 4


@pytest.mark.parametrize("kind", ["forest", "xgboost"])
def test_trees_that_can_be_read_are_attacked_as_such(forest, kind) -> None:
    """It finds for a few queries what the others find for many, and never more; what is no tree ensemble is said."""
    data = people(40, seed=13)
    rows = people()
    boosted = xgboost.XGBClassifier(n_estimators=20, max_depth=4, n_jobs=1).fit(rows.x.numpy(), rows.y.numpy())
    target = Counting(xgboost_target(boosted)) if kind == "xgboost" else target_of(forest)
    found = smallest(target, data, DOMAIN, TableOptions("standard", norm="cost"), pool=rows)
    pull, trees, jump = found.stages
    assert trees.id == "trees-8"
    assert trees.spend.queries < pull.spend.queries / 3
    assert (found.by == 1).sum() > (found.by == 0).sum()
    assert "not defined for cost" in jump.skipped
    blind = Counting(ArrayTarget((7,), 2, None, lambda x: target.inner.decide(torch.from_numpy(x)).numpy()))
    other = smallest(blind, data, DOMAIN, TableOptions("standard", norm="cost"), pool=rows)
    assert other.stages[-1].skipped == "its trees are not at hand"
    some = other.size.isfinite()
    assert (found.size[some] <= other.size[some] + 1e-9).all()
    assert found.size[some].median() < other.size[some].median()


def again(forest) -> Counting:
    """Return the forest as a target that says how it is opened in another process."""
    opener = partial(sklearn_target, forest, probe=people().x[:50])
    return Counting(opener(), reopen=opener)


@pytest.mark.parametrize("stop", [None, StopRule(0.8)])
def test_two_workers_find_exactly_what_one_finds(forest, stop, tmp_path) -> None:
    data = people(150, seed=4)
    made = []
    for workers, folder in ((1, None), (2, tmp_path), (1, tmp_path)):  # the last finds what the workers stored
        rule = None if stop is None else StopRule(0.8)
        options = TableOptions("gate", eps=0.3, stop=rule, workers=workers, folder=folder)
        made.append(smallest(again(forest), data, DOMAIN, options, pool=people()))
    first = made[0]
    assert bool((first.status == BROKEN).any())
    for other in made[1:]:
        for name in ("status", "by", "x", "size", "done", "seen"):
            assert torch.equal(getattr(first, name), getattr(other, name)), name
        assert other.spend == first.spend
        assert [(one.survivors_out, one.spend) for one in other.stages] == [(one.survivors_out, one.spend) for one in first.stages]


def test_what_cannot_be_sent_to_other_processes_is_told(forest) -> None:
    data = people(150, seed=4)
    with pytest.raises(UsageError, match="cannot be sent to other processes"):
        smallest(target_of(forest), data, DOMAIN, TableOptions("smoke", workers=2))
    target = again(forest)
    target.reopen = partial(sklearn_target, Unsendable(), probe=people().x[:50])
    with pytest.raises(UsageError, match="cannot be opened in other processes: ValueError: not here"):
        smallest(target, data, DOMAIN, TableOptions("smoke", workers=2))


def not_here() -> None:
    """Stand for a model's own code that fails where it is opened again."""
    msg = "not here"
    raise ValueError(msg)


class Unsendable:
    """Is pickled as what fails when it is opened."""

    def __reduce__(self):
        return not_here, ()
