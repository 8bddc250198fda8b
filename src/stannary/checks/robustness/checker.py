"""The checker: no success counts that it has not seen. It shares no code with the attacks or with `rows.py`."""

from __future__ import annotations

import torch

from stannary.checks.target.interface import Domain, Target

__all__ = ["SLACK", "check"]

SLACK = 1e-6  # of the radius, for the rounding of float32


def check(  # noqa: PLR0913 - everything that a claim says
    target: Target,
    domain: Domain,
    x: torch.Tensor,
    origin: torch.Tensor,
    labels: torch.Tensor,
    *,
    norm: str,
    eps: float | None,
    targeted: bool = False,
) -> torch.Tensor:
    """Tell which of the claimed examples `x` `(n, *shape)` are real successes against `labels` `(n,)`, `(n,)` bool.

    An example counts if it is finite, in the domain, within the radius (when there is one), and the target, asked once more,
    decides otherwise (or as wished) without failing.
    """
    if not len(x):
        return torch.zeros(0, dtype=torch.bool, device=x.device)
    moved = (x.double() - origin.double()).reshape(len(x), -1).abs()
    order = {"linf": float("inf"), "l2": 2.0, "l1": 1.0, "l0": 0.0}[norm]
    far = torch.linalg.vector_norm(moved, ord=order, dim=1)
    good = torch.isfinite(far) & ~domain.violations(x, origin)
    if eps is not None:
        good &= far <= eps * (1 + SLACK) + 1e-9
    decided = target.decide(x)
    return good & (decided != -1) & ((decided == labels) if targeted else (decided != labels))
