"""Libraries beyond the large ones: statistics, topics, words, survival, graphs, recommenders, dill, cloudpickle."""

from __future__ import annotations

import functools
import math
import random
from typing import Any

import numpy as np

from benign_out import Out

TEXTS = [
    ["human", "machine", "system"],
    ["graph", "trees", "system"],
    ["graph", "minors", "trees"],
    ["human", "system", "survey"],
] * 5


def scale(x: float, by: float = 2.0) -> float:
    """A user's own function."""
    return math.sqrt(x) * by


class Model:
    """A user's own model class."""

    def __init__(self) -> None:
        self.weights = np.ones(3)

    def predict(self, x: Any) -> Any:
        """Return the weighted sum."""
        return np.asarray(x) @ self.weights


def make(out: Out) -> None:
    """Write what the installed libraries make."""
    random.seed(0)
    for part in (
        by_value,
        statsmodels_part,
        gensim_part,
        survival,
        spacy_part,
        nltk_part,
        neighbours,
        surprise_part,
        implicit_part,
        tables,
        graphs,
        wrappers,
        river_part,
        outliers,
    ):
        out.tried(part, out)


def by_value(out: Out) -> None:
    """Dill and cloudpickle: models, functions, lambdas and classes by value."""
    for name in ("dill", "cloudpickle"):
        library = out.tried(__import__, name, label=name)
        if library is None:
            continue
        things = {"array": {"w": np.ones(3)}, "function": scale, "lambda": lambda x: x + 1, "class": Model,
        "instance": Model(), "partial": functools.partial(scale, by=3),
                  "closure": _closure(3), "ufunc": np.log1p, "dict": {"f": max, "g": math.sqrt}}  # fmt: skip
        for thing, value in things.items():
            for protocol in (2, 4):
                out.pickle(f"{name}-{thing}", value, protocol, with_module=library)
        try:
            from sklearn.linear_model import LinearRegression
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import FunctionTransformer

            pipe = make_pipeline(FunctionTransformer(np.log1p), LinearRegression()).fit(np.eye(3), [1, 2, 3])
            out.pickle(f"{name}-pipeline", pipe, with_module=library)
        except ImportError:
            continue


def _closure(n: int) -> Any:
    def add(x: int) -> int:
        return x + n

    return add


def statsmodels_part(out: Out) -> None:
    """Results of regressions and time series."""
    import pandas as pd
    import statsmodels.api as sm
    import statsmodels.formula.api as smf
    from statsmodels.tsa.arima.model import ARIMA
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    rng = np.random.RandomState(0)
    frame = pd.DataFrame({"y": rng.rand(40), "a": rng.rand(40), "g": list("xy") * 20})
    results = {
        "ols": sm.OLS(frame["y"], sm.add_constant(frame[["a"]])).fit(),
        "formula": smf.ols("y ~ a + C(g)", frame).fit(),
        "glm": sm.GLM(frame["y"], frame[["a"]], family=sm.families.Gaussian()).fit(),
        "logit": sm.Logit((frame["y"] > 0.5).astype(int), sm.add_constant(frame[["a"]])).fit(disp=0),
        "rlm": sm.RLM(frame["y"], frame[["a"]]).fit(),
        "arima": ARIMA(frame["y"], order=(1, 0, 0)).fit(),
        "holt": ExponentialSmoothing(frame["y"], trend="add").fit(),
    }
    for name, result in results.items():
        out.pickle(f"sm-{name}", result)
        out.write(f"sm-{name}-save.pickle", result.save)


def gensim_part(out: Out) -> None:
    """Word vectors and topics."""
    from gensim import corpora, models

    words = corpora.Dictionary(TEXTS)
    bags = [words.doc2bow(t) for t in TEXTS]
    made = {
        "dictionary": words,
        "word2vec": models.Word2Vec(TEXTS, min_count=1, vector_size=8, epochs=1),
        "doc2vec": models.Doc2Vec(
            [models.doc2vec.TaggedDocument(t, [i]) for i, t in enumerate(TEXTS)], vector_size=8, min_count=1, epochs=1
        ),
        "fasttext": models.FastText(TEXTS, min_count=1, vector_size=8, epochs=1, bucket=50),
        "lda": models.LdaModel(bags, id2word=words, num_topics=2),
        "lsi": models.LsiModel(bags, id2word=words, num_topics=2),
        "tfidf": models.TfidfModel(bags),
        "phrases": models.Phrases(TEXTS, min_count=1),
    }
    for name, model in made.items():
        out.write(f"gensim-{name}.model", model.save)
        out.pickle(f"gensim-{name}", model)


def survival(out: Out) -> None:
    """Lifelines and hmmlearn."""
    import lifelines
    import pandas as pd

    rng = np.random.RandomState(0)
    frame = pd.DataFrame({"t": rng.exponential(5, 40), "e": rng.rand(40) > 0.3, "a": rng.rand(40)})
    out.pickle("cox", lifelines.CoxPHFitter(penalizer=0.1).fit(frame, "t", "e"))
    out.pickle("kaplan", lifelines.KaplanMeierFitter().fit(frame["t"], frame["e"]))
    out.pickle("weibull", out.tried(lambda: lifelines.WeibullFitter().fit(frame["t"], frame["e"]), label="weibull"))
    from hmmlearn import hmm

    out.pickle("hmm", hmm.GaussianHMM(2, n_iter=3).fit(rng.rand(30, 2)))
    out.joblib("hmm-gmm", out.tried(lambda: hmm.GMMHMM(2, n_iter=3).fit(rng.rand(30, 2)), label="gmmhmm"))


def spacy_part(out: Out) -> None:
    """A blank pipeline, a vocabulary and a document."""
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    out.pickle("spacy-blank", nlp)
    out.pickle("spacy-doc", nlp("A small text. Two sentences."))
    out.pickle("spacy-vocab", nlp.vocab)
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "ORG", "pattern": "Apple"}])
    nlp.add_pipe("textcat").add_label("A")
    nlp.add_pipe("ner").add_label("ORG")
    nlp.initialize()
    out.pickle("spacy-pipeline", nlp)


def nltk_part(out: Out) -> None:
    """Classifiers, stemmers and language models of nltk."""
    import nltk
    from nltk.stem import PorterStemmer, SnowballStemmer

    train = [({"a": 1, "b": 0}, "x"), ({"a": 0, "b": 1}, "y")] * 3
    out.pickle("nltk-bayes", nltk.NaiveBayesClassifier.train(train))
    out.pickle("nltk-tree", nltk.DecisionTreeClassifier.train(train))
    out.pickle("nltk-freq", nltk.FreqDist("abracadabra"))
    out.pickle("nltk-stem", [PorterStemmer(), SnowballStemmer("english")])
    out.pickle("nltk-tagger", nltk.UnigramTagger([[("a", "DT"), ("cat", "NN")]]))
    out.pickle("nltk-tokenizer", nltk.tokenize.RegexpTokenizer(r"\w+"))
    out.pickle("nltk-punkt", nltk.tokenize.punkt.PunktSentenceTokenizer("A text. Another text."))


def neighbours(out: Out) -> None:
    """Umap and hdbscan."""
    import umap

    rng = np.random.RandomState(0)
    model = umap.UMAP(n_neighbors=4, n_epochs=5, random_state=0).fit(rng.rand(30, 4))
    out.pickle("umap", model)
    out.joblib("umap", model)
    import hdbscan

    out.pickle("hdbscan", hdbscan.HDBSCAN(min_cluster_size=4, prediction_data=True).fit(rng.rand(30, 2)))


def surprise_part(out: Out) -> None:
    """A matrix factorisation of scikit-surprise."""
    import pandas as pd
    import surprise

    frame = pd.DataFrame({"u": [1, 1, 2, 2, 3], "i": [1, 2, 1, 3, 2], "r": [3.0, 4.0, 2.0, 5.0, 1.0]})
    train = surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=(1, 5))).build_full_trainset()
    for kind in (surprise.SVD, surprise.KNNBasic, surprise.NMF, surprise.BaselineOnly):
        out.pickle(f"surprise-{kind.__name__}", kind().fit(train))
    out.write("surprise-dump", lambda path: surprise.dump.dump(path, algo=surprise.SVD().fit(train)))


def implicit_part(out: Out) -> None:
    """Factors of implicit."""
    import implicit
    from scipy import sparse

    counts = sparse.random(20, 15, 0.3, random_state=0, format="csr")
    model = implicit.als.AlternatingLeastSquares(4, iterations=2, num_threads=1)
    model.fit(counts, show_progress=False)
    out.pickle("implicit-als", model)
    knn = implicit.nearest_neighbours.CosineRecommender(3)
    knn.fit(counts, show_progress=False)
    out.pickle("implicit-knn", knn)


def tables(out: Out) -> None:
    """polars, pyarrow, xarray and geopandas."""
    parts = {"polars": _polars, "pyarrow": _arrow, "xarray": _xarray, "geopandas": _geo}
    for name, make_one in parts.items():
        out.pickle(name, out.tried(make_one, label=name))


def _polars() -> Any:
    import polars as pl

    return [pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}), pl.Series("s", [1.0])]


def _arrow() -> Any:
    import pyarrow as pa

    return [pa.table({"a": [1, 2], "b": ["x", "y"]}), pa.array([1, None]), pa.schema([("a", pa.int64())])]


def _xarray() -> Any:
    import xarray as xr

    return xr.Dataset({"t": (("x", "y"), np.ones((2, 3)))}, coords={"x": [1, 2]})


def _geo() -> Any:
    import geopandas as gpd
    from shapely.geometry import Point, Polygon

    return [gpd.GeoDataFrame({"a": [1]}, geometry=[Point(1, 2)], crs=None), Polygon([(0, 0), (1, 0), (1, 1)])]


def graphs(out: Out) -> None:
    """Networkx graphs and a symbol of sympy."""
    import networkx as nx

    out.pickle("graph", [nx.karate_club_graph(), nx.DiGraph([(1, 2), (2, 3)]), nx.MultiGraph([(1, 2)])])
    import sympy

    x = sympy.Symbol("x")
    out.pickle("sympy", [x, x**2 + sympy.sin(x) / 3, sympy.Matrix([[1, x]])])


def wrappers(out: Out) -> None:
    """scikit-learn-like libraries: imbalanced-learn, encoders, mlxtend, kmodes, pmdarima."""
    rng = np.random.RandomState(0)
    x, y = rng.rand(60, 4), (rng.rand(60) > 0.7).astype(int)

    def imblearn() -> Any:
        from imblearn.ensemble import BalancedRandomForestClassifier
        from imblearn.over_sampling import SMOTE
        from imblearn.pipeline import make_pipeline
        from sklearn.linear_model import LogisticRegression

        return [make_pipeline(SMOTE(), LogisticRegression()).fit(x, y), BalancedRandomForestClassifier(5).fit(x, y)]

    def encoders() -> Any:
        import category_encoders as ce
        import pandas as pd

        frame = pd.DataFrame({"c": list("abc") * 20})
        return [
            ce.TargetEncoder().fit(frame, y),
            ce.OrdinalEncoder().fit(frame),
            ce.BinaryEncoder().fit(frame),
            ce.HashingEncoder(max_process=1).fit(frame),
        ]

    def extended() -> Any:
        from mlxtend.classifier import EnsembleVoteClassifier
        from sklearn.linear_model import LogisticRegression

        return EnsembleVoteClassifier([LogisticRegression(), LogisticRegression()]).fit(x, y)

    def modes() -> Any:
        from kmodes.kmodes import KModes
        from kmodes.kprototypes import KPrototypes

        return [
            KModes(2, n_init=1).fit((x > 0.5).astype(int)),
            KPrototypes(2, n_init=1).fit(np.hstack([x, (x[:, :1] > 0.5).astype(int)]), categorical=[4]),
        ]

    def arima() -> Any:
        import pmdarima

        return pmdarima.ARIMA((1, 0, 0)).fit(rng.rand(40))

    def timeseries() -> Any:
        import pandas as pd
        from sktime.forecasting.naive import NaiveForecaster

        return NaiveForecaster().fit(pd.Series(rng.rand(20)))

    def explain() -> Any:
        import shap
        from sklearn.ensemble import RandomForestClassifier

        return shap.TreeExplainer(RandomForestClassifier(5).fit(x, y))

    for name, make_one in {
        "imblearn": imblearn,
        "encoders": encoders,
        "mlxtend": extended,
        "kmodes": modes,
        "pmdarima": arima,
        "sktime": timeseries,
        "shap": explain,
    }.items():
        out.pickle(name, out.tried(make_one, label=name))


def river_part(out: Out) -> None:
    """Incremental models of river."""
    from river import compose, ensemble, linear_model, preprocessing, tree

    models = {"pipeline": compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
    "tree": tree.HoeffdingTreeClassifier(),
              "forest": ensemble.ADWINBaggingClassifier(linear_model.LogisticRegression(), 3)}  # fmt: skip
    for name, model in models.items():
        for i in range(20):
            model.learn_one({"a": i % 3, "b": i * 0.1}, i % 2 == 0)
        out.pickle(f"river-{name}", model)


def outliers(out: Out) -> None:
    """Detectors of pyod."""
    from pyod.models.ecod import ECOD
    from pyod.models.iforest import IForest
    from pyod.models.knn import KNN

    x = np.random.RandomState(0).rand(60, 3)
    for kind in (ECOD, IForest, KNN):
        out.joblib(f"pyod-{kind.__name__}", kind().fit(x))
