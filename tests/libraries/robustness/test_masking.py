"""The report on masked gradients: models that hide their gradients are found out, honest ones are not."""

from __future__ import annotations

import pytest
import torch

from stannary.checks.robustness.attacks.apgd import APGD
from stannary.checks.robustness.attacks.estimated import NES, SPSA
from stannary.checks.robustness.attacks.transfer import Transfer, imitate
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.engine import run
from stannary.checks.robustness.masking import allows, masking_report
from stannary.checks.robustness.rows import Problem
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import UsageError

IDS = [
    "zero-gradient", "black-box", "single-step", "unbounded", "slope",
    "random", "not-converged", "transfer", "saturated", "plateau",
]  # fmt: skip


class Wrapped(torch.nn.Module):
    """A network behind something."""

    def __init__(self, net, before=lambda x: x, after=lambda out: out):
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


HIDDEN = {
    "rounded input": (lambda net: Wrapped(net, lambda x: torch.round(x * 4) / 4), {"zero-gradient", "unbounded", "slope"}),
    "hot softmax": (lambda net: Wrapped(net, after=lambda out: (out / 1e-3).softmax(1)), {"zero-gradient", "saturated"}),
    "huge logits": (lambda net: Wrapped(net, after=lambda out: out * 1e4), {"saturated"}),
    "random input": (lambda net: Wrapped(net, lambda x: x + 0.05 * torch.randn_like(x)), {"random"}),
    "step activation": (
        lambda net: torch.nn.Sequential(*(layer if i != 2 else Steps() for i, layer in enumerate(net))),
        {"zero-gradient", "slope"},
    ),
}


class Steps(torch.nn.Module):
    """A step for an activation."""

    def forward(self, x):
        return (x > 0).to(x.dtype)


def problem_of(net, eps=0.1, norm="linf", kind=TorchTarget, budget=None):
    return Problem(Counting(kind(net, (1, 8, 8)), budget), Box(), norm=norm, eps=eps)


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_gradients_are_found_and_no_verdict_passes(digits, digits_net, name) -> None:
    make, signs = HIDDEN[name]
    x, y = digits[0][-200:], digits[1][-200:]
    report = masking_report(problem_of(make(digits_net)), x, y, samples=60, pool=digits[0][:600])
    assert [point.id for point in report.points] == IDS
    assert report.masked
    assert signs <= {point.id for point in report.points if point.warn}
    assert not allows(report)


@pytest.mark.parametrize("norm,eps", [("linf", 0.1), ("l2", 0.6)])
def test_an_honest_model_is_not_accused(digits, digits_net, norm, eps) -> None:
    x, y = digits[0][-200:], digits[1][-200:]
    problem = problem_of(digits_net, eps, norm)
    report = masking_report(problem, x, y, samples=60, pool=digits[0][:600])
    assert not [point for point in report.points if point.warn]
    assert not report.masked
    assert report.samples == 60
    assert report.spend.queries == problem.target.spend.queries > 0
    assert allows(report)


def test_where_nobody_could_look_no_verdict_passes(digits, digits_net) -> None:
    class Scores(TorchTarget):
        access = "score"

    x, y = digits[0][-50:], digits[1][-50:]
    blind = masking_report(problem_of(digits_net, kind=Scores), x, y)
    assert not blind.masked
    assert all(point.value is None and "no gradients" in point.note for point in blind.points)
    short = masking_report(problem_of(digits_net, budget=300), x, y)
    assert "budget of 300" in short.stopped
    assert short.points == ()
    wrong = masking_report(problem_of(digits_net), x, (problem_of(digits_net).target.decide(x) + 1) % 10)
    assert "no sample right" in wrong.stopped
    assert not any(map(allows, (blind, short, wrong, None)))
    with pytest.raises(UsageError, match="radius"):
        masking_report(problem_of(digits_net, None), x, y)


@pytest.mark.parametrize("attack", [NES(40, pairs=20), SPSA(40, pairs=20)], ids=lambda a: a.id)
@pytest.mark.parametrize("norm,dual", [("linf", 1), ("l2", 2)])
def test_estimated_slopes_find_what_algebra_says(attack, norm, dual) -> None:
    torch.manual_seed(3)
    net = torch.nn.Linear(20, 3).requires_grad_(False)
    x = torch.rand(120, 20)
    z = net(x)
    y = z.argmax(1)
    slope = torch.linalg.vector_norm(net.weight[y][:, None] - net.weight[None], ord=dual, dim=2).clamp_min(1e-12)
    exact = ((z.gather(1, y[:, None]) - z) / slope).scatter(1, y[:, None], torch.inf).amin(1)
    eps = float(exact.median())
    problem = Problem(Counting(TorchTarget(net, (20,))), Box(-9, 9), norm=norm, eps=eps)
    found = run(attack, problem, x, y)
    assert found.success[exact < 0.85 * eps].float().mean() > 0.97
    assert not found.success[exact > eps * (1 + 1e-5)].any()
    assert check(problem, found.x[found.success], x[found.success], y[found.success]).all()
    assert problem.target.spend.backward == 0
    assert found.spend.queries <= 120 * (41 + 40 * 40)


def test_an_imitation_transfers_by_decisions_alone(digits, digits_net) -> None:
    class Decisions(TorchTarget):
        access = "decision"

        logits = gradient = None

        def decide(self, x):
            return super()._forward(x).argmax(1)

    x, y = digits[0][-100:], digits[1][-100:]
    target = Counting(Decisions(digits_net, (1, 8, 8)))
    before = torch.random.get_rng_state()
    imitation = imitate(target, digits[0][:600])
    assert torch.equal(before, torch.random.get_rng_state())
    assert target.spend.queries == 1200
    assert (imitation.decide(x) == target.decide(x)).float().mean() > 0.85
    problem = Problem(target, Box(), eps=0.15)
    found = run(Transfer(imitation, 20), problem, x, y)
    white = run(APGD("ce", 50), problem_of(digits_net, 0.15), x, y)
    assert white.success.sum() >= found.success.sum() >= 0.5 * white.success.sum()
    assert check(problem, found.x[found.success], x[found.success], y[found.success]).all()
    assert found.spend.queries <= 100 * 4
    assert torch.equal(found.x, run(Transfer(imitation, 20), problem, x, y).x)
