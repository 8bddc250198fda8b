"""The attack on trees against the exact answer for small ensembles, and inside every domain."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest
import torch
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from stannary.checks.robustness.attacks.trees import TreeAttack
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.engine import run
from stannary.checks.robustness.rows import Problem
from stannary.checks.robustness.tree_local import local_trees
from stannary.checks.robustness.tree_model import EnsembleTarget
from stannary.checks.robustness.tree_moves import Columns, LeafBoxes, Walker
from stannary.checks.robustness.tree_readers import read_trees
from stannary.checks.target.array_model import ArrayTarget
from stannary.checks.target.boosted import lightgbm_target, xgboost_target
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.domain import Column, Group, TableDomain
from stannary.checks.target.sklearn_model import sklearn_target

from .test_table_suite import DOMAIN, people
from .tree_oracle import smallest

MODELS = {
    "tree": lambda: DecisionTreeClassifier(max_depth=5, random_state=0),
    "forest": lambda: RandomForestClassifier(3, max_depth=4, random_state=0),
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=4, max_depth=3, learning_rate=1.0, n_jobs=1),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=4, num_leaves=6, learning_rate=0.5, n_jobs=1, verbose=-1),
}
NORMS = ("l0", "l1", "l2", "linf", "cost")


def fitted(name, data):
    model = MODELS[name]().fit(data.x.numpy(), data.y.numpy())
    opened = {"xgboost": xgboost_target, "lightgbm": lightgbm_target}.get(name, sklearn_target)
    return model, Counting(opened(model))


def problem_of(target, norm, domain=DOMAIN):
    rows = torch.zeros(1, len(domain.names), dtype=torch.float64)
    return Problem(target, domain, norm=norm, scale=None if norm in ("l0", "cost") else domain.scale(rows))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", MODELS)
def test_small_ensembles_against_the_exact_answer(name, norm) -> None:
    data = people(300)
    model, target = fitted(name, data)
    trees, test = read_trees(model, data.x), people(25, seed=1)
    right = target.decide(test.x) == test.y
    x, y = test.x[right], test.y[right]
    found = run(TreeAttack(trees), problem_of(target, norm), x, y)
    exact = torch.tensor(smallest(trees, DOMAIN, x, y, norm), dtype=torch.float64)
    assert torch.equal(found.success, exact.isfinite())
    some = exact.isfinite()
    assert some.sum() > 10
    ratio = found.size[some] / exact[some]
    assert (ratio > 1 - 1e-5).all()
    if name == "tree":
        assert (ratio < 1 + 1e-5).all()
    assert (ratio < 1 + 1e-5).double().mean() > 0.8
    assert ratio.mean() < 1.05
    assert check(problem_of(target, norm), found.x[found.success], x[found.success], y[found.success]).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(sorted(MODELS)), norm=st.sampled_from(NORMS), whole=st.booleans())
def test_nothing_leaves_the_domain_and_everything_ends(seed, name, norm, whole) -> None:
    """Columns with values, groups that may be empty, formulas and constraints; thresholds that lie on data values."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(150, 6)).round(0 if whole else 1)
    x[:, 1] = random.integers(0, 4, 150)
    x[:, 3], x[:, 4] = random.permuted(np.tile([1.0, 0, 0], 50)), 0
    x[:, 4] = (1 - x[:, 3]) * random.integers(0, 2, 150)
    x[:, 5] = x[:, 0] + 2 * x[:, 1]
    y = (x.sum(1) + random.normal(size=150) > x.sum(1).mean()).astype(int)
    y[:2] = 0, 1
    domain = TableDomain(
        (
            Column("a", low=-3, high=3), Column("b", "ordinal", values=(0, 1, 2, 3)), Column("c", monotone="rise", low=-4, high=4),
            Column("d", "onehot"), Column("e", "onehot"), Column("f", formula="a + 2 * b", low=-3, high=9),
        ),
        (Group("g", ("d", "e"), optional=True),),
        ("a <= c + 5",),
    )  # fmt: skip
    rows = torch.tensor(x)
    ok = ~domain.violations(rows, rows)
    model = MODELS[name]().fit(x, y)
    inner = {"xgboost": xgboost_target, "lightgbm": lightgbm_target}.get(name, sklearn_target)(model)
    asked, ask = [], inner.decide
    inner.decide = lambda part: asked.append(part) or ask(part)  # type: ignore[method-assign]
    chosen = rows[ok][:6]
    labels = ask(chosen)
    found = run(TreeAttack(read_trees(model, rows)), problem_of(Counting(inner), norm, domain), chosen, labels)
    assert found.finished.all()
    assert not domain.violations(found.x, chosen).any()
    for part in asked:  # every query is an allowed change of one of the samples
        allowed = torch.stack([~domain.violations(part, origin.expand_as(part)) for origin in chosen])
        assert allowed.any(0).all()
    assert (ask(found.x[found.success]) != labels[found.success]).all()


@pytest.mark.parametrize("name", MODELS)
def test_outputs_after_every_change_of_one_column(name) -> None:
    """Each interval of each column, asked at both ends; intervals leave nothing out."""
    data = people(200)
    model, _ = fitted(name, data)
    trees, x = read_trees(model, data.x), people(8, seed=2).x
    base, found = Walker(trees).moves(x)
    assert torch.allclose(base, trees.outputs(x))
    for at in (found.high, torch.nextafter(found.low.float(), torch.tensor(torch.inf)).double()):
        real = at.isfinite()
        moved = x[found.state[real]].clone()
        moved[torch.arange(int(real.sum())), found.feature[real]] = at[real]
        assert torch.allclose(trees.outputs(moved), found.outputs[real], atol=1e-9)
    values = torch.linspace(-5, 105, 400, dtype=torch.float64)  # of the income
    swept = x[:1].repeat(400, 1)
    swept[:, 0] = values
    outputs, mine = trees.outputs(swept), (found.state == 0) & (found.feature == 0)
    inside = (values[:, None] > found.low[mine]) & (values[:, None] <= found.high[mine])
    other = (outputs - base[0]).abs().amax(1) > 1e-9
    assert inside[other].sum(1).eq(1).all()


def test_leaves_are_reached_where_nothing_forbids_it() -> None:
    data = people(200)
    trees = read_trees(MODELS["tree"]().fit(data.x.numpy(), data.y.numpy()), data.x)
    boxes = LeafBoxes(trees)
    columns = Columns.of(Problem(EnsembleTarget(trees), Box(-1000, 1000)), trees.features)
    which = torch.arange(len(boxes.leaf))
    moved = boxes.moved(columns, trees, data.x[:1].repeat(len(which), 1), which)
    assert torch.equal(trees.leaves(moved)[:, 0], boxes.leaf)
    price = boxes.price(columns, data.x[:1], "l1")[0]
    assert torch.allclose(price, (moved - data.x[:1]).abs().sum(1), atol=1e-4)


def test_the_trees_of_a_target_in_the_columns_of_the_data() -> None:
    import pandas as pd

    data = people(200)
    order = ["loans", "income", "job_a", "job_c", "age", "sex", "job_b"]
    frame = pd.DataFrame(data.x.numpy(), columns=list(data.names))[order]
    y = data.y.numpy()
    cases = [
        sklearn_target(RandomForestClassifier(5, max_depth=4, random_state=0).fit(frame, y), columns=data.names),
        xgboost_target(xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(frame, y), columns=data.names),
        lightgbm_target(lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(frame, y), columns=data.names),
    ]
    for target in cases:
        trees, why = local_trees(Counting(target), data.x, data.names)
        assert trees is not None, why
        assert torch.equal(EnsembleTarget(trees).decide(data.x), target.decide(data.x))
        inner, moved = trees.feature >= 0, data.x.clone()
        moved[torch.arange(int(inner.sum())) % len(data), trees.feature[inner]] = trees.threshold[inner]
        agreed = EnsembleTarget(trees).decide(moved) == target.decide(moved)
        assert agreed.double().mean() > 0.97  # votes that are even go either way


def test_targets_without_trees_say_why() -> None:
    from sklearn.linear_model import LogisticRegression

    data = people(100)
    linear = sklearn_target(LogisticRegression(max_iter=2000).fit(data.x.numpy(), data.y.numpy()))
    assert "not a tree ensemble" in local_trees(linear, data.x)[1]
    assert "not at hand" in local_trees(ArrayTarget((7,), 2, lambda x: x[:, :2]), data.x)[1]
    forest = RandomForestClassifier(5, max_depth=4, random_state=0).fit(data.x.numpy(), data.y.numpy())
    other = sklearn_target(forest)
    other.decide = lambda x: 1 - sklearn_target(forest).decide(x)  # type: ignore[method-assign]
    assert "decide otherwise" in local_trees(other, data.x)[1]


def test_a_copy_that_is_wrong_about_the_target_claims_nothing() -> None:
    data = people(100)
    model, _ = fitted("tree", data)
    constant = Counting(ArrayTarget((7,), 2, None, lambda x: np.zeros(len(x))))
    found = run(TreeAttack(read_trees(model, data.x)), problem_of(constant, "l2"), data.x[:10], torch.zeros(10, dtype=torch.int64))
    assert not found.success.any()
    assert found.finished.all()


def test_a_wanted_class_is_reached() -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=(300, 4))
    y = np.digitize(x[:, 0] + x[:, 1], [-0.7, 0.7])
    model = RandomForestClassifier(15, max_depth=6, random_state=0).fit(x, y)
    rows = torch.tensor(x)
    target = sklearn_target(model)
    start = (target.decide(rows) == 0).nonzero()[:15, 0]
    problem = Problem(target, Box(-5, 5), norm="l2", targeted=True)
    found = run(TreeAttack(read_trees(model, rows)), problem, rows[start], torch.full((15,), 2))
    assert found.success.all()
    assert (target.decide(found.x) == 2).all()


def test_numbers_alone_are_looked_at_where_categories_promise_more() -> None:
    random = np.random.default_rng(4)
    kind = np.eye(4)[random.integers(0, 4, (400, 3))].reshape(400, 12)
    x = np.concatenate((random.normal(size=(400, 6)).round(1), kind), 1)
    lean = x[:, :6].sum(1) + 4 * (kind[:, [0, 4, 8]].sum(1) - kind[:, [1, 5, 9]].sum(1))
    y = (lean + random.normal(size=400) > 0).astype(int)
    names = [f"n{at}" for at in range(6)], [f"{group}{at}" for group in "abc" for at in range(4)]
    numbers, ones = (Column(name, low=-4, high=4) for name in names[0]), (Column(name, "onehot") for name in names[1])
    groups = tuple(Group(group, tuple(f"{group}{at}" for at in range(4))) for group in "abc")
    domain = TableDomain((*numbers, *ones), groups)
    model = RandomForestClassifier(40, max_depth=7, random_state=0).fit(x[:300], y[:300])
    rows, target = torch.tensor(x[300:340]), Counting(sklearn_target(model))
    labels = target.decide(rows)
    scale = torch.tensor(x.std(0))
    problem = Problem(target, domain, norm="l2", scale=scale)
    both = TreeAttack(read_trees(model, torch.tensor(x)))
    first = TreeAttack(read_trees(model, torch.tensor(x)))
    first.rounds = 1
    found, before = run(both, problem, rows, labels), run(first, problem, rows, labels)
    assert (found.size <= before.size).all()
    nearer = found.size < before.size
    assert nearer.any()
    assert torch.equal(found.x[nearer, 6:], rows[nearer, 6:])
    assert before.spend.queries < found.spend.queries < 2 * before.spend.queries
