"""The part of the report card that says how a table's model stands attacks: rates, distances, examples, columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch

from stannary.checks.robustness.brittleness import float_brittleness
from stannary.checks.robustness.budget import budget_curves
from stannary.checks.robustness.cascade import BROKEN, WRONG
from stannary.checks.robustness.checker import shown
from stannary.checks.robustness.company import company_matters, costs
from stannary.checks.robustness.replay import store
from stannary.checks.robustness.table_suite import Smallest, TableOptions, smallest, standing
from stannary.checks.target.card import AttackRun, Change, CurvePoint, Distance, Example, Robustness, Stop, Threat
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.domain import TableDomain
from stannary.checks.target.statistics import Rate, clopper_pearson, median_interval, rate
from stannary.core.errors import UsageError

__all__ = ["POINTS", "TableMeasured", "needed_columns", "table_part", "table_robustness"]

POINTS = {"l0": (1.0, 2.0, 3.0, 5.0), "": (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)}  # radii of the curve, by norm
_BRITTLE = {"smoke": 50, "gate": 200, "standard": 200, "paranoid": 1000}  # samples whose brittleness is measured
_SHOWN = 12
_MOST_CHANGES = 60


class TableMeasured(NamedTuple):
    """The part of the card, what could not be measured, and what was found of each sample."""

    part: Robustness
    incomplete: tuple[str, ...]
    found: Smallest


def table_robustness(
    target: Counting,
    data: Dataset,
    domain: TableDomain,
    options: TableOptions,
    *,
    pool: Dataset | None = None,
    folder: Path | None = None,
    tick: Callable[[int], None] | None = None,
) -> TableMeasured:
    """Measure how a classifier of table rows stands attacks.

    Args:
        target: the model, counted.
        data: samples, labelled as the target numbers its classes.
        domain: what may change, and how.
        options: what to measure.
        pool: more labelled rows of the same columns, where attacks may begin.
        folder: where verified examples are stored, by digest, for a later version's `Replay`.
        tick: called with the number of samples done.

    Raises:
        UsageError, InputError: as `smallest`.
    """
    priced = costs(target)
    moody = company_matters(target, data.x) if priced else ""  # before the attacks spend what there is
    found = smallest(target, data, domain, options, pool=pool, tick=tick)
    chosen = data.x[found.seen][: _BRITTLE[options.preset]]
    brittle = float_brittleness(target, chosen, domain.scale(data.x), seed=options.seed)
    broken = found.status == BROKEN
    kept = store(folder, data.x[broken], found.x[broken]) if folder is not None and bool(broken.any()) else ""
    part = table_part(found, data, domain, options, brittleness=brittle.rates, adversarials=kept)
    more = [f"float brittleness: {brittle.stopped}"] if brittle.stopped else []
    if moody := moody if priced else company_matters(target, data.x):
        part = msgspec.structs.replace(part, robust=msgspec.structs.replace(part.robust, low=0.0))
        more.append(moody)
    if options.stop is not None and options.stop.decision() == "inconclusive":
        more.append(f"the stop rule did not decide about {options.stop.threshold:g} within {options.stop.n} samples")
    return TableMeasured(part, (*found.notes, *more), found)


def table_part(
    found: Smallest,
    data: Dataset,
    domain: TableDomain,
    options: TableOptions,
    *,
    brittleness: Mapping[str, Rate] | None = None,
    adversarials: str = "",
) -> Robustness:
    """Return the part of the card.

    Args:
        found: what `smallest` found.
        data: the samples it was given.
        domain: of them.
        options: those it was given.
        brittleness: rates of `float_brittleness`.
        adversarials: digest of the stored examples.
    """
    seen, stop = found.seen, options.stop
    n, unfinished = int(seen.sum()), int((seen & ~found.done).sum())
    wrong = int((found.status[seen] == WRONG).sum())
    return Robustness(
        preset=options.preset,
        threat=Threat(norm=options.norm, eps=options.eps, knowledge=found.problem.target.access, domain=domain.digest),
        clean=rate(n - wrong, n),
        robust=_left(found, options.eps),
        curve=_curve(found, options),
        budgets=budget_curves(found.stages, found.cost[seen], ~found.done[seen]),
        distance=_distance(found, options),
        attacks=tuple(_run(found, at) for at in range(len(found.stages))),
        brittleness=dict(brittleness or {}),
        needed=needed_columns(found, data, domain),
        stop=None
        if stop is None
        else Stop(
            rule="beta-binomial e-process", alpha=stop.alpha, threshold=stop.threshold, decision=stop.decision(), samples=stop.n
        ),
        examples=_examples(found, data, domain),
        adversarials=adversarials,
        unfinished=unfinished,
    )


def needed_columns(found: Smallest, data: Dataset, domain: TableDomain) -> dict[str, Rate]:
    """Return in which share of the smallest changes each column (or group) takes part, the most needed first; unused ones not."""
    broken = found.status == BROKEN
    changed = domain.changed(found.x[broken], data.x[broken]).sum(0).tolist()
    n = int(broken.sum())
    order = sorted(range(len(changed)), key=lambda at: (-changed[at], at))
    return {domain.fields[at]: rate(int(changed[at]), n) for at in order if changed[at]}


def _left(found: Smallest, eps: float | None) -> Rate:
    """Return the accuracy left at a radius: what is unfinished counts as broken, and might all have stood."""
    status, done = found.status[found.seen], found.done[found.seen]
    stands, n = standing(found.size[found.seen], eps) & (status != WRONG), len(status)
    stood = int((stands & done).sum())
    low, _ = clopper_pearson(stood, n)
    _, high = clopper_pearson(int(stands.sum()), n)
    return Rate(value=stood / n if n else 0.0, low=low, high=high, n=n)


def _curve(found: Smallest, options: TableOptions) -> tuple[CurvePoint, ...]:
    """Return the accuracy at several radii; where a rule decides about one, changes below it were not looked for."""
    points = set(POINTS.get(options.norm, POINTS[""]))
    if options.eps is not None:
        points = {eps for eps in points if options.stop is None or eps > options.eps} | {options.eps}
    return tuple(CurvePoint(eps=eps, accuracy=_left(found, eps)) for eps in sorted(points))


def _distance(found: Smallest, options: TableOptions) -> Distance | None:
    """Return the median of the smallest changes found; None if those that were found are too few for an interval."""
    sizes = found.size[found.status == BROKEN].tolist()
    if options.stop is not None:
        return None
    try:
        middle, low, high = median_interval(sizes)
    except UsageError:
        return None
    return Distance(norm=options.norm, median=middle, low=low, high=high, n=len(sizes))


def _run(found: Smallest, at: int) -> AttackRun:
    stage = found.stages[at]
    spent = {name: count for name, count in vars(stage.spend).items() if name != "unanswered"}
    return AttackRun(
        id=stage.id,
        params={**stage.params, "smallest_of": int((found.by == at).sum())},
        survivors_in=stage.survivors_in,
        survivors_out=stage.survivors_out,
        seconds=stage.seconds,
        skipped=stage.skipped,
        stopped=found.stopped,
        **spent,
    )


def _examples(found: Smallest, data: Dataset, domain: TableDomain) -> tuple[Example, ...]:
    """Return the cheapest successes, by cost in the domain, as people see them."""
    broken = (found.status == BROKEN).nonzero()[:, 0]
    if not len(broken):
        return ()
    costs = domain.cost(found.x[broken], data.x[broken])
    order = costs.argsort(stable=True)[:_SHOWN]
    chosen = broken[order]
    decided = shown(found.problem, found.x[chosen], data.label_names)
    return tuple(
        Example(
            sample=int(data.rows[sample]),
            attack=found.stages[int(found.by[sample])].id,
            label=_named(data, int(data.y[sample])),
            decided=decided[rank],
            distance=float(found.size[sample]),
            cost=float(costs[order[rank]]),
            changes=_changes(data, data.x[sample], found.x[sample]),
        )
        for rank, sample in enumerate(chosen.tolist())
    )


def _changes(data: Dataset, before: torch.Tensor, after: torch.Tensor) -> tuple[Change, ...]:
    """Return what differs between two rows `(columns,)`, by the columns of the file: words as words."""
    if data.encodings:
        frame = data.frame(torch.stack((before, after)))
        pairs = [(str(name), frame[name].iloc[0], frame[name].iloc[1]) for name in frame.columns]
    else:
        names = data.names or tuple(f"x{at}" for at in range(len(before)))
        pairs = list(zip(names, before.tolist(), after.tolist(), strict=True))
    found = [Change(column=name, before=_plain(old), after=_plain(new)) for name, old, new in pairs if old != new]
    return tuple(found[:_MOST_CHANGES])


def _plain(value: object) -> float | str:
    return float(value) if isinstance(value, int | float) else str(value)


def _named(data: Dataset, label: int) -> str:
    return data.label_names[label] if 0 <= label < len(data.label_names) else str(label)
