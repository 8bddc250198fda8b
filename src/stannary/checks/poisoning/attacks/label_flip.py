"""Wrong labels: at random, which costs accuracy, or of one class as another, which makes the model take the one for the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from stannary.checks.poisoning.interface import Poisoned, chosen, sound
from stannary.checks.poisoning.seeds import generator
from stannary.core.errors import UsageError

__all__ = ["LabelFlip"]


@dataclass(frozen=True)
class LabelFlip:
    """Change the labels of a share of the rows (Biggio et al. 2011).

    Args:
        share: of all rows.
        source: the class whose rows are relabelled; None: rows of every class, each to another class at random.
        target: the class that they get; goes with `source`.
        seed: of the rows, and of their new labels.

    Success is a wrong decision on any sample; of a targeted flip, that a sample of `source` is taken for `target`.
    """

    id: ClassVar[str] = "label-flip"
    share: float = 0.05
    source: int | None = None
    target: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse half a goal. Raises UsageError."""
        if (self.source is None) != (self.target is None) or (self.source is not None and self.source == self.target):
            msg = f"labels are flipped from one class to another, not from {self.source} to {self.target}"
            raise UsageError(msg)

    def poison(self, x: torch.Tensor, y: torch.Tensor) -> Poisoned:
        """Return the data with other labels; see `Attack`."""
        count = sound(x, y, self.share)
        allowed = torch.ones_like(y, dtype=torch.bool) if self.source is None else y == self.source
        rows = chosen(allowed, count, self.seed, f"no label is {self.source}")
        labels = y.clone()
        if self.target is not None:
            labels[rows] = self.target
        else:
            known = y.unique().cpu()
            if len(known) < 2:  # noqa: PLR2004 - one class and another
                msg = "all labels are the same: there is no other class"
                raise UsageError(msg)
            at = torch.searchsorted(known, y[rows].cpu())
            step = torch.randint(1, len(known), at.shape, generator=generator(self.seed, "labels"))
            labels[rows] = known[(at + step) % len(known)].to(labels)
        goal: dict[str, int | None] = {"source": self.source, "target": self.target}
        return Poisoned(x.clone(), labels, rows, self.id, self.share, self.seed, goal)

    def trigger(self, x: torch.Tensor) -> torch.Tensor:
        """Return the inputs as they are: what is poisoned is the label."""
        return x

    def victims(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - the protocol's
        """Return the samples of `source`, or all."""
        return torch.ones_like(y, dtype=torch.bool) if self.source is None else y == self.source

    def wanted(self, decided: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return whether the decision is wrong, or `target`. No answer (-1) is no success."""
        return (decided != y) & (decided >= 0) if self.target is None else decided == self.target
