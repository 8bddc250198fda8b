"""What one change does to an ensemble: for every column all values that matter, and the exact outputs at each of them.

An ensemble is constant between its thresholds. Changing one column alone, an input comes to the leaves whose path it leaves at
that column only; they are few (about the depth of a tree), are found by one walk for all columns at once, and their sums over
trees, sorted by threshold, are the outputs as a function of that column. Nothing is tried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from stannary.checks.robustness.rows import Problem
from stannary.checks.robustness.tree_model import Ensemble, after
from stannary.checks.target.domain import TableDomain

__all__ = ["Columns", "LeafBoxes", "Moves", "Walker", "values_beside"]


@dataclass(frozen=True)
class Columns:
    """What single columns may become, as tensors `(features,)`, and what a change of them weighs.

    Args:
        low, high: bounds.
        still: it does not change, or follows others.
        grouped: it changes with its one-hot group only.
        whole: whole numbers.
        rise, fall: only up, only down.
        values: the allowed ones, sorted, by column.
        groups: one-hot groups that may change, with whether they may be empty.
        linked: columns depend on each other, so that a change may lead elsewhere.
        unit: of distances.
        price, flat, fixed: of costs.
    """

    low: torch.Tensor
    high: torch.Tensor
    still: torch.Tensor
    grouped: torch.Tensor
    whole: torch.Tensor
    rise: torch.Tensor
    fall: torch.Tensor
    values: dict[int, torch.Tensor]
    groups: tuple[tuple[tuple[int, ...], bool], ...]
    linked: bool
    unit: torch.Tensor
    price: torch.Tensor
    flat: torch.Tensor
    fixed: torch.Tensor

    @classmethod
    def of(cls, problem: Problem, features: int) -> Columns:
        """Return those of a problem; of a domain that is no table all columns are numbers within its span."""
        like = torch.zeros(features, dtype=torch.float64)
        low, high = (bound.double().expand(features) for bound in problem.domain.span(like[None]))
        unit = torch.ones_like(like) if problem.scale is None else problem.scale.double().flatten()
        no = torch.zeros(features, dtype=torch.bool)
        if not isinstance(problem.domain, TableDomain):
            return cls(low, high, no, no, no, no, no, {}, (), True, unit, like + 1, no, like)  # noqa: FBT003 - linked: it may project
        columns = problem.domain.columns
        index = {c.name: at for at, c in enumerate(columns)}
        frozen = {name for group in problem.domain.groups if group.immutable for name in group.columns}

        def flags(*said: bool) -> torch.Tensor:
            return torch.tensor(said, dtype=torch.bool)

        return cls(
            low,
            high,
            flags(*(c.immutable or bool(c.formula) or c.name in frozen for c in columns)),
            flags(*(c.kind == "onehot" for c in columns)),
            flags(*(c.kind in ("integer", "binary") for c in columns)),
            flags(*(c.monotone == "rise" for c in columns)),
            flags(*(c.monotone == "fall" for c in columns)),
            {at: torch.tensor(sorted(c.values), dtype=torch.float64) for at, c in enumerate(columns) if c.values},
            tuple((tuple(index[name] for name in g.columns), g.optional) for g in problem.domain.groups if not g.immutable),
            bool(problem.domain.links.parts),
            unit,
            torch.tensor([c.cost for c in columns], dtype=torch.float64),
            flags(*(c.kind in ("categorical", "binary") for c in columns)),
            torch.tensor([c.fixed for c in columns], dtype=torch.float64),
        )

    def weigh(self, feature: torch.Tensor, change: torch.Tensor, norm: str) -> torch.Tensor:
        """Return what changes `(k,)` of columns `(k,)` add to a size that sums up over columns; linf is stood in for by l8."""
        size = change.abs()
        if norm == "cost":
            return (
                torch.where(self.flat[feature], (size > 0).double(), size) * self.price[feature] + (size > 0) * self.fixed[feature]
            )
        if norm == "l0":
            return (size > 0).double()
        return (size / self.unit[feature]) ** {"l1": 1, "l2": 2, "linf": 8}[norm]


class Moves(NamedTuple):
    """Intervals `(low, high]` of one column, `(k,)` each: state, column, bounds, and the outputs `(k, classes)` inside."""

    state: torch.Tensor
    feature: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    outputs: torch.Tensor


class Walker:
    """The trees of an ensemble with thresholds as numbers of their order, which are quicker to compare and to sort."""

    def __init__(self, trees: Ensemble) -> None:
        inner = trees.feature >= 0
        ends = torch.tensor([-torch.inf, torch.inf], dtype=torch.float64)
        self.trees, self.edges = trees, torch.cat((ends, trees.threshold[inner])).unique()
        self.threshold, self.low, self.high = (
            torch.searchsorted(self.edges, column).int() for column in (trees.threshold, trees.low, trees.high)
        )
        self.feature, self.sides = trees.feature.int(), (trees.left.int(), trees.right.int())

    def moves(self, x: torch.Tensor) -> tuple[torch.Tensor, Moves]:
        """Return the outputs `(n, classes)` of inputs `(n, features)`, and those after every change of one column."""
        trees, count = self.trees, len(self.trees.roots)
        x = x.to(trees.dtype).double()
        leaf, place, free, low, high = self._reached(torch.searchsorted(self.edges, x.contiguous()).int())
        here = free < 0
        now = torch.zeros(len(x) * count, dtype=torch.int32)
        now[place[here]] = leaf[here]
        base = trees.value[now].reshape(len(x), count, trees.value.shape[1]).sum(1) + trees.base
        at = (~here).nonzero()[:, 0]
        leaf, place, free, low, high = (column[at] for column in (leaf, place, free, low, high))
        delta = trees.value[leaf] - trees.value[now[place]]
        width = len(self.edges)
        column = ((place // count).long() * trees.features + free) * width
        key, order = torch.cat((column + low, column + high)).sort()
        sums = torch.cat((delta, -delta))[order].cumsum(0)
        column = torch.div(key, width, rounding_mode="floor")
        real = ((column[1:] == column[:-1]) & (key[1:] > key[:-1])).nonzero()[:, 0]
        column, state = column[real], torch.div(column[real], trees.features, rounding_mode="floor")
        low, high = (self.edges[key[end] - column * width] for end in (real, real + 1))
        return base, Moves(state, column % trees.features, low, high, base[state] + sums[real])

    def _reached(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Walk all trees with all inputs (as numbers), leaving the way at one column at most.

        Return leaves, places (input * trees + tree), the column that has to change (-1: none) and the bounds `(low, high]` that
        it has to be in, as numbers.
        """
        count, features = len(self.trees.roots), self.trees.features
        node = self.trees.roots.int().repeat(len(x))
        place = torch.arange(len(node), dtype=torch.int32)
        free, low, high = torch.full_like(node, -1), torch.zeros_like(node), torch.full_like(node, len(self.edges) - 1)
        flat, ended = x.reshape(-1), []
        for _ in range(self.trees.depth + 1):
            feature = self.feature[node]
            leaf, inner = (feature < 0).nonzero()[:, 0], (feature >= 0).nonzero()[:, 0]
            ended.append(tuple(column[leaf] for column in (node, place, free, low, high)))
            if not len(inner):
                break
            node, place, free, low, high, feature = (column[inner] for column in (node, place, free, low, high, feature))
            threshold = self.threshold[node]
            goes = flat[torch.div(place, count, rounding_mode="floor") * features + feature] <= threshold
            own, open_ = free == feature, free < 0
            anyway = own | open_
            parts = []
            for left, fits in ((True, goes), (False, ~goes)):
                at = (fits | anyway).nonzero()[:, 0]
                on, was, cut = node[at], feature[at], threshold[at]
                leaves = (open_ & ~fits)[at]
                down, up = torch.where(leaves, self.low[on], low[at]), torch.where(leaves, self.high[on], high[at])
                bound = own[at] | leaves
                if left:
                    up = torch.where(bound, torch.minimum(up, cut), up)
                else:
                    down = torch.where(bound, torch.maximum(down, cut), down)
                parts.append((self.sides[not left][on], place[at], torch.where(leaves, was, free[at]), down, up))
            node, place, free, low, high = (torch.cat(columns) for columns in zip(*parts, strict=True))
        return tuple(torch.cat(columns) for columns in zip(*ended, strict=True))


def values_beside(
    columns: Columns, trees: Ensemble, feature: torch.Tensor, bounds: tuple[torch.Tensor, torch.Tensor], origin: torch.Tensor
) -> torch.Tensor:
    """Return the allowed values nearest to the origin's `(k,)` within `(low, high]` of columns `(k,)`; NaN where there is none."""
    low, high = bounds
    seen = origin.to(trees.dtype).double()
    inside, below = (seen > low) & (seen <= high), seen <= low
    whole = columns.whole[feature]
    up = torch.where(whole, low.floor() + 1, after(low, trees.dtype))
    down = torch.where(whole, high.floor(), high)
    for at, allowed in columns.values.items():
        mine = (feature == at).nonzero()[:, 0]
        padded = torch.cat((allowed, allowed.new_tensor([torch.nan])))  # what is beyond the last, and before the first, is none
        up[mine] = padded[torch.searchsorted(allowed, low[mine], right=True)]
        down[mine] = padded[torch.searchsorted(allowed, high[mine], right=True) - 1]
    value = torch.maximum(torch.minimum(torch.where(below, up, down), columns.high[feature]), columns.low[feature])
    again = value.to(trees.dtype).double()
    wrong = ~((again > low) & (again <= high)) | ~value.isfinite() | columns.still[feature] | columns.grouped[feature]
    wrong |= (columns.rise[feature] & (value < origin)) | (columns.fall[feature] & (value > origin))
    return torch.where(inside, origin, value.masked_fill(wrong, torch.nan))


class LeafBoxes:
    """The conditions under which inputs come to each leaf: of every column and side the tightest one alone.

    `leaf` `(leaves,)`; `feature` `(leaves, depth)`, -1 where there is no condition; `threshold`; `upper`: `x <= threshold`.
    """

    def __init__(self, trees: Ensemble) -> None:
        parent, is_left = torch.full_like(trees.feature, -1), torch.zeros_like(trees.feature, dtype=torch.bool)
        inner = (trees.feature >= 0).nonzero()[:, 0]
        parent[trees.left[inner]], parent[trees.right[inner]] = inner, inner
        is_left[trees.left[inner]] = True
        self.leaf = (trees.feature < 0).nonzero()[:, 0]
        below, above, rows = self.leaf, parent[self.leaf], []
        for _ in range(trees.depth):
            real = above.clamp_min(0)
            rows.append((torch.where(above >= 0, trees.feature[real], -1), trees.threshold[real], is_left[below]))
            below, above = real, torch.where(above >= 0, parent[real], above)
        if not rows:
            rows.append((self.leaf * 0 - 1, self.leaf * 0.0, self.leaf < 0))
        self.feature, self.threshold, self.upper = (torch.stack(column, 1) for column in zip(*rows, strict=True))
        for at in range(1, self.feature.shape[1]):  # nearer to the leaf is tighter
            seen = (self.feature[:, :at] == self.feature[:, at : at + 1]) & (self.upper[:, :at] == self.upper[:, at : at + 1])
            self.feature[:, at] = torch.where(seen.any(1), -1, self.feature[:, at])

    def moved(self, columns: Columns, trees: Ensemble, x: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """Return inputs `(k, features)` moved just into the boxes of the leaves numbered `which` `(k,)`, not yet in the domain."""
        x = x.clone()
        for at in range(self.feature.shape[1]):
            feature, threshold, upper = self.feature[which, at], self.threshold[which, at], self.upper[which, at]
            real = feature.clamp_min(0)
            mine = x.gather(1, real[:, None])[:, 0]
            seen = mine.to(trees.dtype).double()
            off = (feature >= 0) & torch.where(upper, seen > threshold, seen <= threshold)
            beyond = torch.where(columns.whole[real], threshold.floor() + 1, after(threshold, trees.dtype))
            value = torch.where(upper, threshold, beyond)
            value = torch.where(columns.grouped[real], torch.where(upper, -1.0, 2.0), value)  # clear for who takes the greatest
            value = torch.where(off, value, mine)
            x.scatter_(1, real[:, None], value[:, None])
        return x

    def price(self, columns: Columns, x: torch.Tensor, norm: str) -> torch.Tensor:
        """Return what it weighs to move inputs `(n, features)` into each box, `(n, leaves)`; inf where a column may not change."""
        real = self.feature.clamp_min(0)
        at = x[:, real]
        off = (self.feature >= 0) & torch.where(self.upper, at > self.threshold, at <= self.threshold)
        weight = columns.weigh(real.expand(off.shape), torch.where(off, at - self.threshold, 0.0), norm)
        never = columns.still[real] | (self.upper & columns.rise[real]) | (~self.upper & columns.fall[real])
        return weight.masked_fill(off & never, torch.inf).sum(2)
