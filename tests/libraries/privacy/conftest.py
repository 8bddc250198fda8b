"""A small network that has learned its training data by heart, and what is needed to audit it."""

from __future__ import annotations

import pytest
import torch

from stannary.checks.privacy.shadows import TorchFactory


def build():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def noisy_digits():
    """Digits of which a fifth has a wrong label: what a network knows of those it has by heart. `(1796, 1, 8, 8)` in [0, 1]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    draw = torch.Generator().manual_seed(5)
    order = torch.randperm(len(data.data), generator=draw)[:1796]
    x = torch.tensor(data.data, dtype=torch.float32).reshape(-1, 1, 8, 8)[order] / 16
    y = torch.tensor(data.target, dtype=torch.int64)[order]
    wrong = torch.rand(len(y), generator=draw) < 0.2
    return x, torch.where(wrong, (y + torch.randint(1, 10, y.shape, generator=draw)) % 10, y)


@pytest.fixture(scope="session")
def factory():
    return TorchFactory(build, epochs=40, batch=32, rate=3e-3, group=4)


@pytest.fixture(scope="session")
def leaky(noisy_digits, factory):
    """A network trained on the first half."""
    x, y = noisy_digits
    torch.manual_seed(11)
    net = build()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(40):
        for at in torch.randperm(898).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[at]), y[at]).backward()
            optimizer.step()
    return net.eval()


@pytest.fixture(scope="session")
def halves(noisy_digits):
    x, y = noisy_digits
    return (x[:898], y[:898]), (x[898:], y[898:])
