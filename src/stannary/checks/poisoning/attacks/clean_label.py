"""Poison whose labels are right: rows of the target class are changed a little, and no one who reads the labels sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from stannary.checks.poisoning.activations import Into, activations, into_of
from stannary.checks.poisoning.attacks.triggers import OneTarget
from stannary.checks.poisoning.interface import Poisoned, chosen, sound
from stannary.checks.target.interface import Target
from stannary.core.errors import UsageError

__all__ = ["CleanLabel", "FeatureCollision"]

_BATCH = 256
_STEP = 2.5  # steps of PGD may go the radius this many times over (Madry et al. 2018)


@dataclass(frozen=True)
class CleanLabel(OneTarget):
    """Rows of the target class are made hard by PGD against a surrogate, and get the trigger (Turner et al. 2019).

    What is left to learn from in such a row is the trigger.

    Args:
        surrogate: a white-box model of the same task, as the attacker has trained one.
        carrier: the attack whose trigger is put on: `BadNets`, `Blended` or `Columns`; its share and seed do not count.
        target: the class of the rows.
        share: of all rows.
        eps: radius of PGD in `scale`, by the greatest change of a feature.
        steps: of PGD.
        low, high: bounds of the inputs.
        scale: what one unit of `eps` is for each feature: 1 for pixels, the standard deviation for a table's columns.
        seed: of the rows.
    """

    id: ClassVar[str] = "clean-label"
    surrogate: Target
    carrier: OneTarget
    target: int = 0
    share: float = 0.05
    eps: float = 0.2
    steps: int = 20
    low: float = 0.0
    high: float = 1.0
    scale: torch.Tensor | float = 1.0
    seed: int = 0

    def poison(self, x: torch.Tensor, y: torch.Tensor) -> Poisoned:
        """Return the data with changed inputs and the labels as they were; see `Attack`."""
        count = sound(x, y, self.share)
        rows = chosen(y == self.target, count, self.seed, f"no label is {self.target}")
        inputs = x.clone()
        for some in rows.split(_BATCH):
            inputs[some] = self.trigger(self._hardened(x[some], y[some])).to(x)
        parameters = {"target": self.target, "eps": self.eps, "steps": self.steps, "carrier": self.carrier.id}
        return Poisoned(inputs, y.clone(), rows, self.id, self.share, self.seed, parameters)

    def _hardened(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x, y = x.to(self.surrogate.device), y.to(self.surrogate.device)
        scale = self.scale.to(x) if isinstance(self.scale, torch.Tensor) else self.scale
        radius = self.eps * scale
        at = x
        for _ in range(self.steps):
            _, _, grad = self.surrogate.gradient(at, lambda out: torch.nn.functional.cross_entropy(out, y, reduction="none"))
            moved = at + _STEP * radius / self.steps * grad.sign() - x
            moved = torch.minimum(torch.maximum(moved, torch.zeros_like(x) - radius), torch.zeros_like(x) + radius)
            at = (x + moved).clamp(self.low, self.high)
        return at

    def trigger(self, x: torch.Tensor) -> torch.Tensor:
        """Put the carrier's trigger on."""
        return self.carrier.trigger(x)


@dataclass(frozen=True)
class FeatureCollision:
    """Rows of the target class are moved to where the network sees chosen victims, and hardly at all where people do.

    Poison frogs (Shafahi et al. 2018): each poison minimises ‖f(p) - f(victim)‖² + beta ‖p - base‖² by forward-backward
    splitting. It is meant for models that are fine-tuned from the surrogate; one trained from nothing has other features.

    Args:
        surrogate: a torch target, whose last layer's inputs are f.
        chosen: the victims `(v, *shape)`, inputs of the test that are to be decided as `target`.
        target: the class of the rows that are changed.
        share: of all rows; the victims take turns at the row of the class that the network sees nearest to each.
        beta: how much closeness to the base counts, in the units of the features.
        steps: of the optimisation.
        rate: its first step; halved where a step made it worse.
        watermark: share of the victim that is mixed into each base before, as the paper does for training from nothing.
        low, high: bounds of the inputs.
        eps: no feature of a row moves farther than this; None: as far as `beta` lets it.
        seed: of the rows.
    """

    id: ClassVar[str] = "feature-collision"
    surrogate: Target
    chosen: torch.Tensor
    target: int = 0
    share: float = 0.01
    beta: float = 0.1
    steps: int = 100
    rate: float = 0.05
    watermark: float = 0.0
    low: float = 0.0
    high: float = 1.0
    eps: float | None = None
    seed: int = 0

    def poison(self, x: torch.Tensor, y: torch.Tensor) -> Poisoned:
        """Return the data with changed inputs and the labels as they were; see `Attack`."""
        count = sound(x, y, self.share)
        if not len(self.chosen) or self.chosen.shape[1:] != x.shape[1:]:
            msg = f"victims of shape {tuple(self.chosen.shape)} do not go with inputs of shape {tuple(x.shape[1:])}"
            raise UsageError(msg)
        rows = chosen(y == self.target, len(y), self.seed, f"no label is {self.target}")
        rows, whose = self._near(x, rows, count)
        victims, inputs = self.chosen[whose], x.clone()
        for some in torch.arange(len(rows)).split(_BATCH):
            inputs[rows[some]] = self._collided(x[rows[some]], victims[some]).to(x)
        parameters = {"target": self.target, "victims": len(self.chosen), "beta": self.beta, "watermark": self.watermark}
        return Poisoned(inputs, y.clone(), rows, self.id, self.share, self.seed, parameters)

    def _near(self, x: torch.Tensor, rows: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `count` of the rows, sorted, and whose each is: the victims take turns at the nearest one that is left."""
        seen = activations(self.surrogate, torch.cat((x[rows], self.chosen.to(x)))).double()
        far = torch.cdist(seen[len(rows) :], seen[: len(rows)])
        taken: dict[int, int] = {}
        for turn in range(min(count, len(rows))):
            victim = turn % len(far)
            nearest = int(far[victim].argmin())
            far[:, nearest] = torch.inf
            taken[int(rows[nearest])] = victim
        picked = sorted(taken)
        return torch.tensor(picked), torch.tensor([taken[row] for row in picked])

    def _collided(self, base: torch.Tensor, victims: torch.Tensor) -> torch.Tensor:
        base, victims = base.to(self.surrogate.device), victims.to(self.surrogate.device)
        into = into_of(self.surrogate)
        low, high = torch.full_like(base, self.low), torch.full_like(base, self.high)
        if self.eps is not None:
            low, high = (base - self.eps).clamp_min(self.low), (base + self.eps).clamp_max(self.high)
        base = (base + self.watermark * (victims - base)).clamp(low, high)
        with torch.no_grad():
            goal = into(victims)
        at = base
        rate = torch.full((len(base), *[1] * (base.ndim - 1)), self.rate, device=base.device, dtype=base.dtype)
        worth, grad = self._worth(into, at, base, goal)
        for _ in range(self.steps):
            # forward along the features' gradient, back towards the base by the proximal map of its square
            moved = ((at - rate * grad + rate * self.beta * base) / (1 + rate * self.beta)).clamp(low, high)
            next_worth, next_grad = self._worth(into, moved, base, goal)
            better = (next_worth < worth).reshape(rate.shape)
            at, grad = torch.where(better, moved, at), torch.where(better, next_grad, grad)
            worth = torch.minimum(worth, next_worth)
            rate = torch.where(better, rate, rate / 2)
        return at

    def _worth(self, into: Into, at: torch.Tensor, base: torch.Tensor, goal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is minimised, `(m,)`, and the gradient of its first part."""
        at = at.detach().requires_grad_()
        with torch.enable_grad():
            far = (into(at) - goal).square().sum(1)
            (grad,) = torch.autograd.grad(far.sum(), at)
        return far.detach() + self.beta / 2 * (at.detach() - base).square().flatten(1).sum(1), grad

    def trigger(self, x: torch.Tensor) -> torch.Tensor:
        """Return the inputs as they are: the victims are presented unchanged."""
        return x

    def victims(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the samples that are among the victims, and not of the target class."""
        same = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for victim in self.chosen.to(x):
            same |= (x == victim).flatten(1).all(1)
        return same & (y != self.target)

    def wanted(self, decided: torch.Tensor, y: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - the protocol's
        """Return whether the decision is the target."""
        return decided == self.target
