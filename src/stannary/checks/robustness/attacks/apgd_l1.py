"""Auto-PGD in the l1 ball (Croce and Hein 2021, "Mind the box"): sparse steps, and projections onto ball and bounds at once."""

from __future__ import annotations

import torch

from stannary.checks.robustness.attacks.minimal import claim
from stannary.checks.robustness.geometry import choose, onto_l1_within, per_row
from stannary.checks.robustness.losses import cross_entropy, dlr
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access

__all__ = ["APGDL1"]

_WIDER = ((0.3, 3.0), (0.6, 2.0), (1.0, 1.0))  # up to which share of the steps, with how many times the radius
_KEPT = 0.2  # of the features move in the first steps
_THINNER = 1.5
_STEADY = 0.95  # of the changed features: fewer are kept only while their number still falls
_LEAST = 0.1  # of the radius: the shortest step
_CHECK = 0.04  # of the steps lie between two looks at the sparsity


class APGDL1:
    """Climb cross entropy (`ce`) or the difference-of-logits ratio (`dlr`), first in three and two times the ball.

    Args:
        loss: `ce` or `dlr`.
        steps: gradient steps; each costs one forward and one backward pass, and one more looks at the last.
        rounds: restarts, after the first each from a random point.
    """

    access: Access = "white"
    norms: tuple[str, ...] = ("l1",)
    minimal = False

    def __init__(self, loss: str = "ce", steps: int = 100, *, rounds: int = 1) -> None:
        self.id, self.loss, self.rounds = f"apgd-l1-{loss}-{steps}", loss, rounds
        self.steps, self._last = steps + 1, steps
        self._every = max(int(_CHECK * steps), 1)

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:
        """Start at the sample, or in later rounds near it."""
        noise = torch.empty_like(rows.x).normal_(generator=generator)
        noise = noise / per_row(noise.flatten(1).abs().sum(1).clamp_min(1e-12), noise) * (problem.eps or 1.0)
        start = problem.ball(rows.origin + noise * problem.unit, rows.origin)
        rows.x = choose(rows.round > 0, start, rows.x)
        rows.top, rows.top_grad = rows.x, torch.zeros_like(rows.x)
        rows.top_loss = rows.size.new_full((len(rows),), -torch.inf)
        rows.share = rows.size.new_full((len(rows),), _KEPT)
        rows.pace = rows.size.new_full((len(rows),), 1.0)
        rows.count = rows.size.new_full((len(rows),), float(rows.x[0].numel()) if len(rows) else 1.0)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Look, adapt sparsity and step, and move the features whose gradient is greatest."""
        logits, loss, grad = problem.target.gradient(rows.x, lambda out: self._loss(problem, rows, out))
        claim(problem, rows, logits)
        grad = grad.nan_to_num(0.0) * problem.unit
        wide = self._radius(rows.age).to(loss.dtype) * (problem.eps or 1.0)
        turn = (rows.age > 0) & (self._radius(rows.age) != self._radius(rows.age - 1))
        better = (loss > rows.top_loss) | turn
        rows.top_loss = torch.where(better, loss, rows.top_loss)
        rows.top, rows.top_grad = choose(better, rows.x, rows.top), choose(better, grad, rows.top_grad)
        here, grad = self._adapt(rows, grad)
        onward = self._radius(rows.age + 1).to(loss.dtype)
        shrinks = (onward != self._radius(rows.age)).to(torch.bool)  # from the best point of the wider ball
        here, grad = choose(shrinks, rows.top, here), choose(shrinks, rows.top_grad, grad)
        flat = grad.flatten(1)
        kept = (rows.share * flat.shape[1]).long().clamp(1, flat.shape[1])
        ordered = flat.abs().sort(1, descending=True).values
        sparse = flat.sign() * (flat.abs() >= ordered.gather(1, kept[:, None] - 1))
        length = (rows.pace * wide)[:, None] / sparse.abs().sum(1, keepdim=True).clamp_min(1.0)
        moved = ((here - rows.origin) / problem.unit).flatten(1) + length * sparse
        rows.x = self._project(problem, rows, moved.reshape(rows.x.shape), onward)
        return rows.age >= self._last

    def _loss(self, problem: Problem, rows: Rows, logits: torch.Tensor) -> torch.Tensor:
        value = cross_entropy(logits, rows.label) if self.loss == "ce" else dlr(logits, rows.label)
        return -value if problem.targeted else value

    def _radius(self, age: torch.Tensor) -> torch.Tensor:
        """Return by how much the ball is widened at an age; the last step is always in the ball itself."""
        ends = torch.tensor([share * self._last for share, _ in _WIDER[:-1]], device=age.device)
        return torch.tensor([times for _, times in _WIDER], device=age.device)[
            torch.bucketize(age.double(), ends.double(), right=True)
        ]

    def _adapt(self, rows: Rows, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """From time to time keep fewer features, or shorten the step where the change became no sparser."""
        due = (rows.age % self._every == 0) & (rows.age > 0)
        count = ((rows.top - rows.origin) != 0).flatten(1).sum(1).to(rows.share.dtype)
        falls = count < _STEADY * rows.count
        features = max(1, rows.x[0].numel())
        rows.share = torch.where(due, count / features / _THINNER, rows.share)
        pace = torch.where(falls, torch.ones_like(rows.pace), (rows.pace / _THINNER).clamp_min(_LEAST))
        rows.pace, rows.count = torch.where(due, pace, rows.pace), torch.where(due, count, rows.count)
        back = due & falls
        return choose(back, rows.top, rows.x), choose(back, rows.top_grad, grad)

    def _project(self, problem: Problem, rows: Rows, moved: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        unit = problem.unit
        low, high = ((bound.expand_as(rows.x) - rows.origin) / unit for bound in problem.domain.span(rows.x))
        inside = onto_l1_within(moved.flatten(1), (problem.eps or 1.0) * times, (low.flatten(1), high.flatten(1)))
        return problem.domain.project(rows.origin + inside.reshape(moved.shape) * unit, rows.origin)
