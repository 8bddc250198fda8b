"""A target whose answers are coarse, probabilities with few decimals or labels alone: what that costs an attack is measured."""

from __future__ import annotations

import torch

from stannary.checks.target.interface import Access, Loss, Target
from stannary.core.errors import UsageError

__all__ = ["Coarse"]

_LEAST = 1e-300


class Coarse:
    """Pass queries on to `inner`, and round its probabilities to `decimals`; 0 gives labels alone. Labels stay as they are."""

    def __init__(self, inner: Target, decimals: int) -> None:
        if decimals < 0 or (decimals and inner.access == "decision"):
            msg = f"answers of {inner.name} (access: {inner.access}) cannot be rounded to {decimals} decimals"
            raise UsageError(msg)
        self.inner, self.decimals = inner, decimals
        self.name, self.classes, self.shape, self.device = inner.name, inner.classes, inner.shape, inner.device
        self.access: Access = "score" if decimals else "decision"

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logarithms of rounded probabilities `(n, classes)`. Raises UsageError where labels are all there is."""
        if not self.decimals:
            msg = "the target gives labels only"
            raise UsageError(msg, where=self.name)
        shares = self.inner.logits(x).double().softmax(1)
        scale = 10.0**self.decimals
        return ((shares * scale).round() / scale).clamp_min(_LEAST).log()

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the labels `(n,)`."""
        return self.inner.decide(x)

    def gradient(self, x: torch.Tensor, loss: Loss) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # noqa: ARG002 - the protocol's
        """Refuse: raises UsageError."""
        msg = "rounded answers have no gradient"
        raise UsageError(msg, where=self.name)
