"""Activation clustering (Chen et al. 2018): a poisoned class's activations fall into what belongs there and what was put in."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stannary.checks.poisoning.view import View
from stannary.core.errors import UsageError

__all__ = ["Clusters", "activation_clustering", "principal", "split"]

_COMPONENTS = 10
_STARTS = (0.5, 0.25, 0.75, 0.1, 0.9)  # shares of the rows on one side of the first component
_ROUNDS = 100


@dataclass(frozen=True)
class Clusters:
    """Two groups in each class.

    - `scores` `(n,)`: how much nearer a row is to the smaller group than to the greater, in squared distances between the two
      centres: 1 at the centre of the smaller, -1 at that of the greater; NaN in a class too small to be split
    - `smaller` `(n,)` bool: the rows in the smaller group
    - `shares`, `separation`: of each class the smaller group's share of its rows, and the share of the variance that lies
      between the groups
    """

    scores: torch.Tensor
    smaller: torch.Tensor
    shares: dict[int, float]
    separation: dict[int, float]


def principal(rows: torch.Tensor, count: int) -> torch.Tensor:
    """Return rows `(m, features)`, centred, in their first `count` principal components."""
    centred = rows - rows.mean(0)
    if rows.shape[1] > len(rows):  # wide layers: of as many dimensions as there are rows, at most
        values, sides = torch.linalg.eigh(centred @ centred.T)
        return sides.flip(1)[:, :count] * values.flip(0)[:count].clamp_min(0).sqrt()
    _, axes = torch.linalg.eigh(centred.T @ centred)
    return centred @ axes.flip(1)[:, :count]


def split(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return the best of several runs of 2-means on rows `(m, features)`: groups `(m,)`, centres `(2, features)`, inertia.

    Starts are cuts along the first principal component: the same data give the same groups.

    Raises:
        UsageError: all rows are the same.
    """
    along = principal(rows, 1)[:, 0]
    best: tuple[torch.Tensor, torch.Tensor, float] | None = None
    for share in _STARTS:
        groups = (along > along.quantile(share)).long()
        centres = torch.zeros(2, rows.shape[1], dtype=rows.dtype)
        for _ in range(_ROUNDS):
            if not 0 < int(groups.sum()) < len(rows):
                break
            centres = torch.stack([rows[groups == group].mean(0) for group in (0, 1)])
            moved = torch.cdist(rows, centres).argmin(1)
            if torch.equal(moved, groups):
                break
            groups = moved
        if not 0 < int(groups.sum()) < len(rows):
            continue
        inertia = float((rows - centres[groups]).square().sum())
        if best is None or inertia < best[2]:
            best = (groups, centres, inertia)
    if best is None:
        msg = "the rows are all the same: there are no two groups"
        raise UsageError(msg)
    return best


def activation_clustering(view: View) -> Clusters:
    """Split the activations of every class in two. Raises UsageError without activations, or without a class to split."""
    found = view.activations
    scores = torch.full((len(found),), torch.nan, dtype=torch.float64)
    smaller = torch.zeros(len(found), dtype=torch.bool)
    shares: dict[int, float] = {}
    separation: dict[int, float] = {}
    for label, rows in view.classes():
        reduced = principal(found[rows], _COMPONENTS)
        total = float(reduced.square().sum())
        try:
            groups, centres, inertia = split(reduced)
        except UsageError:
            continue  # a class of one point: nothing was put into it that the network sees
        small = int(int(groups.sum()) * 2 <= len(groups))
        far = torch.cdist(reduced, centres).square()
        scores[rows] = (far[:, 1 - small] - far[:, small]) / (centres[0] - centres[1]).square().sum()
        smaller[rows] = groups == small
        shares[label] = float((groups == small).double().mean())
        separation[label] = 1 - inertia / total
    if not shares:
        msg = "no class has enough different rows to be split"
        raise UsageError(msg, where=view.target.name)
    return Clusters(scores, smaller, shares, separation)
