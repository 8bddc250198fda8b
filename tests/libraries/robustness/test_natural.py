"""Patches, poses and corruptions against references that share no code; Auto-PGD in l1 against algebra."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from stannary.checks.robustness.attacks.apgd_l1 import APGDL1
from stannary.checks.robustness.attacks.fmn import FMN
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.corruptions import CORRUPTIONS, corrupted, corruptions
from stannary.checks.robustness.engine import run
from stannary.checks.robustness.geometry import onto_l1_within
from stannary.checks.robustness.patch import Patching, adversarial_patch, paste
from stannary.checks.robustness.presets import ATTACKS, plan_of
from stannary.checks.robustness.rows import Problem
from stannary.checks.robustness.spatial import pose, spatial
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import UsageError


def test_the_projection_onto_l1_and_bounds_is_the_nearest_point() -> None:
    torch.manual_seed(0)
    flat, radius = torch.randn(40, 12, dtype=torch.float64), torch.rand(40, dtype=torch.float64) * 3 + 0.05
    low, high = -torch.rand(40, 12, dtype=torch.float64), torch.rand(40, 12, dtype=torch.float64)
    near = onto_l1_within(flat, radius, (low, high))
    assert (near.abs().sum(1) <= radius + 1e-6).all()
    assert ((near >= low - 1e-12) & (near <= high + 1e-12)).all()
    away = (near - flat).square().sum(1)
    for _ in range(300):  # any allowed point is farther: the set is convex, so random ones near it suffice to refute
        other = near + torch.randn_like(near) * 0.05
        other = torch.maximum(torch.minimum(other, high), low)
        other = other * (radius / other.abs().sum(1)).clamp_max(1)[:, None]
        assert (away <= (other - flat).square().sum(1) + 1e-6).all()


def test_auto_pgd_in_l1_falls_where_algebra_says_and_claims_hold(digits, digits_net) -> None:
    torch.manual_seed(3)
    net = torch.nn.Linear(20, 5).requires_grad_(False)
    x = torch.rand(150, 20)
    z = net(x)
    y = z.argmax(1)
    slope = (net.weight[y][:, None] - net.weight[None]).abs().amax(2).clamp_min(1e-12)
    exact = ((z.gather(1, y[:, None]) - z) / slope).scatter(1, y[:, None], torch.inf).amin(1)
    eps = float(exact.median())
    found = run(APGDL1("dlr", 60, rounds=3), Problem(Counting(TorchTarget(net, (20,))), Box(-9, 9), norm="l1", eps=eps), x, y)
    assert found.success[exact < 0.9 * eps].float().mean() > 0.97
    assert not found.success[exact > eps * (1 + 1e-5)].any()
    x, y = digits[0][-120:], digits[1][-120:]
    target = Counting(TorchTarget(digits_net, (1, 8, 8)))
    problem = Problem(target, Box(), norm="l1", eps=1.2)
    found = run(APGDL1("ce", 60), problem, x, y)
    assert check(problem, found.x[found.success], x[found.success], y[found.success]).all()
    size = run(FMN(100), Problem(target, Box(), norm="l1"), x, y).size
    assert abs(int(found.success.sum()) - int((size <= 1.2).sum())) <= 8


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_by_name_apply_to_a_norm_they_name(name) -> None:
    plan = plan_of([name], 10)
    assert plan.id == name
    assert plan.stages[0].norms
    assert (plan.stages[0].access == "decision") is (name in ("boundary", "hopskipjump"))


def test_an_unknown_attack_is_refused() -> None:
    with pytest.raises(UsageError, match="no such attack: warp"):
        plan_of(["fgsm", "warp"], 10)


def test_poses_are_those_of_numpy() -> None:
    torch.manual_seed(0)
    x = torch.rand(5, 2, 9, 9)
    assert torch.allclose(pose(x, 90.0), torch.from_numpy(np.rot90(x.numpy(), axes=(2, 3)).copy()), atol=1e-5)
    assert torch.allclose(pose(x, -180.0), x.flip(2, 3), atol=1e-5)
    moved = pose(x, 0.0, (2, -1), fill=0.5)
    assert torch.allclose(moved[:, :, 2:, :-1], x[:, :, :-2, 1:], atol=1e-6)
    assert torch.allclose(moved[:, :, :2], torch.tensor(0.5))


def test_the_worst_pose_is_that_of_trying_all(digits, digits_net) -> None:
    x, y = digits[0][-150:], digits[1][-150:]
    target = TorchTarget(digits_net, (1, 8, 8))
    angles, shifts = (-12, 0, 12), (0, 1)
    made = spatial(target, x, y, angles=angles, shifts=shifts)
    right = torch.stack([target.decide(pose(x, a, (d, r))) == y for a in angles for d in shifts for r in shifts]).all(0)
    assert made.worst.value == pytest.approx(float(right.double().mean()))
    assert torch.equal(made.at == -1, right & (target.decide(x) == y))
    assert 0 < made.worst.value < made.clean.value
    broken = (made.at >= 0).nonzero()[:1, 0]
    angle, down, along = made.grid[int(made.at[broken])]
    assert target.decide(pose(x[broken], angle, (down, along))) != y[broken]
    assert made.spend.queries < 150 * 13
    with pytest.raises(UsageError, match="images"):
        spatial(target, x.flatten(1), y)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_grow_with_severity_and_keep_bounds_and_seed(digits, name) -> None:
    x = torch.nn.functional.interpolate(digits[0][:60], (28, 28), mode="bilinear")
    away = []
    for severity in range(1, 6):
        out = corrupted(x, name, severity, seed=1)
        assert out.shape == x.shape
        assert out.min() >= 0
        assert out.max() <= 1
        assert torch.equal(out, corrupted(x, name, severity, seed=1))
        away.append(float((out - x).square().mean()))
    assert away[0] > 0
    assert all(later > 0.97 * before for before, later in pairwise(away))
    assert away[-1] > 1.3 * away[0]
    wide = corrupted(x * 255, name, 3, seed=1, bounds=(0, 255))
    assert torch.allclose(wide / 255, corrupted(x, name, 3, seed=1), atol=1e-4)


def test_accuracy_under_corruption_is_a_rate_and_silence_is_no_success(digits, digits_net) -> None:
    x, y = digits[0][-200:], digits[1][-200:]
    target = Counting(TorchTarget(digits_net, (1, 8, 8)))
    points = corruptions(target, x, y, names=("gaussian-noise", "contrast"), severities=(1, 5))
    assert [(p.corruption, p.severity) for p in points] == [
        ("gaussian-noise", 1), ("gaussian-noise", 5), ("contrast", 1), ("contrast", 5),
    ]  # fmt: skip
    assert points[0].accuracy.value > points[1].accuracy.value
    assert target.spend.queries == 800
    out = corrupted(x, "gaussian-noise", 5)
    assert points[1].accuracy.value == pytest.approx(float((digits_net(out).argmax(1) == y).double().mean()))

    class Silent(torch.nn.Module):
        def forward(self, x):
            return digits_net(x) * float("nan")

    assert corruptions(TorchTarget(Silent(), (1, 8, 8)), x, y, names=("contrast",), severities=(1,))[0].accuracy.value == 0
    with pytest.raises(UsageError, match="no corruption"):
        corrupted(x, "rain", 1)


def test_a_patch_turns_unseen_images_where_noise_does_not(digits, digits_net) -> None:
    target = Counting(TorchTarget(digits_net, (1, 8, 8)))
    train, test = (digits[0][:600], digits[1][:600]), (digits[0][-300:], digits[1][-300:])
    made = adversarial_patch(target, train, test, Patching(side=3, steps=120))
    assert made.patch.shape == (1, 3, 3)
    assert made.patch.min() >= 0
    assert made.patch.max() <= 1
    assert made.success.low > made.noise.value
    assert made.spend.backward == 120 * 64
    wished = adversarial_patch(target, train, test, Patching(side=5, steps=120, wished=8))
    assert wished.success.low > wished.noise.value
    with pytest.raises(UsageError, match="side 8"):
        adversarial_patch(target, train, test, Patching(side=8))


def test_a_patch_covers_its_square_and_nothing_else_and_its_gradient_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.full((200, 1, 20, 20), 0.5, dtype=torch.float64)
    laid = paste(x, torch.ones(1, 6, 6, dtype=torch.float64), generator)
    area = (laid != x).flatten(1).sum(1).double()
    assert 30 <= float(area.mean()) <= 42  # 36 pixels, turned
    assert area.max() <= 36 * math.sqrt(2)
    patch = torch.rand(1, 3, 3, dtype=torch.float64, requires_grad=True)

    def laid_sum(p):
        again = torch.Generator().manual_seed(1)
        return (paste(x[:2], p, again, (-10.0, 10.0)) * torch.arange(800).reshape(2, 1, 20, 20)).sum()

    assert torch.autograd.gradcheck(laid_sum, (patch,))
