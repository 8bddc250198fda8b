"""The load guard under the real loaders: torch, joblib, numpy."""

from __future__ import annotations

import os
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import stannary
from stannary import LoadRefused


class Payload:
    """Pickles to a call of the shell."""

    def __reduce__(self) -> object:
        return os.system, ("echo stannary",)


@pytest.mark.parametrize("legacy", [False, True])
def test_torch(tmp_path: Path, legacy: bool) -> None:
    good, bad = tmp_path / "good.pt", tmp_path / "bad.pt"
    torch.save(torch.nn.Linear(3, 2), good, _use_new_zipfile_serialization=not legacy)
    torch.save({"weights": torch.ones(2), "payload": Payload()}, bad, _use_new_zipfile_serialization=not legacy)
    with stannary.guard():
        assert torch.load(good, weights_only=False).in_features == 3
        with pytest.raises(LoadRefused):
            torch.load(bad, weights_only=False)
    assert stannary.safe_load(good).out_features == 2
    with pytest.raises(LoadRefused):
        stannary.safe_load(bad)


def test_joblib(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.joblib", tmp_path / "bad.joblib"
    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), good, compress=3)
    joblib.dump([np.zeros(1000), Payload()], bad)
    with stannary.guard():
        assert joblib.load(good).predict([[1.0]]) == [1]
        with pytest.raises(LoadRefused):
            joblib.load(bad)
    assert stannary.safe_load(good).classes_.tolist() == [0, 1]


def test_numpy(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.npy", tmp_path / "bad.npy"
    np.save(good, np.arange(5))
    np.save(bad, np.array([Payload()], dtype=object), allow_pickle=True)
    with stannary.guard():
        assert np.load(good).sum() == 10
        with pytest.raises(LoadRefused):
            np.load(bad, allow_pickle=True)
    assert stannary.safe_load(good).tolist() == [0, 1, 2, 3, 4]
