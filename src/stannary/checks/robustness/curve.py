"""Accuracy against the size of the perturbation: a whole curve from one search for the smallest change of each sample.

A sample is lost at every radius that is at least its distance. Where the search stops short of the smallest change the curve is too
high; at some of its points, therefore, those that still stand are attacked once more inside that radius, by Auto-PGD, and what
falls lowers the curve there and beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from stannary.checks.robustness.attacks.apgd import APGD
from stannary.checks.robustness.attacks.fmn import FMN
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.engine import Attack, Found, run
from stannary.checks.robustness.presets import describe
from stannary.checks.robustness.rows import Problem
from stannary.checks.target.card import AttackRun, CurvePoint, Distance
from stannary.checks.target.counting import Counting
from stannary.checks.target.statistics import median_interval, rate
from stannary.core.errors import BackendError, InputError, UsageError

__all__ = ["POINTS", "Curve", "curve", "median_of"]

POINTS = 8
_CHECK_STEPS = 10
_FEWEST = 6  # distances, for an interval of their median
_REACH = 0.9  # of the distances lie within the last point, where nobody names one


@dataclass(frozen=True)
class Curve:
    """What was found: points in rising order, the median distance of samples that were right and fooled, and what each run cost.

    `size` `(n,)`: the distance of each sample, 0 for one that is wrong as it is, infinite where nothing was found; `x` its example.
    `stopped`: why there is no curve, as a spent budget or a target that gave no answer; then there are no points.
    """

    points: tuple[CurvePoint, ...]
    distance: Distance | None
    attacks: tuple[AttackRun, ...]
    size: torch.Tensor
    x: torch.Tensor
    stopped: str = ""


def curve(
    problem: Problem,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: Sequence[float] = (),
    attack: Attack | None = None,
    checked: int = 2,
) -> Curve:
    """Return the curve of samples `(n, *shape)` with labels `(n,)`.

    Args:
        problem: target, domain and norm. Its radius, if it has one, is the middle of the points.
        x: samples in the domain.
        labels: the true ones.
        eps: radii of the points; none for eight, up to twice the problem's radius, or to the distance of nine samples in ten.
        attack: which looks for the smallest change; None for FMN with 40 steps.
        checked: how many points are attacked again. Only in norms that Auto-PGD knows.

    Raises:
        UsageError: the target shows no gradients, or no attack knows the norm.
    """
    attack = attack or FMN(40)
    if problem.target.access != "white" or problem.norm not in attack.norms:
        msg = f"{attack.id} takes gradients, and one of the norms {', '.join(attack.norms)}"
        raise UsageError(msg)
    target = problem.target if isinstance(problem.target, Counting) else Counting(problem.target)
    before = target.spend.unanswered
    free = _at(problem, target, None)
    found = run(attack, free, x, labels)
    size = _verified(free, found, x, labels)
    stopped = found.stopped
    runs = [_report(attack, found, size == 0, size.isinf())]
    best = found.x.clone()
    wanted = sorted({float(value) for value in eps} or _spread(problem.eps, size))
    again = APGD("ce", _CHECK_STEPS)
    for radius in _to_check(wanted, checked if problem.norm in again.norms and not stopped else 0):
        rest = (size > radius * (1 + 1e-6)).nonzero()[:, 0]
        inside = _at(problem, target, radius)
        found = run(again, inside, x[rest], labels[rest])
        nearer = _verified(inside, found, x[rest], labels[rest])
        hit = nearer < size[rest]
        best[rest[hit]], size[rest[hit]] = found.x[hit], nearer[hit]
        runs.append(_report(again, found, torch.zeros_like(hit), ~hit, eps=radius))
        stopped = stopped or found.stopped
        if stopped:
            break
    silent = target.spend.unanswered - before
    stopped = stopped or (f"the target gave no answer to {silent} queries" if silent else "")
    points = () if stopped else tuple(CurvePoint(eps=e, accuracy=rate(int((size > e).sum()), len(size))) for e in wanted)
    return Curve(points, None if stopped else median_of(problem.norm, size), tuple(runs), size, best, stopped)


def _at(problem: Problem, target: Counting, eps: float | None) -> Problem:
    return Problem(
        target, problem.domain, norm=problem.norm, eps=eps, targeted=problem.targeted, seed=problem.seed, scale=problem.scale
    )


def _verified(problem: Problem, found: Found, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the distances of the successes that the checker confirms, infinite elsewhere."""
    at = found.success.nonzero()[:, 0]
    size = torch.full_like(found.size, torch.inf)
    try:
        confirmed = at[check(problem, found.x[at], x[at], labels[at])]
    except (InputError, BackendError) as exc:  # no budget or no answer for a look: claims that nobody checked are none
        found.stopped = found.stopped or str(exc)
        return size
    size[confirmed] = found.size[confirmed]
    return size


def _spread(eps: float | None, size: torch.Tensor) -> list[float]:
    """Return eight radii."""
    reached = size[size.isfinite() & (size > 0)].double()
    last = 2 * eps if eps is not None else float(reached.quantile(_REACH)) if len(reached) else 1.0
    return [last * (n + 1) / POINTS for n in range(POINTS)]


def _to_check(points: list[float], count: int) -> list[float]:
    """Return so many of the points, evenly within them, the smallest first: what falls there is not attacked again."""
    return sorted({points[(n + 1) * len(points) // (count + 1)] for n in range(count)}) if count < len(points) else points


def median_of(norm: str, size: torch.Tensor) -> Distance | None:
    """Return the median of the distances `(n,)` of samples that were right and fooled; None for too few of them."""
    reached = size[size.isfinite() & (size > 0)].tolist()
    if len(reached) < _FEWEST:
        return None
    median, low, high = median_interval(reached)
    return Distance(norm=norm, median=median, low=low, high=high, n=len(reached))


def _report(attack: Attack, found: Found, wrong: torch.Tensor, stands: torch.Tensor, *, eps: float | None = None) -> AttackRun:
    params = describe(attack) | ({} if eps is None else {"eps": eps})
    spend = found.spend
    return AttackRun(
        id=attack.id, params=params, survivors_in=int((~wrong).sum()), survivors_out=int(stands.sum()), forward=spend.forward,
        backward=spend.backward, queries=spend.queries, calls=spend.calls, seconds=found.seconds, stopped=found.stopped,
    )  # fmt: skip
