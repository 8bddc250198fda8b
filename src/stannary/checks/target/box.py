"""The simplest domain: every feature between two bounds, as pixels are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["Box"]


class Box:
    """All features lie in [`low`, `high`]."""

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        self.low, self.high = low, high

    def project(self, x: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - the protocol's
        """Clip to the bounds."""
        return x.clamp(self.low, self.high)

    def violations(self, x: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - the protocol's
        """Tell which samples leave the bounds or are not finite, `(n,)` bool."""
        inside = (x >= self.low) & (x <= self.high)  # false for NaN
        return ~inside.flatten(1).all(1)

    def span(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the bounds as tensors of one element."""
        return like.new_tensor(self.low), like.new_tensor(self.high)
