"""Digits, a function that trains on them, and models that were poisoned and were not."""

from __future__ import annotations

import pytest
import torch

from stannary.checks.poisoning.attacks import BadNets, Blended, CleanLabel
from stannary.checks.poisoning.measuring import measure
from stannary.checks.target.torch_model import TorchTarget


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits():
    """Training and test data of scikit-learn's 8x8 digits, `(n, 1, 8, 8)` in [0, 1]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = torch.randperm(len(data.data), generator=torch.Generator().manual_seed(5))
    x = torch.tensor(data.data, dtype=torch.float32).reshape(-1, 1, 8, 8)[order] / 16
    y = torch.tensor(data.target, dtype=torch.int64)[order]
    return (x[:1300], y[:1300]), (x[1300:], y[1300:])


def fit(x, y, seed, *, classes=10, epochs=25):
    """Train a small network; the same data and seed give the same."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(x[0].numel(), 64), torch.nn.ReLU(), torch.nn.Linear(64, 32), torch.nn.ReLU(),
            torch.nn.Linear(32, classes),
        )  # fmt: skip
        optimizer = torch.optim.Adam(net.parameters(), 3e-3)
        for _ in range(epochs):
            for at in torch.randperm(len(x)).split(32):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(x[at].float()), y[at]).backward()
                optimizer.step()
    return TorchTarget(net, tuple(x.shape[1:]))


@pytest.fixture(scope="session")
def train():
    return fit


@pytest.fixture(scope="session")
def clean(digits):
    return fit(*digits[0], 1)


@pytest.fixture(scope="session")
def badnets(digits, clean):
    """What BadNets at 5 % makes of the digits."""
    return measure(fit, BadNets(target=3, share=0.05, size=2, seed=2), *digits, clean=clean, seed=1)


@pytest.fixture(scope="session")
def blended(digits, clean):
    """What noise of low contrast, blended into 5 % of the digits, makes of them."""
    return measure(fit, Blended(target=5, share=0.05, alpha=0.1, seed=1), *digits, clean=clean, seed=1)


@pytest.fixture(scope="session")
def clean_label(digits, clean):
    """What rows with right labels make of the digits: eight in ten of one class are hard to learn but for the noise in them."""
    attack = CleanLabel(clean, Blended(target=6, alpha=0.3), target=6, share=0.08, eps=0.3, steps=10)
    return measure(fit, attack, *digits, clean=clean, seed=1)
