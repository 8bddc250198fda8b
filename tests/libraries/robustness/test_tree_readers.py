"""Trees as read give the library's own margins: on data, on and across thresholds, and where values are missing."""

from __future__ import annotations

from functools import partial

import catboost
import lightgbm
import numpy as np
import pytest
import torch
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from stannary.checks.robustness.tree_model import EnsembleTarget, after, at_most, before, verified
from stannary.checks.robustness.tree_readers import read_trees
from stannary.core.errors import InputError

QUIET = {"verbose": False, "allow_writing_files": False, "thread_count": 1}
MODELS = {
    "tree": lambda: DecisionTreeClassifier(max_depth=5, random_state=0),
    "forest": lambda: RandomForestClassifier(20, max_depth=6, random_state=0),
    "extra": lambda: ExtraTreesClassifier(20, max_depth=6, random_state=0),
    "boosted": lambda: GradientBoostingClassifier(n_estimators=12, random_state=0),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=12, random_state=0),
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=15, max_depth=4, n_jobs=1),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=15, num_leaves=12, n_jobs=1, verbose=-1),
    "catboost": lambda: catboost.CatBoostClassifier(iterations=15, depth=4, **QUIET),
}
MISSING = ("tree", "forest", "extra", "histogram", "xgboost", "lightgbm", "catboost")


def table(seed, classes=2, rows=300, columns=5):
    """Return numbers of several kinds: fine, coarse, whole, and far beyond float32's precision."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, columns))
    x[:, 1] = x[:, 1].round(1)
    x[:, 2] = (3 * x[:, 2]).round()
    x[:, 3] = 1e6 + x[:, 3] / 7
    y = np.digitize(
        x[:, 0] + x[:, 1] + 0.4 * x[:, 2] + random.normal(size=rows) / 3, [-0.7, 0.7][: classes - 1] if classes > 2 else [0]
    )
    y[:classes] = range(classes)
    return x, y


def margins(model, x):
    """Return the library's margins, by its public functions, as two or more columns."""
    kind = type(model).__module__.partition(".")[0]
    if kind == "xgboost":
        out = model.predict(x, output_margin=True)
    elif kind == "lightgbm":
        out = model.predict(x, raw_score=True)
    elif kind == "catboost":
        out = model.predict(x, prediction_type="RawFormulaVal")
    elif hasattr(model, "decision_function"):
        out = model.decision_function(x)
    else:
        out = model.predict_proba(x)
    out = np.asarray(out, dtype=float)
    return np.stack([np.zeros(len(x)), out], 1) if out.ndim == 1 else out


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_the_librarys_margins_on_data_it_has_not_seen(name, classes) -> None:
    x, y = table(1, classes)
    model = MODELS[name]().fit(x, y)
    trees = read_trees(model, torch.tensor(x))
    unseen = table(2, classes)[0]
    rows = torch.from_numpy(unseen)
    for at in (trees.feature >= 0).nonzero()[:40, 0].tolist():  # one value on a threshold, one just across
        rows[2 * at % len(rows), trees.feature[at]] = trees.threshold[at]
        rows[(2 * at + 1) % len(rows), trees.feature[at]] = after(trees.threshold[at], trees.dtype)
    theirs = margins(model, rows.numpy())
    assert np.abs(trees.outputs(rows).numpy() - theirs).max() <= 2e-5 * max(1.0, np.abs(theirs).max())
    decided = EnsembleTarget(trees).decide(rows).numpy()
    clear = np.ptp(np.sort(theirs, 1)[:, -2:], axis=1) > 1e-4
    assert (decided == np.asarray(model.predict(rows.numpy())).reshape(-1))[clear].all()


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("trained", [True, False])
def test_missing_values_go_where_the_library_sends_them(name, trained) -> None:
    x, y = table(3)
    holes = np.random.default_rng(4).random(x.shape) < 0.2
    full, x = x, np.where(holes, np.nan, x)
    model = MODELS[name]().fit(x if trained else full, y)
    try:
        theirs = margins(model, x)
    except (ValueError, catboost.CatBoostError):
        pytest.skip("the library takes no missing values where it has seen none")
    ours = read_trees(model, torch.tensor(full)).outputs(torch.tensor(x)).numpy()
    assert np.abs(ours - theirs).max() <= 2e-5 * max(1.0, np.abs(theirs).max())


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(["tree", "xgboost", "lightgbm", "catboost", "histogram"]))
def test_a_step_of_the_last_bit_across_a_threshold_is_seen_as_the_library_sees_it(seed, name) -> None:
    """Float32 or float64: a library that rounds its inputs does not see a step that is lost in rounding."""
    x, y = table(seed)
    model = MODELS[name]().fit(x, y)
    trees = read_trees(model, torch.tensor(x))
    inner = (trees.feature >= 0).nonzero()[:20, 0]
    rows = torch.tensor(x[: len(inner)])
    place = torch.arange(len(inner))
    for move in (np.nextafter(trees.threshold[inner].numpy(), np.inf), np.nextafter(trees.threshold[inner].numpy(), -np.inf)):
        rows[place, trees.feature[inner]] = torch.from_numpy(move)
        theirs = margins(model, rows.numpy())
        assert np.abs(trees.outputs(rows).numpy() - theirs).max() <= 2e-5 * max(1.0, np.abs(theirs).max())


def test_early_stopping_is_kept() -> None:
    x, y = table(5)
    other = table(6)
    boosted = xgboost.XGBClassifier(n_estimators=200, early_stopping_rounds=3, n_jobs=1).fit(x, y, eval_set=[other], verbose=False)
    light = lightgbm.LGBMClassifier(n_estimators=200, n_jobs=1, verbose=-1)
    light.fit(x, y, eval_X=other[0], eval_y=other[1], callbacks=[lightgbm.early_stopping(3, verbose=False)])
    for model, rounds in ((boosted, boosted.best_iteration + 1), (light, light.best_iteration_)):
        trees = read_trees(model, torch.tensor(x))
        assert len(trees.roots) == rounds < 200
        assert np.abs(trees.outputs(torch.tensor(x)).numpy() - margins(model, x)).max() < 1e-4


def test_what_is_not_modelled_is_refused_by_its_name() -> None:
    pandas = pytest.importorskip("pandas")
    x, y = table(7)
    rows = torch.tensor(x)
    frame = pandas.DataFrame(x, columns=list("abcde"))
    frame["c"] = pandas.Categorical(x[:, 2].astype(int))
    codes = torch.tensor(frame.assign(c=frame["c"].cat.codes).to_numpy(dtype=float))
    light = partial(lightgbm.LGBMClassifier, n_estimators=5, n_jobs=1, verbose=-1)
    cases = [
        (xgboost.XGBClassifier(n_estimators=5, enable_categorical=True, max_cat_to_onehot=1, n_jobs=1).fit(frame, y), "categories"),
        (light(min_data_per_group=1, cat_smooth=0, cat_l2=0).fit(frame[["c", "d"]], y), "categories"),
        (HistGradientBoostingClassifier(max_iter=5, categorical_features=[2]).fit(codes, y), "categories"),
        (catboost.CatBoostClassifier(iterations=5, depth=3, grow_policy="Lossguide", **QUIET).fit(x, y), "not symmetric"),
        (xgboost.XGBClassifier(n_estimators=5, booster="dart", n_jobs=1).fit(x, y), "dart"),
        (xgboost.XGBRegressor(n_estimators=5, n_jobs=1).fit(x, y), "objective"),
        (lightgbm.LGBMRegressor(n_estimators=5, n_jobs=1, verbose=-1).fit(x, y), "objective"),
        (light(linear_tree=True).fit(x, y), "linear"),
        (LogisticRegression().fit(x[:, :3], y), "not a tree ensemble"),
        (object(), "not a tree ensemble"),
    ]
    for model, reason in cases:
        with pytest.raises(InputError, match=reason):
            read_trees(model, rows)


def test_margins_that_differ_are_refused() -> None:
    x, y = table(8)
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(x, y)
    trees = read_trees(model, torch.tensor(x))
    with pytest.raises(InputError, match="not understood"):
        verified(trees, lambda rows: model.predict_proba(rows)[:, ::-1] * 0.5, torch.tensor(x))
    with pytest.raises(InputError, match="shape"):
        verified(trees, model.predict_proba, torch.tensor(x[:, :2]))


def test_numbers_of_a_precision() -> None:
    value = torch.tensor([0.1, 1 / 3, 1e6 + 1 / 7, 0.0, -2.5], dtype=torch.float64)
    single = value.numpy().astype(np.float32)
    assert (at_most(value, torch.float32) <= value).all()
    assert (after(at_most(value, torch.float32), torch.float32) > value).all()
    assert (before(value, torch.float32).numpy() == np.nextafter(single, np.float32(-np.inf))).all()
    assert (after(value, torch.float64).numpy() == np.nextafter(value.numpy(), np.inf)).all()
