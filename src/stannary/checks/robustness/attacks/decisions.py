"""What attacks that see only decisions share: asking, keeping the nearest success, starting points, bisection.

Every loop here has a bound: on a model whose decision turns with the last bit of a float (boosted trees do) a search for "small
enough" has no end otherwise.
"""

from __future__ import annotations

import torch

from stannary.checks.robustness.rows import Problem, Rows

__all__ = ["CHUNK", "ask", "begin", "bisect", "clear", "mix", "nearest_others", "unit"]

CHUNK = 1 << 23  # numbers of one call: 64 MB of float64
DRAWS = 100  # random starting points at most
TRIES = 16  # rows of the pool that are asked at most


def ask(problem: Problem, rows: Rows, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Ask for inputs `(m, *shape)` that lie in the domain, of the rows `at` `(m,)`; count, keep successes, return them `(m,)`."""
    step = max(1, CHUNK // max(1, x[0].numel() if len(x) else 1))
    hit = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for part in torch.arange(len(x), device=x.device).split(step):
        hit[part] = problem.fooled(problem.target.decide(x[part]), rows.label[at[part]])
    rows.asked.index_add_(0, at, torch.ones_like(at))
    good = hit.nonzero()[:, 0]
    _keep(problem, rows, x[good], at[good])
    return hit


def _keep(problem: Problem, rows: Rows, x: torch.Tensor, at: torch.Tensor) -> None:
    """Remember the nearest of successes, of which a row may have several; of equals the first."""
    size = problem.size(x, rows.origin[at])
    nearest = rows.size.scatter_reduce(0, at, size, "amin")
    good = ((size == nearest[at]) & (size < rows.size[at])).nonzero()[:, 0]
    first = torch.full_like(rows.size, len(size), dtype=torch.int64).scatter_reduce(0, at[good], good, "amin")
    good = good[first[at[good]] == good]
    hit = at[good]
    rows.best[hit], rows.size[hit], rows.found[hit] = x[good], size[good], True


def begin(problem: Problem, rows: Rows, generator: torch.Generator, pool: tuple[torch.Tensor, torch.Tensor] | None) -> None:
    """Give rows what decision attacks need: `asked` (queries), `alive` (a start was found), `x` at the start.

    The sample itself is asked first: one that is decided wrongly is its own nearest success. Then the rows of the pool
    `(x, labels)` that are nearest and of another class, those of round r beginning at the r-th; then random points of the domain.
    """
    rows.asked = torch.zeros(len(rows), dtype=torch.int64, device=rows.x.device)
    every = torch.arange(len(rows), device=rows.x.device)
    ask(problem, rows, rows.origin, every)
    if pool is not None and len(pool[0]):
        _from_pool(problem, rows, pool)
    left = every[~rows.found]
    low, high = problem.domain.span(rows.x)
    low, high = (_finite(bound.expand_as(rows.x), rows.x, sign) for bound, sign in ((low, -1), (high, 1)))
    for _ in range(DRAWS):
        if not len(left):
            break
        share = torch.rand(rows.x[left].shape, generator=generator, device=rows.x.device, dtype=rows.x.dtype)
        x = problem.domain.project(low[left] + share * (high[left] - low[left]), rows.origin[left])
        left = left[~ask(problem, rows, x, left)]
    rows.alive = rows.found.clone()
    rows.x = rows.best.clone()


def _from_pool(problem: Problem, rows: Rows, pool: tuple[torch.Tensor, torch.Tensor]) -> None:
    order = nearest_others(problem, rows, pool, TRIES + int(rows.round.max() if len(rows) else 0))
    for rank in range(TRIES):
        at = (~rows.found).nonzero()[:, 0]
        number = rows.round[at] + rank
        pick = order[at].gather(1, number.clamp_max(order.shape[1] - 1)[:, None])[:, 0]
        usable = (number < order.shape[1]) & (pick >= 0)
        if not usable.any():
            return
        at, pick = at[usable], pick[usable]
        ask(problem, rows, problem.domain.project(pool[0][pick], rows.origin[at]), at)


def nearest_others(problem: Problem, rows: Rows, pool: tuple[torch.Tensor, torch.Tensor], count: int) -> torch.Tensor:
    """Return the places in the pool of the nearest rows of another class (or of the wanted one), nearest first; -1: no more."""
    x, labels = pool
    unit_ = 1.0 if problem.scale is None else problem.scale
    here, there = (rows.origin / unit_).flatten(1), (x / unit_).flatten(1)
    power = float("inf") if problem.norm == "linf" else 2.0 if problem.norm == "l2" else 1.0
    other = (labels[None] == rows.label[:, None]) if problem.targeted else (labels[None] != rows.label[:, None])
    far = torch.cdist(here, there, p=power).masked_fill(~other, float("inf"))
    near = far.topk(min(count, len(x)), dim=1, largest=False)
    return near.indices.masked_fill(near.values.isinf(), -1)


def bisect(problem: Problem, rows: Rows, at: torch.Tensor, halvings: int) -> None:
    """Move `rows.x[at]`, all successes, along the way to their origins while they remain successes."""
    low = torch.zeros(len(at), dtype=rows.x.dtype, device=rows.x.device)  # the share of the way that is known to be too little
    high = torch.ones_like(low)
    origin, start = rows.origin[at], rows.x[at]
    for _ in range(halvings):
        middle = (low + high) / 2
        x = problem.domain.project(mix(problem, origin, start, middle), origin)
        hit = ask(problem, rows, x, at)
        high, low = torch.where(hit, middle, high), torch.where(hit, low, middle)
        now = at[hit]
        rows.x[now] = x[hit]


def mix(problem: Problem, origin: torch.Tensor, x: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return points at a share `(n,)` of the way from `origin` to `x`: on the line, or (linf) in the cube of that size."""
    by = share.reshape(-1, *[1] * (x.ndim - 1))
    if problem.norm != "linf":
        return origin + by * (x - origin)
    moved = (x - origin) / (1.0 if problem.scale is None else problem.scale)
    limit = by * moved.flatten(1).abs().amax(1).reshape(by.shape)
    return origin + moved.clamp(-limit, limit) * (1.0 if problem.scale is None else problem.scale)


def unit(v: torch.Tensor) -> torch.Tensor:
    """Return directions `(n, *shape)` scaled to length 1; those of length 0 as they are."""
    size = v.flatten(1).norm(dim=1).clamp_min(1e-30)
    return v / size.reshape(-1, *[1] * (v.ndim - 1))


def clear(problem: Problem, rows: Rows) -> torch.Tensor:
    """Tell which rows need no more work, `(n,)`: no start was found, nothing is left to reduce, or the radius is reached."""
    over = ~rows.alive | (rows.size == 0)
    return over if problem.eps is None else over | (rows.size <= problem.eps)


def _finite(bound: torch.Tensor, x: torch.Tensor, sign: int) -> torch.Tensor:
    """Return a bound in which infinite entries are replaced by the value itself and twice its size (at least 1) beyond."""
    return torch.where(bound.isfinite(), bound, x + sign * (1 + 2 * x.abs()))
