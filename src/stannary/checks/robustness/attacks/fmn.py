"""Fast minimum norm, after FMN (Pintor et al. 2021): the smallest change in linf, L2 or l1, by one gradient a step.

Differences to the paper, each of which lowered the median distance or the number of steps on a plain and a robust MNIST network:

- steps are shares of the radius, along the steepest direction of the norm, and not of a length that fits one scale of inputs;
- until the first success the radius doubles where the linear estimate of the boundary was short (on robust models, whose gradients
  vanish, the estimate sends the attack far outside) and cross entropy is climbed; afterwards the margin, which knows the boundary.
"""

from __future__ import annotations

import math

import torch

from stannary.checks.robustness.attacks.minimal import claim, settled
from stannary.checks.robustness.geometry import length, per_row, steepest, within
from stannary.checks.robustness.losses import cross_entropy, margin
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access

__all__ = ["FMN"]

_DUAL = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}
_GROW = 2.0  # of the radius, before the first success
_PACE = (2.0, 0.01)  # first and last step, as shares of the radius
_GAMMA = 0.01  # the last change of the radius
_FAR = 1e6


class FMN:
    """Walk inside a ball that ends just short of the best success, with steps and changes of the radius that shrink.

    Args:
        steps: looks, each of one forward and one backward pass. For l1, on robust models, 100 find half of what 50 do.
        gamma: by which share the radius changes at first.
    """

    access: Access = "white"
    norms: tuple[str, ...] = ("linf", "l2", "l1")
    minimal = True
    rounds = 1

    def __init__(self, steps: int = 50, *, gamma: float = 0.2) -> None:
        self.id = f"fmn-{steps}"
        self.steps, self.gamma = steps, gamma

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:  # noqa: ARG002 - nothing random here
        """Start at the sample."""
        rows.reach = torch.zeros_like(rows.size)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Look, set the radius, move, and project onto the ball and the domain."""
        sign = -1 if problem.targeted else 1
        blunt = ~rows.found & (rows.age > 0)

        def loss(out: torch.Tensor) -> torch.Tensor:
            return sign * torch.where(blunt, cross_entropy(out, rows.label), margin(out, rows.label))

        logits, gap, grad = problem.target.gradient(rows.x, loss)
        fooled = claim(problem, rows, logits)
        unit = problem.unit
        grad = grad.nan_to_num(0.0) * unit
        half = ((1 + torch.cos(math.pi * rows.age / self.steps)) / 2).to(grad.dtype)
        self._resize(problem, rows, fooled, (gap, grad, _GAMMA + (self.gamma - _GAMMA) * half))
        pace = (_PACE[1] + (_PACE[0] - _PACE[1]) * half) * rows.reach
        moved = (rows.x - rows.origin) / unit + per_row(pace, grad) * _way(grad, problem.norm)
        rows.x = problem.domain.project(rows.origin + within(moved, problem.norm, rows.reach) * unit, rows.origin)
        return settled(problem, rows, self.steps)

    def _resize(
        self, problem: Problem, rows: Rows, fooled: torch.Tensor, seen: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    ) -> None:
        """Set the radius of each row after what was seen: (loss, gradient, change of the radius)."""
        gap, grad, gamma = seen
        slope = torch.linalg.vector_norm(grad.flatten(1), ord=_DUAL[problem.norm], dim=1).clamp_min(1e-12)
        guess = torch.where(rows.age == 0, (gap.abs() / slope).nan_to_num(0.0), rows.reach * _GROW)
        short = torch.where(rows.size.isfinite(), rows.reach * (1 + gamma), guess)
        nearest = torch.where(rows.size.isfinite(), rows.size, length((rows.x - rows.origin) / problem.unit, problem.norm))
        rows.reach = torch.where(fooled, torch.minimum(rows.reach, nearest) * (1 - gamma), short).clamp_max(_FAR)


def _way(grad: torch.Tensor, norm: str) -> torch.Tensor:
    """Return steps of length 1: for l1 along the gradient, from which the projection keeps the few greatest features."""
    if norm != "l1":
        return steepest(grad, norm)
    return grad / per_row(length(grad, "l1").clamp_min(1e-12), grad)
