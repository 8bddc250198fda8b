"""Large models for timing: about 200 MB of arrays, a random forest of 150 MB raw and compressed."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
from sklearn.ensemble import RandomForestRegressor

from benign_out import Out


def make(out: Out) -> None:
    """Write them; takes about a minute and half a gigabyte."""
    rng = np.random.default_rng(0)
    arrays = {f"layer{i}": rng.random((1250, 1000)) for i in range(20)}
    out.pickle("arrays-200m", arrays, pickle.HIGHEST_PROTOCOL)
    out.pickle("arrays-200m", arrays, 2)
    x = rng.random((20000, 10))
    forest = RandomForestRegressor(80, n_jobs=2, random_state=0).fit(x, x @ np.arange(10) + rng.random(20000))
    out.write("forest.joblib", lambda path: joblib.dump(forest, path))
    out.write("forest-zlib3.joblib", lambda path: joblib.dump(forest, path, compress=3))
