"""Plots as SVG, drawn from numbers alone: no script, no inline style, colours by class so that light and dark both work."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from stannary.checks.target.card import CurvePoint

__all__ = ["curve", "roc"]

_W, _H = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 44
_APART = 40  # of two numbers below the axis, which else write over each other


def curve(
    points: Sequence[CurvePoint],
    label: str,
    *,
    mark: float | None = None,
    log: bool = False,
    beside: Sequence[CurvePoint] = (),
) -> str:
    """Return a curve of rates (0 to 1) with its band of intervals over `eps`.

    Args:
        points: of the curve.
        label: of the axis of `eps`.
        mark: a line at the radius that was asked for.
        log: whether that axis is logarithmic.
        beside: the points of a second curve, drawn dashed and with a band of its own.
    """
    if len(points) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    points = sorted(points, key=lambda point: point.eps)
    beside = sorted(beside, key=lambda point: point.eps)
    xs = sorted({point.eps for point in (*points, *beside)})
    low, high = (min(xs), max(xs)) if log else (min(0.0, *xs), max(xs))
    log = log and low > 0
    if not math.isfinite(high) or high <= low:
        return ""

    def x(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)
        return _LEFT + share * (_W - _LEFT - _RIGHT)

    parts = [_frame(label, "share")]
    if len(beside) > 1:
        parts += _line(beside, x, " beside")
    parts += _line(points, x, "")
    ticks: list[float] = []
    for at in reversed(xs):  # from the right, where they lie apart: radii often double
        if not ticks or x(ticks[-1]) - x(at) >= _APART:
            ticks.append(at)
    parts += [_tick(x(at), _figure(at)) for at in ticks]
    if mark is not None and low <= mark <= high and (not log or mark > 0):
        parts.append(f'<line class="mark" x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{_TOP}" y2="{_H - _BOTTOM}"/>')
    return _svg(parts, f"Curve over {label}")


def _tick(x: float, text: str) -> str:
    """Return a number below the axis; a long one at its end stays within the picture."""
    last = x > _W - _RIGHT - 1 and len(text) > 3  # noqa: PLR2004 - what fits into the margin
    at, anchor = (_W - 2, "end") if last else (x, "middle")
    return f'<text class="tick" x="{at:.1f}" y="{_H - 26}" text-anchor="{anchor}">{text}</text>'


def _figure(value: float) -> str:
    """Return a number below the axis: budgets in full, radii with three digits."""
    return f"{value:,.0f}" if value >= 1000 and value == round(value) else f"{value:.3g}"  # noqa: PLR2004 - what :.3g would round


def _line(points: Sequence[CurvePoint], x: Callable[[float], float], kind: str) -> list[str]:
    """Return the band, the line and the points of a curve."""
    upper = [(x(p.eps), _y(p.accuracy.high)) for p in points]
    lower = [(x(p.eps), _y(p.accuracy.low)) for p in reversed(points)]
    line = [(x(p.eps), _y(p.accuracy.value)) for p in points]
    drawn = [
        f'<polygon class="band{kind}" points="{_path(upper + lower)}"/>',
        f'<polyline class="curve{kind}" points="{_path(line)}"/>',
    ]
    return drawn + [f'<circle class="point{kind}" cx="{at:.1f}" cy="{up:.1f}" r="3"/>' for at, up in line]


def roc(points: Sequence[tuple[float, float]], lowest: float = 1e-3) -> str:
    """Return an ROC curve on logarithmic scales (false positives, true positives), from `lowest` on, beside chance."""
    seen = [(max(fpr, lowest), max(tpr, lowest)) for fpr, tpr in points if fpr >= 0 and tpr >= 0]
    if len(seen) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    span = -math.log10(lowest)

    def at(point: tuple[float, float]) -> tuple[float, float]:
        along, up = ((math.log10(min(1.0, value)) + span) / span for value in point)
        return _LEFT + along * (_W - _LEFT - _RIGHT), _y(up)

    parts = [_frame("false-positive rate", "true-positive rate", ticks=False)]
    decades = round(span)
    for number in range(decades + 1):
        value = 10.0 ** (number - decades)
        along, up = at((value, value))
        parts.append(f'<text class="tick" x="{along:.1f}" y="{_H - 26}" text-anchor="middle">{value:g}</text>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{up + 4:.1f}" text-anchor="end">{value:g}</text>')
    parts.append(f'<polyline class="chance" points="{_path([at((lowest, lowest)), at((1.0, 1.0))])}"/>')
    parts.append(f'<polyline class="curve" points="{_path([at(point) for point in sorted(seen)])}"/>')
    return _svg(parts, "ROC of membership inference, both axes logarithmic")


def _y(share: float) -> float:
    return _TOP + (1 - min(1.0, max(0.0, share))) * (_H - _TOP - _BOTTOM)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _frame(x_label: str, y_label: str, *, ticks: bool = True) -> str:
    middle = (_LEFT + _W - _RIGHT) / 2
    turn = f'transform="rotate(-90 12 {_H / 2:.1f})"'
    parts = [
        f'<line class="axis" x1="{_LEFT}" x2="{_W - _RIGHT}" y1="{_H - _BOTTOM}" y2="{_H - _BOTTOM}"/>',
        f'<line class="axis" x1="{_LEFT}" x2="{_LEFT}" y1="{_TOP}" y2="{_H - _BOTTOM}"/>',
        f'<text class="label" x="{middle:.1f}" y="{_H - 6}" text-anchor="middle">{x_label}</text>',
        f'<text class="label" x="12" y="{_H / 2:.1f}" text-anchor="middle" {turn}>{y_label}</text>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0) if ticks else ():
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_W - _RIGHT}" y1="{_y(share):.1f}" y2="{_y(share):.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{_y(share) + 4:.1f}" text-anchor="end">{share * 100:.0f} %</text>')
    return "".join(parts)


def _svg(parts: Sequence[str], title: str) -> str:
    return f'<svg class="plot" viewBox="0 0 {_W} {_H}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
