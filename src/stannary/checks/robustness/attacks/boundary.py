"""The boundary attack (Brendel, Rauber and Bethge 2018), batched: a random walk along the boundary towards the sample.

Each step asks for several proposals of every row at once; the shares that succeed set the sizes of the next ones, by row.
"""

from __future__ import annotations

import torch

from stannary.checks.robustness.attacks.decisions import ask, begin, bisect, clear, unit
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access

__all__ = ["Boundary"]

HALVINGS = 12  # of the first way to the boundary
FACTOR = 1.3  # by which the sizes of steps follow the share of successes
HALF, QUARTER = 0.5, 0.25  # the shares that the paper aims at: proposals on the sphere, and after the step inwards


class Boundary:
    """Walk along the sphere around the sample and inwards, keeping to what succeeds.

    Args:
        steps: rounds of proposals.
        proposals: of a row at each step; twice as many queries.
        pool: rows `(m, *shape)` and labels `(m,)` from which to start, e.g. training data; None for random points.
    """

    access: Access = "decision"
    norms: tuple[str, ...] = ("l2",)
    minimal = True
    rounds = 1

    def __init__(self, steps: int = 300, *, proposals: int = 10, pool: tuple[torch.Tensor, torch.Tensor] | None = None) -> None:
        self.id = f"boundary-{steps}"
        self.steps, self.proposals, self.pool = steps, proposals, pool

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:
        """Find a starting point and walk to the boundary."""
        begin(problem, rows, generator, self.pool)
        bisect(problem, rows, (~clear(problem, rows)).nonzero()[:, 0], HALVINGS)
        rows.around, rows.inward = torch.full_like(rows.size, 0.1), torch.full_like(rows.size, 0.1)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        """Try proposals around the nearest success so far."""
        at = (~clear(problem, rows)).nonzero()[:, 0]
        if len(at):
            scale = 1.0 if problem.scale is None else problem.scale
            many = at.repeat_interleave(self.proposals)
            origin, wide = rows.origin[many], [1] * (rows.x.ndim - 1)
            size = rows.size[many].reshape(-1, *wide)
            out = (rows.best[many] - origin) / scale / size
            noise = torch.empty_like(out).normal_(generator=generator)
            along = (noise * out).flatten(1).sum(1).reshape(-1, *wide)
            turned = unit(out + rows.around[many].reshape(-1, *wide) * unit(noise - along * out))
            sphere = problem.domain.project(origin + size * turned * scale, origin)
            inner = problem.domain.project(origin + (1 - rows.inward[many].reshape(-1, *wide)) * (sphere - origin), origin)
            for name, x, aim in (("around", sphere, HALF), ("inward", inner, QUARTER)):
                share = ask(problem, rows, x, many).reshape(len(at), -1).to(rows.size.dtype).mean(1)
                value = getattr(rows, name)
                value[at] = (value[at] * torch.where(share > aim, FACTOR, 1 / FACTOR)).clamp(1e-7, 0.9)
        return clear(problem, rows)
