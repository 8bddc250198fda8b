"""Robust trees: trained against the attack that judges them, kept only where rows that nothing has seen say so."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest
import torch
import xgboost
from catboost import CatBoostClassifier
from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from stannary.checks.robustness.attacks.trees import TreeAttack
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.engine import run
from stannary.checks.robustness.rows import Problem
from stannary.checks.robustness.tree_local import local_trees
from stannary.checks.target.boosted import boosted_target
from stannary.checks.target.booster_file import booster_bytes, booster_kind, open_booster
from stannary.checks.target.domain import TableDomain
from stannary.checks.target.domain_infer import infer_domain
from stannary.checks.target.sklearn_model import sklearn_target
from stannary.checks.target.statistics import clopper_pearson
from stannary.core.errors import InputError, UsageError
from stannary.harden.interface import Settings
from stannary.harden.tree_recipes import recipe_of
from stannary.harden.tree_robust import tree_robust
from stannary.harden.tree_training import again, fitted, leaves_of, monotone_of

NAMES = ("a", "b", "c", "d")
MODELS = {
    "forest": lambda: RandomForestClassifier(20, max_depth=8, random_state=0),
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=20, max_depth=4, n_jobs=1),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "gradient": lambda: GradientBoostingClassifier(n_estimators=20, max_depth=4, random_state=0),
}


@pytest.fixture(scope="module")
def halves():
    """Scikit-learn's digits (1,797 rows, 64 whole numbers), 5 to 9 or not: `(train x, train y, test x, test y, domain)`."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x, y = torch.tensor(data.data[order]), torch.tensor((data.target[order] >= 5).astype(int))
    return x[:-500], y[:-500], x[-200:], y[-200:], infer_domain(x)


def coins(n, seed):
    """Return rows and labels that have nothing to do with each other."""
    random = np.random.default_rng(seed)
    return torch.tensor(random.normal(size=(n, 4))), torch.tensor((random.random(n) < 0.5).astype(int))


def noisy(n, seed):
    """Return rows of which one column tells the class, and one label in eight is wrong: what trees learn by heart."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 4))
    y = (x[:, 0] > 0) ^ (random.random(n) < 0.125)
    return torch.tensor(x), torch.tensor(y.astype(int))


def stood(model, domain, x, y, eps):
    """Tell which rows are right, and which of them stand the attack with its own settings: wider than the one trained against."""
    target = boosted_target(model) or sklearn_target(model)
    trees, why = local_trees(target, x)
    assert trees is not None, why
    problem = Problem(target, domain, norm="l2", scale=domain.scale(x))
    found = run(TreeAttack(trees), problem, x, y)
    broken = torch.zeros(len(x), dtype=torch.bool)
    claimed = (found.success & (found.size <= eps)).nonzero()[:, 0]
    broken[claimed] = check(problem, found.x[claimed], x[claimed], y[claimed])
    right = target.decide(x) == y
    return right, right & ~broken


def least_gain(before, after):
    """Return the lower end of the paired difference's 95 % interval, exact given how many rows differ."""
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    low, _ = clopper_pearson(gained, gained + lost) if gained + lost else (0.5, 0.5)
    return (2 * low - 1) * (gained + lost) / len(before)


@pytest.mark.parametrize("name", ["xgboost", "histogram"])
def test_on_real_rows_that_nobody_has_seen_more_stand(name, halves) -> None:
    x, y, x_test, y_test, domain = halves
    model = MODELS[name]().fit(x.numpy(), y.numpy())
    before = model.predict_proba(x.numpy())
    made = tree_robust(model, x, y, Settings(eps=0.5, norm="l2", epochs=1, more={"samples": 200}), domain=domain)
    assert (model.predict_proba(x.numpy()) == before).all()
    assert not made.masking
    assert not made.parameters["kept"], made.notes
    assert type(made.model) is type(model)
    right, stands = stood(model, domain, x_test, y_test, 0.5)
    right_now, stands_now = stood(made.model, domain, x_test, y_test, 0.5)
    assert least_gain(stands, stands_now) > 0
    assert right_now.double().mean() > right.double().mean() - 0.04


@pytest.mark.parametrize("name", ["forest", "xgboost"])
def test_on_labels_that_mean_nothing_the_model_is_returned_as_it_was(name) -> None:
    x, y = coins(500, 0)
    model = MODELS[name]().fit(x.numpy(), y.numpy())
    made = tree_robust(model, x, y, Settings(eps=0.3, norm="l2", epochs=1))
    assert made.model is model
    assert made.parameters["kept"]
    assert "returned as it was" in made.notes[0]


def test_on_noisy_labels_nothing_worse_is_returned() -> None:
    x, y = noisy(500, 0)
    x_test, y_test = noisy(250, 1)
    domain = infer_domain(torch.cat((x, x_test)), NAMES)
    for name in ("xgboost",):
        model = MODELS[name]().fit(x.numpy(), y.numpy())
        made = tree_robust(model, x, y, Settings(eps=0.2, norm="l2", epochs=1), domain=domain)
        stands, now = (stood(one, domain, x_test, y_test, 0.2)[1] for one in (model, made.model))
        assert least_gain(now, stands) <= 0  # not shown to be worse
        assert made.parameters["kept"] or made.parameters["p"] < 0.05


def test_all_ways_are_on_record_with_what_they_cost() -> None:
    x, y = noisy(400, 5)
    model = MODELS["xgboost"]().fit(x.numpy(), y.numpy())
    made = tree_robust(model, x, y, Settings(eps=0.3, norm="l2", epochs=1, more={"cost": 0.0}))
    tried = made.parameters["tried"]
    assert list(tried)[:4] == ["plain", "larger leaves", "spread points", "spread points, larger leaves"]
    assert len(tried) == 5
    chosen = made.parameters["way"]
    assert tried[chosen][0] >= tried["plain"][0]  # it may cost nothing
    assert tried[chosen][1] == max(stands for right, stands in tried.values() if right >= tried["plain"][0])


@pytest.mark.parametrize("name", ["forest", "xgboost", "lightgbm", "histogram"])
def test_monotone_columns_are_of_no_use_in_one_direction(name) -> None:
    x, y = noisy(400, 2)
    model = MODELS[name]().fit(x.numpy(), y.numpy())
    names = ("x0", "x1", "x2", "x3")
    recipe = recipe_of(model)
    made = fitted(again(recipe, monotone_of(model, names, {"x0": 1, "x2": 1})), x, y, recipe)
    rows = x[:100].clone()
    low = made.predict_proba(rows.numpy())[:, 1]
    for column in (0, 2):
        moved = rows.clone()
        moved[:, column] += 0.7
        assert (made.predict_proba(moved.numpy())[:, 1] >= low - 1e-6).all()


def test_columns_that_the_domain_lets_rise_only_are_tried_as_monotone_ones() -> None:
    x, y = noisy(400, 6)
    domain = infer_domain(x, NAMES)
    columns = tuple(replace(c, monotone="rise") if c.name == "a" else c for c in domain.columns)
    model = MODELS["xgboost"]().fit(x.numpy(), y.numpy())
    made = tree_robust(model, x, y, Settings(eps=0.3, norm="l2", epochs=1), domain=TableDomain(columns))
    assert any(way.endswith("one-way columns") for way in made.parameters["tried"])


def test_labels_and_columns_keep_their_names() -> None:
    import pandas as pd

    x, y = noisy(300, 3)
    words = np.array(["bad", "good"])[y.numpy()]
    model = RandomForestClassifier(10, max_depth=5, random_state=0).fit(pd.DataFrame(x.numpy(), columns=NAMES), words)
    recipe = recipe_of(model)
    made = fitted(again(recipe, leaves_of(model, 20)), x, y, recipe)
    assert made.min_samples_leaf == 20
    assert made.classes_.tolist() == ["bad", "good"]
    assert made.feature_names_in_.tolist() == list(NAMES)


FILES = {"xgboost": "xgboost-ubj", "lightgbm": "lightgbm", "catboost": "catboost"}


@pytest.mark.parametrize("name", FILES)
def test_a_booster_is_trained_again_as_its_file_says(name) -> None:
    x, y = noisy(400, 5)
    quiet = {"iterations": 12, "depth": 3, "learning_rate": 0.2, "verbose": False, "allow_writing_files": False, "thread_count": 1}
    model = CatBoostClassifier(**quiet) if name == "catboost" else MODELS[name]()
    model.fit(x.numpy(), y.numpy())
    kind = FILES[name]
    content = booster_bytes(model, kind)
    assert booster_kind(content) == kind
    opened = open_booster(content, "file")
    recipe = recipe_of(opened)
    made = fitted(again(recipe, {}), x, y, recipe)
    if name == "xgboost":  # whose file says next to nothing
        assert recipe.model.get_params()["n_estimators"] == model.get_params()["n_estimators"]
        assert recipe.model.get_params()["max_depth"] <= (model.get_params()["max_depth"] or 6)
        assert "read off" in recipe.notes[0]
    else:
        assert np.allclose(made.predict_proba(x.numpy()), model.predict_proba(x.numpy()), atol=1e-9)
        assert recipe.notes == ()
    assert booster_kind(booster_bytes(made, kind)) == kind
    assert np.array_equal(recipe.classes, [0, 1])


def test_what_cannot_be_trained_again_is_refused() -> None:
    x, y = noisy(200, 4)
    settings = Settings(eps=0.2, norm="l2", epochs=1)
    with pytest.raises(UsageError, match="how it was trained"):
        tree_robust(object(), x, y, settings)
    with pytest.raises(InputError, match="not a tree ensemble"):
        tree_robust(LogisticRegression().fit(x.numpy(), y.numpy()), x, y, settings)
    with pytest.raises(UsageError, match="monotone takes columns"):
        tree_robust(
            MODELS["xgboost"]().fit(x.numpy(), y.numpy()), x, y, Settings(eps=0.2, norm="l2", more={"monotone": {"income": 1}})
        )
