"""The gate at work: what the ledger holds about a subject goes to `policy.decide`; the decision is signed and logged.

The decision is a SLSA verification summary (VSA), which other tools read too; what a VSA has no field for stands
under `urn:stannary:decision:v1` in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from stannary.core.errors import IntegrityError, StannaryError
from stannary.core.evidence import Decision, Evidence, Resource, Verified
from stannary.core.model import Digest, Json
from stannary.crypto.dsse import Envelope
from stannary.evidence.chain import Chain, Recorded, signed_statement
from stannary.evidence.rego_gate import RegoPolicy, decide_by_rego
from stannary.evidence.statement import subject_of_resource
from stannary.policy.decide import SKEW, decide
from stannary.policy.model import Policy
from stannary.policy.privacy_budget import SPEND

if TYPE_CHECKING:
    from stannary.evidence.lineage import Admit

__all__ = [
    "DECISION",
    "Judged",
    "gathered",
    "is_current",
    "judge",
    "record_decision",
    "signed_decision",
    "spelled_out",
    "stated_decision",
]

DECISION = "urn:stannary:decision:v1"
Gathered: TypeAlias = tuple[tuple[Verified[Evidence], ...], tuple[Verified[Evidence], ...], tuple[StannaryError, ...]]


class Judged(NamedTuple):
    """A decision, what it went by, and what was in the ledger and counted for nothing."""

    decision: Decision
    evidence: tuple[Verified[Evidence], ...]
    waivers: tuple[Verified[Evidence], ...]
    refused: tuple[StannaryError, ...]


def judge(chain: Chain, subject: Resource, policy: Policy | RegoPolicy) -> Judged:
    """Decide about a subject from the evidence in the ledger.

    Raises UsageError or BackendError when an engine cannot, IntegrityError when a privacy budget is bounded and cannot be known, or
    when the ledger has an entry from after now: with a clock turned back, what expired would count again.
    """
    now = _now(chain)
    digest = subject_of_resource(subject)
    evidence, waivers, refused = gathered(chain, digest, policy)
    name = subject.name or next((item.value.subject_name for item in evidence if item.value.subject_name), "")
    if isinstance(policy, RegoPolicy):
        decision = decide_by_rego(policy, digest, evidence, waivers, now, name=name)
    else:
        decision = decide(policy, digest, evidence, waivers, now, name=name)
    return Judged(decision, evidence, waivers, refused)


def is_current(chain: Chain, subject: Resource, policy: Policy | RegoPolicy, judged: Judged) -> bool:
    """Tell whether a decision was by this policy, and from all that the ledger holds about the subject now."""
    if judged.decision.policy != policy.digest or judged.decision.decided > _now(chain):
        return False
    evidence, waivers, _ = gathered(chain, subject_of_resource(subject), policy)
    return (_places(evidence), _places(waivers)) == (_places(judged.evidence), _places(judged.waivers))


def _places(items: Sequence[Verified[Evidence]]) -> list[tuple[str, int | None, str]]:
    return [(str(item.value.id), item.index, item.keyid) for item in items]


def gathered(chain: Chain, digest: Digest, policy: Policy | RegoPolicy) -> Gathered:
    """Return what a decision about a subject goes by: evidence, waivers, and what is refused."""
    from stannary.evidence.lineage import revocations_above
    from stannary.evidence.privacy_budget import spends_above

    # Earlier decisions are evidence too, but only for a policy that asks for one: an artifact can have thousands.
    asks = isinstance(policy, RegoPolicy) or any(requirement.kind == "vsa" for requirement in policy.require)
    known = chain.about(digest, decisions=asks)
    waivers = tuple(item for item in known.evidence if item.value.kind == "waiver")
    own = (item for item in known.evidence if item.value.kind != "waiver")
    budgets = not isinstance(policy, RegoPolicy) and any(requirement.kind == SPEND for requirement in policy.require)
    evidence = (*own, *revocations_above(chain, digest, known.evidence), *(spends_above(chain, digest) if budgets else ()))
    return evidence, waivers, known.refused


def _now(chain: Chain) -> datetime:
    """Return the time. Raises IntegrityError when the last entry of the ledger says that it was later already."""
    now, last = chain.workspace.clock(), chain.ledger.last_time()
    if last is not None and last > now + SKEW:
        msg = f"it is {now:%Y-%m-%d %H:%M:%S} here, and the last entry of the ledger is of {last:%Y-%m-%d %H:%M:%S}"
        raise IntegrityError(
            msg, where=f"entry {chain.ledger.head().size - 1}", code="EVD017", help="set the clock of this machine, and ask again"
        )
    return now


def spelled_out(chain: Chain, decision: Decision, *, admit: Admit | None = None) -> Decision:
    """Return a decision for somebody to read: revoked ancestors are named in its reasons, as far as `admit` admits them.

    What is signed and logged names none: whoever may read about the subject reads that, and may not about all it was made from.
    """
    from stannary.evidence.lineage import told_reasons

    return msgspec.structs.replace(decision, reasons=told_reasons(chain, decision.subject, decision.reasons, admit=admit))


def record_decision(chain: Chain, subject: Resource, judged: Judged, version: str = "") -> Recorded:
    """Sign the decision and log it; `version` is that of the tool that decided."""
    return chain.log([signed_decision(chain, subject, judged, version)])[0]


def signed_decision(chain: Chain, subject: Resource, judged: Judged, version: str = "") -> Envelope:
    """Sign the decision; `version` is that of the tool that decided."""
    named, predicate = stated_decision(subject, judged, version)
    return signed_statement(named, "vsa", predicate, chain.workspace.signer)


def stated_decision(subject: Resource, judged: Judged, version: str = "") -> tuple[Resource, dict[str, Json]]:
    """Return the decision as a statement that nobody has signed: its subject, and the predicate of a VSA."""
    decision = judged.decision
    predicate: dict[str, Json] = {
        "verifier": {"id": "urn:stannary:gate", "version": {"stannary": version}},
        "timeVerified": decision.decided,
        "resourceUri": decision.subject_name or str(decision.subject),
        "policy": {"uri": f"urn:stannary:policy:{decision.policy_name}", "digest": {"sha256": decision.policy.hex}},
        "inputAttestations": [{"digest": {"sha256": found.hex}} for found in decision.evidence],
        "verificationResult": "PASSED" if decision.verdict == "allow" else "FAILED",
        "verifiedLevels": [],
        DECISION: {
            "policy": decision.policy_name,
            "reasons": msgspec.to_builtins(decision.reasons),
            **({"expires": decision.expires} if decision.expires is not None else {}),
        },
    }
    named = subject if subject.name else msgspec.structs.replace(subject, name=decision.subject_name)
    return named, msgspec.to_builtins(predicate)
