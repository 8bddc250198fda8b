"""Auto-PGD (Croce and Hein 2020, algorithm 1): momentum, and a step that is halved where it no longer helps."""

from __future__ import annotations

import torch

from stannary.checks.robustness.geometry import choose, per_row, random_offset, steepest
from stannary.checks.robustness.losses import cross_entropy, dlr, targeted_dlr
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access
from stannary.checks.target.torch_model import labels_of

__all__ = ["APGD", "APGDT"]

_RHO = 0.75  # a stretch in which fewer steps than this share raised the loss oscillates
_MOMENTUM = 0.75


class APGD:
    """Auto-PGD on the cross entropy (`ce`) or the difference-of-logits ratio (`dlr`).

    Checkpoints, halving and momentum are those of the paper; each row is at its own age, so restarts and new rows share a batch.

    Args:
        loss: `ce` or `dlr`.
        steps: gradient steps; each costs one forward and one backward pass, and one more looks at the start.
        rounds: restarts, each from a random point on the surface of the ball.
    """

    access: Access = "white"
    norms: tuple[str, ...] = ("linf", "l2")
    minimal = False

    def __init__(self, loss: str = "ce", steps: int = 100, *, rounds: int = 1) -> None:
        self.id, self.loss, self.rounds = f"apgd-{loss}-{steps}", loss, rounds
        self.steps, self._last = steps + 1, steps
        stretch, least, shorter = max(int(0.22 * steps), 1), max(int(0.06 * steps), 1), max(int(0.03 * steps), 1)
        self._stretch = torch.zeros(steps + 1, dtype=torch.int64)  # at the age of a checkpoint: steps since the one before; else 0
        age = stretch
        while age <= steps:
            self._stretch[age] = stretch
            stretch = max(stretch - shorter, least)
            age += stretch

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:
        """Start on the surface of the ball with a step of twice the radius."""
        eps = problem.eps or 1.0
        offset = random_offset(rows.x, problem.norm, generator, surface=True)
        rows.x = problem.domain.project(rows.origin + eps * problem.unit * offset, rows.origin)
        rows.before, rows.top, rows.top_grad = rows.x, rows.x, torch.zeros_like(rows.x)
        rows.pace = rows.size.new_full((len(rows),), 2 * eps)
        rows.top_loss = rows.size.new_full((len(rows),), -torch.inf)
        rows.last_loss = rows.checked = rows.top_loss
        rows.rises = torch.zeros_like(rows.age)
        rows.halved = torch.ones_like(rows.found)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Look at where the rows are, halve the step at checkpoints, and move."""
        logits, loss, grad = problem.target.gradient(rows.x, lambda out: self._loss(problem, rows, out))
        rows.keep(rows.x, problem.fooled(labels_of(logits), rows.label), problem)
        first = rows.age == 0
        rows.rises = rows.rises + ((loss > rows.last_loss) & ~first)
        better = loss > rows.top_loss  # false for NaN
        rows.top_loss = torch.where(better, loss, rows.top_loss)
        rows.checked = torch.where(first, rows.top_loss, rows.checked)
        rows.last_loss = loss
        rows.top, rows.top_grad = choose(better, rows.x, rows.top), choose(better, grad, rows.top_grad)
        here, grad = self._checkpoint(rows, grad)
        move = problem.unit * steepest(grad * problem.unit, problem.norm)
        onward = problem.ball(here + per_row(rows.pace, grad) * move, rows.origin)
        share = per_row(torch.where(first, 1.0, _MOMENTUM).to(grad.dtype), grad)
        moved = here + (onward - here) * share + (here - rows.before) * (1 - share)
        rows.before, rows.x = here, problem.ball(moved, rows.origin)
        return rows.age >= self._last

    def _loss(self, problem: Problem, rows: Rows, logits: torch.Tensor) -> torch.Tensor:
        value = cross_entropy(logits, rows.label) if self.loss == "ce" else dlr(logits, rows.label)
        return -value if problem.targeted else value

    def _checkpoint(self, rows: Rows, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Halve the step where the loss oscillated or stood still since the last checkpoint, and go back to the best point."""
        stretch = self._stretch.to(rows.age.device)[rows.age.clamp_max(self._last)]
        due = stretch > 0
        if grad.device.type == "cpu" and not due.any():
            return rows.x, grad
        stands = ~rows.halved & (rows.checked >= rows.top_loss)
        halve = due & ((rows.rises <= _RHO * stretch) | stands)
        rows.halved = torch.where(due, halve, rows.halved)
        rows.checked = torch.where(due, rows.top_loss, rows.checked)
        rows.rises = rows.rises * ~due
        rows.pace = torch.where(halve, rows.pace / 2, rows.pace)
        return choose(halve, rows.top, rows.x), choose(halve, rows.top_grad, grad)


class APGDT(APGD):
    """Auto-PGD towards one other class a round, the most likely first, on the targeted difference-of-logits ratio.

    All rounds of all samples share batches; a sample that falls to one target leaves in all of them.

    Args:
        classes: of the target. With fewer than four the ratio has no denominator, and the plain difference is climbed.
        targets: how many other classes are tried, at most.
        steps: gradient steps for each.
    """

    def __init__(self, classes: int, *, targets: int = 9, steps: int = 100) -> None:
        super().__init__("dlr", steps, rounds=max(1, min(targets, classes - 1)))
        self.id = f"apgd-t-{steps}x{self.rounds}"

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:
        """Choose each round's class by what the target says of the sample itself: one query a row."""
        super().init(problem, rows, generator)
        logits = problem.target.logits(rows.origin).nan_to_num(0.0).scatter(1, rows.label[:, None], torch.inf)
        ranked = logits.argsort(1, descending=True)
        rows.towards = ranked.gather(1, (rows.round + 1).clamp_max(ranked.shape[1] - 1)[:, None])[:, 0]

    def _loss(self, problem: Problem, rows: Rows, logits: torch.Tensor) -> torch.Tensor:
        if problem.targeted:
            return super()._loss(problem, rows, logits)
        if logits.shape[1] < 4:  # noqa: PLR2004 - its denominator takes four classes
            return (logits.gather(1, rows.towards[:, None]) - logits.gather(1, rows.label[:, None]))[:, 0]
        return targeted_dlr(logits, rows.label, rows.towards)
