"""FAB, the fast adaptive boundary attack (Croce and Hein 2020b), in its targeted form: one other class a round."""

from __future__ import annotations

import torch

from stannary.checks.robustness.geometry import onto_plane, per_row
from stannary.checks.robustness.rows import Problem, Rows, distance
from stannary.checks.target.interface import Access
from stannary.checks.target.torch_model import labels_of

__all__ = ["FAB"]

_OVERSHOOT = 1.05
_FAR = 1e30  # for bounds that are infinite
_BACK = 0.9  # a success is pulled back to this share of its distance
_PULL = 0.1  # the most weight that the projection of the sample itself has


class FAB:
    """Walk along the decision boundary towards the sample, by projections onto the linearised boundary within the domain.

    With a radius, a row ends at its first success inside it; without one, the smallest change is looked for. The boundary is
    linearised where the target was last asked, also for points that are then pulled back: one forward and one backward pass a
    step, where the original takes another forward pass to look at what it reached.

    Args:
        classes: of the target.
        targets: how many other classes are tried, the most likely first; one round each.
        steps: for each.
    """

    access: Access = "white"
    norms: tuple[str, ...] = ("linf", "l2")

    def __init__(self, classes: int, *, targets: int = 9, steps: int = 100, minimal: bool = False) -> None:
        self.rounds = max(1, min(targets, classes - 1))
        self.id = f"fab-t-{steps}x{self.rounds}"
        self.minimal = minimal
        self.steps, self._last = steps + 1, steps

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:  # noqa: ARG002 - starts at the sample
        """Start at the sample; each round's class is chosen by what the target says of it: one query a row."""
        logits = problem.target.logits(rows.origin).nan_to_num(0.0).scatter(1, rows.label[:, None], torch.inf)
        ranked = logits.argsort(1, descending=True)
        rows.towards = ranked.gather(1, (rows.round + 1).clamp_max(ranked.shape[1] - 1)[:, None])[:, 0]

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Look at where the rows are, and project them and their samples onto the boundary as it looks from there."""
        sign = -1 if problem.targeted else 1

        def behind(out: torch.Tensor) -> torch.Tensor:
            return sign * (out.gather(1, rows.towards[:, None]) - out.gather(1, rows.label[:, None]))[:, 0]

        logits, gap, grad = problem.target.gradient(rows.x, behind)
        fooled = problem.fooled(labels_of(logits), rows.label)
        offset = rows.x - rows.origin
        hit = fooled if problem.eps is None else fooled & (problem.size(rows.x, rows.origin) <= problem.eps)
        rows.keep(rows.x, hit, problem)
        share = per_row(torch.where(fooled, _BACK, 1.0).to(grad.dtype), grad)
        base = rows.origin + offset * share
        along = (grad * offset).flatten(1).sum(1).nan_to_num(0.0)
        rise = torch.cat((-gap + along * (1 - share.flatten()), -gap + along))  # from the base, from the sample
        unit, slope = problem.unit, grad * problem.unit
        low, high = (bound.clamp(-_FAR, _FAR) / unit for bound in problem.domain.span(rows.x))
        points = torch.cat((base, rows.origin)) / unit
        change = onto_plane(points, torch.cat((slope, slope)), rise, (low, high), problem.norm)
        near, far = change[: len(rows)], change[len(rows) :]
        one, other = (distance(part, torch.zeros_like(part), problem.norm) for part in (near, far))
        pull = per_row((one / (one + other).clamp_min(1e-12)).clamp(0, _PULL), grad)
        moved = (base + _OVERSHOOT * unit * near) * (1 - pull) + (rows.origin + _OVERSHOOT * unit * far) * pull
        rows.x = problem.domain.project(moved.nan_to_num(0.0), rows.origin)
        return rows.age >= self._last
