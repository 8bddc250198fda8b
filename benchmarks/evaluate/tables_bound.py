"""How near any attack can come on the forest of German credit within its columns: a bound, by exact search, beside ART's distances.

    ./dev bench evaluate tables --german --samples=60     # first: it reads that run's file of ART's results
    ./dev bench evaluate tables_bound                     # some thirty CPU seconds

A change of a category moves two columns by 1 each, so it has a least length; every change of the numbers alone that is shorter than
it is looked at: all values of the four small numbers, one value of `month` for each interval between thresholds, and for each of
these the outputs after every change of `credit-amount` (`tree_moves.Walker`). What comes first is the least that a change can be.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import tables

SMALL = ("investment-as-income-percentage", "residence-since", "number-of-credits", "people-liable-for")
ROWS = 60
PIECE = 256


class Search:
    """The forest, its columns, and the search over numbers."""

    def __init__(self, case: Any) -> None:
        import numpy as np
        import torch

        from stannary.checks.robustness.tree_moves import Walker
        from stannary.checks.robustness.tree_readers import read_trees

        self.np, self.torch, self.case = np, torch, case
        trees, domain = read_trees(case.model, torch.from_numpy(case.train[:512])), case.domain(typed=True)
        self.walker, at = Walker(trees), {name: place for place, name in enumerate(domain.names)}
        self.small, self.month, self.amount = [at[name] for name in SMALL], at["month"], at["credit-amount"]
        self.low, self.high = (np.array([getattr(column, end) for column in domain.columns]) for end in ("low", "high"))
        self.edges = np.unique(trees.threshold[trees.feature == self.month].numpy())
        self.groups = [members for group, members in zip(domain.groups, domain.members, strict=True) if not group.immutable]

    def category(self, x: Any) -> float:
        """Return the length of the shortest change of a category."""
        unit = self.case.scale
        pairs = ((a, b) for members in self.groups for a in members for b in members if x[a] == 1 and x[b] == 0)
        return min(float(self.np.hypot(1 / unit[a], 1 / unit[b])) for a, b in pairs)

    def states(self, x: Any, limit: float) -> list[tuple[float, Any]]:
        """Return all inputs within the limit, apart from `credit-amount`, with their squared lengths, the shortest first."""
        np, unit = self.np, self.case.scale
        ends = itertools.pairwise((self.low[self.month] - 1, *self.edges, self.high[self.month]))
        months = {float(np.clip(x[self.month], np.floor(a) + 1, np.floor(b))) for a, b in ends if np.floor(a) + 1 <= np.floor(b)}
        found = []
        for small in itertools.product(*(np.arange(self.low[at], self.high[at] + 1) for at in self.small)):
            for month in months:
                moved = x.copy()
                moved[self.small], moved[self.month] = small, month
                size = float((((moved - x) / unit) ** 2).sum())
                if size <= limit**2 and self.low[self.month] <= month <= self.high[self.month]:
                    found.append((size, moved))
        return sorted(found, key=lambda pair: pair[0])

    def numbers(self, x: Any, label: int, limit: float) -> float:
        """Return the length of the shortest change of numbers that turns the decision, infinite if it is above the limit."""
        torch, amount, best = self.torch, self.amount, float("inf")
        states = self.states(x, limit)
        for start in range(0, len(states), PIECE):
            part = states[start : start + PIECE]
            if part[0][0] >= best:
                break
            sizes = torch.tensor([size for size, _ in part], dtype=torch.float64)
            base, moves = self.walker.moves(torch.tensor(self.np.array([moved for _, moved in part])))
            mine = (moves.feature == amount).nonzero()[:, 0]
            state, low, high = moves.state[mine], moves.low[mine], moves.high[mine]
            value = torch.clamp(torch.tensor(x[amount]), low.floor() + 1, high.floor()).clamp(self.low[amount], self.high[amount])
            real = (value > low) & (value <= high)
            size = torch.cat((sizes, sizes[state] + ((value - x[amount]) / self.case.scale[amount]) ** 2))
            outputs = torch.cat((base, moves.outputs[mine]))
            turns = outputs[:, 1 - label] - outputs[:, label] >= -1e-9  # a tie may go either way
            turns &= torch.cat((torch.ones(len(base), dtype=torch.bool), real))
            best = min([best, *size[turns].tolist()])
        return best**0.5 if best <= limit**2 else float("inf")


def main() -> None:
    """Print the bound beside ART's median."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    began, case = time.process_time(), tables.Case("german", "forest", ROWS)
    file = Path(f"{case.file}-art.npz")
    art = np.load(file)["size"] if file.exists() else ()
    if len(art) != len(case.x):
        sys.exit(f"ART's results are of {len(art)} rows: run tables.py --german --samples={ROWS} first")
    search = Search(case)
    cheapest = np.array([search.category(x) for x in case.x])
    numbers = np.array([search.numbers(x, int(y), near) for x, y, near in zip(case.x, case.y, cheapest, strict=True)])
    goal = 0.8 * float(np.median(art))
    least = np.minimum(numbers, cheapest)
    print(f"ART's median {np.median(art):.3f}, 0.8 of it {goal:.3f}; the shortest change of a category {cheapest.min():.3f}")
    print(f"rows with a change of numbers alone below {goal:.3f}: {int((numbers < goal).sum())} of {len(art)}")
    print(f"the median of any attack is {np.median(least):.3f} at least, {np.median(least) / np.median(art):.3f} of ART's")
    print(f"{time.process_time() - began:.0f} CPU s", file=sys.stderr)


if __name__ == "__main__":
    own = tables.ROOT / ".venv-ml"
    if Path(sys.prefix).resolve() != own.resolve():
        env = {**os.environ, "PYTHONPATH": str(tables.ROOT / "src"), "OMP_NUM_THREADS": "1"}
        sys.exit(subprocess.run([str(own / "bin" / "python"), __file__], env=env, check=False).returncode)
    main()
