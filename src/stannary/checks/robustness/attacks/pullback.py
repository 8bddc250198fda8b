"""Pull-back: begin at real rows of another class, and put back every value that the change does not need.

What is left are few changed features, each as near to its original value as the decision allows: on tables a smaller and sparser
change than that of attacks which move all features at once, for the same number of queries. Only decisions are asked for.
"""

from __future__ import annotations

import torch

from stannary.checks.robustness.attacks.decisions import ask, begin, bisect, clear
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access

__all__ = ["PullBack"]


class PullBack:
    """Restore, then bisect, from several starting rows a sample.

    Args:
        pool: rows `(m, features)` of real data and their labels `(m,)`.
        rounds: starting rows a sample; the cheapest result counts.
        halvings: of each bisection.
    """

    access: Access = "decision"
    norms: tuple[str, ...] = ("linf", "l2", "l1", "l0", "cost")
    minimal = True

    def __init__(self, pool: tuple[torch.Tensor, torch.Tensor], *, rounds: int = 8, halvings: int = 12) -> None:
        self.id = f"pull-back-{rounds}"
        self.pool, self.rounds, self.halvings = pool, rounds, halvings
        features = pool[0][0].numel() if len(pool[0]) else 1
        self.steps = 2 * features + 4  # a restoration takes at least one feature, a bisection treats one, and both end

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:
        """Start at the nearest rows of the pool that the target decides otherwise."""
        begin(problem, rows, generator, self.pool)
        if problem.norm == "linf":  # where the greatest change counts, all have to shrink together
            bisect(problem, rows, (~clear(problem, rows)).nonzero()[:, 0], self.halvings)
        features = rows.x[0].numel() if len(rows) else 1
        rows.treated = torch.zeros(len(rows), features, dtype=torch.bool, device=rows.x.device)
        rows.restoring = torch.ones(len(rows), dtype=torch.bool, device=rows.x.device)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Put features back where that is possible; rows for which it is not bisect one of those left."""
        at = (~clear(problem, rows)).nonzero()[:, 0]
        back, rest = at[rows.restoring[at]], at[~rows.restoring[at]]
        over = torch.zeros_like(rows.found)
        if len(back):
            rows.restoring[back] = _restore(problem, rows, back)
        if len(rest):
            over[rest] = self._tighten(problem, rows, rest)
        return over | clear(problem, rows)

    def _tighten(self, problem: Problem, rows: Rows, at: torch.Tensor) -> torch.Tensor:
        """Bisect of each row the changed feature that is farthest and was not yet treated; return which have none, `(len(at),)`."""
        flat, home = rows.x[at].flatten(1), rows.origin[at].flatten(1)
        left = (flat != home) & ~rows.treated[at]
        scale = 1.0 if problem.scale is None else problem.scale.flatten()
        far, pick = ((flat - home) / scale).abs().masked_fill(~left, -1).max(1)
        some = far >= 0
        at, pick, place = at[some], pick[some], torch.arange(int(some.sum()), device=at.device)
        rows.treated[at, pick] = True
        whole, origin = rows.x[at], rows.origin[at]
        start, end = origin.flatten(1)[place, pick], whole.flatten(1)[place, pick]
        low, high = torch.zeros_like(start), torch.ones_like(start)
        for _ in range(self.halvings):
            middle = (low + high) / 2
            x = whole.flatten(1).clone()
            x[place, pick] = start + middle * (end - start)
            x = problem.domain.project(x.reshape(whole.shape), origin)
            hit = (x == rows.x[at]).flatten(1).all(1)  # a whole number, asked before
            back = ~hit & (x.flatten(1)[place, pick] != start)  # putting it back was asked before, too
            hit[back] = ask(problem, rows, x[back], at[back])
            good = hit & (problem.size(x, origin) <= problem.size(rows.x[at], origin))
            rows.x[at[good]] = x[good]
            low, high = torch.where(hit, low, middle), torch.where(hit, middle, high)
        return ~some


def _restore(problem: Problem, rows: Rows, at: torch.Tensor) -> torch.Tensor:
    """Put back one feature at a time on trial, then as many together as stay a success; tell which rows moved, `(len(at),)`."""
    x, origin = rows.x[at], rows.origin[at]
    row, feature = (x != origin).flatten(1).nonzero().T
    trial = _put_back(problem, x[row], origin[row], feature[:, None])
    now, then = problem.size(x, origin)[row], problem.size(trial, origin[row])
    fewer = (trial != origin[row]).flatten(1).sum(1) < (x != origin).flatten(1).sum(1)[row]
    good = ((then < now) | ((then == now) & fewer)).nonzero()[:, 0]
    hit = ask(problem, rows, trial[good], at[row[good]])
    good = good[hit]
    # By what each saves; then all prefixes of that order at once.
    good = good[(now - then)[good].argsort(descending=True, stable=True)]
    good = good[row[good].argsort(stable=True)]
    row, feature, trial = row[good], feature[good], trial[good]
    counts = torch.bincount(row, minlength=len(at))
    rank = torch.arange(len(row), device=at.device) - (counts.cumsum(0) - counts)[row]
    order = torch.full((len(at), max(1, int(counts.max()))), -1, dtype=torch.int64, device=at.device)
    order[row, rank] = feature
    later = rank > 0
    ahead = torch.arange(order.shape[1], device=at.device)[None] <= rank[:, None]
    sets = torch.where(ahead, order[row], -1)
    trial[later] = _put_back(problem, x[row[later]], origin[row[later]], sets[later])
    hit = ~later
    hit[later] = ask(problem, rows, trial[later], at[row[later]])
    best = torch.full((len(at),), -1, dtype=torch.int64, device=at.device)
    best = best.scatter_reduce(0, row[hit], rank[hit], "amax")
    chosen = hit & (rank == best[row])
    rows.x[at[row[chosen]]] = trial[chosen]
    return best >= 0


def _put_back(problem: Problem, x: torch.Tensor, origin: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return `x` with features `(n, k)` (-1: none) as in the origin, in the domain."""
    mask = torch.zeros(len(x), x[0].numel() + 1 if len(x) else 1, dtype=torch.bool, device=x.device)
    if not len(x):
        return x
    mask.scatter_(1, features % mask.shape[1], True)  # noqa: FBT003 - torch's; -1 falls on the last place, which is no feature
    mixed = torch.where(mask[:, :-1].reshape(x.shape), origin, x)
    return problem.domain.project(mixed, origin)
