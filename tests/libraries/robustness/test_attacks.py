"""Attacks against what algebra says of linear models, and what a hook counts."""

from __future__ import annotations

import copy

import pytest
import torch

from stannary.checks.robustness.attacks.apgd import APGD, APGDT
from stannary.checks.robustness.attacks.fab import FAB
from stannary.checks.robustness.attacks.pgd import PGD
from stannary.checks.robustness.attacks.square import Square
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.engine import run
from stannary.checks.robustness.geometry import onto_plane
from stannary.checks.robustness.rows import Problem, distance
from stannary.checks.target.array_model import ArrayTarget
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import UsageError

WIDE = Box(-100, 100)
DUAL = {"linf": 1, "l2": 2}


@pytest.fixture(scope="module")
def linear():
    """Five linear classes of 20 features, and 200 samples with the labels it gives them."""
    torch.manual_seed(3)
    net = torch.nn.Linear(20, 5).requires_grad_(False)
    x = torch.rand(200, 20)
    return net, x, net(x).argmax(1)


def reach(net, x, y, norm):
    """The exact distance to the nearest other class of a linear model without bounds: gap over the dual norm of the slope."""
    z, w = net(x), net.weight
    gap = z.gather(1, y[:, None]) - z
    slope = torch.linalg.vector_norm(w[y][:, None] - w[None], ord=DUAL[norm], dim=2)
    return (gap / slope.clamp_min(1e-12)).scatter(1, y[:, None], torch.inf).amin(1)


def problem_of(net, shape, norm, eps=None, domain=None, budget=None):
    return Problem(Counting(TorchTarget(net, shape), budget), domain or WIDE, norm=norm, eps=eps)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", [APGDT(5, steps=50), APGD("dlr", 100, rounds=3), FAB(5, steps=20)], ids=lambda a: a.id)
def test_linear_models_fall_where_algebra_says(linear, norm, attack) -> None:
    net, x, y = linear
    exact = reach(net, x, y, norm)
    eps = float(exact.median())
    found = run(attack, problem_of(net, (20,), norm, eps), x, y)
    assert found.success[exact < eps * 0.97].all()
    assert not found.success[exact > eps * (1 + 1e-5)].any()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fab_finds_the_smallest_change(linear, norm) -> None:
    net, x, y = linear
    found = run(FAB(5, steps=20, minimal=True), problem_of(net, (20,), norm), x, y)
    assert found.success.all()
    ratio = found.size / reach(net, x, y, norm)
    assert ratio.min() > 0.9999
    assert ratio.max() < 1.03


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", [APGDT(5, steps=50), FAB(5, steps=20), PGD(40), Square(600)], ids=lambda a: a.id)
def test_distances_may_be_in_units_of_the_features(linear, norm, attack) -> None:
    net, x, y = linear
    unit = torch.linspace(0.2, 3, 20)
    scaled = torch.nn.Linear(20, 5).requires_grad_(False)  # the same model of inputs that are measured in these units
    scaled.weight.copy_(net.weight * unit)
    scaled.bias.copy_(net.bias)
    exact = reach(scaled, x / unit, y, norm)
    eps = float(exact.median())
    target = Counting(TorchTarget(net, (20,)))
    problem = Problem(target, Box(-torch.inf, torch.inf), norm=norm, eps=eps, scale=unit)
    found = run(attack, problem, x, y)
    assert check(problem, found.x[found.success], x[found.success], y[found.success]).all()
    assert not found.success[exact > eps * (1 + 1e-5)].any()
    assert found.success[exact < 0.8 * eps].float().mean() > (0.3 if attack.access == "score" else 0.99)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_projection_onto_a_plane_is_the_smallest_one_within_bounds(norm) -> None:
    torch.manual_seed(2)
    x, w = torch.rand(50, 30, dtype=torch.float64), torch.randn(50, 30, dtype=torch.float64)
    rise = torch.randn(50, dtype=torch.float64)
    change = onto_plane(x, w, rise, (torch.tensor(0.0), torch.tensor(1.0)), norm, turns=40)
    assert ((x + change >= -1e-12) & (x + change <= 1 + 1e-12)).all()
    for row in range(50):  # by bisection over the length, one row at a time
        sign = w[row] * rise[row].sign()

        def moved(length, row=row, sign=sign):
            step = sign.sign() * length if norm == "linf" else sign * length
            return (x[row] + step).clamp(0, 1) - x[row]

        low, high = 0.0, 1e3
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (low, middle) if (w[row] @ moved(middle)).abs() >= rise[row].abs() else (middle, high)
        assert torch.allclose(change[row], moved(high), atol=1e-6)


@pytest.mark.parametrize(
    "attack",
    [PGD(10), APGD("ce", 20), APGD("dlr", 20), APGDT(10, targets=3, steps=20), FAB(10, targets=3, steps=10), Square(100)],
    ids=lambda a: a.id,
)
@pytest.mark.parametrize("norm,eps", [("linf", 0.08), ("l2", 0.4)])
def test_claims_hold_and_counts_are_those_of_a_hook(digits, digits_net, attack, norm, eps) -> None:
    x, y = digits[0][-120:], digits[1][-120:]
    problem = problem_of(digits_net, (1, 8, 8), norm, eps, Box())
    seen = []
    hook = digits_net.register_forward_hook(lambda _m, args, _out: seen.append(len(args[0])))
    found = run(attack, problem, x, y)
    hook.remove()
    assert found.spend.forward == found.spend.queries == sum(seen)
    assert found.spend.calls == len(seen)
    assert found.spend.forward <= 120 * attack.rounds * (attack.steps + 1)
    at = found.success
    assert at.any()
    assert not at.all()
    assert check(problem, found.x[at], x[at], y[at]).all()
    assert torch.equal(found.x[~at], x[~at])
    assert torch.allclose(distance(found.x[at], x[at], norm), found.size[at])
    assert found.finished.all()


@pytest.mark.parametrize("norm,eps,share", [("linf", 0.1, 0.8), ("l2", 0.5, 0.65)])  # squares of three pixels are coarse on 8x8
def test_square_needs_scores_only_and_comes_near_to_gradients(digits, digits_net, norm, eps, share) -> None:
    class Scores(TorchTarget):
        access = "score"

        gradient = None

    x, y = digits[0][-100:], digits[1][-100:]
    problem = Problem(Counting(Scores(digits_net, (1, 8, 8))), Box(), norm=norm, eps=eps)
    blind = run(Square(1500), problem, x, y)
    seeing = run(APGDT(10, steps=50), problem_of(digits_net, (1, 8, 8), norm, eps, Box()), x, y)
    assert seeing.success.sum() >= blind.success.sum() >= share * seeing.success.sum()
    assert problem.target.spend.backward == 0
    assert blind.spend.queries <= 1500 * 100


@pytest.mark.parametrize("norm,eps", [("linf", 0.1), ("l2", 0.5)])
def test_square_does_not_ask_again_what_it_knows_and_finds_the_same(digits, digits_net, norm, eps) -> None:
    class Always(Square):
        def step(self, problem, rows, generator):
            rows.differs = torch.ones_like(rows.differs)
            return super().step(problem, rows, generator)

    x, y = digits[0][-60:], digits[1][-60:]
    net = digits_net.double()  # one row's answer is the same in any batch
    whole, less = (run(kind(600), problem_of(net, (1, 8, 8), norm, eps, Box()), x, y) for kind in (Always, Square))
    net.float()
    assert torch.equal(whole.x, less.x)
    assert torch.equal(whole.success, less.success)
    assert less.spend.queries < (0.8 if norm == "linf" else 1.001) * whole.spend.queries


def test_square_takes_scores_that_are_finer_than_the_inputs(digits, digits_net) -> None:
    """Libraries answer in float64, as onnxruntime and functions of numpy do here; pictures are float32."""
    net = copy.deepcopy(digits_net).double()
    black = ArrayTarget((1, 8, 8), 10, lambda rows: net(torch.from_numpy(rows)).detach().numpy())
    x, y = (part[-500:][digits_net(digits[0][-500:]).argmax(1) == digits[1][-500:]][:60] for part in digits)
    assert (x.dtype, black.logits(x).dtype) == (torch.float32, torch.float64)
    found = run(Square(200), Problem(black, Box(), norm="linf", eps=0.15), x, y)
    assert bool(found.success.any())
    assert bool((black.decide(found.x[found.success]) != y[found.success]).all())


def test_square_takes_features_that_are_no_image(linear) -> None:
    net, x, y = linear
    exact = reach(net, x, y, "linf")
    eps = float(exact.median())
    found = run(Square(400), problem_of(net, (20,), "linf", eps), x, y)
    assert found.success[exact < 0.8 * eps].float().mean() > 0.9
    assert not found.success[exact > eps * (1 + 1e-5)].any()
    again = run(Square(400), problem_of(net, (20,), "l2", float(reach(net, x, y, "l2").median())), x, y)
    assert again.success.any()


def test_two_classes_and_one_target_are_enough() -> None:
    torch.manual_seed(0)
    net = torch.nn.Linear(8, 1).requires_grad_(False)
    x = torch.rand(60, 8)
    y = (net(x)[:, 0] > 0).long()
    exact = net(x)[:, 0].abs() / net.weight.abs().sum()
    eps = float(exact.median())
    for attack in (APGD("dlr", 50), APGDT(2, steps=50), FAB(2, steps=20), Square(300)):
        found = run(attack, problem_of(net, (8,), "linf", eps), x, y)
        assert not found.success[exact > eps * (1 + 1e-5)].any()
        assert found.success[exact < 0.9 * eps].float().mean() > 0.9


def test_auto_pgd_halves_at_the_checkpoints_of_the_paper() -> None:
    attack = APGD("ce", 100)
    ages = attack._stretch.nonzero()[:, 0].tolist()
    assert ages == [22, 41, 57, 70, 80, 87, 93, 99]  # 0.22, then each stretch 0.03 shorter, at least 0.06, of 100 steps


def test_targeted_attacks_reach_the_wished_class(digits, digits_net) -> None:
    x, y = digits[0][-60:], digits[1][-60:]
    wished = (y + 1) % 10
    target = Counting(TorchTarget(digits_net, (1, 8, 8)))
    problem = Problem(target, Box(), eps=0.35, targeted=True)
    for attack in (PGD(40), APGD("ce", 50), Square(500)):
        found = run(attack, problem, x, wished)
        assert found.success.any()
        assert (target.decide(found.x[found.success]) == wished[found.success]).all()


def test_tiny_radii_survive_the_rounding_of_the_inputs(digits, digits_net) -> None:
    x, y = digits[0][-100:], digits[1][-100:]
    y = (y + 1) % 10  # every claim is a success: only the distance is judged
    problem = problem_of(digits_net, (1, 8, 8), "linf", 1e-5, Box())
    found = run(PGD(2), problem, x, y)
    assert check(problem, found.x[found.success], x[found.success], y[found.success]).all()
    assert not check(problem, (x + 1.1e-5).clamp(0, 1), x, y)[(x < 0.99).flatten(1).any(1)].any()


def test_an_unknown_norm_or_radius_is_refused(digits_net) -> None:
    with pytest.raises(UsageError, match="positive"):
        problem_of(digits_net, (1, 8, 8), "linf", float("nan"))
