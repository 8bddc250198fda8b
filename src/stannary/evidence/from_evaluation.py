"""The report card of an evaluation, as `stannary.evaluate/1` writes it, becomes an `eval-result` predicate.

Evidence and checks do not see each other, so this goes by the published JSON, as `from_scan` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from stannary.core.errors import InputError
from stannary.core.evidence import Check, Measurement, Outcome, Resource
from stannary.core.model import Digest, Json
from stannary.evidence.predicates.ours import EvalResult, Interval, Result

__all__ = ["EvaluatedModel", "evaluation"]

_MOST_TEXTS = 100
_TEXT = 500
_SUITES = ("robustness", "privacy", "probes", "backdoor", "labels", "poisoning")
_KEPT = (
    "preset",
    "threat",
    "attacks",
    "beyond",
    "stop",
    "masked",
    "masking",
    "adversarials",
    "shadows",
    "attack",
    "attempts",
    "verdict",
    "reasons",
    "skipped",
    "expected",
    "recipe",
)


class _Tool(msgspec.Struct, frozen=True):
    version: str


class _Model(msgspec.Struct, frozen=True):
    path: str
    name: str
    digest: str | None = None
    sha256: str | None = None
    format: str = ""
    access: str = ""
    jail: str = "none"


class _Data(msgspec.Struct, frozen=True):
    path: str
    digest: str = ""
    n: int = 0


class _Card(msgspec.Struct, frozen=True):
    schema: Literal["stannary.evaluate/1"]
    tool: _Tool
    model: _Model
    suite: tuple[str, ...]
    seed: int
    outcome: Outcome
    device: str = "cpu"
    data: _Data | None = None
    queries: int = 0
    measurements: tuple[Measurement, ...] = ()
    incomplete: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    robustness: dict[str, Json] | None = None
    privacy: dict[str, Json] | None = None
    probes: dict[str, Json] | None = None
    backdoor: dict[str, Json] | None = None
    labels: dict[str, Json] | None = None
    poisoning: dict[str, Json] | None = None


class EvaluatedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What was evaluated, its digest (None: it has none, as an endpoint), and what to state of it."""

    path: str
    name: str
    digest: Digest | None
    sha256: str | None
    predicate: EvalResult


def evaluation(card: Mapping[str, Json], finished: datetime, started: datetime | None = None) -> EvaluatedModel:
    """Return the predicate of a report card: its check is the suite, by which policies ask. Raises InputError when it is none."""
    try:
        read = msgspec.convert(card, _Card)
        digest = Digest.parse(read.model.digest) if read.model.digest else None
    except (msgspec.ValidationError, ValueError) as error:
        msg = f"is no report card: {error}"
        raise InputError(
            msg, where="stannary.evaluate/1", code="EVD014", help="`stannary.report.evaluation` writes them as JSON"
        ) from error
    outcome: Outcome = "incomplete" if read.incomplete and read.outcome == "passed" else read.outcome
    parts: dict[str, Json] = {"suite": list(read.suite), "seed": read.seed, "device": read.device, "access": read.model.access}
    for suite in _SUITES:
        part: dict[str, Json] | None = getattr(read, suite)
        if part is not None:
            parts[suite] = {name: part[name] for name in _KEPT if name in part}
    parts |= {name: list(values) for name, values in (("atlas", read.atlas), ("owasp", read.owasp)) if values}
    data = read.data
    inputs = (Resource(digest={"sha256": Digest.parse(data.digest).hex}, name=data.path),) if data and data.digest else ()
    predicate = EvalResult(
        check=Check(id=read.suite[0] if len(read.suite) == 1 else "evaluate", version=read.tool.version, parameters=parts),
        outcome=outcome,
        results=tuple(map(_result, read.measurements)),
        queries=read.queries,
        inputs=inputs,
        partial=bool(read.incomplete),
        missed=tuple(text[:_TEXT] for text in (*read.incomplete, *read.reasons)[:_MOST_TEXTS]),
        environment=read.environment | {"jail": read.model.jail, "device": read.device},
        started_on=started,
        finished_on=finished,
    )
    return EvaluatedModel(path=read.model.path, name=read.model.name, digest=digest, sha256=read.model.sha256, predicate=predicate)


def _result(row: Measurement) -> Result:
    return Result(
        metric=row.metric,
        value=row.value,
        interval=Interval(low=row.low, high=row.high, level=row.level),
        sample_size=row.n,
        seed=row.seed,
    )
