"""Masked gradients: ten signs that a model was not attacked as it could be (Athalye et al. 2018; Carlini et al. 2019).

A model that hides its gradients looks robust to attacks that follow them, and is not: rounding, steps, huge logits, randomness and
the like only send the attacker to another door. Each point is a number with a threshold; one warning is enough for `masked`, and
a masked model is never called robust (`allows`).

1. `zero-gradient`: the share of samples whose margin has no gradient, or one that is no number
2. `black-box`: the share of samples that Square, which sees scores only, breaks, and gradients do not
3. `single-step`: the share that one step breaks and a hundred do not
4. `unbounded`: the share that gradients do not break when the whole domain is allowed
5. `slope`: how much of the rise that the gradient promises comes true (median); its threshold is a least value
6. `random`: the share of samples that get another answer when they are asked again
7. `not-converged`: the share that falls only to more steps and restarts
8. `transfer`: the share that falls to examples of a small imitation, and to gradients does not
9. `saturated`: the share whose cross entropy has lost the gradient that the margin has; outputs that are probabilities
10. `plateau`: the share that falls to slopes estimated over wide differences, or stays the same when every feature moves a little
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from stannary.checks.robustness.attacks.apgd import APGD
from stannary.checks.robustness.attacks.estimated import NES
from stannary.checks.robustness.attacks.pgd import FGSM, PGD
from stannary.checks.robustness.attacks.square import Square
from stannary.checks.robustness.attacks.transfer import Transfer, imitate
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.engine import Attack, run
from stannary.checks.robustness.geometry import steepest
from stannary.checks.robustness.losses import cross_entropy, margin
from stannary.checks.robustness.rows import Problem
from stannary.checks.target.card import MaskingPoint
from stannary.checks.target.counting import Counting
from stannary.checks.target.interface import Spend
from stannary.core.errors import BackendError, InputError, UsageError

__all__ = ["SAMPLES", "MaskingReport", "allows", "masking_report"]

SAMPLES = 100
_FEW = 3  # samples that differ may be chance, whatever their share
_TITLES = {
    "zero-gradient": "samples without a usable gradient",
    "black-box": "samples that a black-box attack breaks and gradients do not",
    "single-step": "samples that one step breaks and many do not",
    "unbounded": "samples that stand when the whole domain is allowed",
    "slope": "rise along the gradient, of what it promises",
    "random": "samples that are answered differently each time",
    "not-converged": "samples that fall only to more steps and restarts",
    "transfer": "samples that an imitation's examples break and gradients do not",
    "saturated": "samples whose cross entropy has no gradient, and the margin has",
    "plateau": "samples on a step of the input, or broken by wide differences only",
}
_LIMITS = {
    "zero-gradient": 0.05, "black-box": 0.03, "single-step": 0.02, "unbounded": 0.05, "slope": 0.3, "random": 0.0,
    "not-converged": 0.05, "transfer": 0.03, "saturated": 0.2, "plateau": 0.03,
}  # fmt: skip


@dataclass(frozen=True)
class MaskingReport:
    """The ten points; `masked` is the verdict. `stopped`: why points are missing; of a report that was stopped nothing follows."""

    points: tuple[MaskingPoint, ...]
    masked: bool
    samples: int
    spend: Spend = field(default_factory=Spend)
    stopped: str = ""


def allows(report: MaskingReport | None) -> bool:
    """Tell whether a verdict on robustness may pass: not on a masked model, nor where nobody could look."""
    return report is not None and not report.masked and not report.stopped and any(p.value is not None for p in report.points)


def masking_report(
    problem: Problem, x: torch.Tensor, labels: torch.Tensor, *, samples: int = SAMPLES, pool: torch.Tensor | None = None
) -> MaskingReport:
    """Look for the ten signs.

    Args:
        problem: target, domain, norm (linf or l2) and the radius that robustness is claimed for.
        x: samples `(n, *shape)`, of which the first that the target gets right are taken.
        labels: `(n,)`, the true ones.
        samples: how many are taken; below some fifty, few signs can be seen.
        pool: inputs `(m, *shape)` on which an imitation is trained; None for `x`.

    Raises:
        UsageError: no radius, or a norm without gradient attacks.
    """
    if problem.eps is None or problem.norm not in ("linf", "l2") or problem.targeted:
        msg = "the report on masked gradients takes an untargeted problem with a radius in linf or l2"
        raise UsageError(msg)
    target = problem.target if isinstance(problem.target, Counting) else Counting(problem.target)
    problem = _with(problem, target, problem.eps)
    before = target.spend.copy()
    if target.access != "white":
        note = f"the target offers {target.access} access: there are no gradients to be masked"
        points = tuple(MaskingPoint(id=name, title=title, value=None, note=note) for name, title in _TITLES.items())
        return MaskingReport(points, masked=False, samples=0)
    try:
        right = (target.decide(x) == labels).nonzero()[:, 0][:samples]
        points = _Look(problem, x[right], labels[right]).points(x if pool is None else pool) if len(right) else ()
    except (InputError, BackendError) as exc:
        return MaskingReport((), masked=False, samples=0, spend=target.spend.since(before), stopped=str(exc))
    spend = target.spend.since(before)
    stopped = "" if len(right) else "the target gets no sample right"
    return MaskingReport(points, any(point.warn for point in points), len(right), spend, stopped)


def _with(problem: Problem, target: Counting, eps: float) -> Problem:
    return Problem(target, problem.domain, norm=problem.norm, eps=eps, seed=problem.seed, scale=problem.scale)


class _Look:
    """The samples that are looked at, all of them right, and what is asked of them."""

    def __init__(self, problem: Problem, x: torch.Tensor, labels: torch.Tensor) -> None:
        self.problem, self.x, self.labels = problem, x, labels
        self.target = problem.target

    def points(self, pool: torch.Tensor) -> tuple[MaskingPoint, ...]:
        """Make the points in their order."""
        zero, saturated, slope = self._gradients()
        white = self._broken(APGD("ce", 50))
        more = white | self._broken(APGD("ce", 100, rounds=2)) | self._broken(APGD("dlr", 100))
        best = white | more
        once = self._broken(FGSM())
        square = self._broken(Square(1000), best)
        wide = self._broken(NES(40, pairs=25), best)
        imitation = imitate(self.target, pool, seed=self.problem.seed)
        transfer = self._broken(Transfer(imitation, 40), best)
        free = self._unbounded()
        random = self._random()
        flat = self._flat()
        plateau = max(float(flat.float().mean()), _share(wide & ~best))
        probable = self._probable()
        made = {
            "zero-gradient": (_share(zero), ""),
            "black-box": (_share(square & ~best), ""),
            "single-step": (_share(once & ~white), ""),
            "unbounded": (_share(~free), ""),
            "slope": (slope, ""),
            "random": (_share(random), "attack it in expectation (EOT)" if random.any() else ""),
            "not-converged": (_share(more & ~white), ""),
            "transfer": (_share(transfer & ~best), ""),
            "saturated": (max(_share(saturated), float(probable)), "its outputs are probabilities" if probable else ""),
            "plateau": (plateau, f"{int(flat.sum())} do not change when every feature moves a little" if flat.any() else ""),
        }
        return tuple(self._point(name, value, note) for name, (value, note) in made.items())

    def _point(self, name: str, value: float, note: str) -> MaskingPoint:
        limit = _LIMITS[name]
        warn = value < limit if name == "slope" else value > limit
        if name not in ("slope", "random"):
            warn = warn and round(value * len(self.x)) > _FEW
        return MaskingPoint(id=name, title=_TITLES[name], value=value, threshold=limit, warn=bool(warn), note=note)

    def _broken(self, attack: Attack, skip: torch.Tensor | None = None, problem: Problem | None = None) -> torch.Tensor:
        """Tell which samples an attack breaks, as the checker confirms, `(n,)` bool; those that `skip` names are left out."""
        problem = problem or self.problem
        at = torch.arange(len(self.x), device=self.x.device) if skip is None else (~skip).nonzero()[:, 0]
        hit = torch.zeros(len(self.x), dtype=torch.bool, device=self.x.device)
        found = run(attack, problem, self.x[at], self.labels[at])
        if found.stopped:
            raise InputError(found.stopped)
        claimed = found.success.nonzero()[:, 0]
        hit[at[claimed]] = check(problem, found.x[claimed], self.x[at[claimed]], self.labels[at[claimed]])
        return hit

    def _gradients(self) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Tell which samples have no gradient of the margin, which lost that of cross entropy only, and the median true slope."""
        unit = self.problem.unit
        _, base, grad = self.target.gradient(self.x, lambda out: margin(out, self.labels))
        _, _, blunt = self.target.gradient(self.x, lambda out: cross_entropy(out, self.labels))
        size, lost = ((part * unit).flatten(1).norm(dim=1) for part in (grad, blunt))
        zero = ~(size > 0) | ~size.isfinite()
        saturated = ~zero & ~(lost > 1e-8 * size)  # true for NaN
        steps = []
        for share in (0.02, 0.1):
            way = steepest(grad * unit, self.problem.norm) * unit
            moved = self.problem.domain.project(self.x + share * (self.problem.eps or 1.0) * way, self.x)
            promised = ((moved - self.x) * grad).flatten(1).sum(1)
            risen = margin(self.target.logits(moved), self.labels) - base
            steps.append(torch.where(promised > 0, risen / promised.clamp_min(1e-30), 0.0))
        return zero, saturated, float(torch.stack(steps).amax(0).median().clamp(-10, 10))

    def _unbounded(self) -> torch.Tensor:
        """Tell which samples gradients break when they may go anywhere in the domain."""
        low, high = self.problem.domain.span(self.x)
        room = ((high - low) / self.problem.unit).expand_as(self.x[0]) if isinstance(high, torch.Tensor) else self.x.new_tensor(1.0)
        room = torch.where(room.isfinite(), room, 100 * (self.problem.eps or 1.0))
        far = float(room.amax()) if self.problem.norm == "linf" else float(room.norm())
        wide = _with(self.problem, self.target, max(far, self.problem.eps or 0.0))  # type: ignore[arg-type]  # a Counting
        return self._broken(PGD(40), problem=wide)

    def _random(self) -> torch.Tensor:
        first = self.target.logits(self.x)
        return torch.stack([(self.target.logits(self.x) != first).any(1) for _ in range(2)]).any(0)

    def _flat(self) -> torch.Tensor:
        """Tell which samples get the very same logits when every feature moves by a hundredth of the radius, up or down."""
        first = self.target.logits(self.x)
        same = torch.ones(len(self.x), dtype=torch.bool, device=self.x.device)
        step = 0.01 * (self.problem.eps or 1.0) * self.problem.unit
        if self.problem.norm == "l2":
            step = step / self.x[0].numel() ** 0.5
        for sign in (-1.0, 1.0):
            moved = self.problem.domain.project(self.x + sign * step, self.x)
            same &= (self.target.logits(moved) == first).all(1) & (moved != self.x).flatten(1).any(1)
        return same

    def _probable(self) -> bool:
        """Tell whether what is given for logits are probabilities."""
        out = self.target.logits(self.x)
        return bool(((out >= 0) & (out <= 1)).all() and ((out.sum(1) - 1).abs() < 1e-4).all())  # noqa: PLR2004 - rounding


def _share(hit: torch.Tensor) -> float:
    return float(hit.float().mean())
