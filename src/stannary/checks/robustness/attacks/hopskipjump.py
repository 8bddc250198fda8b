"""HopSkipJump (Chen, Jordan and Wainwright 2020) for all samples at once: a decision attack by gradients estimated at the boundary.

Known implementations walk through samples one by one and halve the step until it succeeds, which on boosted trees may be never.
Here the rows of a batch are asked together, each with the number of queries of its own age, and every loop is bounded. Another
difference: the distance at which the boundary is probed begins at 0.3 of the distance to the sample, not at 1 / d of it, and
follows the answers. Forests, whose boundary is made of steps, need that.
"""

from __future__ import annotations

import math

import torch

from stannary.checks.robustness.attacks.decisions import CHUNK, ask, begin, bisect, clear, unit
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access

__all__ = ["HopSkipJump"]

HALVINGS = 25  # of a bisection
SHORTER = 12  # halvings of a step before the row stays where it is
SPREAD = 0.3  # of the distance to the sample: where the boundary is probed at first
FEW = 0.1  # of the answers: fewer on one side say that the boundary is not seen from there


class HopSkipJump:
    """Walk along the boundary towards the sample.

    Args:
        steps: iterations; 20 are some 6,400 queries a sample.
        first: queries of the first estimate; the t-th takes sqrt(t) times as many, at most `most`.
        queries: no row asks more than this in all; None for no limit of its own.
        pool: rows `(m, *shape)` and labels `(m,)` from which to start, e.g. training data; None for random points.
    """

    access: Access = "decision"
    norms: tuple[str, ...] = ("l2", "linf")
    minimal = True
    rounds = 1

    def __init__(
        self,
        steps: int = 20,
        *,
        first: int = 100,
        most: int = 10_000,
        queries: int | None = None,
        pool: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        self.id = f"hopskipjump-{steps}"
        self.steps, self.first, self.most, self.queries, self.pool = steps, first, most, queries, pool

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:
        """Find a starting point and walk to the boundary."""
        begin(problem, rows, generator, self.pool)
        rows.reach = torch.full_like(rows.size, SPREAD)
        bisect(problem, rows, (~clear(problem, rows)).nonzero()[:, 0], self._halvings(problem, rows))

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        """Estimate the direction in which the boundary is left, jump, and walk back to the boundary."""
        at = (~clear(problem, rows)).nonzero()[:, 0]
        if len(at):
            rows.x[at] = rows.best[at]
            way = self._direction(problem, rows, at, generator)
            self._jump(problem, rows, at, way)
            bisect(problem, rows, at, self._halvings(problem, rows))
        over = clear(problem, rows)
        return over if self.queries is None else over | (rows.asked >= self.queries)

    def _halvings(self, problem: Problem, rows: Rows) -> int:
        return min(HALVINGS, 1 + math.ceil(-math.log2(_theta(problem, rows))))

    def _direction(self, problem: Problem, rows: Rows, at: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the estimate (equation 9 of the paper, with its baseline) for rows `at`, `(len(at), *shape)`."""
        counts = (self.first * (rows.age[at] + 1).double().sqrt()).long().clamp_max(self.most)
        if self.queries is not None:
            counts = torch.minimum(counts, (self.queries - rows.asked[at]).clamp_min(2))
        scale = 1.0 if problem.scale is None else problem.scale
        shape, width = rows.x.shape[1:], [1] * (rows.x.ndim - 1)
        sums, plain = rows.x.new_zeros(len(at), *shape), rows.x.new_zeros(len(at), *shape)
        hits = rows.x.new_zeros(len(at))
        row = torch.arange(len(at), device=at.device).repeat_interleave(counts)
        for part in row.split(max(1, CHUNK // rows.x[0].numel())):
            far = (rows.reach * rows.size)[at[part]].reshape(-1, *width)
            noise = torch.empty((len(part), *shape), dtype=rows.x.dtype, device=rows.x.device)
            noise = noise.normal_(generator=generator) if problem.norm == "l2" else noise.uniform_(-1, 1, generator=generator)
            origin, base = rows.origin[at[part]], rows.x[at[part]]
            x = problem.domain.project(base + far * unit(noise) * scale, origin)
            hit = ask(problem, rows, x, at[part])
            moved = (x - base) / scale / far.clamp_min(1e-300)
            signed = moved * (2.0 * hit.to(x.dtype) - 1).reshape(-1, *width)
            sums.index_add_(0, part, signed)
            plain.index_add_(0, part, moved)
            hits.index_add_(0, part, hit.to(x.dtype))
        share = hits / counts
        one = (share == 0) | (share == 1)
        mean = torch.where(one, torch.zeros_like(share), 2 * share - 1).reshape(-1, *width)
        unseen = (share < FEW) | (share > 1 - FEW)  # the next estimate probes from farther
        rows.reach[at] = torch.where(unseen, rows.reach[at] * 1.5, rows.reach[at] * 0.9).clamp(1 / max(2, rows.x[0].numel()), 0.5)
        way = sums - mean * plain
        return way.sign() if problem.norm == "linf" else unit(way)

    def _jump(self, problem: Problem, rows: Rows, at: torch.Tensor, way: torch.Tensor) -> None:
        """Take the longest step, halved from distance / sqrt(t), that stays a success; rows without one stay where they are."""
        scale = 1.0 if problem.scale is None else problem.scale
        length = rows.size[at] / (rows.age[at] + 1).to(rows.x.dtype).sqrt()
        base = rows.x[at].clone()
        left = torch.arange(len(at), device=at.device)
        for _ in range(SHORTER):
            if not len(left):
                return
            far = length[left].reshape(-1, *[1] * (base.ndim - 1))
            x = problem.domain.project(base[left] + far * way[left] * scale, rows.origin[at[left]])
            hit = ask(problem, rows, x, at[left])
            rows.x[at[left[hit]]] = x[hit]
            left = left[~hit]
            length = length / 2


def _theta(problem: Problem, rows: Rows) -> float:
    """Return the precision of a bisection: d^-1.5 for l2, d^-2 for linf."""
    features = max(2, int(rows.x[0].numel()) if len(rows) else 2)
    return math.pow(features, -1.5 if problem.norm == "l2" else -2.0)
