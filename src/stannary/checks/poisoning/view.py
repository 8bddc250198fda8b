"""What detectors look at: a model and labelled rows, with what several of them need computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from stannary.checks.poisoning.activations import activations
from stannary.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from stannary.checks.target.interface import Target

__all__ = ["LEAST", "View", "ranks"]

LEAST = 10  # rows of a class below which nothing is said about what is usual in it
_BATCH = 512


@dataclass(frozen=True)
class View:
    """A model and rows with the labels that they were given.

    Args:
        target: the model.
        x: inputs `(n, *shape)`, finite.
        y: labels `(n,)` int64 from 0 to `target.classes` - 1.
        seed: of everything random.

    Raises:
        UsageError: no rows, or not as many labels.
        InputError: inputs of a shape that the model does not take, labels that it has not, or inputs that are not finite.
    """

    target: Target
    x: torch.Tensor
    y: torch.Tensor
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be looked at."""
        if len(self.x) != len(self.y) or not len(self.x):
            msg = f"{len(self.x)} inputs and {len(self.y)} labels"
            raise UsageError(msg, where=self.target.name)
        if tuple(self.x.shape[1:]) != tuple(self.target.shape):
            msg = f"inputs of shape {tuple(self.x.shape[1:])} for a model that takes {tuple(self.target.shape)}"
            raise InputError(msg, where=self.target.name)
        if int(self.y.min()) < 0 or int(self.y.max()) >= self.target.classes:
            msg = f"labels from {int(self.y.min())} to {int(self.y.max())} for a model of {self.target.classes} classes"
            raise InputError(msg, where=self.target.name)
        if not bool(torch.isfinite(self.x).all()):
            msg = f"{int((~torch.isfinite(self.x)).flatten(1).any(1).sum())} of {len(self.x)} inputs are not finite"
            raise InputError(msg, where=self.target.name)

    @cached_property
    def flat(self) -> torch.Tensor:
        """Inputs `(n, features)` float32 on the CPU; a table's columns in standard deviations."""
        flat = self.x.reshape(len(self.x), -1).cpu()
        if self.x.ndim == 2:  # noqa: PLR2004 - rows and columns: each column has a unit of its own
            flat = (flat - flat.mean(0)) / flat.std(0, correction=0).clamp_min(1e-12)
        return flat.float()

    @cached_property
    def activations(self) -> torch.Tensor:
        """Return the last layer's inputs `(n, features)` float64. Raises UsageError without a network, InputError for NaN."""
        found = activations(self.target, self.x)
        bad = int((~torch.isfinite(found)).any(1).sum())
        if bad:
            msg = f"the network's activations are not finite for {bad} of {len(found)} rows"
            raise InputError(msg, where=self.target.name)
        return found.double()

    @cached_property
    def decided(self) -> torch.Tensor:
        """What the model decides, `(n,)` on the CPU; -1 where it gives no answer."""
        return torch.cat([self.target.decide(part.to(self.target.device)).cpu() for part in self.x.split(_BATCH)])

    def classes(self) -> list[tuple[int, torch.Tensor]]:
        """Return each class that has enough rows, with their numbers."""
        found = [(label, (self.y == label).nonzero()[:, 0].cpu()) for label in range(self.target.classes)]
        return [(label, rows) for label, rows in found if len(rows) >= LEAST]


def ranks(scores: torch.Tensor) -> torch.Tensor:
    """Return the rank of each score from 0 to 1, ties in their middle; one half where there is none (NaN)."""
    out = torch.full((len(scores),), 0.5, dtype=torch.float64)
    known = scores.isfinite().nonzero()[:, 0]
    if not len(known):
        return out
    _, place, count = scores[known].unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()
    out[known] = ((last - count / 2) / len(known))[place]
    return out
