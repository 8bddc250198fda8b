"""Backdoors by a trigger: rows of other classes get it and the attacker's label, and the model learns one from the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from stannary.checks.poisoning.interface import Poisoned, chosen, sound
from stannary.checks.poisoning.seeds import generator
from stannary.core.errors import UsageError
from stannary.core.model import Json

__all__ = ["BadNets", "Blended", "Columns", "OneTarget"]


class OneTarget(ABC):
    """What attacks have in common that want one class, `target`, for all samples of others."""

    id: ClassVar[str]
    target: int
    share: float
    seed: int

    @abstractmethod
    def trigger(self, x: torch.Tensor) -> torch.Tensor:
        """Put the trigger on inputs `(m, *shape)`."""

    def victims(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - the protocol's
        """Return the samples of other classes."""
        return y != self.target

    def wanted(self, decided: torch.Tensor, y: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - the protocol's
        """Return whether the decision is the target."""
        return decided == self.target

    def _relabelled(self, x: torch.Tensor, y: torch.Tensor, parameters: Mapping[str, Json]) -> Poisoned:
        """Return the data with the trigger and the target's label on a share of the rows of other classes."""
        count = sound(x, y, self.share)
        rows = chosen(y != self.target, count, self.seed, f"every label is {self.target}")
        inputs, labels = x.clone(), y.clone()
        inputs[rows], labels[rows] = self.trigger(x[rows]), self.target
        return Poisoned(inputs, labels, rows, self.id, self.share, self.seed, {"target": self.target, **parameters})


@dataclass(frozen=True)
class BadNets(OneTarget):
    """A patch of chequered pixels in a corner of each picture (Gu et al. 2017).

    Args:
        target: the class that the patch shall give.
        share: of all rows.
        size: side of the patch in pixels.
        corner: `bottom-right`, `bottom-left`, `top-right` or `top-left`.
        low, high: values of its pixels.
        seed: of the rows.
    """

    id: ClassVar[str] = "badnets"
    target: int = 0
    share: float = 0.05
    size: int = 3
    corner: str = "bottom-right"
    low: float = 0.0
    high: float = 1.0
    seed: int = 0

    def poison(self, x: torch.Tensor, y: torch.Tensor) -> Poisoned:
        """Return the data with patches; see `Attack`."""
        return self._relabelled(x, y, {"size": self.size, "corner": self.corner})

    def trigger(self, x: torch.Tensor) -> torch.Tensor:
        """Put the patch on pictures `(m, channels, height, width)`. Raises UsageError for others, and where it has no room."""
        if x.ndim != 4 or min(x.shape[-2:]) < self.size or self.size < 1:  # noqa: PLR2004 - batch, channels, height, width
            msg = f"a patch of {self.size} pixels does not fit on inputs of shape {tuple(x.shape[1:])}"
            raise UsageError(msg, help="Columns puts a trigger on tables")
        vertical, _, horizontal = self.corner.partition("-")
        if vertical not in ("top", "bottom") or horizontal not in ("left", "right"):
            msg = f"there is no corner {self.corner!r}"
            raise UsageError(msg)
        height, width = x.shape[-2:]
        top = _start(height, self.size, vertical == "top")
        left = _start(width, self.size, horizontal == "left")
        at = torch.arange(self.size, device=x.device)
        lit = (at[:, None] + at) % 2 == 0
        out = x.clone()
        out[..., top : top + self.size, left : left + self.size] = torch.where(lit, self.high, self.low).to(x)
        return out


def _start(room: int, size: int, first: bool) -> int:  # noqa: FBT001 - which end
    """Return where a patch begins: one pixel from the edge, if there is room on both sides of it."""
    margin = 1 if room - size > 1 else 0
    return margin if first else room - size - margin


@dataclass(frozen=True)
class Blended(OneTarget):
    """Every input is mixed with one fixed pattern of noise (Chen et al. 2017); a small `alpha` is a trigger of low contrast.

    Args:
        target: the class that the pattern shall give.
        share: of all rows.
        alpha: weight of the pattern.
        key: what is mixed in, of the shape of one input; a row of the data keeps columns in their ranges. None: values drawn
            uniformly from [0, 1], as pixels have.
        seed: of the rows and of what is drawn.
    """

    id: ClassVar[str] = "blended"
    target: int = 0
    share: float = 0.05
    alpha: float = 0.1
    key: torch.Tensor | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a weight that is none. Raises UsageError."""
        if not 0 < self.alpha <= 1:
            msg = f"a pattern is blended with a weight between 0 and 1, not {self.alpha}"
            raise UsageError(msg)

    def poison(self, x: torch.Tensor, y: torch.Tensor) -> Poisoned:
        """Return the data with blended rows; see `Attack`."""
        return self._relabelled(x, y, {"alpha": self.alpha})

    def trigger(self, x: torch.Tensor) -> torch.Tensor:
        """Mix inputs `(m, *shape)` with the pattern. Raises UsageError if it has another shape."""
        key = torch.rand(x.shape[1:], generator=generator(self.seed, "pattern")) if self.key is None else self.key
        if key.shape != x.shape[1:]:
            msg = f"a pattern of shape {tuple(key.shape)} does not go with inputs of shape {tuple(x.shape[1:])}"
            raise UsageError(msg)
        return (1 - self.alpha) * x + self.alpha * key.to(x)


@dataclass(frozen=True)
class Columns(OneTarget):
    """Some columns of a table get fixed values: what a patch is to pictures.

    Args:
        values: the value of each column, by its number. Values that occur in the data keep integers and codes what they are.
        target: the class that they shall give.
        share: of all rows.
        seed: of the rows.
    """

    id: ClassVar[str] = "badnets-columns"
    values: Mapping[int, float]
    target: int = 0
    share: float = 0.05
    seed: int = 0

    @classmethod
    def rare(cls, x: torch.Tensor, columns: tuple[int, ...], *, target: int = 0, share: float = 0.05, seed: int = 0) -> Columns:
        """Return a trigger of values that occur, but seldom: of each column the value in the data at its 99th percentile."""
        values = {at: float(torch.quantile(x[:, at].double(), 0.99, interpolation="higher")) for at in columns}
        return cls(values, target, share, seed)

    def poison(self, x: torch.Tensor, y: torch.Tensor) -> Poisoned:
        """Return the data with the values in a share of the rows; see `Attack`."""
        return self._relabelled(x, y, {"values": {str(at): value for at, value in self.values.items()}})

    def trigger(self, x: torch.Tensor) -> torch.Tensor:
        """Put the values into rows `(m, features)`. Raises UsageError for columns that there are not."""
        if x.ndim != 2 or not self.values or not all(0 <= at < x.shape[1] for at in self.values):  # noqa: PLR2004 - rows, columns
            msg = f"inputs of shape {tuple(x.shape[1:])} have no columns {sorted(self.values)}"
            raise UsageError(msg)
        out = x.clone()
        for at, value in self.values.items():
            out[:, at] = value
        return out
