"""A local copy of a tree ensemble, as an attacker has it who has the model file: in the columns of the data, held to the target."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from stannary.checks.robustness.tree_model import Ensemble, EnsembleTarget
from stannary.checks.robustness.tree_readers import read_trees
from stannary.checks.target.interface import Target
from stannary.core.errors import BackendError, InputError

__all__ = ["local_trees"]

PROBES = 512  # rows of data on which margins must agree
ASKED = 100  # rows on which the copy must decide as the target does
AGREE = 0.98  # ties of a forest's votes go one way or the other with the order of summation


def local_trees(target: Target, x: torch.Tensor, names: tuple[str, ...] = ()) -> tuple[Ensemble | None, str]:
    """Return the trees of a target over the columns of the data, or None and why there are none; the target is asked a few rows.

    Args:
        target: the model, as it is asked; of a counting one the model inside.
        x: data `(n, columns)` float64.
        names: of the columns, which the model may know in another order.
    """
    inner = target
    while hasattr(inner, "inner"):
        inner = inner.inner
    model = getattr(inner, "model", None)
    if model is None:
        return None, "its trees are not at hand"
    try:
        at = _order(model, names)
        trees = read_trees(model, x[:PROBES] if at is None else x[:PROBES, at])
    except InputError as exc:
        return None, exc.message
    if at is not None:
        index = torch.tensor([*at, -1])  # the last one is what a leaf's -1 finds
        trees = replace(trees, feature=index[trees.feature], features=x.shape[1])
    try:
        agreed = float((EnsembleTarget(trees).decide(x[:ASKED]) == target.decide(x[:ASKED])).double().mean())
    except (InputError, BackendError) as exc:  # no budget or no answer: nothing says that they are the target's
        return None, str(exc)
    if agreed < AGREE:
        return None, f"its trees as read decide otherwise on {1 - agreed:.1%} of the data"
    return trees, ""


def _order(model: Any, names: tuple[str, ...]) -> list[int] | None:  # noqa: ANN401 - of any of the libraries
    """Return where the model's columns stand in the data, None if it knows no other order."""
    own: Any = getattr(model, "feature_names_in_", None)
    if own is None:
        own = getattr(model, "feature_names", None)  # XGBoost's booster
    if own is None:
        own = getattr(model, "feature_names_", None)  # CatBoost
    if own is None and callable(getattr(model, "feature_name", None)):  # LightGBM's booster
        own = model.feature_name()
    if own is None or not names or not set(map(str, own)) <= set(names):
        return None
    at = [names.index(str(one)) for one in own]
    return None if at == list(range(len(names))) else at
