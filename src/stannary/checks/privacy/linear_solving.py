"""Equation solving (Tramer et al. 2016, section 4.1): a linear or logistic model is read off `d + 1` answers, exactly.

Differences of log-probabilities of a (multinomial) logistic regression are linear in its inputs, as are those of a linear
classifier's scores. One answer at a point and one a step beside it along each feature are therefore all the equations there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch

from stannary.checks.privacy.seeds import generator
from stannary.checks.target.counting import Counting
from stannary.checks.target.torch_model import labels_of
from stannary.core.errors import UsageError

__all__ = ["Linear", "solve_linear"]

Ask: TypeAlias = Callable[[torch.Tensor], torch.Tensor]  # inputs (n, d) → scores less the first class's (n, classes)
_CHECKED = 32  # points on which a solution has to hold
_FAR = 15.0  # log-odds beyond which 1 - p has lost its digits
_HALVINGS = 20


@dataclass(frozen=True)
class Linear:
    """A linear model: `weights` `(classes, d)` and `bias` `(classes,)`, up to what is the same for all classes (class 0 has zeros).

    `queries`: what it took, the check included. `error`: the greatest difference of log-odds on the points of the check.
    """

    weights: torch.Tensor
    bias: torch.Tensor
    queries: int
    error: float

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(n, classes)`."""
        return x.flatten(1).double().cpu() @ self.weights.T + self.bias

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the labels `(n,)`."""
        return labels_of(self.logits(x))


def solve_linear(target: Counting, near: torch.Tensor, *, seed: int = 0) -> Linear | None:
    """Recover a linear model by its scores; None if it is no linear model, or its answers are too coarse to solve.

    Args:
        target: gives scores.
        near: some inputs `(n, *shape)`, for the scale of every feature.
        seed: of the points on which the solution is checked.

    Raises:
        UsageError: the target gives labels alone.
    """
    if target.access == "decision":
        msg = "equations take scores, and the target gives labels alone"
        raise UsageError(msg, where=target.name)
    began = target.spend.queries
    flat = near.flatten(1).double().cpu()
    spread = flat.std(0)
    scale = torch.where(spread > 0, spread, torch.ones_like(spread))

    def ask(rows: torch.Tensor) -> torch.Tensor:
        found = target.logits(rows.reshape(-1, *near.shape[1:]).to(near.dtype).to(target.device)).double().cpu()
        return found - found[:, :1]

    start = _open_point(ask, flat)
    if start is None:
        return None
    origin, base = start
    slopes = _slopes(ask, origin, base, scale)
    if slopes is None:
        return None
    weights = slopes.T
    bias = base[0] - weights @ origin
    rows = flat[torch.randint(len(flat), (_CHECKED,), generator=generator(seed, "check"))]
    rows = rows + 0.3 * scale * torch.randn(rows.shape, generator=generator(seed, "check", 1), dtype=torch.float64)
    rows = rows.to(near.dtype).double()  # what the target sees
    said, ours = ask(rows), rows @ weights.T + bias
    known = said.isfinite() & (said.abs() < _FAR) & (ours.abs() < 2 * _FAR)
    if known[:, 1:].sum() < _CHECKED // 4:
        return None
    error = float((said - ours)[known].abs().max())
    fine = 1e-6 if near.dtype == torch.float64 else 1e-3
    if error > fine * max(1.0, float(said[known].abs().max())):
        return None
    return Linear(weights, bias, target.spend.queries - began, error)


def _open_point(ask: Ask, flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the input, of a few, on which the model is least certain, and its answer `(1, classes)`: it has most digits there."""
    rows = torch.cat((flat.mean(0, keepdim=True), flat[:15]))
    said = ask(rows)
    worst = said.abs().nan_to_num(torch.inf).amax(1)
    at = int(worst.argmin())
    return (rows[at], said[at : at + 1]) if float(worst[at]) < 2 * _FAR else None


def _slopes(ask: Ask, origin: torch.Tensor, base: torch.Tensor, scale: torch.Tensor) -> torch.Tensor | None:
    """Return `(d, classes)`: how the answer rises along each feature; a step that leads too far is halved, and asked again."""
    step = scale.clone()
    slopes = torch.full((len(scale), base.shape[1]), torch.nan, dtype=torch.float64)
    todo = torch.arange(len(scale))
    for _ in range(_HALVINGS):
        rows = origin.repeat(len(todo), 1)
        rows[torch.arange(len(todo)), todo] += step[todo]
        taken = rows[torch.arange(len(todo)), todo] - origin[todo]
        said = ask(rows)
        good = (said.isfinite() & ((said.abs() < _FAR) | ((said - base).abs() < 1))).all(1)
        slopes[todo[good]] = ((said - base) / taken[:, None])[good]
        todo = todo[~good]
        step[todo] /= 2
        if not len(todo):
            return slopes
    return None
