"""Training ensembles of trees again: what each library calls leaves and monotone columns, and how it takes rows and labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from stannary.checks.target.domain import TableDomain
from stannary.core.errors import UsageError
from stannary.harden.tree_recipes import Recipe

__all__ = ["again", "fitted", "guessed_signs", "leaves_of", "monotone_of"]

_MONOTONE = {"xgboost": "monotone_constraints", "lightgbm": "monotone_constraints", "sklearn": "monotonic_cst"}
_LEAVES = ("min_samples_leaf", "min_child_weight", "min_child_samples")
_HESSIAN = 0.25  # of a row in XGBoost's min_child_weight, at most


def again(recipe: Recipe, changes: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any library's
    """Return a new model with the settings of the old one, but for some."""
    model = recipe.model
    made = type(model)(**model.get_params(deep=False))
    if made.get_params().get("early_stopping_rounds"):
        made.set_params(early_stopping_rounds=None)  # rounds stop by data that is not at hand here
    if type(model).__module__.partition(".")[0] == "catboost":
        made.set_params(allow_writing_files=False, verbose=False)  # it would leave a folder of logs wherever it is called
    if changes:
        made.set_params(**changes)
    return made


def fitted(made: Any, x: torch.Tensor, y: torch.Tensor, recipe: Recipe) -> Any:  # noqa: ANN401 - any library's
    """Train on rows in the form, and with the labels, that the old model was trained with; return the model.

    Raises:
        UsageError: it cannot be trained on them.
    """
    model = recipe.model
    if recipe.classes is None:
        msg = f"a {type(model).__name__} that was not trained has no classes"
        raise UsageError(msg)
    own = getattr(model, "feature_names_in_", None)
    rows: Any = x.numpy()
    if own is not None and len(own) == x.shape[1] and type(model).__module__.startswith("sklearn"):
        import pandas as pd

        rows = pd.DataFrame(rows, columns=own)
    made.fit(rows, np.asarray(recipe.classes)[y.numpy()])
    return made


def leaves_of(model: Any, rows: float) -> dict[str, Any]:  # noqa: ANN401 - any library's
    """Return the setting under which a leaf has at least so many rows; never fewer than the model's own has."""
    has = model.get_params(deep=False) if callable(getattr(model, "get_params", None)) else {}
    name = next((one for one in _LEAVES if one in has), None)
    if name is None:
        return {}
    now = has[name]
    if name == "min_child_weight":
        return {name: max(float(now or 1), _HESSIAN * rows)}
    least = max(1, math.ceil(rows))
    return {name: max(least, now)} if isinstance(now, int) else {name: least}


def monotone_of(model: Any, names: tuple[str, ...], signs: Mapping[str, int]) -> dict[str, Any]:  # noqa: ANN401 - any library's
    """Return the setting that makes columns rise (1) or fall (-1); empty where the library knows none."""
    library = type(model).__module__.partition(".")[0]
    key = _MONOTONE.get(library, "")
    known = model.get_params(deep=False) if callable(getattr(model, "get_params", None)) else {}
    if not signs or (key not in known and library != "lightgbm"):  # which takes any setting
        return {}
    return {key: tuple(int(signs.get(name, 0)) for name in names)}


def guessed_signs(domain: TableDomain, x: torch.Tensor, y: torch.Tensor) -> dict[str, int]:
    """Return for columns that only rise or only fall whether the second of two classes rises or falls with them in the data."""
    if len(y.unique()) != 2:  # noqa: PLR2004 - monotone in what, otherwise
        return {}
    centred = (y - y.double().mean())[:, None] * (x - x.mean(0))
    signs = centred.sum(0).sign()
    return {c.name: int(signs[at]) for at, c in enumerate(domain.columns) if c.monotone and not c.immutable and signs[at]}
