"""The JSON documents of `stannary bom`: versioned by `schema`, their JSON Schema from these structs."""

from __future__ import annotations

import msgspec

from stannary.report.bom.score import Score
from stannary.report.bom.validate import Validation

__all__ = ["BomDocument", "DisputeRow", "ModelRow", "UnreadRow", "ValidationDocument"]


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the artifact; each fact as text with its source: `{"value": …, "source": "config.json#model_type"}`."""

    name: str
    path: str
    files: int
    facts: dict[str, dict[str, str]]


class UnreadRow(msgspec.Struct, frozen=True):
    """A file that could have said something and was not read."""

    path: str
    reason: str


class DisputeRow(msgspec.Struct, frozen=True):
    """A field about which sources say different things, the one that counts first."""

    field: str
    said: tuple[dict[str, str], ...]


class BomDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact is made of in short, and how complete its bill of materials is."""

    schema: str = "stannary.bom/1"
    name: str
    digest: str
    files: int
    bytes: int
    models: tuple[ModelRow, ...]
    datasets: tuple[str, ...]
    origins: tuple[str, ...]
    packages: int
    licences: tuple[str, ...]
    metrics: int
    evidence: tuple[str, ...]
    unread: tuple[UnreadRow, ...]
    disputes: tuple[DisputeRow, ...]
    score: Score
    recorded: str = ""


class ValidationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What validating documents found."""

    schema: str = "stannary.bom-validation/1"
    documents: tuple[Validation, ...]
