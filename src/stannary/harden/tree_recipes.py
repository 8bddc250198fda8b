"""How a booster's own file was trained, as far as it says: what LightGBM and CatBoost write into it, what trees of XGBoost show."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from stannary.core.errors import UsageError

__all__ = ["Recipe", "recipe_of"]

# LightGBM's own names → those of its classifier.
_LIGHTGBM = {
    "boosting": "boosting_type", "num_leaves": "num_leaves", "max_depth": "max_depth", "learning_rate": "learning_rate",
    "min_data_in_leaf": "min_child_samples", "min_sum_hessian_in_leaf": "min_child_weight", "bagging_fraction": "subsample",
    "bagging_freq": "subsample_freq", "feature_fraction": "colsample_bytree", "lambda_l1": "reg_alpha", "lambda_l2": "reg_lambda",
    "min_gain_to_split": "min_split_gain", "max_bin": "max_bin", "scale_pos_weight": "scale_pos_weight",
    "is_unbalance": "is_unbalance",
}  # fmt: skip
_CATBOOST = (
    "loss_function", "depth", "learning_rate", "l2_leaf_reg", "random_seed", "border_count", "bootstrap_type", "subsample", "rsm",
    "bagging_temperature", "random_strength", "grow_policy", "class_weights", "auto_class_weights", "leaf_estimation_method",
    "leaf_estimation_iterations", "boosting_type", "score_function", "min_data_in_leaf", "boost_from_average",
)  # fmt: skip


class Recipe(NamedTuple):
    """A classifier that was not trained yet, the classes it is to know, `(k,)`, and what of its settings was guessed."""

    model: Any
    classes: Any
    notes: tuple[str, ...] = ()


def recipe_of(model: Any) -> Recipe:  # noqa: ANN401 - any library's
    """Return how to train a model again.

    Args:
        model: a classifier with scikit-learn's interface, or an XGBoost or LightGBM `Booster`.

    Raises:
        UsageError: it does not say how it was trained.
    """
    library = type(model).__module__.partition(".")[0]
    if type(model).__name__ == "Booster" and library == "xgboost":
        return _xgboost(model)
    if type(model).__name__ == "Booster" and library == "lightgbm":
        return _lightgbm(model)
    if library == "catboost" and not model.get_params():
        return _catboost(model)
    if not callable(getattr(model, "get_params", None)) or not callable(getattr(model, "fit", None)):
        msg = f"a {type(model).__name__} does not say how it was trained"
        raise UsageError(msg, help="give the classifier object (XGBClassifier, LGBMClassifier, RandomForestClassifier, ...)")
    return Recipe(model, getattr(model, "classes_", None))


def _xgboost(booster: Any) -> Recipe:  # noqa: ANN401 - it has no types
    """XGBoost keeps the objective and the trees: rounds and depth are theirs, all else is the library's default."""
    import xgboost

    learner = json.loads(booster.save_config())["learner"]
    boosting = learner["gradient_booster"]
    if "gbtree_model_param" not in boosting:
        msg = f"an XGBoost model of kind {boosting['name']} is not trained again from its file"
        raise UsageError(msg, help="give the XGBClassifier itself, by joblib")
    classes = max(1, int(learner["learner_model_param"]["num_class"]))
    parallel = max(1, int(boosting["gbtree_model_param"]["num_parallel_tree"]))
    depth = max(1, *(_depth(json.loads(tree)) for tree in booster.get_dump(dump_format="json")))
    settings = {
        "n_estimators": max(1, booster.num_boosted_rounds()), "max_depth": depth, "num_parallel_tree": parallel,
        "objective": learner["objective"]["name"], "booster": boosting["name"], "n_jobs": 1,
    }  # fmt: skip
    note = (
        f"the file of XGBoost says nothing of how it was trained: {settings['n_estimators']} rounds and depth {depth} are read off"
        " its trees, all else is the library's default"
    )
    return Recipe(xgboost.XGBClassifier(**settings), np.arange(max(2, classes)), (note,))


def _depth(node: dict[str, Any]) -> int:
    """Return how many cuts lie above the deepest leaf."""
    deepest, level = 0, [node]
    while level := [child for one in level for child in one.get("children", ())]:
        deepest += 1
    return deepest


def _lightgbm(booster: Any) -> Recipe:  # noqa: ANN401 - it has no types
    """LightGBM writes its settings into the file."""
    import lightgbm

    said: dict[str, Any] = dict(booster.params)
    settings = {ours: said[theirs] for theirs, ours in _LIGHTGBM.items() if theirs in said}
    several = booster.num_model_per_iteration()
    settings |= {"n_estimators": max(1, booster.num_trees() // several), "n_jobs": 1, "verbose": -1}
    notes = (
        () if "learning_rate" in said else ("the file of LightGBM does not hold its settings: the library's defaults are taken",)
    )
    return Recipe(lightgbm.LGBMClassifier(**settings), np.arange(2 if several == 1 else several), notes)


def _catboost(model: Any) -> Recipe:  # noqa: ANN401 - it has no types
    """CatBoost writes its settings into the file, but the classifier that reads it does not take them as its own."""
    import catboost

    said: dict[str, Any] = model.get_all_params()
    settings = {name: said[name] for name in _CATBOOST if name in said and said[name] is not None}
    notes = () if "learning_rate" in said else ("the file of CatBoost lacks its settings: the defaults are taken",)
    made = catboost.CatBoostClassifier(**settings, iterations=max(1, model.tree_count_), thread_count=1)
    return Recipe(made, model.classes_, notes)
