"""Projected gradient descent (Madry et al. 2018) and, with one step, the fast gradient sign method (Goodfellow et al. 2015)."""

from __future__ import annotations

import math

import torch

from stannary.checks.robustness.geometry import per_row, random_offset, steepest
from stannary.checks.robustness.losses import cross_entropy
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access
from stannary.checks.target.torch_model import labels_of

__all__ = ["FGSM", "PGD"]


class PGD:
    """Ascend the cross entropy inside the ball; a row ends when it is fooled.

    Args:
        steps: gradient steps.
        step_size: as a share of the radius, the same for every step. None: steps that begin with the whole radius and shrink along
            half a cosine, so that weak samples fall, and leave, in the first few.
        rounds: restarts; the first starts at a random point too, unless `random_start` is false.
    """

    access: Access = "white"
    norms: tuple[str, ...] = ("linf", "l2")
    minimal = False

    def __init__(self, steps: int = 40, *, step_size: float | None = None, rounds: int = 1, random_start: bool = True) -> None:
        self.id = f"pgd-{steps}"
        self.steps, self.rounds, self.random_start = steps + 1, rounds, random_start  # one more to look at the last step
        self._last = steps
        self.step_size = step_size

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:
        """Start at a random point of the ball."""
        if self.random_start and problem.eps is not None:
            rows.x = problem.ball(
                rows.origin + problem.eps * problem.unit * random_offset(rows.x, problem.norm, generator), rows.origin
            )

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Look at where the rows are, and move those that are not fooled."""
        sign = -1 if problem.targeted else 1
        logits, _, grad = problem.target.gradient(rows.x, lambda out: sign * cross_entropy(out, rows.label))
        rows.keep(rows.x, problem.fooled(labels_of(logits), rows.label), problem)
        move = problem.unit * steepest(grad * problem.unit, problem.norm)
        rows.x = problem.ball(rows.x + per_row(self._size(problem, rows), grad) * move, rows.origin)
        return rows.age >= self._last

    def _size(self, problem: Problem, rows: Rows) -> torch.Tensor:
        eps = problem.eps or 1.0
        if self.step_size is not None:
            return rows.size.new_full((len(rows),), self.step_size * eps)
        return eps * (0.5 + 0.5 * torch.cos(math.pi * rows.age / self._last)).clamp_min(0.02).to(rows.size.dtype)


class FGSM(PGD):
    """One step of the whole radius from the sample itself."""

    def __init__(self) -> None:
        super().__init__(1, step_size=1.0, random_start=False)
        self.id = "fgsm"
