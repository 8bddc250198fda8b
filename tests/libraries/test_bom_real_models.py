"""Bills of materials of what the real libraries write: class, framework, version, sizes as the library itself counts them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import lightgbm
import numpy as np
import pytest
import skops.io
import torch
from safetensors.torch import save_file
from sklearn import __version__ as sklearn_version
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stannary.report.bom.build import take_inventory
from stannary.report.bom.inventory import Facts

X = np.linspace(0, 1, 200).reshape(50, 4)
Y = (X[:, 0] > 0.5).astype(int)


def facts(path: Path) -> Facts:
    found = take_inventory(str(path))
    assert found.unread == ()
    return found.primary.facts


@pytest.mark.parametrize("write", [joblib.dump, lambda model, path: path.write_bytes(cloudpickle.dumps(model))])
def test_scikit_learn(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "model.joblib"
    write(RandomForestClassifier(3).fit(X, Y), path)
    said = facts(path)
    assert said.value("architecture") == "sklearn.ensemble._forest.RandomForestClassifier"
    assert said.value("architecture_family") == "decision trees"
    assert (said.value("framework"), said.value("framework_version")) == ("scikit-learn", sklearn_version)


def test_a_compressed_pipeline(tmp_path: Path) -> None:
    joblib.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), tmp_path / "pipe.joblib", compress=3)
    said = facts(tmp_path / "pipe.joblib")
    assert said.value("architecture") == "sklearn.pipeline.Pipeline"
    assert said.value("framework_version") == sklearn_version


def test_skops(tmp_path: Path) -> None:
    skops.io.dump(LogisticRegression().fit(X, Y), tmp_path / "model.skops")
    said = facts(tmp_path / "model.skops")
    assert said.value("architecture") == "sklearn.linear_model._logistic.LogisticRegression"
    assert (said.value("framework"), said.value("format"), said.value("architecture_family")) == ("scikit-learn", "skops", "linear")


def test_lightgbm(tmp_path: Path) -> None:
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "min_data": 1}, lightgbm.Dataset(X, Y), 3)
    booster.save_model(tmp_path / "model.txt")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(booster))
    assert facts(tmp_path / "model.txt").value("framework") == "LightGBM"
    assert facts(tmp_path / "model.pkl").value("architecture") == "lightgbm.basic.Booster"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", ["module", "state", "legacy", "script", "safetensors"])
def test_torch(tmp_path: Path, kind: str) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    path = tmp_path / ("model.safetensors" if kind == "safetensors" else "model.pt")
    match kind:
        case "module":
            torch.save(model, path)
        case "state" | "legacy":
            torch.save(model.state_dict(), path, _use_new_zipfile_serialization=kind == "state")
        case "script":
            torch.jit.script(model).save(path)
        case _:
            save_file(model.state_dict(), path)
    said = facts(path)
    assert said.value("parameters") == sum(weight.numel() for weight in model.parameters())
    assert said.value("tensors") == 4
    if kind == "module":
        assert said.value("architecture") == "torch.nn.modules.container.Sequential"


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore")
def test_keras(tmp_path: Path, suffix: str) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.save(tmp_path / f"model.{suffix}")
    said = facts(tmp_path / f"model.{suffix}")
    assert (said.value("architecture"), said.value("framework")) == ("Sequential", "Keras")
    assert said.value("parameters") == model.count_params()
