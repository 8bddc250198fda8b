"""Forests and boosted trees as arrays: what each library's trees are brought into, evaluated, and held against the library.

A node sends an input left when `x[feature] <= threshold`, with `x` rounded to the precision in which the library compares
(`dtype`) and the threshold representable in it. A rule `x < t` becomes `x <= the number before t`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from stannary.checks.target.interface import Access, Loss
from stannary.core.errors import InputError, UsageError

__all__ = ["Ensemble", "EnsembleTarget", "after", "at_most", "before", "verified"]

CHUNK = 1 << 22  # (input, tree) pairs of one evaluation
TOLERANCE = 2e-5  # of the greatest margin: libraries add up in float32
PROBES = 128  # inputs on both sides of thresholds, besides the data, on which margins must agree


@dataclass(frozen=True)
class Ensemble:
    """Trees over `features` columns whose outputs add up.

    Args:
        feature: of each node, `(nodes,)` int64; -1 at leaves.
        threshold: `(nodes,)` float64.
        left, right: the nodes after it, `(nodes,)` int64; a leaf's are itself.
        missing: whether a NaN goes left, `(nodes,)` bool.
        value: what a leaf adds, `(nodes, classes)` float64.
        roots: `(trees,)` int64.
        base: what is added to every output, `(classes,)`.
        dtype: the precision of comparisons.
        features: columns of an input.
    """

    feature: torch.Tensor
    threshold: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    missing: torch.Tensor
    value: torch.Tensor
    roots: torch.Tensor
    base: torch.Tensor
    dtype: torch.dtype
    features: int
    low: torch.Tensor = field(init=False)  # (nodes,): the bounds that the nodes above set to a node's own feature
    high: torch.Tensor = field(init=False)
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        parent = torch.full_like(self.feature, -1)
        inner = (self.feature >= 0).nonzero()[:, 0]
        parent[self.left[inner]], parent[self.right[inner]] = inner, inner
        low, high = torch.full_like(self.threshold, -torch.inf), torch.full_like(self.threshold, torch.inf)
        below, above, depth = torch.arange(len(parent)), parent.clone(), 0
        while bool((above >= 0).any()):
            depth += 1
            if depth > len(parent):
                msg = "a tree of this model goes round in a circle"
                raise InputError(msg)
            real = above.clamp_min(0)
            same = (above >= 0) & (self.feature[real] == self.feature)
            is_left = self.left[real] == below
            high = torch.where(same & is_left, torch.minimum(high, self.threshold[real]), high)
            low = torch.where(same & ~is_left, torch.maximum(low, self.threshold[real]), low)
            below, above = real, torch.where(above >= 0, parent[real], above)
        for name, value in (("low", low), ("high", high), ("depth", depth)):
            object.__setattr__(self, name, value)

    def leaves(self, x: torch.Tensor) -> torch.Tensor:
        """Return the leaf of every tree that inputs `(n, features)` come to, `(n, trees)`."""
        x = x.to(self.dtype).double()
        node = self.roots.expand(len(x), -1)
        for _ in range(self.depth):
            feature = self.feature[node]
            at = x.gather(1, feature.clamp_min(0))
            goes = torch.where(at.isnan(), self.missing[node], at <= self.threshold[node])
            node = torch.where(goes, self.left[node], self.right[node])
        return node

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return the margins `(n, classes)` of inputs `(n, features)`."""
        parts = x.split(max(1, CHUNK // max(1, len(self.roots))))
        return torch.cat([self.value[self.leaves(part)].sum(1) + self.base for part in parts])


class EnsembleTarget:
    """Trees as a target, evaluated here: the local copy of a model that an attacker has read."""

    access: Access = "score"
    device = "cpu"

    def __init__(self, trees: Ensemble, name: str = "trees") -> None:
        self.trees, self.name = trees, name
        self.shape, self.classes = (trees.features,), trees.value.shape[1]

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the margins."""
        return self.trees.outputs(x)

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class of the greatest margin, of equals the first."""
        return self.trees.outputs(x).argmax(1)

    def gradient(self, x: torch.Tensor, loss: Loss) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # noqa: ARG002 - the protocol's
        """Refuse: trees are constant almost everywhere."""
        msg = f"{self.name}: trees have no gradient"
        raise UsageError(msg)


def verified(trees: Ensemble, margins: Any, x: torch.Tensor) -> Ensemble:  # noqa: ANN401 - the library's function
    """Return the trees with their `base`, if they give the library's own margins on data and just across thresholds.

    Args:
        trees: as read, with no base.
        margins: the library's function from a float64 array `(n, features)` to margins `(n, classes)`.
        x: data `(n, features)` float64.

    Raises:
        InputError: they do not: something in this model is not understood.
    """
    if x.ndim != 2 or x.shape[1] != trees.features or not len(x):  # noqa: PLR2004 - a table
        msg = f"the trees need data of shape (n, {trees.features}), not {tuple(x.shape)}"
        raise InputError(msg)
    probes = torch.cat((x, _across(trees, x)))
    theirs = torch.as_tensor(margins(probes.numpy())).double().reshape(len(probes), -1)
    if theirs.shape[1] == 1:
        theirs = torch.cat((torch.zeros_like(theirs), theirs), 1)
    if theirs.shape[1] != trees.value.shape[1]:
        msg = f"the library gives {theirs.shape[1]} margins, its trees {trees.value.shape[1]}"
        raise InputError(msg)
    ours = trees.outputs(probes)
    base = (theirs - ours).median(0).values
    off = (theirs - ours - base).abs().amax()
    allowed = TOLERANCE * max(1.0, float(theirs.abs().amax()))
    if not bool(off <= allowed):
        msg = (
            f"the trees as read differ from the library's margins by {float(off):.3g}: this model has something not understood here"
        )
        raise InputError(msg)
    return replace(trees, base=base)


def _across(trees: Ensemble, x: torch.Tensor) -> torch.Tensor:
    """Return rows of the data moved onto, and just across, thresholds spread over all nodes."""
    inner = ((trees.feature >= 0) & trees.threshold.isfinite()).nonzero()[:, 0]
    if not len(inner):
        return x[:0]
    pick = inner[torch.linspace(0, len(inner) - 1, min(PROBES, len(inner))).long()]
    rows = x[torch.arange(len(pick)) % len(x)]
    at, onto = trees.threshold[pick], rows.clone()
    place = torch.arange(len(pick))
    onto[place, trees.feature[pick]] = at
    beyond = onto.clone()
    beyond[place, trees.feature[pick]] = after(at, trees.dtype)
    return torch.cat((onto, beyond))


def at_most(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the greatest number of the precision `dtype` that is not above `value` (float64), as float64."""
    near = value.to(dtype)
    return torch.where(near.double() > value, torch.nextafter(near, near.new_tensor(-torch.inf)), near).double()


def before(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the number of the precision `dtype` next below `value`, as float64."""
    near = value.to(dtype)
    return torch.nextafter(near, near.new_tensor(-torch.inf)).double()


def after(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the number of the precision `dtype` next above `value`, as float64."""
    near = value.to(dtype)
    return torch.nextafter(near, near.new_tensor(torch.inf)).double()
