"""Evidence, decisions, the story and the lineage of an artifact."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from stannary.core.errors import UsageError
from stannary.core.model import Digest
from stannary.crypto import dsse
from stannary.evidence.gate import judge, record_decision
from stannary.evidence.statement import InToto, subject_resource
from stannary.evidence.story import Story, story_of
from stannary.registry import queries
from stannary.registry.names import DEFAULT, Name
from stannary.report.documents import DecisionDocument, EvidenceDocument, EvidenceRow, RecordedDocument
from stannary.server.operations import Call, Operation, Parameter
from stannary.server.sent import MOST_POLICY, PolicyName, evaluating, is_rego, policy_sent
from stannary.server.sight import lineage_of, no_statement, seen_decision, sees
from stannary.store.lineage_db import Walked

__all__ = ["OPERATIONS"]

_EVERYTHING = Name(DEFAULT, "*")
_DIGEST = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]


class NewStatement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An in-toto statement that somebody signed: a DSSE envelope, as it is."""

    envelope: dsse.Envelope


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An artifact, and the policy to decide by: a shipped one by its name, YAML, or a module in Rego.

    `name`: what the decision calls a module in Rego. `record`: sign and log the decision.
    """

    subject: _DIGEST
    policy: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_POLICY)] = "baseline"
    name: PolicyName = ""
    record: bool = True


class SeenLineage(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact was made from and what was made of it, nearest first; digests in hex.

    `hidden`: artifacts of namespaces that the caller may not read; what lies behind them is not told. `left`: beyond the limit.
    """

    schema: str = "stannary.seen-lineage/1"
    digest: str
    name: str
    above: tuple[Walked, ...]
    below: tuple[Walked, ...]
    hidden: int
    left: int


def _about(call: Call) -> EvidenceDocument:
    digest = _digest(call.path["digest"])
    _may_see(call, digest)
    known = call.store.chain.about(digest)
    refused = tuple(str(problem) for problem in known.refused)
    return EvidenceDocument(evidence=tuple(EvidenceRow.of(item) for item in known.evidence), refused=refused)


def _state(call: Call) -> RecordedDocument:
    """Log a statement. Its signer has to be one that the workspace trusts; the caller has to be allowed to approve or push.

    One that approves, rejects or waives takes the right to approve: a trusted key does not let who pushes decide about that.
    """
    from stannary.evidence.statement import decode, subject_of

    statement = decode(dsse.payload_of(call.body.envelope))
    _, digest = subject_of(statement)
    _may(call, digest, ("approve",) if _decides(statement) else ("approve", "push"))
    recorded = call.store.chain.log([call.body.envelope])[0]
    return RecordedDocument(id=str(recorded.id), subject=str(recorded.subject), index=recorded.receipt.index)


def _decides(statement: InToto) -> bool:
    from stannary.evidence.predicates.table import KINDS

    if statement.predicate_type == KINDS["statement"].predicate_type:
        return bool(statement.predicate.get("decision"))
    return statement.predicate_type == KINDS["waiver"].predicate_type


def _gate(call: Call) -> DecisionDocument:
    digest = Digest.parse(call.body.subject)
    # The workspace's key signs what is recorded, and a module in Rego is a program: not for everybody who may look.
    if call.body.record or is_rego(call.body.policy):
        _may(call, digest, ("push", "approve", "promote"))
    _may_see(call, digest)
    chain, subject = call.store.chain, subject_resource(digest, "")
    with evaluating(call, call.body.policy):
        judged = judge(chain, subject, policy_sent(call.body.policy, call.body.name))
    recorded = ""
    if call.body.record:
        recorded = str(record_decision(chain, subject, judged, call.place.version).id)
    call.place.metrics.event("gate", judged.decision.verdict)
    return DecisionDocument.of(seen_decision(call.store, judged.decision), recorded)


def _why(call: Call) -> Story:
    digest = _digest(call.path["digest"])
    _may_see(call, digest)
    return story_of(call.store.chain, subject_resource(digest, ""), admit=lambda other: sees(call.store, other))


def _lineage(call: Call) -> SeenLineage:
    digest = _digest(call.path["digest"])
    _may_see(call, digest)
    found, most = lineage_of(call.store, digest), call.query["limit"]
    left = sum(max(0, len(rows) - most) for rows in (found.above, found.below))
    return SeenLineage(
        digest=str(digest), name=found.name, above=tuple(found.above[:most]), below=tuple(found.below[:most]), hidden=found.hidden,
        left=left,
    )  # fmt: skip


def _envelope(call: Call) -> dict[str, Any]:
    """Return a statement. One that the caller may not see is not there: who asks learns nothing of it."""
    from stannary.evidence.statement import decode, filed_about

    try:
        row, envelope = call.store.chain.one(call.path["id"])
    except UsageError as error:
        if call.store.may("read", _EVERYTHING):
            raise
        raise no_statement(call.path["id"]) from error  # nor how many begin with this
    if not _sees(call, filed_about(decode(dsse.payload_of(envelope)), row.subject)):
        raise no_statement(call.path["id"])
    found: dict[str, Any] = msgspec.to_builtins(envelope)
    return found


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except ValueError as error:
        raise UsageError(str(error), where="digest", code="API002", help="sha256: and 64 digits of hex") from error


def _sees(call: Call, digest: Digest) -> bool:
    with call.store.reading() as connection:
        names = [version.name for version in queries.versions_with(connection, str(digest))]
    return any(call.store.may("read", name) for name in (*names, _EVERYTHING))


def _may_see(call: Call, digest: Digest) -> None:
    _may(call, digest, ("read",))


def _may(call: Call, digest: Digest, actions: tuple[str, ...]) -> None:
    """Let pass who may do one of the actions with one of the names of an artifact, or with everything."""
    with call.store.reading() as connection:
        names = [version.name for version in queries.versions_with(connection, str(digest))]
    asked = [(action, name) for name in (*names, _EVERYTHING) for action in actions]
    # Denied is what was asked of a name that the caller may see, else of everything: that there are other names is not told.
    seen = next((name for name in names if call.store.may("read", name)), _EVERYTHING)
    action, name = next((item for item in asked if call.store.may(*item)), (actions[0], seen))
    call.store.allowed(action, name)


OPERATIONS = (
    Operation(
        id="listEvidence",
        method="GET",
        path="/artifacts/{digest}/evidence",
        run=_about,
        tag="evidence",
        reply=EvidenceDocument,
        summary="Everything that the ledger holds about an artifact, verified now.",
    ),
    Operation(
        id="getStatement",
        method="GET",
        path="/evidence/{id}",
        run=_envelope,
        tag="evidence",
        reply=dsse.Envelope,
        errors=(404,),
        summary="A signed statement as it is (DSSE).",
    ),
    Operation(
        id="logStatement",
        method="POST",
        path="/evidence",
        run=_state,
        tag="evidence",
        body=NewStatement,
        reply=RecordedDocument,
        errors=(409,),
        summary="Log a statement that somebody signed whom the workspace trusts.",
    ),
    Operation(
        id="decide",
        method="POST",
        path="/decisions",
        run=_gate,
        tag="evidence",
        body=Question,
        reply=DecisionDocument,
        summary="Decide about an artifact by a policy, from the evidence there is.",
    ),
    Operation(
        id="getLineage",
        method="GET",
        path="/artifacts/{digest}/lineage",
        run=_lineage,
        tag="evidence",
        reply=SeenLineage,
        query=(Parameter("limit", int, "How many at most, each way.", 1000, 1, 100_000),),
        summary="What an artifact was made from and what was made of it, as far as the caller may see.",
    ),
    Operation(
        id="getStory",
        method="GET",
        path="/artifacts/{digest}/story",
        run=_why,
        tag="evidence",
        reply=Story,
        summary="Why an artifact is where it is: decisions, evidence, origin.",
    ),
)
