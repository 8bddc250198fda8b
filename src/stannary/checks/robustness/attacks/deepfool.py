"""DeepFool (Moosavi-Dezfooli et al. 2016): to the nearest boundary of a linear model, again and again."""

from __future__ import annotations

import torch

from stannary.checks.robustness.attacks.minimal import claim
from stannary.checks.robustness.engine import sizes
from stannary.checks.robustness.geometry import onto_plane, per_row
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access, Loss

__all__ = ["DeepFool"]

_FAR = 1e30  # for bounds that are infinite
_DUAL = {"linf": 1.0, "l2": 2.0}


class DeepFool:
    """Step onto the nearest of the linearised boundaries, within the domain, until the model is fooled.

    The boundaries of all classes come from one batch: each row is asked once for each class, one forward and one backward pass.

    Args:
        steps: at most. Each costs as many passes as there are `candidates`.
        candidates: how many other classes are looked at, the most likely ones of the sample.
        overshoot: by which share a step goes beyond the boundary.
    """

    access: Access = "white"
    norms: tuple[str, ...] = ("l2", "linf")
    minimal = True
    rounds = 1

    def __init__(self, steps: int = 50, *, candidates: int = 9, overshoot: float = 0.02) -> None:
        self.id = f"deepfool-{steps}"
        self.steps, self.candidates, self.overshoot = steps, candidates, overshoot

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:  # noqa: ARG002 - nothing random here
        """Choose the classes by what the target says of the sample: one query. Of a targeted problem it is the greatest one."""
        if problem.targeted:
            rows.rivals = _first(problem.target.logits(rows.origin), rows.label)
            return
        logits = problem.target.logits(rows.origin).nan_to_num(0.0).scatter(1, rows.label[:, None], -torch.inf)
        rows.rivals = logits.argsort(1, descending=True)[:, : min(self.candidates, logits.shape[1] - 1)]

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Look at the boundaries from where the rows are, and step onto the nearest one."""
        logits, gap, grad = self._jacobian(problem, rows)
        fooled = claim(problem, rows, logits)
        if problem.targeted:
            rows.rivals = _first(logits, rows.label)  # the one to be beaten next
        unit = problem.unit
        grad = grad.nan_to_num(0.0) * unit
        slope = torch.linalg.vector_norm(grad.flatten(2), ord=_DUAL[problem.norm], dim=2)
        away = torch.where(slope > 0, gap.abs() / slope.clamp_min(1e-30), torch.inf)
        nearest = away.argmin(1)
        every = torch.arange(len(rows), device=nearest.device)
        rise, normal = -gap[every, nearest], grad[every, nearest]
        low, high = (bound.clamp(-_FAR, _FAR) / unit for bound in problem.domain.span(rows.x))
        change = onto_plane(rows.x / unit, normal, rise, (low, high), problem.norm, turns=1)
        onward = rows.x + (1 + self.overshoot) * change * unit
        rows.x = torch.where(per_row(fooled, onward), rows.x, problem.domain.project(onward.nan_to_num(0.0), rows.origin))
        return fooled

    def _jacobian(self, problem: Problem, rows: Rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits, by how much each rival beats the label `(n, k)`, and the gradients of that `(n, k, *shape)`."""
        count, shape = rows.rivals.shape[1], rows.x.shape[1:]
        rival = rows.rivals.flatten()
        label = rows.label.repeat_interleave(count)
        above, below = (label, rival) if problem.targeted else (rival, label)
        x = rows.x.repeat_interleave(count, 0)
        batches = torch.arange(len(x), device=x.device).split(sizes(x.device.type)[0])
        parts = [problem.target.gradient(x[part], _lead(above[part], below[part])) for part in batches]
        logits, gap, grad = (torch.cat(column) for column in zip(*parts, strict=True))
        return logits[::count], gap.reshape(-1, count), grad.reshape(-1, count, *shape)


def _lead(above: torch.Tensor, below: torch.Tensor) -> Loss:
    """Return by how much the classes `above` beat `below`, both `(n,)`, as a function of the logits."""
    return lambda out: (out.gather(1, above[:, None]) - out.gather(1, below[:, None]))[:, 0]


def _first(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return the greatest class but for the label, `(n, 1)`."""
    return logits.nan_to_num(0.0).scatter(1, label[:, None], -torch.inf).argmax(1, keepdim=True)
