"""Small real models for attacks."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session")
def digits():
    """Scikit-learn's 8x8 digits in [0, 1]: images `(n, 1, 8, 8)` float32, labels; the last 500 are for attacks."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = torch.tensor(data.data, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    return x, torch.tensor(data.target)


@pytest.fixture(scope="session")
def digits_net(digits):
    """A small network that is right on some 97 % of unseen digits."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = digits[0][:-500], digits[1][:-500]
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(30):
        for at in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[at]), y[at]).backward()
            optimizer.step()
    return net.eval()
