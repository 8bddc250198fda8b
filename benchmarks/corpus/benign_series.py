"""Forecasters and transformers of time series: prophet, sktime, pmdarima, statsforecast, tslearn, aeon, darts, arch, and others."""

# ruff: noqa: E501 - one line a model reads best
from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from benign_out import Out

RNG = np.random.RandomState(0)
LENGTH = 72


def series() -> Any:
    """Return a monthly series with a season."""
    import pandas as pd

    index = pd.period_range("2015-01", periods=LENGTH, freq="M")
    return pd.Series(10 + np.sin(np.arange(LENGTH) * np.pi / 6) + RNG.rand(LENGTH) * 0.1, index=index, name="y")


def long_frame() -> Any:
    """Return the frame that the Nixtla libraries take."""
    import pandas as pd

    y = series()
    return pd.DataFrame({"unique_id": "a", "ds": y.index.to_timestamp(), "y": y.to_numpy()})


def make(out: Out) -> None:
    """Write what the installed libraries make."""
    for part in (prophet, sktime_part, pmdarima_part, nixtla, tslearn_part, aeon_part, darts, archs, smoothing, others):
        out.tried(part, out)


def _both(out: Out, name: str, model: Any) -> None:
    if model is not None:
        out.pickle(name, model)
        out.joblib(name, model, ("gzip", 3))


def prophet(out: Out) -> None:
    """A fitted Prophet, with a holiday table, and its JSON."""
    from prophet import Prophet
    from prophet.serialize import model_to_json

    frame = long_frame()[["ds", "y"]]
    model = Prophet(yearly_seasonality=True).fit(frame)
    _both(out, "prophet", model)
    out.write("prophet.json", lambda path: open(path, "w").write(model_to_json(model)))  # noqa: PTH123, SIM115
    _both(out, "prophet-unfitted", Prophet(growth="logistic", seasonality_mode="multiplicative"))


SKTIME = (
    ("sktime.forecasting.naive", "NaiveForecaster", {"sp": 12}),
    ("sktime.forecasting.theta", "ThetaForecaster", {"sp": 12}),
    ("sktime.forecasting.trend", "PolynomialTrendForecaster", {}),
    ("sktime.forecasting.exp_smoothing", "ExponentialSmoothing", {"trend": "add"}),
    ("sktime.forecasting.ets", "AutoETS", {}),
    ("sktime.forecasting.arima", "ARIMA", {}),
    ("sktime.forecasting.croston", "Croston", {}),
    ("sktime.forecasting.compose", "EnsembleForecaster", {"forecasters": None}),
    ("sktime.transformations.series.detrend", "Deseasonalizer", {"sp": 12}),
    ("sktime.transformations.series.detrend", "Detrender", {}),
    ("sktime.transformations.series.boxcox", "BoxCoxTransformer", {}),
    ("sktime.transformations.series.difference", "Differencer", {}),
)


def sktime_part(out: Out) -> None:
    """Forecasters, transformers, classifiers and a pipeline of sktime; and its own archive."""
    y = series()
    for module, cls, kwargs in SKTIME:
        if kwargs.get("forecasters", 1) is None:
            continue
        name = f"sktime-{cls}"
        model = out.tried(lambda m=module, c=cls, k=kwargs: getattr(importlib.import_module(m), c)(**k).fit(y), label=name)
        _both(out, name, model)
        if model is not None:
            out.tried(lambda m=model, n=name: m.save(str(out.folder / f"{out.tag}-{n}-saved")), label=name)
    from sklearn.linear_model import LinearRegression
    from sktime.forecasting.compose import TransformedTargetForecaster, make_reduction
    from sktime.forecasting.naive import NaiveForecaster
    from sktime.transformations.series.detrend import Deseasonalizer

    pipe = TransformedTargetForecaster([("d", Deseasonalizer(sp=12)), ("f", NaiveForecaster())]).fit(y, fh=[1, 2])
    _both(out, "sktime-pipeline", pipe)
    _both(out, "sktime-reduction", make_reduction(LinearRegression(), window_length=6).fit(y, fh=[1]))
    panel = RNG.rand(10, 1, 20)
    labels = np.array([0, 1] * 5)
    for module, cls in (
        ("sktime.classification.distance_based", "KNeighborsTimeSeriesClassifier"),
        ("sktime.classification.kernel_based", "RocketClassifier"),
        ("sktime.classification.interval_based", "TimeSeriesForestClassifier"),
        ("sktime.classification.dummy", "DummyClassifier"),
    ):
        _both(out, f"sktime-{cls}", out.tried(lambda m=module, c=cls: getattr(importlib.import_module(m), c)().fit(panel, labels), label=cls))  # fmt: skip


def pmdarima_part(out: Out) -> None:
    """An order found, and a pipeline."""
    import pmdarima
    from pmdarima.pipeline import Pipeline
    from pmdarima.preprocessing import BoxCoxEndogTransformer

    y = series().to_numpy()
    _both(out, "pmdarima-auto", pmdarima.auto_arima(y, max_p=1, max_q=1, seasonal=False))
    _both(out, "pmdarima-pipeline", Pipeline([("b", BoxCoxEndogTransformer(lmbda2=1e-6)), ("a", pmdarima.ARIMA((1, 0, 0)))]).fit(y))


def nixtla(out: Out) -> None:
    """Statsforecast and mlforecast, by their own savers too."""
    from statsforecast import StatsForecast
    from statsforecast.models import AutoARIMA, AutoETS, AutoTheta, Naive, SeasonalNaive

    frame = long_frame()
    model = StatsForecast(models=[AutoETS(season_length=12), SeasonalNaive(12), Naive(), AutoTheta(12), AutoARIMA(season_length=1)], freq="MS", n_jobs=1).fit(frame)  # fmt: skip
    _both(out, "statsforecast", model)
    out.write("statsforecast-saved.pkl", model.save)
    out.tried(_mlforecast, out, frame)


def _mlforecast(out: Out, frame: Any) -> None:
    from mlforecast import MLForecast
    from sklearn.linear_model import LinearRegression

    model = MLForecast(models=[LinearRegression()], freq="MS", lags=[1, 12]).fit(frame)
    _both(out, "mlforecast", model)
    model.save(str(out.folder / f"{out.tag}-mlforecast-saved"))


def tslearn_part(out: Out) -> None:
    """Clusters and neighbours of tslearn, in its own formats too."""
    from tslearn.clustering import KernelKMeans, KShape, TimeSeriesKMeans
    from tslearn.neighbors import KNeighborsTimeSeriesClassifier
    from tslearn.preprocessing import TimeSeriesScalerMeanVariance
    from tslearn.svm import TimeSeriesSVC

    data = RNG.rand(12, 8, 1)
    labels = [0, 1] * 6
    models = {
        "kmeans": lambda: TimeSeriesKMeans(2, max_iter=2).fit(data),
        "kshape": lambda: KShape(2, max_iter=2).fit(data),
        "kernel": lambda: KernelKMeans(2, max_iter=2).fit(data),
        "neighbours": lambda: KNeighborsTimeSeriesClassifier(2).fit(data, labels),
        "svc": lambda: TimeSeriesSVC(max_iter=5).fit(data, labels),
        "scaler": lambda: TimeSeriesScalerMeanVariance().fit(data),
    }
    for name, one in models.items():
        model = out.tried(one, label=f"tslearn-{name}")
        _both(out, f"tslearn-{name}", model)
        if hasattr(model, "to_pickle"):
            out.write(f"tslearn-{name}-own.pkl", model.to_pickle)
            out.write(f"tslearn-{name}.json", model.to_json)
            out.write(f"tslearn-{name}.hdf5", lambda path, m=model: m.to_hdf5(path))


def aeon_part(out: Out) -> None:
    """Classifiers and clusterers of aeon."""
    data = RNG.rand(10, 1, 20)
    labels = np.array([0, 1] * 5)
    for module, cls, kwargs in (
        ("aeon.classification.distance_based", "KNeighborsTimeSeriesClassifier", {}),
        ("aeon.classification.convolution_based", "RocketClassifier", {"n_kernels": 20}),
        ("aeon.classification.convolution_based", "MiniRocketClassifier", {"n_kernels": 84}),
        ("aeon.classification.interval_based", "TimeSeriesForestClassifier", {"n_estimators": 2}),
        ("aeon.classification.feature_based", "Catch22Classifier", {}),
        ("aeon.classification.dictionary_based", "BOSSEnsemble", {"max_ensemble_size": 2}),
        ("aeon.clustering", "TimeSeriesKMeans", {"n_clusters": 2, "max_iter": 1}),
        ("aeon.transformations.collection.convolution_based", "Rocket", {"n_kernels": 20}),
    ):
        _both(out, f"aeon-{cls}", out.tried(lambda m=module, c=cls, k=kwargs: getattr(importlib.import_module(m), c)(**k).fit(data, labels), label=cls))  # fmt: skip


def darts(out: Out) -> None:
    """A series and statistical models of darts, by their own savers."""
    from darts import TimeSeries
    from darts import models as kinds

    y = TimeSeries.from_times_and_values(series().index.to_timestamp(), series().to_numpy())
    out.pickle("darts-series", y)
    for name in [
        "ExponentialSmoothing",
        "NaiveSeasonal",
        "LinearRegressionModel",
        "Theta",
        "FFT",
        "RandomForest",
        "RandomForestModel",
        "NaiveDrift",
        "KalmanForecaster",
        "ARIMA",
        "LightGBMModel",
    ]:
        if not hasattr(kinds, name):
            continue
        args = {"lags": 4} if "Regression" in name or "Forest" in name or "GBM" in name else {}
        model = out.tried(lambda n=name, a=args: getattr(kinds, n)(**a).fit(y), label=name)
        if model is not None:
            out.write(f"darts-{name}.pkl", model.save)
    for name in ("NBEATSModel", "RNNModel", "TCNModel", "TransformerModel", "DLinearModel", "TiDEModel"):
        args = {"input_chunk_length": 6, "n_epochs": 1, "pl_trainer_kwargs": {"accelerator": "cpu", "enable_progress_bar": False}}
        args |= {"output_chunk_length": 2} if name != "RNNModel" else {"training_length": 8}
        model = out.tried(lambda n=name, a=args: getattr(kinds, n)(**a).fit(y.astype(np.float32)), label=name)
        if model is not None:
            out.write(f"darts-{name}.pt", model.save)


def archs(out: Out) -> None:
    """Volatility models of arch; panel regressions of linearmodels."""
    from arch import arch_model

    _both(out, "arch-garch", arch_model(RNG.randn(200)).fit(disp="off"))
    _both(out, "arch-egarch", arch_model(RNG.randn(200), vol="EGARCH", mean="AR", lags=1, dist="t").fit(disp="off"))
    import pandas as pd
    from linearmodels import OLS, PanelOLS

    index = pd.MultiIndex.from_product([list("abc"), range(10)])
    frame = pd.DataFrame({"y": RNG.rand(30), "x": RNG.rand(30)}, index=index)
    _both(out, "linearmodels-panel", PanelOLS(frame["y"], frame[["x"]], entity_effects=True).fit())
    _both(out, "linearmodels-ols", out.tried(lambda: OLS(frame["y"], frame[["x"]]).fit(), label="iv"))


def smoothing(out: Out) -> None:
    """More results of statsmodels."""
    import statsmodels.api as sm
    from statsmodels.tsa.api import SARIMAX, VAR, SimpleExpSmoothing
    from statsmodels.tsa.seasonal import STL, seasonal_decompose

    y = series()
    y.index = y.index.to_timestamp()
    made = {
        "sarimax": lambda: SARIMAX(y, order=(1, 0, 0), seasonal_order=(1, 0, 0, 12)).fit(disp=0),
        "var": lambda: VAR(RNG.rand(40, 2)).fit(1),
        "ses": lambda: SimpleExpSmoothing(y).fit(),
        "stl": lambda: STL(y, period=12).fit(),
        "decompose": lambda: seasonal_decompose(y, period=12),
        "ucm": lambda: sm.tsa.UnobservedComponents(y, "local level").fit(disp=0),
        "autoreg": lambda: sm.tsa.AutoReg(y, 2).fit(),
        "markov": lambda: sm.tsa.MarkovRegression(y.to_numpy(), 2).fit(disp=0),
        "mixedlm": lambda: sm.MixedLM(RNG.rand(30), np.ones((30, 1)), groups=np.repeat([0, 1, 2], 10)).fit(),
        "gee": lambda: sm.GEE(RNG.rand(30), np.ones((30, 1)), groups=np.repeat([0, 1, 2], 10)).fit(),
        "poisson": lambda: sm.Poisson(RNG.poisson(2, 30), np.ones((30, 1))).fit(disp=0),
        "quantreg": lambda: sm.QuantReg(RNG.rand(30), np.c_[np.ones(30), RNG.rand(30)]).fit(),
        "wls": lambda: sm.WLS(RNG.rand(30), np.ones((30, 1)), weights=RNG.rand(30)).fit(),
        "kde": lambda: _fit_kde(sm),
        "pca": lambda: sm.multivariate.PCA(RNG.rand(20, 3)),
        "phreg": lambda: sm.PHReg(RNG.rand(30), RNG.rand(30, 1)).fit(),
        "glmgam": lambda: sm.GLM(RNG.poisson(2, 30), np.ones((30, 1)), family=sm.families.Poisson()).fit(),
        "dynamicfactor": lambda: sm.tsa.DynamicFactor(RNG.rand(40, 2), k_factors=1, factor_order=1).fit(disp=0, maxiter=3),
    }
    for name, one in made.items():
        _both(out, f"sm-{name}", out.tried(one, label=f"sm-{name}"))


def _fit_kde(sm: Any) -> Any:
    kde = sm.nonparametric.KDEUnivariate(RNG.rand(30))
    kde.fit()
    return kde


def others(out: Out) -> None:
    """Change points, symbols, shapelets, filters."""
    for name, one in {"ruptures": _ruptures, "pyts": _pyts, "adtk": _adtk, "tbats": _tbats, "orbit": _orbit, "greykite": _nothing, "stumpy": _stumpy}.items():  # fmt: skip
        _both(out, name, out.tried(one, label=name))


def _nothing() -> Any:
    return None


def _ruptures() -> Any:
    import ruptures

    return [ruptures.Pelt().fit(RNG.rand(30)), ruptures.Binseg().fit(RNG.rand(30)), ruptures.Window().fit(RNG.rand(300))]


def _pyts() -> Any:
    from pyts.classification import BOSSVS, KNeighborsClassifier
    from pyts.image import GramianAngularField
    from pyts.transformation import ROCKET

    data = RNG.rand(10, 24)
    return [KNeighborsClassifier().fit(data, [0, 1] * 5), BOSSVS(window_size=8).fit(data, [0, 1] * 5), GramianAngularField(8).fit(data), ROCKET(10).fit(data)]  # fmt: skip


def _adtk() -> Any:
    from adtk.detector import PersistAD, SeasonalAD, ThresholdAD

    y = series()
    y.index = y.index.to_timestamp()
    return [PersistAD().fit(y), ThresholdAD(high=1), SeasonalAD().fit(y)]


def _tbats() -> Any:
    from tbats import TBATS

    return TBATS(use_box_cox=False, use_trend=False, use_arma_errors=False, n_jobs=1).fit(series().to_numpy())


def _orbit() -> Any:
    from orbit.models import DLT

    return DLT(response_col="y", date_col="ds")


def _stumpy() -> Any:
    import stumpy

    return stumpy.stump(RNG.rand(60), 8)
