"""Reading the trees of scikit-learn, XGBoost, LightGBM and CatBoost classifiers, each verified against its library.

Categorical splits, linear leaves, trees with vectors for leaves and zero as missing are refused, and so is whatever does not give
the library's margins on the data, with its missing values if it has some.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stannary.checks.robustness.tree_model import Ensemble, at_most, before, verified
from stannary.core.errors import InputError

__all__ = ["read_trees"]

Tree = dict[str, torch.Tensor]  # feature, threshold, left, right, missing, value (nodes, classes): places within the tree
_LIGHTGBM_ZERO = torch.tensor(
    1e-35, dtype=torch.float32
).double()  # it takes numbers up to this size for 0 (meta.h, kZeroThreshold)
_XGB_OBJECTIVES = ("binary:logistic", "binary:logitraw", "multi:softmax", "multi:softprob")


def read_trees(model: Any, x: torch.Tensor) -> Ensemble:  # noqa: ANN401 - of any of the libraries
    """Return the trees of a fitted classifier.

    Args:
        model: scikit-learn's decision tree, random forest, extra trees, gradient boosting or histogram gradient boosting
            classifier; XGBoost's classifier or booster; LightGBM's; CatBoost's classifier of symmetric trees.
        x: data `(n, features)` float64 on which they must agree.

    Raises:
        InputError: the model is none of these, or uses something that is not modelled, or its margins differ.
    """
    library = type(model).__module__.partition(".")[0]
    reader = _READERS.get(library)
    if reader is None:
        what = "a function" if callable(model) and hasattr(model, "__code__") else f"{type(model).__name__} of {library}"
        msg = f"{what} is not a tree ensemble that can be read"
        raise InputError(msg, help="trees are read of scikit-learn, xgboost, lightgbm and catboost")
    trees, dtype, margins = reader(model, x.shape[1])
    return verified(_joined(trees, dtype, x.shape[1]), margins, x)


def _joined(trees: list[Tree], dtype: torch.dtype, features: int) -> Ensemble:
    """Return trees one after another in one set of arrays; thresholds must be of the precision already."""
    if not trees:
        msg = "the model has no trees"
        raise InputError(msg)
    sizes = torch.tensor([len(tree["feature"]) for tree in trees])
    starts = sizes.cumsum(0) - sizes
    parts = {name: [tree[name] for tree in trees] for name in ("feature", "threshold", "missing", "value")}
    sides = {name: [tree[name] + start for tree, start in zip(trees, starts, strict=True)] for name in ("left", "right")}
    joined = {name: torch.cat(columns) for name, columns in (parts | sides).items()}
    if bool((joined["feature"] >= features).any()):
        msg = f"a tree asks for column {int(joined['feature'].max())} of {features}"
        raise InputError(msg)
    return Ensemble(
        **joined, roots=starts, base=joined["value"].new_zeros(joined["value"].shape[1]), dtype=dtype, features=features
    )


def _tree(nodes: tuple[Any, Any], sides: tuple[Any, Any], missing: Any, value: torch.Tensor) -> Tree:  # noqa: ANN401 - arrays
    """Return a tree of arrays (features, thresholds), (left, right), ... in which leaves have the feature -1."""
    feature, left, right = (torch.as_tensor(array).long() for array in (nodes[0], *sides))
    leaf, here = feature < 0, torch.arange(len(feature))
    threshold = torch.as_tensor(nodes[1]).double().masked_fill(leaf, 0.0)
    return {
        "feature": feature.masked_fill(leaf, -1), "threshold": threshold, "value": value * leaf[:, None],
        "missing": torch.as_tensor(missing).bool(),
        "left": torch.where(leaf, here, left), "right": torch.where(leaf, here, right),
    }  # fmt: skip


def _column(value: Any, place: int, classes: int) -> torch.Tensor:  # noqa: ANN401 - an array of any kind
    """Return leaf values of one output as `(nodes, classes)`; of a binary model's one output z the margins are (0, z)."""
    out = torch.zeros(len(value), max(2, classes), dtype=torch.float64)
    out[:, place if classes > 1 else 1] = torch.as_tensor(value).double()
    return out


Reading = tuple[list[Tree], torch.dtype, Callable[[Any], Any]]


def _sklearn(model: Any, features: int) -> Reading:  # noqa: ANN401, ARG001 - one signature for all
    name = type(model).__name__
    if name in ("RandomForestClassifier", "ExtraTreesClassifier", "DecisionTreeClassifier", "ExtraTreeClassifier"):
        members = getattr(model, "estimators_", [model])
        if getattr(model, "n_outputs_", 1) != 1:
            msg = "forests of several outputs are not modelled"
            raise InputError(msg)
        return (
            [_sklearn_tree(one.tree_, None, 1, 1 / len(members)) for one in members],
            torch.float32,
            _named(model, model.predict_proba),
        )
    if name == "GradientBoostingClassifier":
        rows = model.estimators_
        classes = rows.shape[1]
        trees = [_sklearn_tree(one.tree_, k, classes, model.learning_rate) for row in rows for k, one in enumerate(row)]
        return trees, torch.float32, _named(model, model.decision_function)
    if name == "HistGradientBoostingClassifier":
        trees = [
            _histogram_tree(one.nodes, k, len(row))
            for row in model._predictors  # noqa: SLF001 - there is no public way to a fitted model's trees
            for k, one in enumerate(row)
        ]
        return trees, torch.float64, _named(model, model.decision_function)
    msg = f"scikit-learn's {name} is not a tree ensemble that can be read"
    raise InputError(msg)


def _named(model: Any, function: Callable[[Any], Any]) -> Callable[[Any], Any]:  # noqa: ANN401 - scikit-learn has no types
    """Return the function for plain arrays: a model that was fitted with names of columns warns without them."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return function
    import pandas as pd

    return lambda x: function(pd.DataFrame(x, columns=names))


def _sklearn_tree(tree: Any, place: int | None, classes: int, factor: float) -> Tree:  # noqa: ANN401 - scikit-learn has no types
    """Return a tree of scikit-learn, which compares inputs of float32 with thresholds of float64."""
    leaf = tree.children_left < 0
    feature = torch.as_tensor(tree.feature.copy()).long().masked_fill(torch.as_tensor(leaf), -1)
    threshold = at_most(torch.as_tensor(tree.threshold.copy()).double(), torch.float32)
    if place is None:
        value = torch.as_tensor(tree.value[:, 0, :].copy()).double()
        value = value / value.sum(1, keepdim=True) * factor
    else:
        value = _column(tree.value[:, 0, 0] * factor, place, classes)
    sides = tree.children_left.copy(), tree.children_right.copy()
    return _tree((feature, threshold), sides, tree.missing_go_to_left.astype("bool"), value)


def _histogram_tree(nodes: Any, place: int, classes: int) -> Tree:  # noqa: ANN401 - scikit-learn has no types
    if nodes["is_categorical"].any():
        msg = "splits on categories are not modelled"
        raise InputError(msg)
    leaf = nodes["is_leaf"].astype(bool)
    feature = torch.as_tensor(nodes["feature_idx"].astype("int64")).masked_fill(torch.as_tensor(leaf), -1)
    sides = nodes["left"].astype("int64"), nodes["right"].astype("int64")
    value = _column(nodes["value"].astype("float64"), place, classes)
    return _tree((feature, nodes["num_threshold"].astype("float64")), sides, nodes["missing_go_to_left"].astype("bool"), value)


def _xgboost(model: Any, features: int) -> Reading:  # noqa: ANN401, ARG001 - one signature for all
    import xgboost

    booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
    best = booster.attr("best_iteration")
    if best is not None:  # of early stopping: rounds after it take no part
        booster = booster[: int(best) + 1]
    body = json.loads(booster.save_raw(raw_format="json"))["learner"]
    objective = body["objective"]["name"]
    if objective not in _XGB_OBJECTIVES:
        msg = f"xgboost's objective {objective} is not one of {', '.join(_XGB_OBJECTIVES)}"
        raise InputError(msg)
    boosted = body["gradient_booster"]
    if boosted["name"] != "gbtree":
        msg = f"xgboost's booster {boosted['name']} is not modelled"
        raise InputError(msg)
    classes = max(1, int(body["learner_model_param"]["num_class"]))
    groups, trees = boosted["model"]["tree_info"], boosted["model"]["trees"]

    def margins(x: Any) -> Any:  # noqa: ANN401 - a numpy array
        return booster.predict(xgboost.DMatrix(x, feature_names=booster.feature_names), output_margin=True)

    return [_xgboost_tree(tree, k, classes) for tree, k in zip(trees, groups, strict=True)], torch.float32, margins


def _xgboost_tree(tree: dict[str, Any], place: int, classes: int) -> Tree:
    """Return a tree of XGBoost, which sends `x < threshold` left, both of float32; a leaf's value stands at its threshold."""
    if any(tree["split_type"]) or int(tree["tree_param"].get("size_leaf_vector", "1")) > 1:
        msg = "splits on categories and trees with vectors for leaves are not modelled"
        raise InputError(msg)
    left = torch.tensor(tree["left_children"])
    numbers = torch.tensor(tree["split_conditions"], dtype=torch.float64)
    feature = torch.tensor(tree["split_indices"]).masked_fill(left < 0, -1)
    sides = left, torch.tensor(tree["right_children"])
    value = _column(numbers, place, classes)
    return _tree((feature, before(numbers, torch.float32)), sides, torch.tensor(tree["default_left"]), value)


def _lightgbm(model: Any, features: int) -> Reading:  # noqa: ANN401, ARG001 - one signature for all
    booster = getattr(model, "booster_", model)
    text = booster.model_to_string()  # as many rounds as it predicts with
    head, *blocks = text.split("\nTree=")
    settings = dict(line.partition("=")[::2] for line in head.splitlines())
    per_round = int(settings.get("num_tree_per_iteration", "1"))
    objective = settings.get("objective", "").split(" ")[0]
    if objective not in ("binary", "multiclass", "multiclassova", "softmax"):
        msg = f"lightgbm's objective {objective or 'of its own'} is not modelled"
        raise InputError(msg)
    trees = [
        _lightgbm_tree(block, at % per_round, per_round) for at, block in enumerate(blocks)
    ]  # its forests' margins are sums, too
    return trees, torch.float64, lambda x: booster.predict(x, raw_score=True)


def _lightgbm_tree(block: str, place: int, classes: int) -> Tree:
    """Return a tree of LightGBM's text, where a child below 0 is leaf `-child - 1`; inner nodes come first here."""
    lines = dict(line.partition("=")[::2] for line in block.splitlines()[1:] if "=" in line)

    def row(name: str, kind: type) -> list[Any]:
        return [kind(word) for word in lines.get(name, "").split()]

    kinds = row("decision_type", int)
    if any(kind & 1 for kind in kinds) or any((kind >> 2) & 3 == 1 for kind in kinds) or lines.get("is_linear", "0") != "0":
        msg = "splits on categories, linear leaves and zero as missing are not modelled"
        raise InputError(msg)
    inner, leaves = len(kinds), torch.tensor(row("leaf_value", float), dtype=torch.float64)
    sides = [
        torch.tensor([child if child >= 0 else inner - child - 1 for child in row(name, int)])
        for name in ("left_child", "right_child")
    ]
    pad = torch.zeros(len(leaves), dtype=torch.int64)
    feature = torch.cat((torch.tensor(row("split_feature", int), dtype=torch.int64), pad - 1))
    threshold = torch.cat((torch.tensor(row("threshold", float), dtype=torch.float64), pad.double()))
    tiny = threshold.abs() <= _LIGHTGBM_ZERO
    threshold = torch.where(tiny, torch.where(threshold < 0, before(-_LIGHTGBM_ZERO, torch.float64), _LIGHTGBM_ZERO), threshold)
    left, right = (torch.cat((side.long(), pad)) for side in sides)
    value = torch.cat((torch.zeros(inner, dtype=torch.float64), leaves))
    rule = torch.cat((torch.tensor(kinds, dtype=torch.int64), pad))
    missing = torch.where((rule >> 2) & 3 == 2, rule & 2 > 0, threshold >= 0)  # noqa: PLR2004 - 2: NaN; without, NaN counts as 0
    return _tree((feature, threshold), (left, right), missing, _column(value, place, classes))


def _catboost(model: Any, features: int) -> Reading:  # noqa: ANN401, ARG001 - one signature for all
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        body = json.loads(path.read_text(encoding="utf-8"))
    if "oblivious_trees" not in body:
        msg = "catboost's trees that are not symmetric are not modelled"
        raise InputError(msg)
    about = body["features_info"].get("float_features", [])
    flat = {one["feature_index"]: one["flat_feature_index"] for one in about}
    right = {one["flat_feature_index"] for one in about if one.get("nan_value_treatment") == "AsTrue"}
    trees = [_catboost_tree(one, (flat, right), body["scale_and_bias"][0]) for one in body["oblivious_trees"]]
    return trees, torch.float32, lambda x: model.predict(x, prediction_type="RawFormulaVal")


def _catboost_tree(body: dict[str, Any], columns: tuple[dict[int, int], set[int]], scale: float) -> Tree:
    """Return the symmetric tree as a full binary one: node i has children 2i + 1 and 2i + 2; the last split is asked first.

    `columns`: where each numeric feature stands, and those (as they stand) whose missing values are above all others.
    """
    flat, above = columns
    splits = body.get("splits") or []
    if any(split["split_type"] != "FloatFeature" for split in splits):
        msg = "catboost's splits on categories are not modelled"
        raise InputError(msg)
    depth, values = len(splits), torch.tensor(body["leaf_values"], dtype=torch.float64) * scale
    count = 1 << depth
    leaf = values.reshape(count, -1)
    inner = count - 1
    level = [split for at, split in enumerate(reversed(splits)) for _ in range(1 << at)]
    here = torch.arange(inner + count)
    feature = torch.full((inner + count,), -1, dtype=torch.int64)
    feature[:inner] = torch.tensor([flat[split["float_feature_index"]] for split in level], dtype=torch.int64)
    threshold = torch.zeros(inner + count, dtype=torch.float64)
    threshold[:inner] = at_most(torch.tensor([split["border"] for split in level], dtype=torch.float64), torch.float32)
    value = torch.zeros(inner + count, max(2, leaf.shape[1]), dtype=torch.float64)
    value[inner:, (1 if leaf.shape[1] == 1 else 0) :] = leaf
    missing = ~torch.isin(feature, torch.tensor(sorted(above), dtype=torch.int64))
    return _tree((feature, threshold), (2 * here + 1, 2 * here + 2), missing, value)


_READERS = {"sklearn": _sklearn, "xgboost": _xgboost, "lightgbm": _lightgbm, "catboost": _catboost}
