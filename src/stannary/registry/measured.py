"""What was measured of a version, and how it stands beside another one: by metric, from signed evidence.

Two measurements are told apart when their intervals do not meet: then one is better or worse, where it is known of the metric which
way is better. When they do meet, no difference was shown, which is not that there is none. Measurements on other samples are
compared all the same, and it is said that they are of other samples.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import msgspec

from stannary.core.evidence import Evidence, Measurement
from stannary.core.model import Digest
from stannary.evidence.chain import Chain
from stannary.registry.model import Version
from stannary.registry.names import Name
from stannary.registry.registry import Registry

__all__ = ["MeasureChange", "Measured", "ReportCard", "Verdict", "card_of", "change", "direction", "measured"]

Verdict: TypeAlias = Literal["better", "worse", "apart", "no difference shown", "new", "not measured"]
Key: TypeAlias = tuple[str, str]  # the check, and the metric
_LOWER = ("robustness.brittleness.", "privacy.", "llm.", "backdoor.", "labels.", "robustness.patch.success")
_HIGHER = ("accuracy", "robustness.")
_EARLIER = 50  # versions that are looked through for one that was measured


class MeasureChange(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement of both versions, or of one; `apart` when their intervals do not meet.

    `samples` says what is not the same about the samples; `evidence` names the statement behind the later measurement.
    """

    check: str
    metric: str
    before: Measurement | None = None
    after: Measurement | None = None
    apart: bool = False
    verdict: Verdict = "not measured"
    samples: str = ""
    evidence: str = ""
    issued: str = ""


class ReportCard(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a version, beside an earlier one (`before` 0: none was measured). `missed`: what was not, and why."""

    before: int
    rows: tuple[MeasureChange, ...]
    missed: tuple[str, ...]


class Measured(NamedTuple):
    """A measurement, the statement it stands in, and the digests of the data it was made on."""

    row: Measurement
    evidence: str
    issued: str
    data: tuple[str, ...]


def measured(chain: Chain, digest: str) -> dict[Key, Measured]:
    """Return the newest measurement of each metric of an artifact, whichever statement of a check it stands in."""
    found: dict[Key, Measured] = {}
    for item in _evaluations(chain, digest):
        data = tuple(sorted(value for resource in item.inputs for value in resource.digest.values()))
        for row in item.measurements:
            found[item.check.id or item.kind, row.metric] = Measured(row, str(item.id), item.issued.isoformat(), data)
    return found


def card_of(registry: Registry, version: Version) -> ReportCard | None:
    """Return the report card of a version beside the last one before it that was measured; None when nothing was measured of it."""
    now = measured(registry.chain, version.digest)
    newest = {item.check.id: item for item in _evaluations(registry.chain, version.digest)}
    missed = tuple(dict.fromkeys(text for item in newest.values() for text in item.predicate.get("missed", ())))
    if not now and not missed:
        return None
    number, then = _earlier(registry, version.name, version.number, version.digest)
    rows = tuple(change(key, then.get(key), now.get(key)) for key in sorted(now.keys() | then.keys()))
    return ReportCard(before=number, rows=rows, missed=missed)


def change(key: Key, before: Measured | None, after: Measured | None) -> MeasureChange:
    """Return how a metric stands in two versions."""
    one, two = before.row if before else None, after.row if after else None
    apart = one is not None and two is not None and (one.high < two.low or two.high < one.low)
    shown = after or before
    return MeasureChange(
        check=key[0], metric=key[1], before=one, after=two, apart=apart, verdict=_verdict(key[1], one, two, apart=apart),
        samples=_samples(before, after), evidence=shown.evidence if shown else "", issued=shown.issued if shown else "",
    )  # fmt: skip


def direction(metric: str) -> Literal["higher", "lower", ""]:
    """Return which way is better, empty when that is not known of a metric."""
    if metric.startswith(_LOWER):
        return "lower"
    return "higher" if metric.startswith(_HIGHER) else ""


def _verdict(metric: str, before: Measurement | None, after: Measurement | None, *, apart: bool) -> Verdict:
    if after is None:
        return "not measured"
    if before is None:
        return "new"
    if not apart:
        return "no difference shown"
    way = direction(metric)
    if not way:
        return "apart"
    return "better" if (after.low > before.high) == (way == "higher") else "worse"


def _samples(before: Measured | None, after: Measured | None) -> str:
    """Return what is different about the samples of two measurements."""
    if before is None or after is None:
        return ""
    said = []
    if before.data != after.data:
        said.append("other data" if before.data and after.data else "data that is not known to be the same")
    if before.row.n != after.row.n:
        said.append(f"{before.row.n:,} samples before, {after.row.n:,} now")
    if before.row.seed != after.row.seed:
        said.append("another seed")
    return ", ".join(said)


def _evaluations(chain: Chain, digest: str) -> list[Evidence]:
    """Return the statements about an artifact that have measurements, or say what could not be measured, the oldest first."""
    known = chain.about(Digest.parse(digest), decisions=False).evidence
    return [item.value for item in known if item.value.measurements or item.value.kind == "eval-result"]


def _earlier(registry: Registry, name: Name, number: int, digest: str) -> tuple[int, dict[Key, Measured]]:
    for other in registry.versions(name, before=number, limit=_EARLIER):
        if not other.dropped and other.digest != digest:
            found = measured(registry.chain, other.digest)
            if found:
                return other.number, found
    return 0, {}
