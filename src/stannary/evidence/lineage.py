"""Where things come from: edges between artifacts, only from signed evidence.

An edge leads from a subject to what it was made from, evaluated on or is served by. Taint goes against it: what
was made from something revoked is not to be used either. An evaluation taints nothing. What serves an artifact stands
in the lineage behind it, so that the reach of a revocation names it; no gate asks an endpoint where it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from stannary.core.errors import InputError
from stannary.core.evidence import Evidence, Reason, Verified
from stannary.core.model import Digest
from stannary.evidence.chain import Chain
from stannary.evidence.predicates.ours import Lineage, LineageEdge, TrainingRun
from stannary.evidence.statement import subject_of_resource
from stannary.policy.decide import ANCESTOR_REVOKED, REVOCATION

__all__ = ["SERVED", "TAINTING", "Admit", "Edge", "edges_of", "revocations_above", "told_reasons"]

Admit = Callable[[Digest], bool]  # whether whoever asks may see an artifact

TAINTING = frozenset({"trained-from", "fine-tuned-from", "quantised-from", "merged-from", "converted-from", "derived-dataset"})

SERVED = "served-by"


class Edge(NamedTuple):
    """`source` stands in a relation to `target`, as a piece of evidence says."""

    source: Digest
    target: Digest
    relation: str
    target_name: str
    evidence: Digest


def edges_of(item: Verified[Evidence]) -> Iterable[Edge]:
    """Yield the edges that a statement makes. One without a digest leads nowhere, and is left out."""
    found = item.value
    rows: tuple[LineageEdge, ...] = ()
    if found.kind == "training-run":
        rows = msgspec.convert(found.predicate, TrainingRun).edges
    elif found.kind == "lineage":
        rows = msgspec.convert(found.predicate, Lineage).edges
    for row in rows:
        try:
            target = subject_of_resource(row.resource)
        except InputError:
            continue
        yield Edge(found.subject, target, row.relation, row.resource.name, found.id)
    if found.kind in ("eval-result", "dataset-check"):
        for resource in found.inputs:
            if resource.digest.get("dirHash1") or resource.digest.get("sha256"):
                yield Edge(found.subject, subject_of_resource(resource), "evaluated-on", resource.name, found.id)


def revocations_above(chain: Chain, subject: Digest, own: Sequence[Verified[Evidence]] | None = None) -> list[Verified[Evidence]]:
    """Return the revocations of everything that the subject was made from, however far back; `own` is what is known of itself."""
    seen = {subject}
    todo = [subject]
    found: list[Verified[Evidence]] = []
    while todo:
        at = todo.pop()
        known = own if own is not None and at == subject else chain.about(at, decisions=False).evidence
        for item in known:
            if item.value.kind == "revocation" and at != subject:
                found.append(item)
            for edge in edges_of(item):
                if edge.relation in TAINTING and edge.target not in seen:
                    seen.add(edge.target)
                    todo.append(edge.target)
    return found


def told_reasons(chain: Chain, subject: Digest, reasons: Iterable[Reason], *, admit: Admit | None = None) -> tuple[Reason, ...]:
    """Return the reasons of a decision about the subject as whoever asks may read them.

    A revocation of something that the subject was made from is told with its name and its reason when `admit` admits that
    artifact (None: everything), and otherwise as nothing but that: something was revoked.
    """
    return tuple(_told_reason(chain, subject, reason, admit) if reason.rule == REVOCATION else reason for reason in reasons)


def _told_reason(chain: Chain, subject: Digest, reason: Reason, admit: Admit | None) -> Reason:
    item = chain.stated(reason.evidence) if reason.evidence else None
    found = None if item is None else item.value
    if found is not None and found.subject == subject:
        return reason
    text = ANCESTOR_REVOKED
    if found is not None and found.kind == "revocation" and (admit is None or admit(found.subject)):
        name = found.subject_name or str(found.subject)
        text = f"{name}, which it was made from, was revoked: {found.predicate.get('reason', '')}"
    return msgspec.structs.replace(reason, message=text)
