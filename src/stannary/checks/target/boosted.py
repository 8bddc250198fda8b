"""Boosted trees by their own libraries: margins as logits, and each library's own reading of a number.

XGBoost and CatBoost round inputs to float32, LightGBM compares float64. What the library says is what counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from stannary.checks.target.array_model import ArrayTarget
from stannary.core.errors import InputError

__all__ = ["boosted_target", "catboost_target", "lightgbm_target", "xgboost_target"]

_XGB_BINARY = ("binary:logistic", "binary:logitraw", "binary:hinge")
_XGB_MULTI = ("multi:softmax", "multi:softprob")
_NUMBERS = "gives numbers, not classes; models of numbers are not evaluated"


def boosted_target(
    model: Any,  # noqa: ANN401 - of one of the libraries
    *,
    name: str = "model",
    columns: Sequence[str] = (),
    frame: Callable[[torch.Tensor], Any] | None = None,
) -> ArrayTarget | None:
    """Return a model of XGBoost, LightGBM or CatBoost as a target, None if it is of none of them. Raises InputError."""
    library = type(model).__module__.partition(".")[0]
    if library == "xgboost":
        return xgboost_target(model, name=name, columns=columns)
    if library == "lightgbm":
        return lightgbm_target(model, name=name, columns=columns)
    if library == "catboost":
        return catboost_target(model, name=name, columns=columns, frame=frame)
    return None


def _names(model: Any, classes: int) -> tuple[str, ...]:  # noqa: ANN401 - of one of the libraries
    own = getattr(model, "classes_", None)
    return tuple(map(str, np.asarray(own).tolist())) if own is not None and len(own) == classes else ()


def _picked(own: Sequence[str], columns: Sequence[str], count: int, name: str) -> Callable[[Any], Any]:
    """Return what puts an array's columns into the model's order. Raises InputError."""
    generic = not own or all(one == f"Column_{at}" or one == str(at) or one == f"f{at}" for at, one in enumerate(own))
    if not generic and columns and set(own) <= set(columns):
        at = [list(columns).index(one) for one in own]
        return lambda x: x[:, at]
    named = columns and list(columns) != [f"x{at}" for at in range(len(columns))]
    if not generic and named and not _alike(own, columns):
        missing = [one for one in own if one not in columns]
        msg = f"the model wants the columns {', '.join(missing[:8])}, which the data does not have"
        raise InputError(msg, where=name, help=f"the data has {', '.join(list(columns)[:12])}")
    if columns and len(columns) != count:
        msg = f"the model takes {count} features, the data has {len(columns)}"
        raise InputError(msg, where=name)
    return lambda x: x


def _framed(frame: Callable[[torch.Tensor], Any], own: list[str]) -> Callable[[Any], Any]:
    return lambda x: frame(torch.from_numpy(np.ascontiguousarray(x)))[own]


def _alike(own: Sequence[str], columns: Sequence[str]) -> bool:
    """Tell whether names are the same in the same order but for signs that a library replaces (LightGBM writes _ for a space)."""

    def plain(text: str) -> str:
        return "".join(sign if sign.isalnum() else "_" for sign in text)

    return [plain(one) for one in own] == [plain(one) for one in columns]


def xgboost_target(model: Any, *, name: str = "model", columns: Sequence[str] = ()) -> ArrayTarget:  # noqa: ANN401 - Booster or XGBClassifier
    """Return an `xgboost.Booster` or `XGBClassifier` as a target. Raises InputError."""
    import xgboost as xgb

    try:
        booster = model if isinstance(model, xgb.Booster) else model.get_booster()
    except Exception as exc:  # NotFittedError is scikit-learn's, which need not be there
        msg = f"the {type(model).__name__} is not fitted: {exc}"
        raise InputError(msg, where=name) from exc
    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    if objective not in (*_XGB_BINARY, *_XGB_MULTI):
        msg = f"an XGBoost model with objective {objective} {_NUMBERS}"
        raise InputError(msg, where=name)
    classes = 2 if objective in _XGB_BINARY else int(learner["learner_model_param"]["num_class"])
    count = booster.num_features()
    pick = _picked(booster.feature_names or (), columns, count, name)
    best = booster.attr("best_iteration")
    rounds = (0, int(best) + 1) if best is not None else (0, 0)
    typed = booster.feature_types if "c" in (booster.feature_types or ()) else None

    def margins(x: Any) -> Any:  # noqa: ANN401 - numpy
        rows = np.ascontiguousarray(pick(x), dtype=np.float32)
        if typed is None:
            return booster.inplace_predict(rows, iteration_range=rounds, predict_type="margin", validate_features=False)
        matrix = xgb.DMatrix(rows, feature_types=typed, enable_categorical=True)
        return booster.predict(matrix, output_margin=True, iteration_range=rounds, validate_features=False)

    features = (len(columns) or count,)
    return ArrayTarget(features, classes, margins, name=name, labels=_names(model, classes), model=booster)


def lightgbm_target(model: Any, *, name: str = "model", columns: Sequence[str] = ()) -> ArrayTarget:  # noqa: ANN401 - Booster or LGBMClassifier
    """Return a `lightgbm.Booster` or `LGBMClassifier` as a target. Raises InputError."""
    import lightgbm as lgb

    try:
        booster = model if isinstance(model, lgb.Booster) else model.booster_
    except Exception as exc:  # LightGBM's own error for what is not fitted
        msg = f"the {type(model).__name__} is not fitted: {exc}"
        raise InputError(msg, where=name) from exc
    head = booster.model_to_string(num_iteration=1).split("\nTree=", 1)[0]
    objective = next((line.partition("=")[2].split()[0] for line in head.splitlines() if line.startswith("objective=")), "(none)")
    if objective not in ("binary", "multiclass", "multiclassova", "cross_entropy"):
        msg = f"a LightGBM model with objective {objective} {_NUMBERS}"
        raise InputError(msg, where=name)
    several = booster.num_model_per_iteration()
    classes = 2 if several == 1 else several
    count = booster.num_feature()
    pick = _picked(booster.feature_name(), columns, count, name)

    def margins(x: Any) -> Any:  # noqa: ANN401 - numpy
        return booster.predict(np.ascontiguousarray(pick(x)), raw_score=True)

    features = (len(columns) or count,)
    return ArrayTarget(features, classes, margins, name=name, labels=_names(model, classes), model=booster)


def catboost_target(
    model: Any,  # noqa: ANN401 - CatBoost or CatBoostClassifier
    *,
    name: str = "model",
    columns: Sequence[str] = (),
    frame: Callable[[torch.Tensor], Any] | None = None,
) -> ArrayTarget:
    """Return a CatBoost classifier as a target; one with columns of words needs `frame`. Raises InputError."""
    if not model.is_fitted():
        msg = f"the {type(model).__name__} is not fitted"
        raise InputError(msg, where=name)
    classes = len(model.classes_)
    if classes < 2:  # noqa: PLR2004 - a regression has none
        msg = f"a CatBoost model with loss {model.get_all_params().get('loss_function', '?')} {_NUMBERS}"
        raise InputError(msg, where=name)
    own = [str(one) for one in model.feature_names_]
    words = model.get_cat_feature_indices()
    if words:
        if frame is None:
            msg = f"the model takes words in {', '.join(own[at] for at in words[:5])}"
            raise InputError(msg, where=name, help="give the data as a table with these columns")

        prepare = _framed(frame, own)
        features: tuple[int, ...] = (len(columns),)
    else:
        prepare = _picked(own, columns, len(own), name)
        features = (len(columns) or len(own),)

    def margins(x: Any) -> Any:  # noqa: ANN401 - numpy
        return model.predict(prepare(x), prediction_type="RawFormulaVal", thread_count=torch.get_num_threads())

    return ArrayTarget(features, classes, margins, name=name, labels=_names(model, classes), model=model)
