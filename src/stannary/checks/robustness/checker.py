"""The checker: no success counts that it has not seen. It computes on its own what it holds attacks to."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from stannary.checks.robustness.rows import Problem
from stannary.checks.target.interface import BudgetSpent
from stannary.core.errors import BackendError

__all__ = ["SLACK", "check", "shown"]

SLACK = 1e-6  # of the radius, for the rounding of sums in float32


def check(problem: Problem, x: torch.Tensor, origin: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Tell which of the claimed examples `x` `(n, *shape)` are real successes against `labels` `(n,)`, `(n,)` bool.

    An example counts if it is finite, in the domain, within the radius (when there is one), and the target, asked once more,
    decides otherwise (or as wished) without failing.
    """
    norm, eps = problem.norm, problem.eps
    if not len(x):
        return torch.zeros(0, dtype=torch.bool, device=x.device)
    scale = 1.0 if problem.scale is None else problem.scale.double()
    moved = ((x.double() - origin.double()) / scale).reshape(len(x), -1).abs()
    if norm == "cost":  # the domain's own: there is no other definition to hold it to
        far = problem.size(x, origin)
        rounding = torch.zeros_like(far)
    else:
        order = {"linf": float("inf"), "l2": 2.0, "l1": 1.0, "l0": 0.0}[norm]
        far = torch.linalg.vector_norm(moved, ord=order, dim=1)
        # an input is rounded itself: by the last bit of each value that it had, whatever the radius is
        held = (origin.double() / scale).reshape(len(x), -1)
        rounding = torch.finfo(x.dtype).eps * torch.linalg.vector_norm(held, ord=order, dim=1) * (norm != "l0")
    good = torch.isfinite(far) & ~problem.domain.violations(x, origin)
    if eps is not None:
        good &= far <= eps * (1 + SLACK) + rounding
    decided = problem.target.decide(x)
    return good & (decided != -1) & ((decided == labels) if problem.targeted else (decided != labels))


def shown(problem: Problem, x: torch.Tensor, names: Sequence[str]) -> list[str]:
    """Return what the target decides of checked examples `(n, *shape)`, by name; where it can be asked no more, that it is another.

    That is so where attacks spent the budget, or an endpoint is gone: what they found until then is reported all the same.
    """
    try:
        labels = problem.target.decide(x.to(problem.target.device)).tolist()
    except (BudgetSpent, BackendError):
        return ["another class"] * len(x)
    return [names[label] if 0 <= label < len(names) else str(label) for label in labels]
