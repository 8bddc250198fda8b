"""What attacks share that look for the smallest change and see gradients."""

from __future__ import annotations

import torch

from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.torch_model import labels_of

__all__ = ["claim", "settled"]


def claim(problem: Problem, rows: Rows, logits: torch.Tensor) -> torch.Tensor:
    """Keep the rows that fool the target where they are, if they lie in the radius; tell which fool it at all, `(n,)` bool."""
    fooled = problem.fooled(labels_of(logits), rows.label)
    inside = fooled if problem.eps is None else fooled & (problem.size(rows.x, rows.origin) <= problem.eps)
    rows.keep(rows.x, inside, problem)
    return fooled


def settled(problem: Problem, rows: Rows, steps: int) -> torch.Tensor:
    """Tell which rows are done, `(n,)` bool: after their last look, at distance 0, or inside the radius if there is one."""
    last = rows.age >= steps - 1
    return last | rows.found if problem.eps is not None else last | (rows.size == 0)
