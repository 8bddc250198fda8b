"""Predicate types of our own, version 1. A field may be added within a version, never renamed or removed.

Names follow in-toto's (camel case, `...On` for times). `eval-result` has the shape that is discussed for a
common predicate in in-toto/attestation #565: metric, comparator, threshold, passed, sample size.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from stannary.core.evidence import Check, Outcome, Resource, SeverityCounts
from stannary.core.model import Json, Severity

__all__ = [
    "EDGES",
    "ChangedFile",
    "DatasetCheck",
    "EvalResult",
    "Incident",
    "Interval",
    "Lineage",
    "LineageEdge",
    "ModelScan",
    "PrivacySpend",
    "Relation",
    "ResponseAction",
    "Result",
    "Revocation",
    "SampledGaussian",
    "ScanFindingV1",
    "SpendLimit",
    "Statement",
    "TrainingRun",
    "Uncommitted",
    "Waiver",
]

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
Relation = Literal[
    "trained-from",
    "fine-tuned-from",
    "quantised-from",
    "merged-from",
    "converted-from",
    "evaluated-on",
    "derived-dataset",
    "served-by",
]
EDGES: tuple[Relation, ...] = (
    "trained-from",
    "fine-tuned-from",
    "quantised-from",
    "merged-from",
    "converted-from",
    "evaluated-on",
    "derived-dataset",
    "served-by",
)


class _Predicate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What all of them have."""

    finished_on: Time
    started_on: Time | None = None
    expires_on: Time | None = None


class _Checked(_Predicate, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a check's results have: how it ended, what it was, on what and where it ran, what it did not cover."""

    check: Check
    outcome: Outcome
    partial: bool = False
    inputs: tuple[Resource, ...] = ()
    environment: dict[str, str] = {}
    missed: tuple[str, ...] = ()


class ScanFindingV1(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One finding: the rule, where, and the reason of the unsigned waiver in the scan's configuration that names it."""

    rule: str
    severity: Severity
    file: str
    message: str
    part: str = ""
    offset: int | None = None
    line: int | None = None
    fingerprint: str = ""
    waived: str = ""


class ModelScan(_Checked, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A static scan. `counts` count all findings; `omitted` says how many of them are not listed."""

    verdict: Literal["clean", "unverified", "suspicious", "unsafe", "incomplete"]
    counts: SeverityCounts
    findings: tuple[ScanFindingV1, ...] = ()
    omitted: int = 0
    files: int = 0
    bytes: int = 0


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """From `low` to `high` at a confidence level."""

    low: float
    high: float
    level: float = 0.95


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One measurement, and what it was compared with, if it was."""

    metric: Text
    value: float
    interval: Interval
    sample_size: int
    seed: int | None = None
    comparator: Literal[">=", "<=", ""] = ""
    threshold: float | None = None
    passed: bool | None = None


class EvalResult(_Checked, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Measurements of a model: robustness, privacy, fairness, quality."""

    results: tuple[Result, ...]
    queries: int | None = None


class DatasetCheck(_Checked, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Findings and measurements of a dataset: poisoning, duplicates, personal data, schema."""

    results: tuple[Result, ...] = ()
    counts: SeverityCounts = SeverityCounts()
    findings: tuple[ScanFindingV1, ...] = ()
    omitted: int = 0
    rows: int | None = None


class LineageEdge(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The subject stands in a relation to a resource."""

    relation: Relation
    resource: Resource


class ChangedFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that is not as in the commit; without `sha256` it was deleted."""

    path: str
    sha256: str = ""


class Uncommitted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a git working tree had beside its commit: tracked files that were changed or deleted, and files that are not tracked.

    `digest` is that of one line a path, in the order of their bytes: SHA-256 of the contents (`-`: deleted), two spaces, path,
    newline, as `sha256sum` writes and escapes them. `omitted` says how many of the files are not listed.
    """

    commit: str
    digest: dict[str, str]
    files: tuple[ChangedFile, ...] = ()
    omitted: int = 0


class TrainingRun(_Predicate, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """How a model came about: code and what of it was not committed, data, parameters, environment, seeds, hardware."""

    outcome: Outcome
    edges: tuple[LineageEdge, ...] = ()
    code: tuple[Resource, ...] = ()
    uncommitted: tuple[Uncommitted, ...] = ()
    parameters: dict[str, Json] = {}
    packages: dict[str, str] = {}
    seeds: dict[str, int | str] = {}  # as text beyond 53 bits
    hardware: dict[str, Json] = {}
    environment: dict[str, str] = {}
    metrics: dict[str, float] = {}


class Lineage(_Predicate, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Relations of the subject that somebody states."""

    edges: Annotated[tuple[LineageEdge, ...], msgspec.Meta(min_length=1)]


class Statement(_Predicate, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a person or a pipeline states: `topic` is what about (`approval`, `review`, `impact-assessment`, ...)."""

    topic: Text
    statement: Text
    author: Text
    decision: Literal["approve", "reject", ""] = ""


class Waiver(_Predicate, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A rule of a scan, or a requirement of a policy, that somebody lets pass for this subject until it expires."""

    rule: Text
    reason: Text
    owner: Text
    expires_on: Time
    file: str = ""


class Incident(_Predicate, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Something that happened to, or through, the subject. The newest statement of an id tells its state."""

    id: Text
    title: Text
    severity: Severity
    state: Literal["open", "contained", "closed"]
    detail: str = ""


class ResponseAction(_Predicate, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What was done about an incident, by whom or what."""

    incident: Text
    action: Text
    outcome: Outcome
    actor: Text
    detail: str = ""


class Revocation(_Predicate, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The subject must not be used, nor anything made from it; `lifted` takes that back."""

    reason: Text
    owner: Text
    lifted: bool = False


_Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
_Chance = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class SampledGaussian(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A private training by its parameters: noise over clipping norm, chance of a sample to be in a step, steps."""

    noise_multiplier: Annotated[float, msgspec.Meta(ge=0.01, le=1e6)]
    sampling_rate: Annotated[float, msgspec.Meta(gt=0, le=1)]
    steps: Annotated[int, msgspec.Meta(ge=1, le=10**12)]


class SpendLimit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the total of the data set may reach with this spend in it."""

    epsilon: _Positive | None = None
    delta: _Chance | None = None


class PrivacySpend(_Predicate, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a training with differential privacy spent on the subject, a data set: (`epsilon`, `delta`) by an accountant.

    With `gaussian` the sum over several trainings is tighter than the sum of their epsilons. With `limit` it is a reservation,
    stated before the training: it counts, and the training may begin, only if the total with it is within the limit. `nonce` tells
    two that are alike from one that was logged twice.
    """

    mechanism: Text
    epsilon: _Positive
    delta: _Chance
    accountant: Text
    gaussian: SampledGaussian | None = None
    limit: SpendLimit | None = None
    model: Resource | None = None
    purpose: str = ""
    nonce: str = ""
