"""Tree solving (Tramer et al. 2016, section 4.2): a decision tree is recovered leaf by leaf, each as the box that gives one answer.

From a point in a leaf the ends of the leaf along every feature are found by bisection, to neighbouring floating-point numbers. A
point that no box holds belongs to a leaf that is not known yet; when none is left, the boxes are the tree, and splits that cut none
of them put it together again. This is exact if no two leaves give the same answer: so it is with probabilities of leaves of many
samples, and not with trees that were grown until each leaf is pure. What is recovered is checked on further answers, and is said to
be exact only if all of them agree.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch

from stannary.checks.privacy.seeds import generator
from stannary.checks.target.counting import Counting
from stannary.checks.target.interface import BudgetSpent

__all__ = ["Node", "Tree", "solve_tree"]

Array: TypeAlias = Any  # of numpy, float64
_CHECKED = 200
_MOST_CUTS = 20_000


@dataclass
class Node:
    """A split (`x[feature] <= threshold` goes left), or a leaf: the number of its answer."""

    feature: int = -1
    threshold: float = 0.0
    left: Node | None = None
    right: Node | None = None
    answer: int = -1


@dataclass(frozen=True)
class Tree:
    """A recovered tree over the box from `low` to `high`.

    `answers` `(k, classes)` scores, or `(k, 1)` labels; `exact`: complete, and right on all points of the check; `note`: why not.
    """

    root: Node
    leaves: int
    answers: torch.Tensor
    queries: int
    exact: bool
    note: str = ""

    def _found(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(1).double().cpu().numpy()
        out = np.full(len(rows), -1)
        stack = [(self.root, np.arange(len(rows)))]
        while stack:
            node, at = stack.pop()
            if node.left is None or node.right is None:
                out[at] = node.answer
                continue
            small = rows[at, node.feature] <= node.threshold
            stack += [(node.left, at[small]), (node.right, at[~small])]
        return torch.from_numpy(out)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores of the leaf of each input, `(n, classes)`; NaN where the tree is not known."""
        found = self._found(x)
        return torch.where((found >= 0)[:, None], self.answers[found.clamp_min(0)], torch.nan)

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the labels `(n,)`; -1 where the tree is not known."""
        found = self._found(x)
        said = self.answers[:, 0].long() if self.answers.shape[1] == 1 else self.answers.argmax(1)
        return torch.where(found >= 0, said[found.clamp_min(0)], -1)


@dataclass
class _Known:
    """The boxes that are known, ends included, and the answers."""

    low: list[Array] = field(default_factory=list)
    high: list[Array] = field(default_factory=list)
    answer: list[int] = field(default_factory=list)
    numbers: dict[bytes, int] = field(default_factory=dict)
    answers: list[Array] = field(default_factory=list)


def solve_tree(
    target: Counting, low: torch.Tensor, high: torch.Tensor, *, most_queries: int = 50_000, seed: int = 0
) -> Tree | None:
    """Recover a decision tree within the box from `low` to `high`, both `(*shape,)`.

    Args:
        target: gives scores, or labels (whose leaves are then told apart by little; see `exact`).
        low: the least value of every feature.
        high: the greatest.
        most_queries: give up beyond, as when the target's own budget is used up.
        seed: of the points of the check.

    Returns:
        The tree, or None if nothing could be put together within the bounds.
    """
    began = target.spend.queries
    solver = _Solver(target, low, high, most_queries)
    try:
        complete = solver.discover()
    except BudgetSpent:
        complete = False
    if not complete:
        return None
    root = solver.assemble()
    if root is None:
        return None
    tree = Tree(root, _leaves(root), torch.from_numpy(np.stack(solver.known.answers)), 0, exact=False)
    try:
        wrong = solver.check(tree, seed)
    except BudgetSpent:
        wrong = -1
    note = (
        "" if wrong == 0 else "the budget did not suffice for the check" if wrong < 0 else f"{wrong} of {_CHECKED} answers differ"
    )
    return Tree(root, tree.leaves, tree.answers, target.spend.queries - began, wrong == 0, note)


def _leaves(root: Node) -> int:
    stack, count = [root], 0
    while stack:
        node = stack.pop()
        if node.left is None or node.right is None:
            count += 1
        else:
            stack += [node.left, node.right]
    return count


class _Solver:
    def __init__(self, target: Counting, low: torch.Tensor, high: torch.Tensor, most: int) -> None:
        self.target, self.shape, self.left = target, tuple(low.shape), most
        self.low, self.high = (end.flatten().double().cpu().numpy() for end in (low, high))
        self.dtype = low.dtype
        self.known = _Known()

    def ask(self, rows: Array) -> list[int]:
        """Return the numbers of the answers to `(n, d)`. Raises BudgetSpent."""
        self.left -= len(rows)
        if self.left < 0:
            msg = f"{self.target.name}: the tree is larger than the queries allow"
            raise BudgetSpent(msg)
        x = torch.from_numpy(rows).to(self.dtype).reshape(-1, *self.shape).to(self.target.device)
        scores = self.target.access != "decision"
        said = self.target.logits(x).double().cpu().numpy() if scores else self.target.decide(x).double().cpu().numpy()[:, None]
        numbers = []
        for row in said:
            key = row.tobytes()
            if key not in self.known.numbers:
                self.known.numbers[key] = len(self.known.answers)
                self.known.answers.append(row)
            numbers.append(self.known.numbers[key])
        return numbers

    def discover(self) -> bool:
        """Find the boxes of all leaves. Return whether they were found within the bounds."""
        stack = [(self.low, self.high)]
        cuts = 0
        while stack:
            low, high = stack.pop()
            cuts += 1
            here = self._inside(low, high)
            if not len(here):
                if cuts > _MOST_CUTS:
                    return False
                self._leaf(self._between(low, high), low, high)
                here = np.array([len(self.known.low) - 1])
            if self._covers(here[0], low, high) or any(self._covers(at, low, high) for at in here):
                continue
            feature, end, _ = self._cut(here, low, high)
            stack += self._halves(low, high, feature, end)
        return True

    def assemble(self) -> Node | None:
        """Return the tree of the boxes: first the splits that cut none."""
        root = Node()
        stack = [(root, self.low, self.high)]
        cuts = 0
        while stack:
            node, low, high = stack.pop()
            here = self._inside(low, high)
            whole = [at for at in here if self._covers(at, low, high)]
            if whole:
                node.answer = self.known.answer[whole[-1]]
                continue
            cuts += 1
            if not len(here) or cuts > _MOST_CUTS:
                return None
            node.feature, end, _ = self._cut(here, low, high)
            node.threshold = end
            node.left, node.right = Node(), Node()
            left, right = self._halves(low, high, node.feature, end)
            stack += [(node.left, *left), (node.right, *right)]
        return root

    def check(self, tree: Tree, seed: int) -> int:
        """Return on how many random points the tree and the target differ."""
        share = torch.rand((_CHECKED, len(self.low)), generator=generator(seed, "check"), dtype=torch.float64).numpy()
        rows = torch.from_numpy(self.low + share * (self.high - self.low)).to(self.dtype).double()
        numbers = torch.tensor(self.ask(rows.numpy()))
        return int((tree._found(rows) != numbers).sum())  # noqa: SLF001 - our own

    def _between(self, low: Array, high: Array) -> Array:
        return self._rounded(low + (high - low) / 2)

    def _rounded(self, values: Array) -> Array:
        """Return values as the target's type of inputs holds them."""
        return values if self.dtype == torch.float64 else values.astype(np.float32).astype(np.float64)

    def _next(self, value: float) -> float:
        """Return the least number above, in the target's type of inputs."""
        kind = np.float64 if self.dtype == torch.float64 else np.float32
        return float(np.nextafter(kind(value), kind(np.inf)))

    def _leaf(self, x: Array, low: Array, high: Array) -> None:
        """Find the box around `x` that gives its answer; note it. Where it would overlap another it is cut to `low`..`high`."""
        own = self.ask(x[None])[0]
        ends = np.stack((self.low, self.high))
        faces = [(side, at) for side in (0, 1) for at in range(len(x)) if ends[side, at] != x[at]]
        found = np.stack((x, x))
        found[[0, 1]] = ends
        same, other = np.array([x[at] for _, at in faces]), np.array([ends[side, at] for side, at in faces])
        numbers = self._along(x, faces, other)
        open_ = [i for i, number in enumerate(numbers) if number != own]
        while open_:
            middle = self._rounded(same[open_] + (other[open_] - same[open_]) / 2)
            moving = (middle != same[open_]) & (middle != other[open_])
            for i, going in zip(open_, moving, strict=True):
                if not going:
                    side, at = faces[i]
                    found[side, at] = same[i]
            open_, middle = [i for i, going in zip(open_, moving, strict=True) if going], middle[moving]
            if open_:
                hit = np.array(self._along(x, [faces[i] for i in open_], middle)) == own
                at = np.array(open_)
                same[at[hit]], other[at[~hit]] = middle[hit], middle[~hit]
        if len(self._inside(*found)):  # two leaves with one answer: what is between them is another's
            found = np.stack((np.maximum(found[0], low), np.minimum(found[1], high)))
        self.known.low.append(found[0])
        self.known.high.append(found[1])
        self.known.answer.append(own)

    def _along(self, x: Array, faces: list[tuple[int, int]], values: Array) -> list[int]:
        """Return the answers to `x` with one feature changed, for each face."""
        rows = np.repeat(x[None], len(faces), 0)
        rows[np.arange(len(faces)), [at for _, at in faces]] = values
        return self.ask(rows)

    def _inside(self, low: Array, high: Array) -> Array:
        """Return which boxes share a point with a region."""
        if not self.known.low:
            return np.zeros(0, dtype=np.int64)
        lows, highs = np.stack(self.known.low), np.stack(self.known.high)
        return np.flatnonzero(((lows <= high) & (highs >= low)).all(1))

    def _covers(self, at: int, low: Array, high: Array) -> bool:
        return bool(((self.known.low[at] <= low) & (self.known.high[at] >= high)).all())

    def _cut(self, here: Array, low: Array, high: Array) -> tuple[int, float, int]:
        """Return the face (feature, last number on its left) that cuts fewest boxes, of those the evenest; how many it cuts."""
        lows, highs = np.stack([self.known.low[at] for at in here]), np.stack([self.known.high[at] for at in here])
        faces = {(int(at), float(highs[row, at])) for row, at in zip(*np.nonzero(highs < high), strict=True)}
        for row, at in zip(*np.nonzero(lows > low), strict=True):
            faces.add((int(at), self._before(float(lows[row, at]))))
        ranked = []
        for at, end in faces:
            left, right = lows[:, at] <= end, highs[:, at] > end
            ranked.append((int((left & right).sum()), abs(int(left.sum()) - int(right.sum())), at, end))
        cuts, _, feature, threshold = heapq.nsmallest(1, ranked)[0]
        return feature, threshold, cuts

    def _before(self, value: float) -> float:
        kind = np.float64 if self.dtype == torch.float64 else np.float32
        return float(np.nextafter(kind(value), kind(-np.inf)))

    def _halves(self, low: Array, high: Array, feature: int, end: float) -> list[tuple[Array, Array]]:
        left, right = high.copy(), low.copy()
        left[feature], right[feature] = end, self._next(end)
        return [(low, left), (right, high)]
