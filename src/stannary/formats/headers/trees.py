"""Boosted trees: XGBoost (JSON, UBJSON), LightGBM, CatBoost."""

from __future__ import annotations

import re
from typing import Any

from stannary.core.errors import FormatError
from stannary.formats.bounded_json import loads
from stannary.formats.headers.model import Header, Port
from stannary.formats.interface import Budget, View, clip
from stannary.formats.ubjson import parse

__all__ = ["catboost", "lightgbm", "xgboost_json", "xgboost_ubjson"]

_LARGEST = 32 << 20
_NAMES = 200


def xgboost_json(view: View, _budget: Budget) -> Header:
    """Read a booster saved as JSON. Raises FormatError, BudgetExceeded."""
    return _booster(loads(view.text(_LARGEST)), "xgboost")


def xgboost_ubjson(view: View, budget: Budget) -> Header | None:
    """Read a booster saved as UBJSON. Raises FormatError."""
    document, _ = parse(view, budget.take_operations)
    return _booster(document, "xgboost") if isinstance(document, dict) and "learner" in document else None


def _booster(document: Any, name: str) -> Header:  # noqa: ANN401 - JSON
    learner = document.get("learner") if isinstance(document, dict) else None
    if not isinstance(learner, dict):
        msg = "no learner"
        raise FormatError(msg)
    parameters, objective, booster = (_table(learner.get(key)) for key in ("learner_model_param", "objective", "gradient_booster"))
    trees = _table(_table(booster.get("model")).get("gbtree_model_param")).get("num_trees")
    version = document.get("version")
    metadata: dict[str, str | int | float | bool] = {
        key: clip(str(value), 100)
        for key, value in {
            "objective": objective.get("name"),
            "booster": booster.get("name"),
            "num_class": parameters.get("num_class"),
            "num_feature": parameters.get("num_feature"),
            "num_trees": trees,
        }.items()
        if value not in (None, "")
    }
    names = learner.get("feature_names")
    kinds = learner.get("feature_types")
    inputs = [Port(clip(str(row), 100), clip(str(kinds[index]), 40) if isinstance(kinds, list) and index < len(kinds) else "")
              for index, row in enumerate(names[:_NAMES])] if isinstance(names, list) else []  # fmt: skip
    return Header(
        format=name,
        framework="XGBoost",
        framework_version=".".join(str(part)[:8] for part in version[:4]) if isinstance(version, list) else "",
        architecture="gradient-boosted trees"
        if booster.get("name") in ("gbtree", "dart")
        else clip(str(booster.get("name", "")), 60),
        metadata=metadata,
        inputs=tuple(inputs),
    )


def lightgbm(view: View, _budget: Budget) -> Header:
    """Read the lines before the first tree."""
    head = view.head(1 << 20).decode("utf-8", "replace")
    found = dict(re.findall(r"^(\w+)=([^\r\n]*)", head.partition("\nTree=")[0], re.MULTILINE)[:100])
    if found.get("version") is None:
        msg = "no LightGBM model"
        raise FormatError(msg)
    keys = ("objective", "num_class", "num_tree_per_iteration", "max_feature_idx", "version")
    metadata: dict[str, str | int | float | bool] = {key: clip(found[key], 200) for key in keys if found.get(key)}
    names = found.get("feature_names", "").split()[:_NAMES]
    return Header(
        format="lightgbm",
        framework="LightGBM",
        architecture="gradient-boosted trees",
        metadata=metadata,
        inputs=tuple(Port(clip(name, 100)) for name in names),
    )


def catboost(_view: View, _budget: Budget) -> Header:
    """Recognise a CatBoost model."""
    return Header(format="catboost", framework="CatBoost", architecture="gradient-boosted trees")


def _table(value: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, dict) else {}
