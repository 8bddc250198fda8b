"""Poison for those who fine-tune from a network: against scikit-learn's own last layer, and where collisions are known to exist."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from stannary.checks.poisoning.attacks import FeatureCollision
from stannary.checks.poisoning.fine_tuning import NAME, RADIUS, VICTIMS, fine_tuned
from stannary.checks.poisoning.training_suite import Options, training_suite
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import UsageError

WIDE, SEEN = 2000, 150


@pytest.fixture(scope="module")
def blind():
    """A network that sees 150 numbers of inputs with 2,000 features, so that small changes move that far; rows of 3 classes."""
    generator = torch.Generator().manual_seed(0)
    into = torch.randn(WIDE, SEEN, generator=generator) / WIDE**0.5
    net = torch.nn.Sequential(torch.nn.Linear(WIDE, SEEN, bias=False), torch.nn.Linear(SEEN, 3))
    with torch.no_grad():
        net[0].weight.copy_(into.T)
    y = torch.arange(300) % 3
    means = 0.02 * torch.randn(3, WIDE, generator=generator)
    x = (0.5 + means[y] + 0.05 * torch.randn(300, WIDE, generator=generator)).clamp(0, 1)
    data = Dataset(x, y, (), "sha256:0", ("a", "b", "c"))
    return TorchTarget(net, (WIDE,)), (data.take(torch.arange(150)), data.take(torch.arange(150, 300))), into


def seen_by(into, x):
    return (x @ into).double()


def test_chosen_samples_fall_where_the_network_sees_little_of_its_inputs(blind) -> None:
    target, data, _ = blind
    found = fine_tuned(Counting(target), data, 2, (0.05, 0.1))
    assert found.unable == ""
    assert [(one.attack, one.share, one.changed, one.success.n) for one in found.points] == [
        (NAME, 0.05, 7, 7), (NAME, 0.1, 15, 15),
    ]  # fmt: skip
    for one in found.points:
        assert one.success.low > 0.5
        assert one.without.value == 0
    assert found.accuracy.value > 0.95


def test_the_last_layer_is_what_scikit_learn_makes_of_the_same_rows(blind) -> None:
    target, (training, test), into = blind
    found = fine_tuned(target, (training, test), 2, (0.1,))
    before = LogisticRegression(C=1e3, max_iter=5000).fit(seen_by(into, training.x), training.y)
    said = torch.tensor(before.predict(seen_by(into, test.x)))
    assert abs(float((said == test.y).double().mean()) - found.accuracy.value) < 0.02
    right = ((said == test.y) & (test.y != 2)).nonzero()[:, 0]
    victims = right[:VICTIMS]
    poison = FeatureCollision(target, test.x[victims], 2, 0.1, 0.01, 200, eps=RADIUS).poison(training.x, training.y)
    after = LogisticRegression(C=1e3, max_iter=5000).fit(seen_by(into, poison.x), poison.y)
    won = float((torch.tensor(after.predict(seen_by(into, test.x[victims]))) == 2).double().mean())
    assert won > 0.6  # nothing of ours trains or asks here


def test_of_a_linear_network_the_poison_is_the_least_squares_solution(blind) -> None:
    target, (training, test), into = blind
    beta, victim = 0.5, test.x[test.y == 0][:1]
    attack = FeatureCollision(target, victim, 2, 0.02, beta, 500, low=-10, high=10)
    poison = attack.poison(training.x, training.y)
    assert len(poison.changed) == 3
    base = training.x[poison.changed].double()
    w, goal = into.double(), seen_by(into, victim)
    left = 2 * w @ w.T + beta * torch.eye(WIDE, dtype=torch.float64)
    best = torch.linalg.solve(left, (2 * goal @ w.T + beta * base).T).T
    assert torch.allclose(poison.x[poison.changed].double(), best, atol=2e-3)
    assert bool((poison.y[poison.changed] == 2).all())


def test_rows_move_within_the_radius_and_are_those_that_are_seen_nearest(blind) -> None:
    target, (training, test), into = blind
    victims = test.x[test.y == 1][:3]
    poison = FeatureCollision(target, victims, 2, 0.02, 0.01, 50, eps=0.05).poison(training.x, training.y)
    moved = (poison.x - training.x).abs().flatten(1).amax(1)
    assert float(moved.max()) <= 0.05 + 1e-6
    rows = (training.y == 2).nonzero()[:, 0]
    far = torch.cdist(seen_by(into, victims), seen_by(into, training.x[rows]))
    assert int(rows[far[0].argmin()]) in poison.changed.tolist()  # the first victim chooses first
    assert len(poison.changed) == 3


def test_what_cannot_be_looked_into_is_said_and_everything_else_is_measured(digits, train) -> None:
    class Copies:
        group = 4

        def outputs(self, x, y, chosen, seeds):
            return torch.stack(
                [train(x[rows], y[rows], seed, epochs=5).logits(x) for rows, seed in zip(chosen, seeds, strict=True)]
            )

    (x, y), (xt, yt) = digits
    names = tuple("0123456789")
    data = Dataset(x[:300], y[:300], (), "sha256:0", names, "array"), Dataset(xt, yt, (), "sha256:1", names, "array")
    found = training_suite(Copies(), data, 10, options=Options(shares=(0.05,)))
    assert "shows no gradients" in found.part.skipped[NAME]
    assert found.part.tuned is None
    assert "poisoning.collision_at_5pct" not in {row.metric for row in found.measurements}
    weightless = TorchTarget(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Softmax(1)), (1, 8, 8))
    assert "no activations" in fine_tuned(weightless, data, 3, (0.05,)).unable
    spent = fine_tuned(Counting(train(x, y, 0, epochs=1), 400), data, 3, (0.05,))
    assert "budget of 400 queries" in spent.unable
    assert spent.points == ()


def test_a_class_without_rows_cannot_be_poisoned(blind) -> None:
    target, (training, test), _ = blind
    none = Dataset(training.x, training.y.clamp_max(1), (), "sha256:0", ("a", "b", "c"))
    assert "there is no row to change" in fine_tuned(target, (none, test), 2, (0.05,)).unable
    with pytest.raises(UsageError, match="do not go with inputs"):
        FeatureCollision(target, torch.zeros(1, 4), 2, 0.05).poison(training.x, training.y)
