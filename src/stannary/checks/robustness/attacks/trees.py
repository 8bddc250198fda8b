"""The attack on tree ensembles that are known: just across thresholds, by exact outputs, from the sample and back to it.

An attacker who has the model file has the trees. `tree_moves` gives the outputs after every change of one column; a beam of the
most promising changes grows column by column (first by whole leaves, which are several columns at once) until the decision turns.
Then each change is put back, or exchanged for another column's, as long as that is cheaper, and the beam grows again from shorter
versions of the whole change. Half of a beam is what promises most for its size, half what gains most. Where one-hot groups may
change, a second beam leaves them as they are: one change of category crowds out several small ones of numbers, which only together
cost less. In the spirit of the leaf-tuple attack (Zhang, Zhang and Hsieh 2020), with types, prices and rules of columns, in the
norms l0, l1, l2, linf and cost.

Only what seems to succeed is asked of the target: a few queries a sample. The evaluations of the copy are no queries.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from stannary.checks.robustness.attacks.decisions import ask
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.robustness.tree_model import Ensemble
from stannary.checks.robustness.tree_moves import Columns, LeafBoxes, Walker, values_beside
from stannary.checks.target.interface import Access

__all__ = ["TreeAttack"]

CHUNK = 1 << 15  # (state, tree) pairs that are walked at once
LEAVES = 1 << 17  # ensembles with more are not attacked by whole leaves
BACK = 40  # improvements that are made at most on the way back, on average
ASKED = 3  # of the cheapest seeming successes of a row and a step
MARGIN = 1e-6  # of the greatest output: what libraries lose in sums of float32
FIRST = 24  # whole leaves that are looked at
SHORTER = (0.9, 0.75, 0.5, 0.25)  # of the whole change: where the beam begins again


class _Tries(NamedTuple):
    """Inputs `(k, features)` of rows `(k,)`, by how much the other class leads `(k,)`, and their sizes summed up `(k,)`."""

    row: torch.Tensor
    x: torch.Tensor
    gain: torch.Tensor
    size: torch.Tensor


class TreeAttack:
    """Search for the smallest change across thresholds.

    Args:
        trees: of the model.
        beam: states that are followed for a sample.
        depth: columns that are changed before a beam gives up.
        again: times that a beam grows from shorter versions of the best change, as long as that makes it smaller.
    """

    access: Access = "decision"
    norms: tuple[str, ...] = ("linf", "l2", "l1", "l0", "cost")
    minimal = True
    rounds = 2  # the second with the groups as they are

    def __init__(self, trees: Ensemble, *, beam: int = 8, depth: int = 6, again: int = 6) -> None:
        self.id = f"trees-{beam}"
        self.beam, self.depth, self.again = beam, depth, again
        self.steps = (again + 1) * (2 * depth + BACK)
        self._trees, self._walker, self._boxes = trees, Walker(trees), LeafBoxes(trees)
        tree = torch.searchsorted(trees.roots, torch.arange(len(trees.value)), right=True) - 1
        most = torch.zeros(len(trees.roots), dtype=torch.float64).scatter_reduce(0, tree, trees.value.abs().amax(1), "amax")
        self._floor = MARGIN * max(1.0, float(most.sum() + trees.base.abs().amax()))  # a lead below it may be rounding

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:  # noqa: ARG002 - nothing random here
        """Ask the sample itself, and begin the beam with it and with the whole leaves that promise most."""
        n, features = len(rows), self._trees.features
        rows.asked = torch.zeros(n, dtype=torch.int64)
        columns = Columns.of(problem, features)
        whole = rows.round == 0
        ask(problem, rows, rows.origin[whole], whole.nonzero()[:, 0])
        rows.start = self._gain(problem, self._trees.outputs(rows.origin), rows.label)
        rows.beam = rows.origin[:, None].repeat(1, self.beam, 1)
        rows.gains = torch.full((n, self.beam), -torch.inf, dtype=torch.float64)
        rows.growing = whole | bool(columns.groups)
        rows.gains[:, 0] = rows.start.where(rows.growing, -torch.inf)
        rows.grown, rows.turns = torch.zeros(n, dtype=torch.int64), torch.zeros(n, dtype=torch.int64)
        rows.power = torch.full((n,), torch.inf, dtype=torch.float64)
        rows.mark = rows.power.clone()  # the size at which the beam began to grow again
        if bool(rows.growing.any()) and len(self._boxes.leaf) <= LEAVES:
            tries = self._leaves(problem, rows, columns)
            self._settle(problem, rows, columns, tries)
            self._grow(rows, tries, rows.growing, keep_origin=True)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Change one more column of every state of the beam; rows whose beam is done go back towards the sample."""
        columns = Columns.of(problem, self._trees.features)
        over = rows.size == 0 if problem.eps is None else rows.size <= problem.eps
        growing = rows.growing & ~over
        back = ~rows.growing & rows.found & ~over
        states = [self._beam(rows, growing), self._restored(problem, rows, back)]
        owner, x = (torch.cat(parts) for parts in zip(*states, strict=True))
        tries = self._tries(problem, rows, columns, (owner, x))
        better = self._settle(problem, rows, columns, tries)
        self._grow(rows, tries, rows.growing)
        rows.grown += 1
        rows.growing &= rows.gains.isfinite().any(1) & (rows.grown < self.depth)
        ended = ~growing & ~better & ~over
        again = ended & rows.found & (rows.turns < self.again) & (rows.power < rows.mark) & (problem.norm != "l0")
        if bool(again.any()):
            self._shorter(problem, rows, columns, again)
        return over | (ended & ~again)

    # States

    def _beam(self, rows: Rows, growing: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        at, slot = (growing[:, None] & rows.gains.isfinite()).nonzero().T
        return at, rows.beam[at, slot]

    def _restored(self, problem: Problem, rows: Rows, back: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the best examples, and each of them with one changed column as it was."""
        at = back.nonzero()[:, 0]
        which, feature = (rows.best[at] != rows.origin[at]).nonzero().T
        x = rows.best[at[which]].clone()
        place = torch.arange(len(which))
        x[place, feature] = rows.origin[at[which], feature]
        x = problem.domain.project(x, rows.origin[at[which]])
        return torch.cat((at, at[which])), torch.cat((rows.best[at], x))

    def _shorter(self, problem: Problem, rows: Rows, columns: Columns, again: torch.Tensor) -> None:
        """Let the beam of rows `again` grow from shorter versions of their best change."""
        at = again.nonzero()[:, 0]
        rows.turns[at] += 1
        rows.grown[at], rows.growing[at], rows.mark[at] = 0, True, rows.power[at]
        moved = rows.best[at] - rows.origin[at]
        if problem.norm == "linf":
            limit = (moved / columns.unit).abs().amax(1, keepdim=True)
            ways = [torch.maximum(torch.minimum(moved, f * limit * columns.unit), -f * limit * columns.unit) for f in SHORTER]
        else:
            ways = [f * moved for f in SHORTER]
        tries = self._tried(problem, rows, columns, (at.repeat(len(ways)), rows.origin[at].repeat(len(ways), 1) + torch.cat(ways)))
        self._settle(problem, rows, columns, tries)
        self._grow(rows, tries, again)

    # Moves

    def _leaves(self, problem: Problem, rows: Rows, columns: Columns) -> _Tries:
        """Return samples moved into the whole leaves that gain most for their price."""
        trees, boxes = self._trees, self._boxes
        inside = trees.leaves(rows.origin)
        tree = torch.searchsorted(trees.roots, boxes.leaf, right=True) - 1
        chosen, owner = [], []
        apart = replace(columns, still=columns.still | columns.grouped)
        for row in rows.growing.nonzero()[:, 0].tolist():
            price = boxes.price(apart if rows.round[row] else columns, rows.origin[row : row + 1], problem.norm)[0]
            base = trees.outputs(rows.origin[row : row + 1])
            after = base + trees.value[boxes.leaf] - trees.value[inside[row]][tree]
            gain = self._gain(problem, after, rows.label[row].expand(len(after)))
            score = _promise(price, gain, rows.start[row].expand(len(gain)), self._floor)
            best = score.topk(min(FIRST, len(score)), largest=False)
            which = best.indices[best.values.isfinite() & (price[best.indices] > 0)]
            chosen.append(which)
            owner.append(torch.full_like(which, row))
        which, row_ = torch.cat(chosen), torch.cat(owner)
        x = boxes.moved(columns, trees, rows.origin[row_], which)
        return self._tried(problem, rows, columns, (row_, x))

    def _tries(self, problem: Problem, rows: Rows, columns: Columns, states: tuple[torch.Tensor, torch.Tensor]) -> _Tries:
        """Return the most promising changes of one column or group of the states (rows, inputs), of each row."""
        owner, x = states
        cut = torch.arange(len(x)).split(max(1, CHUNK // len(self._trees.roots))) if len(x) else ()
        parts = [self._singles(problem, rows, columns, (owner[part], x[part])) for part in cut]
        free = rows.round[owner] == 0
        parts += [self._tried(problem, rows, columns, group) for group in _group_moves(columns, owner[free], x[free])]
        if not parts:
            return self._tried(problem, rows, columns, (owner[:0], x[:0]))
        return _Tries(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _singles(self, problem: Problem, rows: Rows, columns: Columns, states: tuple[torch.Tensor, torch.Tensor]) -> _Tries:
        owner, x = states
        found = self._walker.moves(x)[1]
        row, feature = owner[found.state], found.feature
        home = rows.origin[row, feature]
        value = values_beside(columns, self._trees, feature, (found.low, found.high), home)
        now = x[found.state, feature]
        size = _power(problem, columns, x, rows.origin[owner])[found.state] + columns.weigh(feature, value - home, problem.norm)
        size = size - columns.weigh(feature, now - home, problem.norm)
        gain = self._gain(problem, found.outputs, rows.label[row])
        good = ((value != now) & value.isfinite() & (size < rows.power[row])).nonzero()[:, 0]
        score = _promise(size[good], gain[good], rows.start[row[good]], self._floor)
        most = _first(row[good], score, 2 * self.beam) | _first(row[good], -gain[good], self.beam)
        pick = good[most & score.isfinite()]
        moved = x[found.state[pick]].clone()
        moved[torch.arange(len(pick)), feature[pick]] = value[pick]
        if columns.linked:
            return self._tried(problem, rows, columns, (row[pick], moved))
        return _Tries(row[pick], moved, gain[pick], size[pick])

    def _tried(self, problem: Problem, rows: Rows, columns: Columns, states: tuple[torch.Tensor, torch.Tensor]) -> _Tries:
        """Return inputs as the domain allows them, evaluated."""
        row, x = states
        x = problem.domain.project(x, rows.origin[row])
        gain = self._gain(problem, self._trees.outputs(x) if len(x) else x.new_zeros(0, 2), rows.label[row])
        return _Tries(row, x, gain, _power(problem, columns, x, rows.origin[row]))

    # Results

    def _settle(self, problem: Problem, rows: Rows, columns: Columns, tries: _Tries) -> torch.Tensor:
        """Ask about the cheapest seeming successes of each row; tell which rows have a better one now."""
        before = rows.power.clone()
        hit = ((tries.gain > self._floor) & (tries.size < before[tries.row])).nonzero()[:, 0]
        hit = hit[_first(tries.row[hit], tries.size[hit], ASKED)]
        x, row = problem.domain.project(tries.x[hit], rows.origin[tries.row[hit]]), tries.row[hit]
        good = ask(problem, rows, x, row)
        power = _power(problem, columns, x[good], rows.origin[row[good]])
        rows.power = rows.power.scatter_reduce(0, row[good], power, "amin")
        return rows.power < before

    def _grow(self, rows: Rows, tries: _Tries, which: torch.Tensor, *, keep_origin: bool = False) -> None:
        """Take the most promising tries of each of the rows `which` (bool) as its next beam, none twice."""
        wanted = (which[tries.row] & (tries.gain <= 0) & (tries.size < rows.power[tries.row]) & (tries.size > 0)).nonzero()[:, 0]
        row, x, gain, size = (column[wanted] for column in tries)
        score = _promise(size, gain, rows.start[row], self._floor)
        first = int(keep_origin)
        rows.gains[which, first:] = -torch.inf
        half = (self.beam - first + 1) // 2
        most = (_first(row, score, 2 * half) | _first(row, -gain, 2 * half)) & score.isfinite()
        row, x, gain, score = (column[most] for column in (row, x, gain, score))
        fresh = _distinct(row, x, score)
        row, x, gain, score = (column[fresh] for column in (row, x, gain, score))
        by_size = _first(row, score, half)
        taken = by_size | _first(row, torch.where(by_size, torch.inf, -gain), self.beam - first - half)
        row, x, gain = (column[taken] for column in (row, x, gain))
        order = row.argsort(stable=True)
        row, x, gain = (column[order] for column in (row, x, gain))
        counts = torch.bincount(row, minlength=len(rows))
        slot = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row] + first
        fits = slot < self.beam
        rows.beam[row[fits], slot[fits]], rows.gains[row[fits], slot[fits]] = x[fits], gain[fits]

    def _gain(self, problem: Problem, outputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return by how much the wished outcome leads, `(k,)`: above 0 it is decided."""
        own = outputs.gather(1, label[:, None])[:, 0]
        other = outputs.scatter(1, label[:, None], -torch.inf).amax(1)
        return own - other if problem.targeted else other - own


def _promise(size: torch.Tensor, gain: torch.Tensor, start: torch.Tensor, floor: float) -> torch.Tensor:
    """Return at which size the decision would turn if it went on at this rate; infinite where nothing was gained."""
    needed = (floor - start).clamp_min(1e-12)
    reached = torch.minimum(gain - start, needed)
    return torch.where(reached > 0, size * needed / reached.clamp_min(1e-300), torch.inf)


def _distinct(row: torch.Tensor, x: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
    """Return the places of the first of equal inputs of a row; the same state, reached in another order, has the same score."""
    order = score.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    again = torch.zeros(len(row), dtype=torch.bool)
    again[1:] = (row[order][1:] == row[order][:-1]) & (x[order][1:] == x[order][:-1]).all(1)
    return order[~again]


def _first(row: torch.Tensor, score: torch.Tensor, count: int) -> torch.Tensor:
    """Tell which entries are among the first `count` of their row by score, `(k,)` bool."""
    order = score.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    counts = torch.bincount(row) if len(row) else row
    rank = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row[order]]
    found = torch.zeros(len(row), dtype=torch.bool)
    found[order] = rank < count
    return found


def _power(problem: Problem, columns: Columns, x: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
    """Return sizes in the sum that the search goes by, `(k,)`."""
    if problem.norm == "cost":
        return problem.size(x, origin)
    every = torch.arange(x.shape[1]).expand(x.shape)
    return columns.weigh(every, x - origin, problem.norm).sum(1)


def _group_moves(columns: Columns, owner: torch.Tensor, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return states with another category of a one-hot group, for each category of each group."""
    found = []
    for members, optional in columns.groups:
        index = list(members)
        for category in range(len(index) + optional):
            moved = x.clone()
            moved[:, index] = 0.0
            if category < len(index):
                moved[:, index[category]] = 1.0
            differs = (moved != x).any(1)
            found.append((owner[differs], moved[differs]))
    return found
