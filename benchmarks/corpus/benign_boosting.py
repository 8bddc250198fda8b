"""xgboost, lightgbm, catboost: scikit-learn wrappers, boosters, and their own files."""

from __future__ import annotations

from typing import Any

import numpy as np

from benign_out import Out


def data() -> tuple[Any, Any, Any]:
    """Return features, classes, and a continuous target."""
    rng = np.random.RandomState(0)
    x = rng.rand(120, 5)
    return x, (x[:, 0] > 0.5).astype(int), x[:, 1] * 3 + x[:, 2]


def make(out: Out) -> None:
    """Write what the installed ones make."""
    for part in (xgboost_part, lightgbm_part, catboost_part):
        out.tried(part, out)


def xgboost_part(out: Out) -> None:
    """Pickles and native files of xgboost."""
    import xgboost as xgb

    x, y, z = data()
    model = xgb.XGBClassifier(n_estimators=5, max_depth=3).fit(x, y)
    for protocol in (2, 4, 5):
        out.pickle("xgb-classifier", model, protocol)
    out.joblib("xgb-classifier", model)
    out.joblib("xgb-classifier", model, ("zlib", 3))
    out.pickle("xgb-regressor", xgb.XGBRegressor(n_estimators=5).fit(x, z))
    out.pickle("xgb-ranker", out.tried(lambda: xgb.XGBRanker(n_estimators=3).fit(x, y, group=[60, 60]), label="ranker"))
    out.pickle("xgb-forest", xgb.XGBRFClassifier(n_estimators=5).fit(x, y))
    booster = xgb.train({"max_depth": 3}, xgb.DMatrix(x, y), 4)
    out.pickle("xgb-booster", booster)
    for suffix in ("json", "ubj"):
        out.write(f"xgb-booster.{suffix}", booster.save_model)


def lightgbm_part(out: Out) -> None:
    """Pickles and native files of lightgbm."""
    import lightgbm as lgb

    x, y, z = data()
    model = lgb.LGBMClassifier(n_estimators=5, verbose=-1).fit(x, y)
    for protocol in (2, 4, 5):
        out.pickle("lgb-classifier", model, protocol)
    out.joblib("lgb-classifier", model)
    out.pickle("lgb-regressor", lgb.LGBMRegressor(n_estimators=5, verbose=-1).fit(x, z))
    out.pickle(
        "lgb-ranker", out.tried(lambda: lgb.LGBMRanker(n_estimators=3, verbose=-1).fit(x, y, group=[60, 60]), label="ranker")
    )
    booster = lgb.train({"verbose": -1, "objective": "binary"}, lgb.Dataset(x, y), 4)
    out.pickle("lgb-booster", booster)
    out.write("lgb-booster.txt", booster.save_model)


def catboost_part(out: Out) -> None:
    """Pickles and native files of catboost."""
    import catboost

    x, y, z = data()
    model = catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False).fit(x, y)
    for protocol in (2, 4, 5):
        out.pickle("cat-classifier", model, protocol)
    out.joblib("cat-classifier", model)
    out.pickle("cat-regressor", catboost.CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False).fit(x, z))
    for suffix in ("cbm", "json"):
        out.write(f"cat.{suffix}", lambda path, s=suffix: model.save_model(path, format=s))
