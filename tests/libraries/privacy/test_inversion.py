"""Inversion: exact where the model is linear, telling where a network learned, and nothing where it did not."""

from __future__ import annotations

import pytest
import torch
from tests.libraries.privacy.conftest import build

from stannary.checks.privacy.coarse import Coarse
from stannary.checks.privacy.inversion import InversionOptions, invert
from stannary.checks.privacy.suite import Options, privacy_suite
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.sklearn_model import sklearn_target
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import InputError, UsageError


@pytest.fixture(scope="module")
def groups():
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(inputs, dtype=torch.float32)[order].reshape(-1, 1, 8, 8) / 16, torch.tensor(labels)[order]
    return tuple(Dataset(x[at], y[at], (), "", tuple("0123456789"), "image") for at in (slice(900), slice(900, 1797)))


@pytest.fixture(scope="module")
def network(groups):
    torch.manual_seed(0)
    net = build()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(30):
        for at in torch.randperm(900).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(groups[0].x[at]), groups[0].y[at]).backward()
            optimizer.step()
    return TorchTarget(net, (1, 8, 8))


def test_a_network_shows_what_it_learned(network, groups) -> None:
    target = Counting(network)
    found = invert(target, *groups)
    assert found.recognised.value >= 0.9
    assert found.recognised.n == 10
    assert found.confidence > 0.8
    assert found.judge_accuracy > 0.9
    assert (found.queries, found.backward) == (target.spend.queries, target.spend.backward) == (6040, 6000)
    assert (found.inputs >= groups[1].x.amin(0)).all()
    assert (found.inputs <= groups[1].x.amax(0)).all()


def test_a_network_that_learned_nothing_shows_nothing(groups) -> None:
    torch.manual_seed(5)
    found = invert(TorchTarget(build(), (1, 8, 8)), *groups)
    assert found.recognised.low < 0.1
    assert found.recognised.value <= 0.3


def test_of_a_linear_model_it_is_the_corner_of_the_box() -> None:
    """With nothing that holds it back, log p of a linear model grows to the corner that the signs of its weights name."""
    torch.manual_seed(1)
    layer = torch.nn.Linear(6, 2)
    x = torch.rand(200, 6)
    data = Dataset(x, (x[:, 0] > 0.5).long(), tuple("abcdef"), "", ("0", "1"))
    found = invert(TorchTarget(layer, (6,)), data, data, options=InversionOptions(prior=0, starts=2, steps=200, rate=0.05))
    up = (layer.weight[1] - layer.weight[0]) > 0
    corner = torch.where(up, x.amax(0), x.amin(0))
    other = torch.where(up, x.amin(0), x.amax(0))
    assert torch.allclose(found.inputs, torch.stack((other, corner)), atol=1e-4)


def test_scores_are_enough(groups) -> None:
    from sklearn.linear_model import LogisticRegression

    ours, theirs = (
        Dataset(one.x.flatten(1).double(), one.y, tuple(f"x{i}" for i in range(64)), "", one.label_names) for one in groups
    )
    target = sklearn_target(LogisticRegression(max_iter=500).fit(ours.x, ours.y), columns=ours.names, probe=ours.x)
    found = invert(target, ours, theirs, options=InversionOptions(starts=1, steps=60))
    assert found.recognised.value >= 0.8
    assert (found.queries, found.backward) == (60 * 10 * 32 + 10, 0)


def test_what_makes_no_sense_is_refused(network, groups) -> None:
    with pytest.raises(UsageError, match="labels alone"):
        invert(Coarse(network, 0), *groups)
    with pytest.raises(InputError, match="it takes two, and ten"):
        invert(network, groups[0].take(torch.tensor([0])), groups[1])


def test_the_suite_inverts_when_asked(network, groups) -> None:
    measured = privacy_suite(network, *groups, options=Options(shadows=0, bootstrap=50, rates=(0.05,), inversion=True))
    rows = {row.metric: row for row in measured.measurements}
    assert rows["privacy.inversion.recognised"].n == 10
    assert measured.owasp == ("ML04:2023", "ML03:2023")
    assert measured.part.rates["classes shown by inversion"].value >= 0.8
