"""What an attack may ask of a model, and where its inputs may go.

Inputs are torch tensors of shape `(n, *shape)` on the target's device: `float32` for images, text embeddings and
networks, `float64` for tables (a tree's threshold may lie between two neighbouring `float32` numbers).
Labels are `int64` of shape `(n,)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from stannary.core.errors import InputError

if TYPE_CHECKING:
    import torch

    Tensor: TypeAlias = torch.Tensor

__all__ = ["ACCESS", "Access", "BudgetSpent", "Domain", "Loss", "Spend", "Target"]

Access = Literal["white", "score", "decision"]
ACCESS: tuple[Access, ...] = ("decision", "score", "white")  # each includes those before it
Loss: TypeAlias = "Callable[[Tensor], Tensor]"  # logits (n, classes) → one loss a sample (n,), to be increased


class Target(Protocol):
    """A classifier under attack.

    `access` is the most that this target offers: `decision` (labels), `score` (logits, or log-probabilities where a
    model has no logits) or `white` (gradients).
    """

    name: str
    access: Access
    classes: int
    shape: tuple[int, ...]  # of one input
    device: str

    def logits(self, x: Tensor) -> Tensor:
        """Return `(n, classes)` scores without a gradient. A target that has only decisions raises `UsageError`."""
        ...

    def gradient(self, x: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits `(n, classes)`, losses `(n,)` and the gradient of their sum by `x`, all detached.

        Raises:
            UsageError: the target offers no gradient.
        """
        ...

    def decide(self, x: Tensor) -> Tensor:
        """Return the labels `(n,)`, `int64`; -1 where the model gave no usable answer (NaN, an error)."""
        ...


class Domain(Protocol):
    """Where inputs may go. Applied inside every query: what leaves the domain is never shown to the target."""

    def project(self, x: Tensor, origin: Tensor) -> Tensor:
        """Return the nearest allowed inputs to `x` for samples that started at `origin`, both `(n, *shape)`."""
        ...

    def violations(self, x: Tensor, origin: Tensor) -> Tensor:
        """Return for each sample whether `x` breaks any constraint, `(n,)` bool. Shares no code with `project`."""
        ...

    def span(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lowest and the highest allowed value of every feature, broadcastable to `like`."""
        ...


@dataclass
class Spend:
    """What was really asked of the model, in samples: forward passes, backward passes, and queries (calls by sample).

    `unanswered`: of these, the queries that got no usable answer (NaN, an error). Whoever takes them for failed attacks calls
    robust what only fell silent.
    """

    forward: int = 0
    backward: int = 0
    queries: int = 0
    calls: int = 0  # batches: round trips of a remote model
    unanswered: int = 0

    def since(self, before: Spend) -> Spend:
        """Return the difference to an earlier state."""
        pairs = zip(vars(self).values(), vars(before).values(), strict=True)
        return Spend(*(now - then for now, then in pairs))

    def copy(self) -> Spend:
        """Return the state as it is now."""
        return Spend(**vars(self))


class BudgetSpent(InputError):
    """The budget of queries or money is used up; what was found until then stands."""
