"""A small real model that training makes better or worse."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session")
def digits():
    """Scikit-learn's digits in [0, 1]: `(train x, train y, test x, test y)`."""
    from sklearn.datasets import load_digits

    torch.set_num_threads(1)
    data = load_digits()
    x = torch.tensor(data.data, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    y = torch.tensor(data.target)
    return x[:-500], y[:-500], x[-500:], y[-500:]


@pytest.fixture
def net():
    """An untrained network for digits."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 96), torch.nn.ReLU(), torch.nn.Linear(96, 10))


@pytest.fixture(scope="session")
def trained(digits):
    """The same network, trained as usual."""
    x, y, _, _ = digits
    torch.manual_seed(0)
    made = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 96), torch.nn.ReLU(), torch.nn.Linear(96, 10))
    optimizer = torch.optim.Adam(made.parameters(), 3e-3)
    for _ in range(25):
        for at in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(made(x[at]), y[at]).backward()
            optimizer.step()
    return made.eval()
