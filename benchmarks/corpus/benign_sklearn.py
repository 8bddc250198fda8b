"""scikit-learn: every estimator that can be fitted on small data, pipelines, searches, scorers, joblib codecs."""

from __future__ import annotations

import functools
import pickle
from typing import Any

import numpy as np
from sklearn import metrics
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import make_blobs, make_regression
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from benign_out import CODECS, Out

CI_ESTIMATORS = 40


class Clip(BaseEstimator, TransformerMixin):
    """A user's own transformer."""

    def __init__(self, low: float = 0.0) -> None:
        self.low = low

    def fit(self, x: Any, y: Any = None) -> Clip:  # noqa: ARG002 - the library's interface
        """Learn nothing."""
        return self

    def transform(self, x: Any) -> Any:
        """Clip from below."""
        return np.maximum(x, self.low)


def estimators() -> list[tuple[str, Any]]:
    """Return (name, class) of all estimators of this version."""
    try:
        from sklearn.utils import all_estimators
    except ImportError:
        from sklearn.utils.testing import all_estimators
    return list(all_estimators())


def built(name: str, kind: Any) -> Any:
    """Return an instance with small settings, or of its default."""
    base = LogisticRegression(max_iter=50)
    lists = {"StackingClassifier", "StackingRegressor", "VotingClassifier", "VotingRegressor"}
    if name in lists:
        inner = base if name.endswith("Classifier") else Ridge()
        return kind([("a", inner), ("b", inner)])
    if name == "FeatureUnion":
        return kind([("a", StandardScaler())])
    if name == "Pipeline":
        return kind([("a", StandardScaler()), ("b", base)])
    if name == "ColumnTransformer":
        return kind([("a", StandardScaler(), [0, 1])], remainder="passthrough")
    if name in {"GridSearchCV", "HalvingGridSearchCV"}:
        return kind(base, {"C": [0.1, 1.0]}, cv=2)
    if name in {"RandomizedSearchCV", "HalvingRandomSearchCV"}:
        return kind(base, {"C": [0.1, 1.0]}, cv=2)
    for args in ((), (base,), (Ridge(),)):
        try:
            model = kind(*args)
        except TypeError:
            continue
        for setting in ("n_estimators", "max_iter"):
            if setting in model.get_params(deep=False) and name != "RANSACRegressor":
                model.set_params(**{setting: 5 if setting == "n_estimators" else 30})
        return model
    return None


def fitted(model: Any, shapes: dict[str, Any]) -> Any:
    """Return the model fitted on the first data set that it takes; unfitted when it takes none."""
    for x, y in shapes.values():
        try:
            model.fit(x, y)
        except Exception:  # noqa: BLE001 - the next shape of data may fit
            continue
        return model
    return model


def data() -> dict[str, Any]:
    """Return small data sets: positive classes, regression, several targets, text, one column."""
    x, y = make_blobs(60, 4, random_state=0)
    rx, ry = make_regression(60, 4, random_state=0)
    multi = np.column_stack([ry, ry + 1])
    texts = ["a b c", "b c d", "c d e"] * 20
    return {
        "class": (np.abs(x), y),
        "regression": (rx, ry),
        "multi": (rx, multi),
        "labels": (x, (np.column_stack([y, y]) > 1).astype(int)),
        "text": (texts, y),
        "column": (rx[:, 0], ry),
        "cross": (rx[:, :2], multi),
        "none": (texts, None),
    }


def make(out: Out) -> None:
    """Write every estimator in alternating protocols, joblib for each third, then the combinations."""
    shapes = data()
    every = estimators()
    if out.small:
        every = every[:: max(1, len(every) // CI_ESTIMATORS)]
    for index, (name, kind) in enumerate(every):
        model = out.tried(built, name, kind, label=name)
        if model is None:
            continue
        model = out.tried(fitted, model, shapes, label=name)
        out.pickle(name, model)
        if index % 3 == 0:
            out.joblib(name, model)
    combinations(out, shapes)


def combinations(out: Out, shapes: dict[str, Any]) -> None:
    """Write pipelines, searches, partial functions, scorers and the codecs of joblib."""
    x, y = shapes["class"]
    rx, ry = shapes["regression"]
    pipe = make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), PolynomialFeatures(2), LogisticRegression(max_iter=50))
    out.pickle("pipeline-log1p", pipe.fit(x, y))
    out.joblib("pipeline-log1p", pipe)
    union = make_pipeline(FeatureUnion([("s", StandardScaler()), ("p", PolynomialFeatures(2))]), Ridge())
    out.pickle("union", union.fit(rx, ry))
    scorer = metrics.make_scorer(metrics.fbeta_score, beta=2, average="macro")
    grid = GridSearchCV(LogisticRegression(max_iter=30), {"C": [0.1, 1]}, scoring=scorer, cv=KFold(2))
    out.pickle("grid-scorer", out.tried(grid.fit, x, y, label="grid"))
    out.pickle("scorers", [scorer, metrics.make_scorer(metrics.mean_squared_error, greater_is_better=False)])
    out.tried(randomized, out, x, y)
    out.pickle("partial", functools.partial(metrics.f1_score, average="macro"))
    out.pickle("partial-numpy", FunctionTransformer(functools.partial(np.clip, a_min=0, a_max=1) if hasattr(np, "clip") else None))
    texts = ["the cat sat", "the dog ran", "a bird flew"]
    out.pickle("tfidf", make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression()).fit(texts * 3, [0, 1, 2] * 3))
    out.pickle("count-tokenizer", CountVectorizer(tokenizer=str.split).fit(texts))
    out.pickle("custom-transformer", make_pipeline(Clip(0.1), Ridge()).fit(rx, ry))
    forest = RandomForestClassifier(10, random_state=0).fit(x, y)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        out.pickle("forest", forest, protocol)
        out.pickle("logistic", LogisticRegression().fit(x, y), protocol)
        out.pickle("boosting", GradientBoostingClassifier(n_estimators=5).fit(x, y), protocol)
    out.joblib("forest", forest)
    for codec in CODECS:
        out.joblib("forest", forest, codec)
        out.joblib("regressor", RandomForestRegressor(5, random_state=0).fit(rx, ry), codec)
    bundle = {
        "model": forest,
        "scaler": StandardScaler().fit(x),
        "features": list("abcd"),
        "version": "1.2",
        "metrics": {"auc": 0.9},
    }
    out.joblib("bundle", bundle)
    out.pickle("bundle", bundle)
    out.joblib("bundle", bundle, ("zlib", 6))


def randomized(out: Out, x: Any, y: Any) -> None:
    """Write a randomized search over scipy distributions."""
    from scipy import stats

    search = RandomizedSearchCV(LogisticRegression(max_iter=30), {"C": stats.uniform(0.1, 2)}, n_iter=3, cv=2, random_state=0)
    out.pickle("randomized", search.fit(x, y))
    out.joblib("randomized", search)
