"""What policies bound of the part of a card that attacks on inputs fill: each rate under its name, with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping

from stannary.checks.robustness.threat_settings import tag
from stannary.checks.target.card import Robustness
from stannary.checks.target.statistics import Rate
from stannary.core.evidence import Measurement

__all__ = ["measurements_of"]


def measurements_of(part: Robustness, seed: int) -> tuple[Measurement, ...]:
    """Return what policies bound of a part of a card; the names are told in `docs/reference/measurements.md`."""
    from stannary.checks.robustness.suite import metric_of

    rows = [("accuracy", part.clean), (metric_of(part.threat.norm, part.threat.eps or 0), part.robust)]
    rows += [(f"robustness.brittleness.{kind}", share) for kind, share in part.brittleness.items()]
    tags = {name: tag(name, settings) for name, settings in part.beyond.items()}
    rows += [(f"robustness.corruptions.{name}{_tag(tags, name)}", share) for name, share in part.corrupted.items()]
    if part.poses is not None:
        rows.append((f"robustness.poses.worst{tags.get('poses', '')}", part.poses))
    if part.patch is not None:
        of = tags.get("patch", "")
        rows += [(f"robustness.patch.accuracy{of}", part.patch.accuracy), (f"robustness.patch.success{of}", part.patch.success)]
    rows += _budgets(part, metric_of(part.threat.norm, part.threat.eps or 0))
    found = [_measurement(metric, share, seed) for metric, share in rows]
    if part.distance is not None and not part.unfinished:  # of samples not attacked to the end the smallest change is not known
        d = part.distance
        found.append(Measurement(metric=f"robustness.{d.norm}.median", value=d.median, low=d.low, high=d.high, n=d.n, seed=seed))
    return tuple(found)


def _budgets(part: Robustness, metric: str) -> list[tuple[str, Rate]]:
    """Return the accuracy that is left at budgets of 10, 100, 1,000 ... below the whole of each attack."""
    found: dict[str, Rate] = {}
    for curve in part.budgets:
        name = f"{metric}.{curve.attack}"
        decades = [point for point in curve.points[:-1] if point.eps >= 10 and math.log10(point.eps).is_integer()]  # noqa: PLR2004
        for point in decades:
            found.setdefault(
                f"{name}.{curve.unit}_{point.eps:.0f}", point.accuracy
            )  # of two runs of one attack the first has more left
    return list(found.items())


def _tag(tags: Mapping[str, str], name: str) -> str:
    """Return what a rate over corruptions is called by: which severities were tried means nothing for one of them."""
    found = tags.get("corruptions", "")
    return found.partition(".to_severity")[0] if name.startswith("severity_") else found


def _measurement(metric: str, share: Rate, seed: int) -> Measurement:
    return Measurement(metric=metric, value=share.value, low=share.low, high=share.high, n=share.n, seed=seed)
