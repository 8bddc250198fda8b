"""Models and data that the command is tried on: trained here, in seconds."""

from __future__ import annotations

import warnings

import joblib
import numpy as np
import pytest
import torch
import xgboost
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder with `net.pt` (TorchScript) and `digits.npz`."""
    folder = tmp_path_factory.mktemp("digits")
    data = load_digits()
    x, y = torch.tensor(data.images / 16, dtype=torch.float32)[:, None], torch.tensor(data.target)
    np.savez(folder / "digits.npz", x=x[1500:].numpy(), y=y[1500:].numpy())
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(512, 10))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x[:1500]), y[:1500]).backward()
        optimiser.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript, which people have all the same
        torch.jit.trace(net.eval(), x[:2]).save(folder / "net.pt")
    return folder


@pytest.fixture(scope="session")
def cancer(tmp_path_factory):
    """A folder with `forest.joblib`, `boosted.ubj`, `test.csv` and `train.csv`; the labels are in the column `target`, the last."""
    folder = tmp_path_factory.mktemp("cancer")
    frame = load_breast_cancer(as_frame=True).frame
    train, test = frame.iloc[:300], frame.iloc[300:]
    test.to_csv(folder / "test.csv", index=False)
    train.to_csv(folder / "train.csv", index=False)
    forest = RandomForestClassifier(20, random_state=0).fit(train.iloc[:, :-1], train["target"])
    joblib.dump(forest, folder / "forest.joblib")
    xgboost.XGBClassifier(n_estimators=20, n_jobs=1).fit(train.iloc[:, :-1], train["target"]).save_model(folder / "boosted.ubj")
    return folder
