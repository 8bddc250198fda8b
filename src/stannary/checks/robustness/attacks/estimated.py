"""Ascent along gradients that are estimated from scores: NES (Ilyas et al. 2018) and SPSA (Uesato et al. 2018)."""

from __future__ import annotations

import math

import torch

from stannary.checks.robustness.engine import sizes
from stannary.checks.robustness.geometry import per_row, steepest
from stannary.checks.robustness.losses import margin
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access
from stannary.checks.target.torch_model import labels_of

__all__ = ["NES", "SPSA"]


class NES:
    """Ascend the margin along antithetic differences in Gaussian directions, inside the ball.

    The differences are as wide as a share of the radius, so that steps of a quantised or thresholded input do not hide the slope.

    Args:
        steps: each of `2 * pairs + 1` queries.
        pairs: of points, on both sides of where the attack is.
        width: of the differences, as a share of the radius.
        momentum: of the estimates before.
    """

    access: Access = "score"
    norms: tuple[str, ...] = ("linf", "l2")
    minimal = False
    rounds = 1

    def __init__(self, steps: int = 50, *, pairs: int = 25, width: float = 0.25, momentum: float = 0.75) -> None:
        self.id = f"{type(self).__name__.lower()}-{steps}x{pairs}"
        self.steps, self.pairs, self.width, self.momentum = steps + 1, pairs, width, momentum
        self._last = steps

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:  # noqa: ARG002 - starts at the sample
        """Start at the sample."""
        rows.way, rows.asked = torch.zeros_like(rows.x), torch.zeros_like(rows.age)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        """Look at where the rows are, estimate the slope there, and move those that are not fooled."""
        logits = problem.target.logits(rows.x)
        rows.keep(rows.x, problem.fooled(labels_of(logits), rows.label), problem)
        over = rows.age >= self._last
        moving = ~rows.found & ~over
        rows.asked = rows.asked + 1 + 2 * self.pairs * moving
        at = moving.nonzero()[:, 0]
        if len(at):
            rows.way[at] = self.momentum * rows.way[at] + self._slope(problem, rows, at, generator)
            eps = problem.eps or 1.0
            pace = eps * (0.5 + 0.5 * torch.cos(math.pi * rows.age / self._last)).clamp_min(0.05).to(rows.size.dtype)
            move = per_row(pace, rows.x) * problem.unit * steepest(rows.way, problem.norm)
            rows.x = problem.ball(rows.x + move, rows.origin)
        return over

    def _slope(self, problem: Problem, rows: Rows, at: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the mean of directions weighted by differences of the margin, for the rows `at`, `(m, *shape)`."""
        x, origin, label = rows.x[at], rows.origin[at], rows.label[at]
        width = self.width * (problem.eps or 1.0) / (1.0 if problem.norm == "linf" else math.sqrt(x[0].numel()))
        slope = torch.zeros_like(x)
        together = max(1, sizes(x.device.type)[0] // len(at))
        for count in _batches(self.pairs, together):
            noise = self._noise((count, *x.shape), x, generator)
            offset = noise * width * problem.unit
            points = torch.cat((x + offset, x - offset)).flatten(0, 1)
            inside = problem.domain.project(points, origin.repeat(2 * count, *[1] * (x.ndim - 1)))
            value = margin(problem.target.logits(inside), label.repeat(2 * count)).nan_to_num(0.0)
            up, down = value.reshape(2, count, len(at))
            slope += (noise * (up - down).reshape(count, len(at), *[1] * (x.ndim - 1))).sum(0)
        slope = -slope if problem.targeted else slope
        return slope / per_row(slope.flatten(1).norm(dim=1).clamp_min(1e-30), slope)

    def _noise(self, shape: tuple[int, ...], like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return torch.empty(shape, device=like.device, dtype=like.dtype).normal_(generator=generator)


class SPSA(NES):
    """The same along random signs, which move every feature equally far."""

    def _noise(self, shape: tuple[int, ...], like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(0, 2, shape, generator=generator, device=like.device).to(like.dtype) * 2 - 1


def _batches(total: int, most: int) -> list[int]:
    return [min(most, total - start) for start in range(0, total, most)]
