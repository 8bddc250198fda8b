"""What an attack on training data is: rows that it changes within a budget, and what it wants of the model that comes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from stannary.checks.poisoning.seeds import generator
from stannary.core.errors import UsageError
from stannary.core.model import Json

if TYPE_CHECKING:
    import torch

    from stannary.checks.target.interface import Target

__all__ = ["Attack", "Poisoned", "Train", "chosen", "sound"]

# (inputs (n, *shape), labels (n,), seed) → the trained classifier
Train = Callable[["torch.Tensor", "torch.Tensor", int], "Target"]


@dataclass(frozen=True)
class Poisoned:
    """Training data after an attack.

    Args:
        x: inputs `(n, *shape)`: a copy, what was given is left as it was.
        y: labels `(n,)` int64.
        changed: `(k,)` int64, sorted: the rows whose input or label differs.
        attack: its name.
        share: the budget that was asked for; `len(changed)` is at most that share of all rows, rounded down.
        seed: of everything random.
        parameters: for the record.
    """

    x: torch.Tensor
    y: torch.Tensor
    changed: torch.Tensor
    attack: str
    share: float
    seed: int
    parameters: Mapping[str, Json] = field(default_factory=dict)

    @property
    def mask(self) -> torch.Tensor:
        """Return for each row whether it was changed, `(n,)` bool."""
        import torch

        mask = torch.zeros(len(self.x), dtype=torch.bool)
        mask[self.changed] = True
        return mask


class Attack(Protocol):
    """An attack on a training function; it holds hyper-parameters alone."""

    @property
    def id(self) -> str:
        """Return its name."""
        ...

    def poison(self, x: torch.Tensor, y: torch.Tensor) -> Poisoned:
        """Return the data with a share of its rows changed.

        Raises:
            UsageError: no such share, no such class, or no row that could be changed.
        """
        ...

    def trigger(self, x: torch.Tensor) -> torch.Tensor:
        """Return inputs `(m, *shape)` as the attacker presents them to the trained model."""
        ...

    def victims(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return on which test samples success is counted, `(m,)` bool."""
        ...

    def wanted(self, decided: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return for decisions `(m,)` on victims with labels `y` whether the attacker got what was wanted, `(m,)` bool."""
        ...


def sound(x: torch.Tensor, y: torch.Tensor, share: float) -> int:
    """Return how many rows a share of the data is. Raises UsageError for data or a share that cannot be poisoned."""
    if not 0 < share < 1:
        msg = f"a share of {share} of the rows cannot be poisoned: it lies between 0 and 1"
        raise UsageError(msg)
    if len(x) != len(y) or not len(x):
        msg = f"{len(x)} inputs and {len(y)} labels: it takes as many labels as inputs"
        raise UsageError(msg)
    count = int(share * len(x) + 1e-9)
    if count < 1:
        msg = f"a share of {share:g} of {len(x)} rows is not one row"
        raise UsageError(msg)
    return count


def chosen(allowed: torch.Tensor, count: int, seed: int, what: str) -> torch.Tensor:
    """Return `count` of the rows that are `allowed` `(n,)` bool (all of them, if they are fewer), drawn by `seed`, sorted.

    Raises:
        UsageError: none is allowed.
    """
    import torch

    rows = allowed.nonzero()[:, 0].cpu()
    if not len(rows):
        msg = f"there is no row to change: {what}"
        raise UsageError(msg)
    picked = torch.randperm(len(rows), generator=generator(seed, "rows"))[:count]
    return rows[picked].sort().values
