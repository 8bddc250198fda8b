"""A target that counts: every pass and query that an evaluation reports comes from here, not from what an attack claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stannary.checks.target.interface import BudgetSpent, Loss, Spend, Target

if TYPE_CHECKING:
    import torch

__all__ = ["Counting", "identity_of"]


class Counting:
    """Pass everything on to `inner`, and count it in `spend`; refuse what would exceed `budget` queries.

    A gradient costs one forward pass, one backward pass and one query a sample.

    `reopen`: opens `inner` again, in another process, to which most models cannot be sent as they are; it is pickled instead.
    """

    def __init__(
        self,
        inner: Target,
        budget: int | None = None,
        *,
        identity: str = "",
        reopen: Callable[[], Target] | None = None,
    ) -> None:
        self.inner, self.reopen = inner, reopen
        self.identity = identity or inner.name  # what a checkpoint is about: the digest of the artifact, where it has one
        self.spend = Spend()
        self.budget = budget
        self.name, self.access, self.classes = inner.name, inner.access, inner.classes
        self.shape, self.device = inner.shape, inner.device

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as what opens the model, where that is known."""
        state: dict[str, Any] = {"identity": self.identity, "reopen": self.reopen}
        return _opened, (self.inner if self.reopen is None else None, self.budget, self.spend, state)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the target says."""
        self._count(len(x))
        logits = self._sent(self.inner.logits, x)
        self.spend.unanswered += int(logits.isnan().any(1).sum())
        return logits

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the target decides."""
        self._count(len(x))
        labels = self._sent(self.inner.decide, x)
        self.spend.unanswered += int((labels < 0).sum())
        return labels

    def gradient(self, x: torch.Tensor, loss: Loss) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what the target computes."""
        self._count(len(x))
        self.spend.backward += len(x)
        logits, losses, grad = self.inner.gradient(x, loss)
        self.spend.unanswered += int(logits.isnan().any(1).sum())
        return logits, losses, grad

    def looked(self, samples: int) -> None:
        """Count a pass that was made through the network itself, past this counter, to see its activations."""
        self._count(samples)

    def _count(self, samples: int) -> None:
        if self.budget is not None and self.spend.queries + samples > self.budget:
            msg = f"{self.name}: the budget of {self.budget} queries is used up"
            raise BudgetSpent(msg)
        self.spend.forward += samples
        self.spend.queries += samples
        self.spend.calls += 1

    def _sent(self, call: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Call; a remote model says itself how many round trips that took: several for many rows, none for answers it had."""
        before = getattr(self.inner, "calls", None)
        try:
            return call(x)
        finally:
            if before is not None:
                self.spend.calls += getattr(self.inner, "calls", before) - before - 1


def _opened(inner: Target | None, budget: int | None, spend: Spend, state: dict[str, Any]) -> Counting:
    made = Counting(state["reopen"]() if inner is None else inner, budget, **state)
    made.spend = spend
    return made


def identity_of(target: Target) -> str:
    """Return what tells a target from others: the digest of its artifact where it is known, its name elsewhere."""
    identity: str = getattr(target, "identity", "")
    return identity or target.name
