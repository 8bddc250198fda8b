"""Projected gradient descent (Madry et al. 2018) and, with one step, the fast gradient sign method (Goodfellow et al. 2015)."""

from __future__ import annotations

import torch

from stannary.checks.robustness.losses import cross_entropy
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access

__all__ = ["FGSM", "PGD"]


class PGD:
    """Ascend the cross entropy inside the ball; a row ends when it is fooled.

    Args:
        steps: gradient steps.
        step_size: as a share of the radius; None for 2.5 / steps.
        rounds: restarts; the first starts at a random point too, unless `random_start` is false.
    """

    access: Access = "white"
    norms = ("linf", "l2")
    minimal = False

    def __init__(self, steps: int = 40, *, step_size: float | None = None, rounds: int = 1, random_start: bool = True) -> None:
        self.id = f"pgd-{steps}"
        self.steps, self.rounds, self.random_start = steps + 1, rounds, random_start  # one more to look at the last step
        self._last = steps
        self.step_size = 2.5 / steps if step_size is None else step_size

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:
        """Start at a random point of the ball."""
        if self.random_start and problem.eps is not None:
            noise = torch.empty_like(rows.x).uniform_(-1, 1, generator=generator)
            if problem.norm == "l2":
                flat = torch.empty_like(rows.x).normal_(generator=generator).flatten(1)
                share = torch.empty_like(flat[:, :1]).uniform_(0, 1, generator=generator)
                noise = (flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12) * share).reshape(rows.x.shape)
            rows.x = problem.ball(rows.origin + problem.eps * noise, rows.origin)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Look at where the rows are, and move those that are not fooled."""
        sign = -1 if problem.targeted else 1
        logits, _, grad = problem.target.gradient(rows.x, lambda out: sign * cross_entropy(out, rows.label))
        labels = logits.argmax(1).masked_fill(logits.isnan().any(1), -1)
        rows.keep(rows.x, problem.fooled(labels, rows.label), problem.norm)
        eps = problem.eps or 1.0
        if problem.norm == "linf":
            move = grad.sign()
        else:
            flat = grad.flatten(1)
            move = (flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12)).reshape(grad.shape)
        rows.x = problem.ball(rows.x + self.step_size * eps * move.nan_to_num(0.0), rows.origin)
        return rows.age >= self._last


class FGSM(PGD):
    """One step of the whole radius from the sample itself."""

    def __init__(self) -> None:
        super().__init__(1, step_size=1.0, random_start=False)
        self.id = "fgsm"
