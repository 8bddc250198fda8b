"""A decision by a policy in Rego: the engine says what is wrong, the rest is as for every other policy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from stannary.core.errors import StannaryError
from stannary.core.evidence import Decision, Evidence, Reason, Verified
from stannary.core.model import Digest, Json
from stannary.evidence.engines.interface import Engine
from stannary.policy.decide import clock_reasons, revocation_reasons
from stannary.policy.rego import input_document

__all__ = ["RegoPolicy", "decide_by_rego"]


class RegoPolicy(NamedTuple):
    """A policy in Rego and what evaluates it. Revocations deny here as everywhere."""

    name: str
    digest: Digest
    module: str
    engine: Engine


def decide_by_rego(
    policy: RegoPolicy,
    subject: Digest,
    evidence: Sequence[Verified[Evidence]],
    waivers: Sequence[Verified[Evidence]],
    now: datetime,
    *,
    name: str = "",
) -> Decision:
    """Return what the policy says. Raises UsageError or BackendError when the engine cannot evaluate it."""
    document = input_document(subject, evidence, waivers, now, name=name)
    revocations = [item for item in evidence if item.value.kind == "revocation"]
    reasons = [*clock_reasons(evidence, now), *revocation_reasons(revocations, subject, now)]
    denied = sorted((_reason(item) for item in _denied(policy, document)), key=lambda r: (r.rule, r.message))
    reasons += denied or [Reason(rule="rego", ok=True, message=f"{policy.engine.name} denies nothing")]
    known = {str(item.value.id) for item in evidence}
    cited = sorted({reason.evidence for reason in reasons} & known) or sorted(known)
    return Decision(
        verdict="allow" if all(reason.ok for reason in reasons) else "deny",
        subject=subject,
        subject_name=name,
        policy=policy.digest,
        policy_name=policy.name,
        reasons=tuple(reasons),
        evidence=tuple(map(Digest.parse, cited)),
        decided=now,
    )


def _denied(policy: RegoPolicy, document: Json) -> list[Json]:
    """Return what the engine says. Raises UsageError or BackendError, at the place in the policy's own file where there is one."""
    try:
        return policy.engine.deny(policy.module, document)
    except StannaryError as error:
        if error.where is not None and error.where.startswith("gate.rego:"):
            error.where = policy.name + error.where.removeprefix("gate.rego")
        raise


def _reason(item: Json) -> Reason:
    """Return the reason that a text, or an object with `msg`, gives."""
    if not isinstance(item, dict):
        return Reason(rule="rego", ok=False, message=str(item)[:2000])
    words = {field: str(item.get(field) or "")[:2000] for field in ("rule", "msg", "evidence", "help")}
    return Reason(
        rule=words["rule"] or "rego",
        ok=False,
        message=words["msg"] or str(item)[:2000],
        evidence=words["evidence"],
        help=words["help"],
    )
