"""Accuracy against the budget: how much an attacker spends on each sample before it falls, from what attacks count anyway.

What is spent is counted by sample, over all rounds of an attack together, after each of its steps: queries where an attack counts
them (`Rows.asked`), steps where it follows gradients. No pass is made for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch

from stannary.checks.robustness.rows import Rows
from stannary.checks.target.card import BudgetCurve, CurvePoint
from stannary.checks.target.interface import Access
from stannary.checks.target.statistics import Rate, clopper_pearson

__all__ = ["NOT_GIVEN", "STOOD", "Meter", "Unit", "budget_curves"]

Unit = Literal["queries", "iterations"]
NOT_GIVEN, STOOD = -2, -1  # a sample that the attack was spared, and one that it did not turn; what fell has its cost, from 0 on
_MOST = 0.9  # of what fell


class Meter:
    """Counts what is spent on each of `n` samples, and what had been when the first example within a radius was there.

    `spent`, `first` `(n,)` int64; of samples without such an example `first` is -1.
    """

    def __init__(self, n: int, device: torch.device, within: float | None) -> None:
        self.spent = torch.zeros(n, dtype=torch.int64, device=device)
        self.first = torch.full_like(self.spent, -1)
        self.within = within
        self.asked = False  # rows count their queries

    def begun(self, rows: Rows) -> None:
        """See rows that an attack has prepared: that may have taken queries, and found something."""
        asked = vars(rows).get("asked")
        self.asked |= asked is not None
        rows.charged = torch.zeros_like(rows.age) if asked is None else asked.clone()
        self._see(rows, rows.charged)

    def stepped(self, rows: Rows) -> None:
        """See rows after a step."""
        asked = vars(rows).get("asked")
        total = rows.charged + 1 if asked is None else asked
        more = total - rows.charged
        rows.charged = total.clone()
        self._see(rows, more)

    def _see(self, rows: Rows, more: torch.Tensor) -> None:
        self.spent.index_add_(0, rows.sample, more)
        hit = rows.found if self.within is None else rows.found & (rows.size <= self.within)
        hits = torch.zeros_like(self.spent).index_add_(0, rows.sample, hit.to(torch.int64))
        self.first = torch.where(
            (hits > 0) & (self.first < 0), self.spent, self.first
        )  # no branch: an accelerator is not waited for

    def costs(self, fell: torch.Tensor) -> torch.Tensor:
        """Return what each sample took, `(n,)` int64: those that `fell` (bool) their cost, others `STOOD`."""
        cost = torch.where(self.first < 0, self.spent, self.first)  # by rounding, an example may lie within at the last look alone
        return torch.where(fell, cost, STOOD)

    def unit(self, access: Access) -> Unit | None:
        """Return what an attack's cost was counted in; nothing for one that goes through its samples in a step of its own."""
        if self.asked:
            return "queries"
        return "iterations" if access == "white" else None


class Counted(Protocol):
    """What one attack did, as far as its budget goes."""

    @property
    def id(self) -> str:
        """Return its name."""
        ...

    @property
    def unit(self) -> Unit | None:
        """Return what its cost is counted in."""
        ...

    @property
    def longest(self) -> int:
        """Return the most that was spent on one sample."""
        ...


def budget_curves(stages: Sequence[Counted], cost: torch.Tensor, unfinished: torch.Tensor) -> tuple[BudgetCurve, ...]:
    """Return for each attack how the accuracy falls with what it may spend on a sample; none where nothing was counted.

    Args:
        stages: the attacks; `longest`, in `unit`s, is the most that was spent on a sample.
        cost: of each sample that was looked at, `(n, stages)`, as `Meter.costs` gives it; `NOT_GIVEN` for those that were wrong
            from the start, or lost to earlier attacks: they do not stand at any budget.
        unfinished: those that were not attacked to the end, `(n,)` bool: they count as fallen, and might all stand.
    """
    found = []
    for stage, column in zip(stages, cost.T, strict=False):  # what could not run at all has no column
        given, longest = column != NOT_GIVEN, stage.longest
        if stage.unit is None or not bool(given.any()) or longest < 1:
            continue
        fallen = column[column >= 0].sort().values
        points = []
        for budget in _budgets(longest):
            left = given & ~((column >= 0) & (column <= budget))
            points.append(CurvePoint(eps=budget, accuracy=_rate(left, unfinished)))
        reached = {"half": _reached(fallen, 0.5), "most": _reached(fallen, _MOST)}
        found.append(BudgetCurve(attack=stage.id, unit=stage.unit, points=tuple(points), fell=len(fallen), **reached))
    return tuple(found)


def _rate(left: torch.Tensor, unfinished: torch.Tensor) -> Rate:
    n, might, sure = len(left), int(left.sum()), int((left & ~unfinished).sum())
    low, _ = clopper_pearson(sure, n)
    _, high = clopper_pearson(might, n)
    return Rate(value=sure / n, low=low, high=high, n=n)


def _budgets(longest: int) -> list[int]:
    """Return 0, and 1, 2, 5, 10, ... up to the whole budget."""
    found, decade = [0], 1
    while decade <= longest:
        found += [factor * decade for factor in (1, 2, 5) if factor * decade < longest]
        decade *= 10
    return [*found, longest]


def _reached(fallen: torch.Tensor, share: float) -> int | None:
    """Return the budget within which so many of those that fell did."""
    return int(fallen[max(0, -int(-share * len(fallen) // 1) - 1)]) if len(fallen) else None
