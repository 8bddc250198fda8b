"""Copies: exact where the model can be solved for, as faithful as they are said to be, and paid for by the query."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stannary.checks.privacy.coarse import Coarse
from stannary.checks.privacy.extraction import Copied, Extraction, extract
from stannary.checks.privacy.linear_solving import solve_linear
from stannary.checks.privacy.suite import Options, privacy_suite
from stannary.checks.privacy.tree_solving import solve_tree
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.sklearn_model import sklearn_target
from stannary.checks.target.statistics import rate
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import UsageError


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    return torch.tensor(inputs)[order], torch.tensor(labels)[order]


@pytest.fixture(scope="module")
def iris():
    from sklearn.datasets import load_iris

    inputs, labels = load_iris(return_X_y=True)
    return torch.tensor(inputs), torch.tensor(labels)


@pytest.fixture(scope="module")
def forest(digits):
    from sklearn.ensemble import RandomForestClassifier

    x, y = digits
    return sklearn_target(RandomForestClassifier(100, random_state=0).fit(x[:700], y[:700]), probe=x)


@pytest.mark.parametrize("data", ["iris", "digits", "cancer"])
def test_a_logistic_regression_is_solved_for(data, request) -> None:
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression

    x, y = map(torch.tensor, load_breast_cancer(return_X_y=True)) if data == "cancer" else request.getfixturevalue(data)
    model = LogisticRegression(max_iter=5000).fit(x, y)
    target = Counting(sklearn_target(model, probe=x))
    found = solve_linear(target, x)
    weights, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        weights, bias = np.vstack((0 * weights, weights)), np.append(0, bias)
    assert np.abs(found.weights.numpy() - (weights - weights[:1])).max() < 1e-6
    assert np.abs(found.bias.numpy() - (bias - bias[0])).max() < 1e-6
    assert found.queries == target.spend.queries <= x.shape[1] + 48 + 50  # 16 to start, 32 to check, some steps halved
    assert (found.decide(x).numpy() == model.predict(x.numpy())).all()


def test_a_linear_network_in_float32_is_solved_for(digits) -> None:
    torch.manual_seed(2)
    layer = torch.nn.Linear(64, 10)
    found = solve_linear(Counting(TorchTarget(layer, (64,))), digits[0].float() / 16)
    wanted = (layer.weight - layer.weight[:1]).double()
    assert (found.weights - wanted).abs().max() < 1e-4


def test_what_is_not_linear_or_rounded_is_not_solved_for(digits, forest) -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = digits
    assert solve_linear(Counting(forest), x) is None
    model = sklearn_target(LogisticRegression(max_iter=2000).fit(x, y), probe=x)
    assert solve_linear(Counting(Coarse(model, 2)), x) is None
    with pytest.raises(UsageError, match="labels alone"):
        solve_linear(Counting(Coarse(model, 0)), x)


def thresholds(node):
    return [] if node.left is None else [(node.feature, node.threshold), *thresholds(node.left), *thresholds(node.right)]


@pytest.mark.parametrize("data,depth", [("iris", 3), ("digits", 3), ("digits", 4)])
def test_a_decision_tree_is_recovered_split_by_split(data, depth, request) -> None:
    from sklearn.tree import DecisionTreeClassifier

    x, y = request.getfixturevalue(data)
    model = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=9, random_state=0).fit(x, y)
    tree = model.tree_
    leaves = {tuple(tree.value[at].ravel()) for at in range(tree.node_count) if tree.children_left[at] < 0}
    assert len(leaves) == model.get_n_leaves()  # each has an answer of its own
    target = Counting(sklearn_target(model, probe=x))
    found = solve_tree(target, x.amin(0), x.amax(0))
    assert (found.exact, found.leaves, found.note) == (True, model.get_n_leaves(), "")
    assert found.queries == target.spend.queries
    ours = sorted(thresholds(found.root))
    theirs = sorted((int(f), float(t)) for f, t in zip(tree.feature, tree.threshold, strict=True) if f >= 0)
    assert [feature for feature, _ in ours] == [feature for feature, _ in theirs]
    for (_, mine), (_, real) in zip(ours, theirs, strict=True):  # the model compares float32
        assert np.float32(mine) <= real < np.float32(np.nextafter(mine, np.inf))
    share = torch.rand((20_000, x.shape[1]), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rows = x.amin(0) + share * (x.amax(0) - x.amin(0))
    assert (found.decide(rows).numpy() == model.predict(rows.numpy())).all()
    assert torch.equal(found.logits(rows), target.logits(rows))


def test_a_tree_whose_leaves_answer_alike_is_not_called_exact(iris) -> None:
    from sklearn.tree import DecisionTreeClassifier

    x, y = iris
    pure = DecisionTreeClassifier(random_state=0).fit(x, y)
    found = solve_tree(Counting(sklearn_target(pure, probe=x)), x.amin(0), x.amax(0))
    assert not found.exact
    assert "of 200 answers differ" in found.note


def test_a_tree_beyond_the_budget_is_none(digits) -> None:
    from sklearn.tree import DecisionTreeClassifier

    x, y = digits
    target = Counting(sklearn_target(DecisionTreeClassifier(random_state=0).fit(x, y), probe=x))
    assert solve_tree(target, x.amin(0), x.amax(0), most_queries=3000) is None
    assert target.spend.queries <= 3000


def test_a_forest_is_copied_to_95_percent_with_few_queries(digits, forest) -> None:
    x, _ = digits
    target = Counting(forest)
    found = extract(target, x[700:1250], x[1250:], budgets=(100, 500), strategies=("knockoff",))
    small, large = found.copies
    assert (small.queries, large.queries) == (100, 500)
    assert large.fidelity.value >= 0.95
    assert large.fidelity.value > small.fidelity.value
    assert large.fidelity.n == found.judged == 547
    assert target.spend.queries == 500 + 547  # what was asked, and what judged
    assert [point.eps for point in found.curve] == [100, 500]


def test_labels_alone_are_copied_too_and_worse(digits, forest) -> None:
    x, _ = digits
    found = extract(Coarse(forest, 0), x[700:1250], x[1250:], budgets=(300,), strategies=("knockoff",))
    assert 0.8 < found.copies[0].fidelity.value < 0.97


def test_augmentation_asks_exactly_its_budget_inside_the_bounds(digits, forest) -> None:
    x, _ = digits
    seen = []

    class Watched:
        name, access, classes, shape, device = "forest", "score", 10, (64,), "cpu"

        def logits(self, x):
            seen.append(x)
            return forest.logits(x)

        def decide(self, x):
            return forest.decide(x)

    found = extract(Watched(), x[700:800], x[1250:], budgets=(60, 150), strategies=("jbda",))
    asked = torch.cat(seen)
    assert [copy.queries for copy in found.copies] == [60, 150]
    assert len(asked) == 150
    assert (asked >= x[700:800].amin(0)).all()
    assert (asked <= x[700:800].amax(0)).all()
    assert len(asked.unique(dim=0)) > 140


def test_solved_models_stand_in_the_curve(iris) -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = iris
    target = sklearn_target(LogisticRegression(max_iter=2000).fit(x, y), probe=x)
    found = extract(target, x[::2], x[1::2], budgets=(60,), strategies=("equations", "paths"))
    assert found.copies[0].exact
    assert found.copies[0].fidelity.value == 1
    assert found.notes[0].startswith("paths: not a tree")


def test_a_budget_that_ends_is_said(digits, forest) -> None:
    x, _ = digits
    found = extract(Counting(forest, budget=100 + 150), x[700:900], x[1250:1350], budgets=(100, 200), strategies=("knockoff",))
    assert [copy.queries for copy in found.copies] == [100]
    assert found.notes == ("knockoff: the budget of queries ended before 200",)


def test_the_curve_is_the_best_for_no_more_queries() -> None:
    def one(queries, hits):
        return Copied("knockoff", queries, rate(hits, 100), "network", 0.0)

    found = Extraction((one(500, 90), one(100, 80), one(100, 85), one(1000, 88)), 100)
    assert [(point.eps, point.accuracy.value) for point in found.curve] == [(100, 0.85), (500, 0.9), (1000, 0.9)]


def test_what_makes_no_sense_is_refused(digits, forest) -> None:
    x, _ = digits
    with pytest.raises(UsageError, match="no such strategy: theft"):
        extract(forest, x, x, strategies=("theft",))
    with pytest.raises(UsageError, match="no inputs or budgets"):
        extract(forest, x, x, budgets=())
    with pytest.raises(UsageError, match="cannot be rounded"):
        Coarse(Coarse(forest, 0), 1)


def test_the_suite_copies_when_it_is_given_a_budget(digits, forest) -> None:
    x, y = digits
    names = tuple(f"x{at}" for at in range(64))
    ours, theirs = (
        Dataset(x[at], y[at], names, "", tuple(map(str, range(10))), raw_names=names) for at in (slice(700), slice(700, 1797))
    )
    measured = privacy_suite(forest, ours, theirs, options=Options(shadows=0, bootstrap=50, extraction=(120,)))
    rows = {row.metric: row for row in measured.measurements}
    assert rows["privacy.extraction.fidelity_at_120"].value == measured.part.extraction[0].accuracy.value > 0.8
    assert "AML.T0024.002" in measured.atlas
    assert any(note.startswith("equations: not a linear model") for note in measured.part.notes)
