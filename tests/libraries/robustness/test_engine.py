"""The engine: exact against an oracle, counted truly, the same whatever the batch."""

from __future__ import annotations

import pytest
import torch

from stannary.checks.robustness.attacks.pgd import FGSM, PGD
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.engine import attack_block, blocks, run
from stannary.checks.robustness.rows import Problem, distance
from stannary.checks.target.box import Box
from stannary.checks.target.counting import Counting
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import UsageError


def problem_of(net, eps=0.1, norm="linf", budget=None, **more):
    target = Counting(TorchTarget(net, (1, 8, 8)), budget)
    return Problem(target, Box(), norm=norm, eps=eps, **more)


def test_a_linear_model_falls_exactly_where_algebra_says() -> None:
    torch.manual_seed(1)
    x = torch.rand(300, 20)
    linear = torch.nn.Linear(20, 1).requires_grad_(False)
    wide = Box(-100, 100)
    labels = (linear(x)[:, 0] > 0).long()
    reach = linear(x)[:, 0].abs() / linear.weight.abs().sum()  # the smallest linf change that flips it
    target = Counting(TorchTarget(linear, (20,)))
    ordered = reach.sort().values
    eps = float(ordered[149:151].mean())
    assert ordered[149] < eps < ordered[150]
    found = run(PGD(40, random_start=False), Problem(target, wide, eps=eps), x, labels)
    assert torch.equal(found.success, reach < eps)


def test_counts_are_those_of_a_hook(digits, digits_net) -> None:
    seen = []
    hook = digits_net.register_forward_hook(lambda _m, args, _out: seen.append(len(args[0])))
    problem = problem_of(digits_net)
    seen.clear()
    found = run(PGD(20), problem, digits[0][-100:], digits[1][-100:])
    hook.remove()
    assert found.spend.forward == sum(seen) == problem.target.spend.queries
    assert found.spend.backward == found.spend.forward
    assert found.spend.forward < 21 * 100  # those that were fooled left


@pytest.mark.parametrize("norm,eps", [("linf", 0.15), ("l2", 0.6)])
def test_every_success_passes_the_checker(digits, digits_net, norm, eps) -> None:
    problem = problem_of(digits_net, eps, norm)
    x, y = digits[0][-200:], digits[1][-200:]
    found = run(PGD(20, rounds=2), problem, x, y)
    assert 0.2 < found.success.float().mean() <= 1
    at = found.success
    assert check(problem, found.x[at], x[at], y[at]).all()
    assert torch.equal(found.x[~at], x[~at])
    assert torch.allclose(distance(found.x[at], x[at], norm), found.size[at])


def test_blocks_make_results_that_do_not_depend_on_who_runs_them(digits, digits_net) -> None:
    x, y = digits[0][-150:], digits[1][-150:]
    whole = run(PGD(10, rounds=2), problem_of(digits_net), x, y, block_size=64)
    parts = {
        n: attack_block(PGD(10, rounds=2), problem_of(digits_net), x[b.start : b.stop], y[b.start : b.stop], block=n)
        for n, b in reversed(list(enumerate(blocks(150, 64))))
    }
    assert torch.equal(whole.x, torch.cat([parts[n].x for n in range(3)]))


def test_a_spent_budget_ends_the_attack_and_keeps_what_was_found(digits, digits_net) -> None:
    x, y = digits[0][-100:], digits[1][-100:]
    problem = problem_of(digits_net, 0.3, budget=150)
    found = run(PGD(40), problem, x, y)
    assert "budget of 150 queries" in found.stopped
    assert found.spend.queries <= 150
    assert found.success.any()
    assert found.finished[found.success].all()
    assert not found.finished.all()


def test_more_restarts_never_find_less(digits, digits_net) -> None:
    x, y = digits[0][-200:], digits[1][-200:]
    once = run(PGD(10), problem_of(digits_net, 0.08), x, y).success
    often = run(PGD(10, rounds=5), problem_of(digits_net, 0.08), x, y).success
    assert often.sum() >= once.sum() >= run(FGSM(), problem_of(digits_net, 0.08), x, y).success.sum() - 2


def test_nan_is_no_success() -> None:
    class Broken(torch.nn.Module):
        def forward(self, x):
            return torch.full((len(x), 3), float("nan")) + x.sum() * 0

    found = run(PGD(3), Problem(Counting(TorchTarget(Broken(), (4,))), Box(), eps=0.1), torch.rand(5, 4), torch.zeros(5).long())
    assert not found.success.any()


def test_wrong_threats_are_refused(digits_net) -> None:
    with pytest.raises(UsageError, match="no such norm"):
        problem_of(digits_net, norm="l3")
    with pytest.raises(UsageError, match="positive"):
        problem_of(digits_net, eps=-1.0)
