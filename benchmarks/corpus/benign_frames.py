"""pandas objects: frames, series, indexes, extension arrays, offsets, compressed pickles."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd

from benign_out import Out


def frames() -> dict[str, Any]:
    """Return frames and series of many kinds."""
    rng = np.random.RandomState(0)
    days = pd.date_range("2024-01-01", periods=6, freq="D")
    mixed = pd.DataFrame({"i": range(6), "f": rng.rand(6), "s": list("abcdef"), "d": days, "b": [True, False] * 3})
    out = {
        "mixed": mixed,
        "numbers": pd.DataFrame(rng.rand(10, 3), columns=list("xyz")),
        "empty": pd.DataFrame(),
        "series": pd.Series([1, 2, 3], name="n"),
        "series-object": pd.Series(["a", None, 3]),
        "categorical": mixed.assign(c=pd.Categorical(list("aabbcc"), ordered=True)),
        "categorical-only": pd.Categorical(["x", "y", "x"]),
        "multiindex": mixed.set_index(["i", "s"]),
        "dateindex": mixed.set_index("d"),
        "tz": mixed.assign(d=days.tz_localize("Europe/Berlin")),
        "utc": pd.Series(days.tz_localize("UTC")),
        "period": pd.Series(pd.period_range("2024-01", periods=4, freq="M")),
        "timedelta": pd.Series(pd.to_timedelta(["1 days", "2 days"])),
        "interval": pd.Series(pd.interval_range(0, 4)),
        "cut": pd.cut(pd.Series(rng.rand(8)), 3),
        "scalars": [pd.Timestamp("2024-01-01"), pd.Timedelta("1h"), pd.NaT, pd.Interval(0, 1), pd.Period("2024-01", "M")],
        "tzscalar": pd.Timestamp("2024-01-01", tz="UTC"),
        "offsets": [pd.offsets.MonthEnd(), pd.offsets.BDay(2), pd.offsets.Hour(3), pd.tseries.offsets.Week(weekday=1)],
        "rangeindex": pd.RangeIndex(3),
        "index": [pd.Index(["a", "b"]), pd.Index([1.5, 2.5]), pd.Index([1, 2])],
        "groups": mixed.groupby("b").mean(numeric_only=True) if _new() else mixed[["b", "f"]].groupby("b").mean(),
    }
    if hasattr(pd, "NA"):
        out["nullable"] = pd.DataFrame(
            {
                "i": pd.array([1, None], dtype="Int64"),
                "b": pd.array([True, None], dtype="boolean"),
                "s": pd.array(["a", None], dtype="string"),
            }
        )
        out["na"] = [pd.NA]
    if hasattr(pd, "arrays"):
        out["sparse"] = pd.Series(pd.arrays.SparseArray([0, 0, 1])) if hasattr(pd.arrays, "SparseArray") else pd.Series([1])
    return out


def _new() -> bool:
    return int(pd.__version__.split(".")[0]) >= 1


def make(out: Out) -> None:
    """Pickle each in three protocols, by to_pickle with each compression, and mixed into dictionaries."""
    found = out.tried(frames) or {}
    for name, value in found.items():
        for protocol in [None] if out.small else (0, 2, pickle.HIGHEST_PROTOCOL):
            out.pickle(name, value, protocol)
    rows = pd.DataFrame({"id": [1, 2], "name": ["Müller", "Çelik"]})
    out.write("latin.csv", lambda path: rows.to_csv(path, encoding="latin-1"))
    out.write("table.dta", rows.to_stata)
    mixed = found.get("mixed")
    if mixed is None:
        return
    for suffix in ("pkl", "pkl.gz", "pkl.bz2", "pkl.xz", "pkl.zip", "pkl.zst", "pkl.tar"):
        out.write(f"to_pickle.{suffix}", mixed.to_pickle)
    out.pickle("results", {"frame": mixed, "best": {"score": np.float64(0.9), "params": {"C": 1.0}}, "history": [mixed["f"], 3]})
    out.pickle("arrow", out.tried(lambda: mixed.convert_dtypes(dtype_backend="pyarrow"), label="pyarrow frame"))
