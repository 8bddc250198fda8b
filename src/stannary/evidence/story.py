"""Why an artifact is where it is: the newest decision of each policy, the evidence it went by, where it all came from.

Everything in a story was verified when it was told. What was refused is told too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from stannary.core.evidence import Evidence, Reason, Resource, Verified
from stannary.core.model import Digest
from stannary.evidence.chain import Chain
from stannary.evidence.gate import DECISION
from stannary.evidence.lineage import TAINTING, Admit, edges_of, told_reasons
from stannary.evidence.statement import subject_of_resource

__all__ = ["Link", "Story", "Told", "story_of"]

_DEEPEST = 20


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One statement: what it says, who signed it, where it is in the log, the command that verifies it."""

    id: str
    kind: str
    says: str
    outcome: str
    issued: datetime
    signer: str
    index: int | None
    expires: datetime | None = None
    verify: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A decision, and what it went by."""

    decision: Link
    policy: str
    verdict: str
    stands_until: datetime | None
    reasons: tuple[str, ...]
    evidence: tuple[Link, ...]


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one artifact."""

    schema: str = "stannary.why/1"
    subject: str
    name: str
    log: str
    size: int
    root: str
    decisions: tuple[Told, ...]
    evidence: tuple[Link, ...]
    origin: tuple[str, ...]
    refused: tuple[str, ...]
    hidden: int = 0  # artifacts in the origin that whoever asked may not see


def story_of(chain: Chain, subject: Resource, *, admit: Admit | None = None) -> Story:
    """Return the story of a subject. Of where it comes from, only what `admit` admits is told; the rest is counted."""
    digest = subject_of_resource(subject)
    known = chain.about(digest)
    newest: dict[str, Verified[Evidence]] = {}
    for item in known.evidence:
        if item.value.kind == "vsa":
            newest[item.value.check.id] = item
    by_id = {item.value.id.hex: item for item in known.evidence}
    head = chain.ledger.head()
    rest = [item for item in known.evidence if item.value.kind != "vsa"]
    hidden: set[Digest] = set()
    origin = tuple(_origin(chain, digest, admit, hidden))
    name = subject.name or next((item.value.subject_name for item in known.evidence if item.value.subject_name), "")
    return Story(
        subject=str(digest),
        name=name,
        log=chain.workspace.settings.origin,
        size=head.size,
        root=head.root.hex(),
        decisions=tuple(_told(chain, item, by_id, admit) for item in newest.values()),
        evidence=tuple(_link(item) for item in rest),
        origin=origin,
        refused=tuple(map(str, known.refused)),
        hidden=len(hidden),
    )


def _told(chain: Chain, item: Verified[Evidence], by_id: dict[str, Verified[Evidence]], admit: Admit | None) -> Told:
    predicate = item.value.predicate
    more = predicate.get(DECISION) or {}
    inputs = [row.get("digest", {}).get("sha256", "") for row in predicate.get("inputAttestations", ())]
    until = more.get("expires")
    stated = [
        Reason(
            rule=str(row.get("rule", "")),
            ok=bool(row.get("ok")),
            message=str(row.get("message", "")),
            evidence=str(row.get("evidence", "")),
        )
        for row in more.get("reasons", ())
    ]
    reasons = told_reasons(chain, item.value.subject, stated, admit=admit)
    return Told(
        decision=_link(item),
        policy=str(more.get("policy") or item.value.check.id),
        verdict="allow" if item.value.outcome == "passed" else "deny",
        stands_until=datetime.fromisoformat(until) if until else None,
        reasons=tuple(f"{'pass' if row.ok else 'FAIL'} {row.rule}: {row.message}" for row in reasons),
        evidence=tuple(_link(by_id[found]) for found in inputs if found in by_id),
    )


def _link(item: Verified[Evidence]) -> Link:
    found = item.value
    return Link(
        id=str(found.id),
        kind=found.kind,
        says=_says(found),
        outcome=found.outcome,
        issued=found.issued,
        signer=item.identity,
        index=item.index,
        expires=found.expires,
        verify=f"stannary ledger prove {item.index}" if item.index is not None else "",
    )


def _says(found: Evidence) -> str:
    text = found.verdict or found.outcome
    if found.kind == "statement":
        text = f"{found.check.id}: {found.predicate.get('statement', '')}"
    elif found.kind in ("waiver", "revocation"):
        text = f"{found.predicate.get('rule') or text}: {found.predicate.get('reason', '')}"
    elif found.measurements:
        text = ", ".join(f"{m.metric} {m.value:g} [{m.low:g}, {m.high:g}]" for m in found.measurements[:4])
    return text[:300]


def _origin(chain: Chain, subject: Digest, admit: Admit | None, hidden: set[Digest]) -> Iterable[str]:
    """Yield a line for each edge that leads back from the subject, nearest first; note what is left out as hidden."""
    seen = {subject}
    level = [subject]
    for depth in range(_DEEPEST):
        following: list[Digest] = []
        for at in level:
            for item in chain.about(at).evidence:
                for edge in edges_of(item):
                    if admit is not None and not admit(edge.target):
                        hidden.add(edge.target)
                        continue
                    about = f"{edge.target_name} ({str(edge.target)[:19]})"
                    yield f"{'  ' * depth}{edge.relation} {about} by {item.identity} [{edge.evidence.hex[:12]}]"
                    if edge.relation in TAINTING and edge.target not in seen:
                        seen.add(edge.target)
                        following.append(edge.target)
        if not following:
            return
        level = following
