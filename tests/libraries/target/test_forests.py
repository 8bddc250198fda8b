"""Forests answer as scikit-learn's own `predict` does, to the last bit, for a fraction of its time."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from stannary.checks.target.forests import direct
from stannary.checks.target.sklearn_model import sklearn_target


@pytest.fixture(scope="module")
def table():
    return make_classification(800, 12, n_informative=8, n_classes=3, random_state=0)


@pytest.mark.parametrize("made", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("labels", [np.array(["b", "c", "a"]), np.array([7, 3, 5])])
def test_a_forest_answers_as_it_does_by_itself(table, made, labels) -> None:
    x, y = table
    forest = made(20, max_depth=6, random_state=1).fit(x, labels[y])
    asked = direct(forest, x[:5])
    assert asked is not forest
    assert np.array_equal(asked.predict_proba(x), forest.predict_proba(x))
    assert (asked.predict(x) == forest.predict(x)).all()


def test_names_keep_their_order(table) -> None:
    x, y = table
    names = [f"c{at}" for at in range(12)]
    forest = RandomForestClassifier(20, random_state=1).fit(pd.DataFrame(x, columns=names), y)
    turned = names[::-1]
    target = sklearn_target(forest, columns=turned, probe=torch.from_numpy(x[:50, ::-1].copy()))
    said = target.decide(torch.from_numpy(x[:, ::-1].copy()))
    assert (said.numpy() == forest.predict(pd.DataFrame(x, columns=names))).all()


def test_several_workers_and_many_rows(table) -> None:
    x, y = table
    forest = RandomForestClassifier(20, random_state=1, n_jobs=2).fit(x, y)
    asked = direct(forest, x[:5])
    assert asked is not forest
    for rows in (x, np.tile(x, (2, 1))):
        assert np.allclose(asked.predict_proba(rows), forest.predict_proba(rows), rtol=0, atol=1e-12)


def test_what_is_missing_or_infinite_is_the_forests_own_affair(table) -> None:
    x, y = table
    gaps = x.copy()
    gaps[::3, 2] = np.nan
    forest = RandomForestClassifier(20, random_state=1).fit(gaps, y)
    asked = direct(forest, x[:5])
    assert np.array_equal(asked.predict_proba(gaps), forest.predict_proba(gaps))
    gaps[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        asked.predict(gaps)
    with pytest.raises(ValueError, match="features"):
        asked.predict(x[:, :5])


def test_what_only_comes_from_a_forest_is_asked_as_it_is(table) -> None:
    class Doubtful(RandomForestClassifier):
        def predict(self, rows):
            return 2 - super().predict(rows)

    x, y = table
    doubtful, several = Doubtful(5).fit(x, y), RandomForestClassifier(5).fit(x, np.stack([y, y], 1))
    assert direct(doubtful, x[:5]) is doubtful
    assert direct(several, x[:5]) is several


def test_few_rows_cost_less_than_half(table) -> None:
    x, y = table
    forest = RandomForestClassifier(100, max_depth=8, random_state=1).fit(x, y)
    asked, cost = direct(forest, x[:5]), {}
    for who, model in (("own", forest), ("direct", asked)):
        least = np.inf
        for _ in range(5):
            began = time.process_time()
            for _ in range(3):
                model.predict(x[:50])
            least = min(least, time.process_time() - began)
        cost[who] = least
    assert cost["direct"] < cost["own"] / 2
