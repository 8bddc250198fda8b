"""What policies bound of the part of a card that attacks on inputs fill: each rate under its name, with its interval."""

from __future__ import annotations

from stannary.checks.target.card import Robustness
from stannary.checks.target.statistics import Rate
from stannary.core.evidence import Measurement

__all__ = ["measurements_of"]


def measurements_of(part: Robustness, seed: int) -> tuple[Measurement, ...]:
    """Return what policies bound of a part of a card; the names are told in `docs/reference/measurements.md`."""
    from stannary.checks.robustness.suite import metric_of

    rows = [("accuracy", part.clean), (metric_of(part.threat.norm, part.threat.eps or 0), part.robust)]
    rows += [(f"robustness.brittleness.{kind}", share) for kind, share in part.brittleness.items()]
    rows += [(f"robustness.corruptions.{name}", share) for name, share in part.corrupted.items()]
    if part.poses is not None:
        rows.append(("robustness.poses.worst", part.poses))
    if part.patch is not None:
        rows += [("robustness.patch.accuracy", part.patch.accuracy), ("robustness.patch.success", part.patch.success)]
    found = [_measurement(metric, share, seed) for metric, share in rows]
    if part.distance is not None and not part.unfinished:  # of samples not attacked to the end the smallest change is not known
        d = part.distance
        found.append(Measurement(metric=f"robustness.{d.norm}.median", value=d.median, low=d.low, high=d.high, n=d.n, seed=seed))
    return tuple(found)


def _measurement(metric: str, share: Rate, seed: int) -> Measurement:
    return Measurement(metric=metric, value=share.value, low=share.low, high=share.high, n=share.n, seed=seed)
