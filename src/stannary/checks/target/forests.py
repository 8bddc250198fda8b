"""Forests of scikit-learn, asked without what `predict` does around its trees.

An attack by decisions asks some hundred times for a few hundred rows. scikit-learn then spends most of its time on a pool of
workers and on checks of each tree, once a tree and a call. Here the same trees are asked in the same order, and summed up in the
same way: the answers are the same to the last bit, or the forest is asked as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["direct"]

_FEW = 1024  # rows below which a forest's own workers cost more than they save


def direct(model: Any, prepared: Any) -> Any:  # noqa: ANN401 - scikit-learn's
    """Return a forest's stand-in with `predict` and `predict_proba`, or the model itself where that is no such forest.

    Args:
        model: any model.
        prepared: some inputs as the model takes them, on which the stand-in has to answer as the model does.
    """
    if type(model).__module__ != "sklearn.ensemble._forest" or type(model).__name__ not in (
        "RandomForestClassifier",
        "ExtraTreesClassifier",
    ):
        return model  # a class made from one of them may do something else
    found = _Forest(model)
    try:
        own, mine = model.predict_proba(prepared), found.summed(prepared)
    except Exception:  # noqa: BLE001 - what cannot be asked says so where it is asked as it is
        return model
    if mine is None or np.shape(own) != mine.shape:
        return model
    # with several workers the order of a forest's own sums, and so their last bit, differs from call to call
    same = np.array_equal(own, mine) if found.alone else np.allclose(own, mine, rtol=0, atol=1e-12)
    return found if same else model


class _Forest:
    """The trees of a forest with one label a row."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - scikit-learn's
        self._model, self.classes_ = model, model.classes_
        self.alone = model.n_jobs in (None, 1)

    def summed(self, x: Any) -> Any:  # noqa: ANN401 - numpy
        """Return probabilities `(n, classes)`, None where only the forest itself says what inputs are worth."""
        model = self._model
        rows = np.ascontiguousarray(x, dtype=np.float32)
        fits = rows.ndim == 2 and rows.shape[1] == model.n_features_in_  # noqa: PLR2004 - a table
        if not fits or not np.isfinite(rows).all() or not (self.alone or len(rows) < _FEW):
            return None
        total = np.zeros((len(rows), len(self.classes_)), dtype=np.float64)
        for one in model.estimators_:
            total += one.tree_.predict(rows)[:, : total.shape[1]]
        total /= len(model.estimators_)
        return total

    def predict_proba(self, x: Any) -> Any:  # noqa: ANN401 - numpy
        """Return the mean of the trees' shares `(n, classes)`."""
        found = self.summed(x)
        return self._model.predict_proba(x) if found is None else found

    def predict(self, x: Any) -> Any:  # noqa: ANN401 - numpy
        """Return the labels `(n,)`."""
        found = self.summed(x)
        return self._model.predict(x) if found is None else self.classes_.take(found.argmax(1), axis=0)
