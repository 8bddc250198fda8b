"""Attacks that look for the smallest change, against the exact distance of linear models and what a hook counts."""

from __future__ import annotations

import pytest
import torch

from stannary.checks.robustness.attacks.apgd import APGDT
from stannary.checks.robustness.attacks.carlini import CarliniWagner
from stannary.checks.robustness.attacks.ddn import DDN
from stannary.checks.robustness.attacks.deepfool import DeepFool
from stannary.checks.robustness.attacks.fmn import FMN
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.curve import curve
from stannary.checks.robustness.engine import run
from stannary.checks.robustness.geometry import length, within
from stannary.checks.robustness.rows import Problem
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import UsageError

DUAL = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}
ALL = [
    (DDN(100, reach=0.2), "l2", 1.03),
    (FMN(50), "l2", 1.03),
    (FMN(50), "linf", 1.03),
    (FMN(100), "l1", 1.06),
    (DeepFool(), "l2", 1.03),
    (DeepFool(), "linf", 1.03),
    (CarliniWagner(8, 100, weight=0.1), "l2", 1.05),
]
NAMES = [f"{attack.id}-{norm}" for attack, norm, _ in ALL]


@pytest.fixture(scope="module")
def linear():
    """Five linear classes of 20 features, and 150 samples with the labels it gives them."""
    torch.manual_seed(3)
    net = torch.nn.Linear(20, 5).requires_grad_(False)
    net.weight *= 20  # confident enough for cross entropy to point to the nearest class, as DDN needs
    net.bias *= 20
    x = torch.rand(150, 20)
    return net, x, net(x).argmax(1)


def reach(net, x, y, norm):
    """The exact distance to the nearest other class: gap over the dual norm of the slope."""
    z, w = net(x), net.weight
    gap = z.gather(1, y[:, None]) - z
    slope = torch.linalg.vector_norm(w[y][:, None] - w[None], ord=DUAL[norm], dim=2)
    return (gap / slope.clamp_min(1e-12)).scatter(1, y[:, None], torch.inf).amin(1)


def problem_of(net, shape, norm, **more):
    return Problem(Counting(TorchTarget(net, shape)), more.pop("domain", Box(-1, 2)), norm=norm, **more)


@pytest.mark.parametrize("attack,norm,slack", ALL, ids=NAMES)
def test_the_smallest_change_of_a_linear_model_is_that_of_algebra(linear, attack, norm, slack) -> None:
    net, x, y = linear
    problem = problem_of(net, (20,), norm)
    found = run(attack, problem, x, y)
    assert found.success.all()
    assert check(problem, found.x, x, y).all()
    ratio = found.size / reach(net, x, y, norm)
    assert ratio.min() > 0.9999  # nothing is nearer than the nearest
    assert ratio.median() < slack
    assert ratio.quantile(0.95) < 1.25


@pytest.mark.parametrize("attack,norm,slack", ALL[:6], ids=NAMES[:6])
def test_distances_are_in_units_of_the_features(linear, attack, norm, slack) -> None:
    net, x, y = linear
    unit = torch.linspace(0.2, 3, 20)
    scaled = torch.nn.Linear(20, 5).requires_grad_(False)  # the same model of inputs that are measured in these units
    scaled.weight.copy_(net.weight * unit)
    scaled.bias.copy_(net.bias)
    problem = problem_of(net, (20,), norm, scale=unit, domain=Box(-torch.inf, torch.inf))
    found = run(attack, problem, x, y)
    ratio = found.size / reach(scaled, x / unit, y, norm)
    assert check(problem, found.x, x, y).all()
    assert ratio.min() > 0.999
    assert ratio.median() < slack + 0.02


@pytest.mark.parametrize("attack,norm,slack", ALL, ids=NAMES)
def test_claims_hold_and_counts_are_those_of_a_hook(digits, digits_net, attack, norm, slack) -> None:
    x, y = digits[0][-60:], digits[1][-60:]
    problem = problem_of(digits_net, (1, 8, 8), norm, domain=Box())
    seen = []
    hook = digits_net.register_forward_hook(lambda _m, args, _out: seen.append(len(args[0])))
    found = run(attack, problem, x, y)
    hook.remove()
    assert found.spend.forward == found.spend.queries == sum(seen)
    assert found.success.float().mean() > 0.95
    assert check(problem, found.x[found.success], x[found.success], y[found.success]).all()
    again = run(attack, problem, x, y)
    assert torch.equal(found.x, again.x)
    inside = problem_of(digits_net, (1, 8, 8), norm, domain=Box(), eps=float(found.size.median()))
    near = run(attack, inside, x, y)
    assert check(inside, near.x[near.success], x[near.success], y[near.success]).all()
    assert 0.3 < near.success.float().mean() <= 0.7 * slack  # what is farther is no success


def test_the_smallest_changes_agree_with_many_runs_at_fixed_radii(digits, digits_net) -> None:
    x, y = digits[0][-150:], digits[1][-150:]
    for norm, radii in (("linf", (0.03, 0.06, 0.1)), ("l2", (0.2, 0.5, 0.8))):
        size = run(FMN(50), problem_of(digits_net, (1, 8, 8), norm, domain=Box()), x, y).size
        for eps in radii:
            fell = run(APGDT(10, steps=50), problem_of(digits_net, (1, 8, 8), norm, domain=Box(), eps=eps), x, y).success
            assert abs(int((size <= eps).sum()) - int(fell.sum())) <= 9  # of 150


@pytest.mark.parametrize("attack", [DDN(60), FMN(50), DeepFool(), CarliniWagner(4, 50)], ids=lambda a: a.id)
def test_a_wished_class_is_reached(digits, digits_net, attack) -> None:
    x, y = digits[0][-40:], digits[1][-40:]
    wished = (y + 1) % 10
    problem = problem_of(digits_net, (1, 8, 8), "l2", domain=Box(), targeted=True)
    found = run(attack, problem, x, wished)
    assert found.success.float().mean() > 0.8
    assert (problem.target.decide(found.x[found.success]) == wished[found.success]).all()


@pytest.mark.parametrize("attack", [DDN(20), FMN(20), DeepFool(20), CarliniWagner(2, 10)], ids=lambda a: a.id)
@pytest.mark.parametrize("kind", ["constant", "nan"])
def test_models_without_gradients_or_answers_are_not_fooled(attack, kind) -> None:
    class Flat(torch.nn.Module):
        def forward(self, x):
            return torch.zeros(len(x), 3) + (0 if kind == "constant" else float("nan"))

    found = run(attack, problem_of(Flat(), (4,), "l2", domain=Box()), torch.rand(5, 4), torch.zeros(5).long())
    assert not found.success.any()
    assert found.size.isinf().all()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_balls_of_their_own_radius_are_kept(norm) -> None:
    torch.manual_seed(0)
    d, radius = torch.randn(50, 3, 4), torch.rand(50) * 2 + 0.01
    moved = within(d, norm, radius)
    assert (length(moved, norm) <= radius * (1 + 1e-5)).all()
    inside = length(d, norm) <= radius
    assert torch.allclose(moved[inside], d[inside])
    assert torch.allclose(length(moved, norm)[~inside], radius[~inside], rtol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_curve_of_a_linear_model_is_the_exact_one(linear, norm) -> None:
    net, x, y = linear
    exact = reach(net, x, y, norm)
    made = curve(problem_of(net, (20,), norm, eps=float(exact.median())), x, y)
    assert len(made.points) == 8
    assert not made.stopped
    for point in made.points:
        true = float((exact > point.eps).float().mean())
        assert -1e-6 <= point.accuracy.value - true <= 0.03  # an attack can only miss
        assert point.accuracy.n == 150
        assert point.accuracy.low <= point.accuracy.value <= point.accuracy.high
    assert made.distance.low <= float(exact.median()) * 1.02 <= made.distance.high * 1.02
    assert made.attacks[0].survivors_in == 150
    assert len(made.attacks) == 3


def test_a_curve_counts_what_is_wrong_as_it_is_at_every_radius(linear) -> None:
    net, x, y = linear
    y = y.clone()
    y[:30] = (y[:30] + 1) % 5
    made = curve(problem_of(net, (20,), "l2"), x, y, eps=(1e-6, 0.5, 1e3))
    assert [round(point.accuracy.value, 6) for point in (made.points[0], made.points[-1])] == [0.8, 0.0]
    assert made.distance.n == 120
    assert (made.size[:30] == 0).all()


def test_no_curve_is_drawn_from_half_a_run_or_from_silence(linear) -> None:
    net, x, y = linear
    short = Problem(Counting(TorchTarget(net, (20,)), 500), Box(-100, 100), norm="l2")
    made = curve(short, x, y)
    assert "budget of 500 queries" in made.stopped
    assert made.points == ()
    assert made.distance is None

    class Silent(torch.nn.Module):
        def forward(self, x):
            out = net(x)
            return torch.where((x - 0.5).abs().amax(1, keepdim=True) > 0.5, torch.nan, out)

    made = curve(problem_of(Silent(), (20,), "l2"), x, y)
    assert "no answer" in made.stopped
    assert made.points == ()

    class Scores(TorchTarget):
        access = "score"

    with pytest.raises(UsageError, match="gradients"):
        curve(Problem(Counting(Scores(net, (20,))), Box(), norm="l2"), x, y)
