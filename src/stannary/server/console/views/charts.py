"""Charts: a metric over the versions of a model, and what is left of it as an attacker may do more. Each is a table first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from stannary.core.evidence import Measurement
from stannary.registry.measured import MeasureChange, measured
from stannary.server.console.page import Page, Shown
from stannary.server.console.views.asked import MODEL, number_in
from stannary.server.operations import Call

__all__ = ["PAGES", "Line", "Point", "curves"]

_VERSIONS = 50
_RADIUS = re.compile(r"robustness\.([a-z0-9]+)\.eps_([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)")

_BUDGET = re.compile(r"robustness\.([a-z0-9]+)\.eps_([^.]+(?:\.[0-9]+)?)\.(.+)\.(queries|iterations)_([0-9]{1,12})")


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement at `x`, with its interval; `evidence` names the statement."""

    x: float
    value: float
    low: float
    high: float
    n: int
    evidence: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements of a metric, by growing `x`; `over` says what that is."""

    check: str
    metric: str
    over: str
    points: tuple[Point, ...]


class MeasurementsPage(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of the newest versions of a model. `before`: where older ones go on, or 0; `unmeasured`: those without."""

    schema: str = "stannary.console.measurements/1"
    name: Any
    lines: tuple[Line, ...]
    unmeasured: tuple[int, ...]
    before: int


def curves(rows: Iterable[MeasureChange]) -> tuple[Line, ...]:
    """Return robust accuracy over the radius of the attack, and what each attack may spend, where there are two points or more.

    At a radius of 0 there is no attack.
    """
    found: dict[tuple[str, str], list[Point]] = {}
    clean: dict[str, Point] = {}
    spent: dict[tuple[str, str, str], list[Point]] = {}
    for row in rows:
        if row.after is None:
            continue
        radius = _RADIUS.fullmatch(row.metric)
        if radius is not None:
            found.setdefault((row.check, radius[1]), []).append(_point(float(radius[2]), row.after, row.evidence))
        elif (budget := _BUDGET.fullmatch(row.metric)) is not None:
            metric = f"robust accuracy, {budget[1]} {budget[2]}, {budget[3]}"
            spent.setdefault((row.check, metric, budget[4]), []).append(_point(float(budget[5]), row.after, row.evidence))
        elif row.metric == "accuracy":
            clean[row.check] = _point(0.0, row.after, row.evidence)
    lines = []
    for (check, norm), points in sorted(found.items()):
        whole = sorted([*points, *([clean[check]] if check in clean else [])], key=lambda point: point.x)
        if len(whole) > 1:
            lines.append(Line(check=check, metric=f"robust accuracy, {norm}", over="radius", points=tuple(whole)))
    for (check, metric, over), points in sorted(spent.items()):
        if len(points) > 1:
            lines.append(Line(check=check, metric=metric, over=over, points=tuple(sorted(points, key=lambda point: point.x))))
    return tuple(lines)


def _point(x: float, row: Measurement, evidence: str) -> Point:
    return Point(x=x, value=row.value, low=row.low, high=row.high, n=row.n, evidence=evidence)


def _measurements(call: Call) -> Shown:
    name, store = call.name, call.store
    rows = store.versions(name, before=number_in(call, "before") or None, limit=_VERSIONS + 1)
    found: dict[tuple[str, str], list[Point]] = {}
    unmeasured = []
    for version in sorted(rows[:_VERSIONS], key=lambda row: row.number):
        known = {} if version.dropped else measured(store.chain, version.digest)
        if not known and not version.dropped:
            unmeasured.append(version.number)
        for key, item in known.items():
            if _BUDGET.fullmatch(key[1]):  # the curve of a version, which its page draws
                continue
            found.setdefault(key, []).append(_point(float(version.number), item.row, item.evidence))
    lines = tuple(Line(check=key[0], metric=key[1], over="version", points=tuple(points)) for key, points in sorted(found.items()))
    older = rows[_VERSIONS - 1].number if len(rows) > _VERSIONS else 0
    data = MeasurementsPage(name=name, lines=lines, unmeasured=tuple(unmeasured), before=older)
    return Shown(template="measurements.html", title=f"{name}: measurements", data=data)


PAGES = (Page(id="measurements", path=f"{MODEL}/measurements", run=_measurements),)
