"""Networks on tables are hardened in standard deviations, so that a radius means the same in every column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from stannary.harden.interface import Hardened, Settings

__all__ = ["Raised", "Standardised", "in_deviations"]


class _Scaled(torch.nn.Module):
    """A module behind a shift and a scale of each column, which are kept with it."""

    def __init__(self, module: torch.nn.Module, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        super().__init__()
        self.module = module
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)


class Standardised(_Scaled):
    """A module of standard scores that takes a column's own numbers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the module's answer to the scores of `x` `(n, columns)`."""
        out: torch.Tensor = self.module((x - self.mean) / self.deviation)
        return out


class Raised(_Scaled):
    """A module of a column's own numbers that takes standard scores: the other way round."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the module's answer to what has the scores `x` `(n, columns)`."""
        out: torch.Tensor = self.module(x * self.deviation + self.mean)
        return out


def in_deviations(
    method: Callable[..., Hardened], module: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, settings: Settings
) -> Hardened:
    """Harden a network with the columns of `x` `(n, columns)` in standard deviations; what comes out takes them as they are."""
    mean, deviation = x.mean(0), x.std(0)
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))  # a column of one value stays as it is
    scores = (x - mean) / deviation
    made = method(Raised(module, mean, deviation), scores, y, replace(settings, low=float(scores.min()), high=float(scores.max())))
    inner = made.model
    made.model = inner.module if isinstance(inner, Raised) else Standardised(inner, mean, deviation)
    return made
