"""Targets that answer differently each time: found out, and attacked in expectation (EOT)."""

from __future__ import annotations

import torch

from stannary.checks.target.interface import Loss, Spend, Target

__all__ = ["Averaged", "is_random"]


def is_random(target: Target, x: torch.Tensor) -> bool:
    """Tell whether a target answers the same inputs `(n, *shape)` differently when it is asked again: three queries a sample."""
    ask = target.decide if target.access == "decision" else target.logits
    first = ask(x)
    return any(not torch.equal(first, ask(x)) for _ in range(2))


class Averaged:
    """The mean of `times` answers of `inner`: what its randomness leaves to be climbed (Athalye et al. 2018, section 4.2)."""

    def __init__(self, inner: Target, times: int) -> None:
        self.inner, self.times = inner, times
        self.name, self.access, self.classes, self.shape, self.device = (
            inner.name,
            inner.access,
            inner.classes,
            inner.shape,
            inner.device,
        )

    @property
    def spend(self) -> Spend:
        """What was spent on the inner target."""
        spend: Spend | None = getattr(self.inner, "spend", None)
        return Spend() if spend is None else spend

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean of the logits."""
        return torch.stack([self.inner.logits(x) for _ in range(self.times)]).mean(0)

    def gradient(self, x: torch.Tensor, loss: Loss) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the means of logits, losses and gradients."""
        parts = zip(*(self.inner.gradient(x, loss) for _ in range(self.times)), strict=True)
        logits, losses, grad = (torch.stack(part).mean(0) for part in parts)
        return logits, losses, grad

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the most frequent label, the lowest of equals; -1 where that is no answer."""
        labels = torch.stack([self.inner.decide(x) for _ in range(self.times)])
        votes = torch.nn.functional.one_hot(labels + 1, self.classes + 1).sum(0)
        return votes.argmax(1) - 1
