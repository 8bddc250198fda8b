"""The JSON documents of the commands around evidence: versioned by `schema`, their JSON Schema from these structs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from stannary.core.evidence import Check, Decision, Evidence, Measurement, Outcome, Reason, Verified
from stannary.evidence.lineage_index import Tainted
from stannary.store.lineage_db import Walked

__all__ = [
    "DecisionDocument",
    "EvidenceDocument",
    "EvidenceRow",
    "KindRow",
    "KindsDocument",
    "LineageDocument",
    "RecordedDocument",
    "StatementDocument",
    "TaintedDocument",
]


class Subject(msgspec.Struct, frozen=True):
    """An artifact by its digest, and what it was called."""

    digest: str
    name: str


class Signer(msgspec.Struct, frozen=True):
    """Who signed, as the workspace trusts it, and with which key."""

    identity: str
    keyid: str


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One statement that verified."""

    id: str
    kind: str
    subject: Subject
    check: Check
    outcome: Outcome
    verdict: str
    issued: datetime
    recorded: datetime | None
    expires: datetime | None
    signer: Signer
    index: int | None
    measurements: tuple[Measurement, ...] = ()

    @classmethod
    def of(cls, item: Verified[Evidence]) -> EvidenceRow:
        """Return the row of verified evidence."""
        found = item.value
        return cls(
            id=str(found.id),
            kind=found.kind,
            subject=Subject(str(found.subject), found.subject_name),
            check=found.check,
            outcome=found.outcome,
            verdict=found.verdict,
            issued=found.issued,
            recorded=found.recorded,
            expires=found.expires,
            signer=Signer(item.identity, item.keyid),
            index=item.index,
            measurements=found.measurements,
        )


class EvidenceDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What verified, and why the rest did not."""

    schema: str = "stannary.evidence/1"
    evidence: tuple[EvidenceRow, ...]
    refused: tuple[str, ...]


class StatementDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One statement with its whole predicate."""

    schema: str = "stannary.statement/1"
    statement: EvidenceRow
    predicate_type: str
    predicate: dict[str, Any]


class RecordedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Where a statement went."""

    schema: str = "stannary.recorded/1"
    id: str
    subject: str
    index: int


class KindRow(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of evidence."""

    kind: str
    predicate_type: str
    text: str


class KindsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The kinds there are."""

    schema: str = "stannary.kinds/1"
    kinds: tuple[KindRow, ...]


class PolicyName(msgspec.Struct, frozen=True):
    """A policy by the digest of what it demands."""

    digest: str
    name: str


class DecisionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with its reasons; `recorded` is the id of the signed decision, empty when it was not recorded."""

    schema: str = "stannary.decision/1"
    verdict: str
    subject: Subject
    policy: PolicyName
    reasons: tuple[Reason, ...]
    evidence: tuple[str, ...]
    decided: datetime
    expires: datetime | None
    recorded: str = ""

    @classmethod
    def of(cls, decision: Decision, recorded: str) -> DecisionDocument:
        """Return the document of a decision."""
        return cls(
            verdict=decision.verdict,
            subject=Subject(str(decision.subject), decision.subject_name),
            policy=PolicyName(str(decision.policy), decision.policy_name),
            reasons=decision.reasons,
            evidence=tuple(map(str, decision.evidence)),
            decided=decision.decided,
            expires=decision.expires,
            recorded=recorded,
        )


class LineageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact was made from and what was made from it: (digest, name, depth, via, relation, evidence) each."""

    schema: str = "stannary.lineage/1"
    digest: str
    name: str
    above: tuple[Walked, ...]
    below: tuple[Walked, ...]
    blast_radius: int


class TaintedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Every revocation that stands, with its reach."""

    schema: str = "stannary.tainted/1"
    tainted: tuple[Tainted, ...]
