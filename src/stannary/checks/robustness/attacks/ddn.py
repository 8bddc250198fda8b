"""DDN, decoupled direction and norm (Rony et al. 2019): the smallest change in L2, by one gradient a step."""

from __future__ import annotations

import math

import torch

from stannary.checks.robustness.attacks.minimal import claim, settled
from stannary.checks.robustness.geometry import length, per_row
from stannary.checks.robustness.losses import cross_entropy
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access

__all__ = ["DDN"]


class DDN:
    """Climb the cross entropy on a sphere that shrinks where the model is fooled and grows where it is not.

    Args:
        steps: looks, each of one forward and one backward pass.
        gamma: by which share the sphere grows or shrinks.
        reach: the radius at the beginning and the first step, in units of the problem: the method does not find its scale.
    """

    access: Access = "white"
    norms: tuple[str, ...] = ("l2",)
    minimal = True
    rounds = 1

    def __init__(self, steps: int = 100, *, gamma: float = 0.05, reach: float = 1.0) -> None:
        self.id = f"ddn-{steps}"
        self.steps, self.gamma, self.reach = steps, gamma, reach

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:  # noqa: ARG002 - nothing random here
        """Start at the sample."""
        rows.reach = rows.size.new_full((len(rows),), self.reach)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        """Look, move along the gradient, and rescale to the sphere."""
        sign = -1 if problem.targeted else 1
        logits, _, grad = problem.target.gradient(rows.x, lambda out: sign * cross_entropy(out, rows.label))
        fooled = claim(problem, rows, logits)
        unit = problem.unit
        grad = grad.nan_to_num(0.0) * unit
        size = grad.flatten(1).norm(dim=1)
        lost = size == 0  # a direction of no gradient is drawn, as in the authors' code
        if lost.any():
            grad = torch.where(per_row(lost, grad), torch.empty_like(grad).normal_(generator=generator), grad)
            size = length(grad, "l2")
        pace = self.reach * (0.01 + 0.99 * (1 + torch.cos(math.pi * rows.age / self.steps)) / 2)
        rows.reach = rows.reach * torch.where(fooled, 1 - self.gamma, 1 + self.gamma)
        moved = (rows.x - rows.origin) / unit + grad * per_row(pace.to(grad.dtype) / size.clamp_min(1e-30), grad)
        moved = moved * per_row(rows.reach / length(moved, "l2").clamp_min(1e-12), moved)
        rows.x = problem.domain.project(rows.origin + moved * unit, rows.origin)
        return settled(problem, rows, self.steps)
