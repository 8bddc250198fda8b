"""Libraries around scikit-learn: resampling, encoding, survival, additive models, explanations, tuning, conformal prediction."""

# ruff: noqa: E501 - one line a model reads best
from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from benign_out import Out

RNG = np.random.RandomState(0)
X = RNG.rand(60, 4)
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
Z = X[:, 0] * 2 + RNG.rand(60) * 0.1

# name -> (module, class, keyword arguments, how it is fitted): xy labels, xz numbers, x alone, none not at all.
FITTED = {
    "imblearn-smote": ("imblearn.over_sampling", "SMOTE", {"k_neighbors": 3}, "resample"),
    "imblearn-adasyn": ("imblearn.over_sampling", "ADASYN", {"n_neighbors": 3}, "resample"),
    "imblearn-borderline": ("imblearn.over_sampling", "BorderlineSMOTE", {"k_neighbors": 3}, "resample"),
    "imblearn-under": ("imblearn.under_sampling", "RandomUnderSampler", {}, "resample"),
    "imblearn-tomek": ("imblearn.under_sampling", "TomekLinks", {}, "resample"),
    "imblearn-nearmiss": ("imblearn.under_sampling", "NearMiss", {}, "resample"),
    "imblearn-smoteenn": ("imblearn.combine", "SMOTEENN", {}, "resample"),
    "imblearn-forest": ("imblearn.ensemble", "BalancedRandomForestClassifier", {"n_estimators": 3}, "xy"),
    "imblearn-bagging": ("imblearn.ensemble", "BalancedBaggingClassifier", {"n_estimators": 3}, "xy"),
    "imblearn-rusboost": ("imblearn.ensemble", "RUSBoostClassifier", {"n_estimators": 3}, "xy"),
    "imblearn-easy": ("imblearn.ensemble", "EasyEnsembleClassifier", {"n_estimators": 2}, "xy"),
    "mlxtend-stacking": ("mlxtend.classifier", "LogisticRegression", {"epochs": 3}, "xy"),
    "mlxtend-vote": ("mlxtend.classifier", "SoftmaxRegression", {"epochs": 3}, "xy"),
    "mlxtend-perceptron": ("mlxtend.classifier", "Perceptron", {"epochs": 2}, "xy"),
    "mlxtend-pca": ("mlxtend.feature_extraction", "PrincipalComponentAnalysis", {"n_components": 2}, "x"),
    "mlxtend-kmeans": ("mlxtend.cluster", "Kmeans", {"k": 2}, "x"),
    "ngboost-normal": ("ngboost", "NGBRegressor", {"n_estimators": 3, "verbose": False}, "xz"),
    "ngboost-bernoulli": ("ngboost", "NGBClassifier", {"n_estimators": 3, "verbose": False}, "xy"),
    "pygam-linear": ("pygam", "LinearGAM", {"n_splines": 5}, "xz"),
    "pygam-logistic": ("pygam", "LogisticGAM", {"n_splines": 5}, "xy"),
    "kmodes": ("kmodes.kmodes", "KModes", {"n_clusters": 2, "n_init": 1}, "x"),
    "kprototypes": ("kmodes.kprototypes", "KPrototypes", {"n_clusters": 2, "n_init": 1}, "none"),
    "gplearn-symbolic": ("gplearn.genetic", "SymbolicRegressor", {"population_size": 20, "generations": 2, "tournament_size": 3}, "xz"),
    "gplearn-transformer": ("gplearn.genetic", "SymbolicTransformer", {"population_size": 20, "generations": 2, "hall_of_fame": 10, "n_components": 5, "tournament_size": 3}, "xz"),
    "ebm": ("interpret.glassbox", "ExplainableBoostingClassifier", {"max_rounds": 5, "outer_bags": 1, "n_jobs": 1}, "xy"),
    "ebm-regressor": ("interpret.glassbox", "ExplainableBoostingRegressor", {"max_rounds": 5, "outer_bags": 1, "n_jobs": 1}, "xz"),
    "imodels-figs": ("imodels", "FIGSClassifier", {"max_rules": 3}, "xy"),
    "imodels-rulefit": ("imodels", "RuleFitClassifier", {"max_rules": 5}, "xy"),
    "imodels-greedy": ("imodels", "GreedyTreeClassifier", {}, "xy"),
    "imodels-shrink": ("imodels", "HSTreeClassifierCV", {}, "xy"),
    "quantile-forest": ("quantile_forest", "RandomForestQuantileRegressor", {"n_estimators": 3}, "xz"),
    "celer-lasso": ("celer", "Lasso", {}, "xz"),
    "skglm-lasso": ("skglm", "Lasso", {}, "xz"),
    "glum": ("glum", "GeneralizedLinearRegressor", {"family": "normal"}, "xz"),
    "minisom": ("minisom", "MiniSom", {"x": 3, "y": 3, "input_len": 4}, "none"),
    "boruta": ("boruta", "BorutaPy", {}, "none"),
    "hdbscan": ("hdbscan", "HDBSCAN", {"min_cluster_size": 4}, "x"),
    "umap": ("umap", "UMAP", {"n_neighbors": 4, "n_epochs": 5}, "x"),
    "pynndescent": ("pynndescent", "NNDescent", {}, "data"),
    "sklearn-extra-kmedoids": ("sklearn_extra.cluster", "KMedoids", {"n_clusters": 2}, "x"),
    "multilearn-br": ("skmultilearn.adapt", "MLkNN", {"k": 2}, "none"),
    "sklego-gmm": ("sklego.mixture", "GMMClassifier", {}, "xy"),
    "sklego-zero": ("sklego.meta", "ZeroInflatedRegressor", {}, "none"),
    "sklego-estimator": ("sklego.dummy", "RandomRegressor", {}, "xz"),
    "sklego-lad": ("sklego.linear_model", "LADRegression", {}, "xz"),
    "tpot": ("tpot", "TPOTClassifier", {}, "none"),
    "skopt-optimizer": ("skopt", "Optimizer", {"dimensions": [(0.0, 1.0)]}, "none"),
    "bayesopt": ("bayes_opt", "BayesianOptimization", {"f": None, "pbounds": {"x": (0, 1)}, "verbose": 0}, "none"),
    "gpy-rbf": ("sklearn.gaussian_process", "GaussianProcessRegressor", {}, "xz"),
    "lime-tabular": ("lime.lime_tabular", "LimeTabularExplainer", {}, "data"),
    "rgf": ("rgf.sklearn", "RGFClassifier", {}, "none"),
    "genetic": ("sklearn_genetic", "GASearchCV", {}, "none"),
    "flaml-lgbm": ("flaml.default", "LGBMClassifier", {"n_estimators": 5}, "none"),
    "dask-kmeans": ("dask_ml.preprocessing", "StandardScaler", {}, "x"),
    "skrub-vectorizer": ("skrub", "TableVectorizer", {}, "frame"),
    "skrub-gap": ("skrub", "StringEncoder", {}, "none"),
    "feature-engine-imputer": ("feature_engine.imputation", "MeanMedianImputer", {}, "frame-num"),
    "feature-engine-rare": ("feature_engine.encoding", "RareLabelEncoder", {"n_categories": 1, "tol": 0.01}, "frame"),
    "feature-engine-onehot": ("feature_engine.encoding", "OneHotEncoder", {}, "frame"),
    "feature-engine-winsor": ("feature_engine.outliers", "Winsorizer", {}, "frame-num"),
    "feature-engine-discretiser": ("feature_engine.discretisation", "EqualFrequencyDiscretiser", {"q": 3}, "frame-num"),
    "feature-engine-selection": ("feature_engine.selection", "DropCorrelatedFeatures", {}, "frame-num"),
    "feature-engine-datetime": ("feature_engine.creation", "CyclicalFeatures", {}, "frame-num"),
    "feature-engine-log": ("feature_engine.transformation", "YeoJohnsonTransformer", {}, "frame-num"),
    "cleanlab": ("cleanlab.classification", "CleanLearning", {}, "xy"),
    "missingpy": ("missingpy", "KNNImputer", {}, "x"),
    "datasketch-minhash": ("datasketch", "MinHash", {}, "none"),
    "datasketch-lsh": ("datasketch", "MinHashLSH", {}, "none"),
    "rank-bm25": ("rank_bm25", "BM25Okapi", {"corpus": [["a", "b"], ["c", "d"], ["a", "c"]]}, "none"),
    "pykalman": ("pykalman", "KalmanFilter", {"n_dim_obs": 2}, "none"),
    "filterpy": ("filterpy.kalman", "KalmanFilter", {"dim_x": 2, "dim_z": 1}, "none"),
    "treelite": ("treelite", "Model", {}, "none"),
    "modal-learner": ("modAL.models", "ActiveLearner", {}, "none"),
    "metric-lmnn": ("metric_learn", "LMNN", {"n_neighbors": 2}, "xy"),
    "crf": ("sklearn_crfsuite", "CRF", {}, "none"),
    "iterstrat": ("iterstrat.ml_stratifiers", "MultilabelStratifiedKFold", {"n_splits": 2}, "none"),
}  # fmt: skip
OUTLIERS = [
    "IForest",
    "KNN",
    "LOF",
    "COPOD",
    "ECOD",
    "HBOS",
    "PCA",
    "OCSVM",
    "ABOD",
    "MCD",
    "CBLOF",
    "COF",
    "SOD",
    "LODA",
    "INNE",
    "GMM",
    "KDE",
    "SUOD",
    "Sampling",
    "FeatureBagging",
]
ENCODERS = [
    "BackwardDifferenceEncoder",
    "BaseNEncoder",
    "BinaryEncoder",
    "CatBoostEncoder",
    "CountEncoder",
    "GLMMEncoder",
    "GrayEncoder",
    "HashingEncoder",
    "HelmertEncoder",
    "JamesSteinEncoder",
    "LeaveOneOutEncoder",
    "MEstimateEncoder",
    "OneHotEncoder",
    "OrdinalEncoder",
    "PolynomialEncoder",
    "QuantileEncoder",
    "RankHotEncoder",
    "SumEncoder",
    "SummaryEncoder",
    "TargetEncoder",
    "WOEEncoder",
]
SURVIVAL = (
    ("linear_model", "CoxPHSurvivalAnalysis"),
    ("linear_model", "CoxnetSurvivalAnalysis"),
    ("linear_model", "IPCRidge"),
    ("ensemble", "RandomSurvivalForest"),
    ("ensemble", "GradientBoostingSurvivalAnalysis"),
    ("ensemble", "ExtraSurvivalTrees"),
    ("tree", "SurvivalTree"),
    ("svm", "FastSurvivalSVM"),
    ("svm", "FastKernelSurvivalSVM"),
)


def make(out: Out) -> None:
    """Write what the installed libraries make."""
    for name, (module, cls, kwargs, how) in FITTED.items():
        model = out.tried(_fitted, module, cls, kwargs, how, label=name)
        _both(out, name, model)
    for part in (
        outliers,
        encoders,
        survival,
        lifelines_part,
        explain,
        conformal,
        search,
        causal,
        bayes,
        text,
        graphical,
        causalml_part,
    ):
        out.tried(part, out)


def _both(out: Out, name: str, model: Any) -> None:
    if model is not None:
        out.pickle(name, model)
        out.joblib(name, model, ("zlib", 3))


def _fitted(module: str, cls: str, kwargs: dict[str, Any], how: str) -> Any:
    kind = getattr(importlib.import_module(module), cls)
    if how == "data":
        return kind(X, **kwargs)
    model = kind(**kwargs)
    if how == "resample":
        model.fit_resample(X, Y)
    elif how == "xy":
        model.fit(X, Y)
    elif how == "xz":
        model.fit(X, Z)
    elif how == "x":
        model.fit(X)
    elif how.startswith("frame"):
        model.fit(_frame(how == "frame-num"))
    return model


def _frame(numbers: bool = False) -> Any:
    import pandas as pd

    frame = pd.DataFrame(X, columns=list("abcd"))
    if not numbers:
        frame["city"] = ["rome", "oslo", "bern"] * 20
    return frame


def outliers(out: Out) -> None:
    """Detectors of pyod."""
    import pyod.models

    for name in OUTLIERS:
        model = out.tried(
            lambda n=name: getattr(importlib.import_module(f"{pyod.models.__name__}.{n.lower()}".replace("featurebagging", "feature_bagging")), n)().fit(X),
            label=f"pyod-{name}",
        )  # fmt: skip
        _both(out, f"pyod-{name.lower()}", model)


def encoders(out: Out) -> None:
    """Encoders of categories, in a pipeline and alone."""
    import category_encoders
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    for name in ENCODERS:
        encoder = out.tried(lambda n=name: getattr(category_encoders, n)(cols=["city"]).fit(_frame(), Y), label=name)
        _both(out, f"encoder-{name}", encoder)
    pipe = make_pipeline(category_encoders.TargetEncoder(cols=["city"]), LogisticRegression()).fit(_frame(), Y)
    _both(out, "encoder-pipeline", pipe)


def survival(out: Out) -> None:
    """scikit-survival."""
    times = np.array([(bool(e), t) for e, t in zip(Y, Z + 0.1, strict=False)], dtype=[("e", bool), ("t", float)])
    for module, cls in SURVIVAL:
        model = out.tried(
            lambda m=module, c=cls: getattr(importlib.import_module(f"sksurv.{m}"), c)().fit(X, times), label=f"sksurv-{cls}"
        )
        _both(out, f"sksurv-{cls}", model)


def lifelines_part(out: Out) -> None:
    """Every fitter of lifelines that takes times alone, and the regressions."""
    import lifelines

    times, events = Z + 0.1, Y
    for name in [
        "KaplanMeierFitter",
        "NelsonAalenFitter",
        "WeibullFitter",
        "ExponentialFitter",
        "LogNormalFitter",
        "LogLogisticFitter",
        "BreslowFlemingHarringtonFitter",
        "GeneralizedGammaFitter",
        "PiecewiseExponentialFitter",
    ]:
        _both(out, f"lifelines-{name}", out.tried(lambda n=name: getattr(lifelines, n)(*([[0.5]] if "Piece" in n else [])).fit(times, events), label=name))  # fmt: skip
    frame = _frame(numbers=True)
    frame["t"], frame["e"] = times, events
    for name in ["CoxPHFitter", "WeibullAFTFitter", "LogNormalAFTFitter", "LogLogisticAFTFitter", "AalenAdditiveFitter"]:
        _both(
            out,
            f"lifelines-{name}",
            out.tried(lambda n=name: getattr(lifelines, n)(penalizer=0.1).fit(frame, "t", "e"), label=name)
            if "Aalen" not in name
            else out.tried(lambda: lifelines.AalenAdditiveFitter(coef_penalizer=0.1).fit(frame, "t", "e"), label=name),
        )


def explain(out: Out) -> None:
    """Explainers of shap with the model that they explain."""
    import shap
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    forest = RandomForestClassifier(3, random_state=0).fit(X, Y)
    linear = LogisticRegression().fit(X, Y)
    made = {
        "tree": lambda: shap.TreeExplainer(forest),
        "linear": lambda: shap.LinearExplainer(linear, X),
        "values": lambda: shap.TreeExplainer(forest)(X[:5]),
        "kernel": lambda: shap.KernelExplainer(linear.predict_proba, X[:5]),
        "masker": lambda: shap.maskers.Independent(X),
    }
    for name, one in made.items():
        _both(out, f"shap-{name}", out.tried(one, label=name))


def conformal(out: Out) -> None:
    """Mapie around a regressor and a classifier."""
    from sklearn.linear_model import LinearRegression, LogisticRegression

    mapie = importlib.import_module("mapie")
    regression = importlib.import_module("mapie.regression")
    classification = importlib.import_module("mapie.classification")
    if hasattr(regression, "SplitConformalRegressor"):
        model = regression.SplitConformalRegressor(LinearRegression().fit(X, Z), prefit=True).conformalize(X, Z)
        _both(out, "mapie-split", model)
        _both(out, "mapie-cross", out.tried(lambda: regression.CrossConformalRegressor(LinearRegression()).fit_conformalize(X, Z)))
        _both(out, "mapie-class", out.tried(lambda: classification.SplitConformalClassifier(LogisticRegression().fit(X, Y), prefit=True).conformalize(X, Y)))  # fmt: skip
    else:
        _both(out, f"mapie-{mapie.__version__}", regression.MapieRegressor(LinearRegression()).fit(X, Z))


def search(out: Out) -> None:
    """Studies and trials of tuners, and the best estimator of automatic learners."""
    out.tried(_optuna, out)
    out.tried(_hyperopt, out)
    out.tried(_skopt, out)
    out.tried(_flaml, out)


def _optuna(out: Out) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name, sampler in {"tpe": optuna.samplers.TPESampler(seed=0), "random": optuna.samplers.RandomSampler(0), "cma": None, "grid": optuna.samplers.GridSampler({"x": [0, 1]})}.items():  # fmt: skip
        study = optuna.create_study(sampler=sampler, pruner=optuna.pruners.MedianPruner())
        study.optimize(lambda trial, name=name: (trial.suggest_float("x", -1, 1)) ** 2 if name != "grid" else 1.0, n_trials=4)
        _both(out, f"optuna-{name}", study)
        _both(out, f"optuna-{name}-sampler", study.sampler)
        out.pickle(f"optuna-{name}-trial", study.best_trial)


def _hyperopt(out: Out) -> None:
    from hyperopt import Trials, fmin, hp, tpe

    trials = Trials()
    fmin(
        lambda x: x**2,
        hp.uniform("x", -1, 1),
        algo=tpe.suggest,
        max_evals=4,
        trials=trials,
        show_progressbar=False,
        rstate=np.random.default_rng(0),
    )
    _both(out, "hyperopt-trials", trials)


def _skopt(out: Out) -> None:
    import skopt

    result = skopt.gp_minimize(_square, [(-1.0, 1.0)], n_calls=11, n_initial_points=10, random_state=0)
    out.joblib("skopt-result", {"x": result.x, "fun": result.fun, "space": result.space})
    out.write("skopt-dump.pkl", lambda path: skopt.dump(result, path, store_objective=False))
    from sklearn.svm import SVC

    _both(out, "skopt-bayes", skopt.BayesSearchCV(SVC(), {"C": (0.1, 1.0)}, n_iter=2, cv=2).fit(X, Y))


def _square(x: Any) -> float:
    return float(x[0] ** 2)


def _flaml(out: Out) -> None:
    from flaml import AutoML

    auto = AutoML()
    auto.fit(X, Y, task="classification", time_budget=3, estimator_list=["lrl1", "rf"], verbose=0)
    _both(out, "flaml-auto", auto)
    _both(out, "flaml-model", auto.model)


def causal(out: Out) -> None:
    """Effects by econml and graphs by dowhy."""
    from econml.dml import CausalForestDML, LinearDML
    from econml.metalearners import SLearner, TLearner, XLearner
    from sklearn.linear_model import LinearRegression

    _both(out, "econml-linear", LinearDML(random_state=0).fit(Z, X[:, 0], X=X[:, 1:2], W=X[:, 2:]))
    _both(out, "econml-forest", out.tried(lambda: CausalForestDML(n_estimators=8, random_state=0).fit(Z, X[:, 0], X=X[:, 1:2], W=X[:, 2:])))  # fmt: skip
    for kind in (SLearner, TLearner, XLearner):
        args = {"overall_model": LinearRegression()} if kind is SLearner else {"models": LinearRegression()}
        _both(out, f"econml-{kind.__name__}", out.tried(lambda k=kind, a=args: k(**a).fit(Z, Y, X=X), label=kind.__name__))


def causalml_part(out: Out) -> None:
    """Meta learners and uplift trees of causalml."""
    from causalml.inference.meta import BaseSRegressor, LRSRegressor
    from sklearn.linear_model import LinearRegression

    model = LRSRegressor()
    model.fit(X=X, treatment=Y, y=Z)
    _both(out, "causalml-lrs", model)
    other = BaseSRegressor(learner=LinearRegression())
    other.fit(X=X, treatment=Y, y=Z)
    _both(out, "causalml-s", other)


def bayes(out: Out) -> None:
    """Traces of samplers."""
    import arviz

    data = arviz.from_dict({"posterior": {"mu": RNG.rand(2, 10)}}) if hasattr(arviz, "from_dict") else None
    _both(out, "arviz-data", data)
    import emcee

    sampler = emcee.EnsembleSampler(8, 2, _log_prob)
    sampler.run_mcmc(RNG.rand(8, 2), 5)
    out.pickle("emcee-chain", sampler.get_chain())


def _log_prob(x: Any) -> float:
    return float(-0.5 * (x**2).sum())


def text(out: Out) -> None:
    """Sequence taggers and word statistics."""
    import sklearn_crfsuite

    crf = sklearn_crfsuite.CRF(max_iterations=5)
    crf.fit([[{"w": "a"}, {"w": "b"}]] * 4, [["X", "Y"]] * 4)
    _both(out, "crf", crf)
    out.tried(_textblob, out)


def _textblob(out: Out) -> None:
    from textblob.classifiers import NaiveBayesClassifier

    out.pickle("textblob-bayes", NaiveBayesClassifier([("good day", "pos"), ("bad day", "neg")]))


def graphical(out: Out) -> None:
    """Bayesian networks."""
    from pgmpy.factors.discrete import TabularCPD

    models = importlib.import_module("pgmpy.models")
    net = getattr(models, "DiscreteBayesianNetwork", None) or models.BayesianNetwork
    model = net([("a", "b")])
    model.add_cpds(TabularCPD("a", 2, [[0.5], [0.5]]), TabularCPD("b", 2, [[0.1, 0.2], [0.9, 0.8]], ["a"], [2]))
    _both(out, "pgmpy-net", model)
