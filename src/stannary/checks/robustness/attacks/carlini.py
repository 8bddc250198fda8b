"""Carlini and Wagner's L2 attack (2017), for comparison with older figures: FMN finds as little in a twentieth of the passes."""

from __future__ import annotations

import torch

from stannary.checks.robustness.attacks.minimal import claim
from stannary.checks.robustness.geometry import choose, per_row
from stannary.checks.robustness.losses import margin
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access

__all__ = ["CarliniWagner"]

_BETAS = (0.9, 0.999)  # Adam's
_EDGE = 1 - 1e-6  # nearer to a bound the change of variables has no slope


class CarliniWagner:
    """Minimise squared distance plus a weighted margin by Adam, in variables that keep bounds; search the weight by halving.

    Args:
        searches: weights that are tried for each sample; every row is at its own.
        steps: of Adam for each weight, each of one forward and one backward pass.
        weight: the first one; it is multiplied by ten until it is enough.
        pace: of Adam, in the unbounded variables.
    """

    access: Access = "white"
    norms: tuple[str, ...] = ("l2",)
    minimal = True
    rounds = 1

    def __init__(self, searches: int = 5, steps: int = 200, *, weight: float = 1.0, pace: float = 0.05) -> None:
        self.id = f"cw-{searches}x{steps}"
        self.searches, self.inner, self.weight, self.pace = searches, steps, weight, pace
        self.steps = searches * steps

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:  # noqa: ARG002 - nothing random here
        """Start the first search."""
        rows.weight = torch.full_like(rows.size, self.weight)
        rows.little, rows.enough = torch.zeros_like(rows.size), torch.full_like(rows.size, torch.inf)
        rows.hit = torch.zeros_like(rows.found)
        rows.free = _free(problem, rows.origin)
        rows.first, rows.second = torch.zeros_like(rows.x), torch.zeros_like(rows.x)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Take one step of Adam, or begin with the next weight."""
        sign = -1 if problem.targeted else 1
        logits, gap, grad = problem.target.gradient(rows.x, lambda out: sign * margin(out, rows.label))
        fooled = claim(problem, rows, logits)
        rows.hit = rows.hit | fooled
        short = (gap <= 0).to(grad.dtype) * rows.weight  # the margin counts until the boundary is passed
        unit = problem.unit
        slope = 2 * (rows.x - rows.origin) / unit / unit - per_row(short, grad) * grad.nan_to_num(0.0)
        x, factor = _bound(problem, rows.free)
        slope = slope * factor
        turn = per_row((rows.age % self.inner + 1).to(grad.dtype), grad)
        rows.first = _BETAS[0] * rows.first + (1 - _BETAS[0]) * slope
        rows.second = _BETAS[1] * rows.second + (1 - _BETAS[1]) * slope.square()
        mean, spread = rows.first / (1 - _BETAS[0] ** turn), rows.second / (1 - _BETAS[1] ** turn)
        rows.free = rows.free - self.pace * mean / (spread.sqrt() + 1e-8)
        over = (rows.age + 1) % self.inner == 0
        if bool(over.any()):
            self._again(problem, rows, over)
        x, _ = _bound(problem, rows.free)
        rows.x = problem.domain.project(x, rows.origin)
        return rows.found if problem.eps is not None else torch.zeros_like(rows.found)

    def _again(self, problem: Problem, rows: Rows, over: torch.Tensor) -> None:
        """Choose the next weight of rows whose search is over, and start them at the sample."""
        enough = torch.where(over & rows.hit, rows.weight, rows.enough)
        little = torch.where(over & ~rows.hit, rows.weight, rows.little)
        following = torch.where(enough.isfinite(), (little + enough) / 2, rows.weight * 10)
        rows.enough, rows.little = enough, little
        rows.weight = torch.where(over, following, rows.weight)
        rows.hit = rows.hit & ~over
        rows.free = choose(over, _free(problem, rows.origin), rows.free)
        zeros = torch.zeros_like(rows.first)
        rows.first, rows.second = choose(over, zeros, rows.first), choose(over, zeros, rows.second)


def _middle(problem: Problem, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return middle and half width of the bounds, and where both are finite."""
    low, high = (bound.expand_as(like) for bound in problem.domain.span(like))
    finite = low.isfinite() & high.isfinite() & (high > low)
    low, high = torch.where(finite, low, -1.0), torch.where(finite, high, 1.0)
    return (low + high) / 2, (high - low) / 2, finite


def _free(problem: Problem, x: torch.Tensor) -> torch.Tensor:
    """Return the unbounded variables of inputs: the inverse of the hyperbolic tangent where there are bounds."""
    middle, half, finite = _middle(problem, x)
    inner = ((x - middle) / half).clamp(-_EDGE, _EDGE).atanh()
    return torch.where(finite, inner, x)


def _bound(problem: Problem, free: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the inputs of unbounded variables, and their slope by them."""
    middle, half, finite = _middle(problem, free)
    inner = free.tanh()
    return torch.where(finite, middle + half * inner, free), torch.where(finite, half * (1 - inner.square()), 1.0)
