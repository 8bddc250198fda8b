"""The same decision for other engines: the input document, and a policy as a Rego module.

Rego is generic here (`data/gate.rego`); what differs from policy to policy is data, which stands at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from typing import Any

import msgspec

from stannary.core.errors import UsageError
from stannary.core.evidence import Evidence, Verified
from stannary.core.model import Digest, Json
from stannary.policy.model import Policy, duration
from stannary.policy.order import without_replays
from stannary.policy.privacy_budget import SPEND

__all__ = ["input_document", "module_of", "policy_data"]


def input_document(
    subject: Digest, evidence: Sequence[Verified[Evidence]], waivers: Sequence[Verified[Evidence]], now: datetime, *, name: str = ""
) -> dict[str, Json]:
    """Return what `decide` goes by, as JSON. Everything in it was verified; times are microseconds since 1970."""
    return {
        "schema": "stannary.gate-input/1",
        "subject": str(subject),
        "name": name,
        "now": _microseconds(now),
        "evidence": [_evidence(item) for item in without_replays(evidence)],
        "waivers": [_waiver(item) for item in waivers if item.value.kind == "waiver"],
    }


def module_of(policy: Policy) -> str:
    """Return a Rego module that decides as the policy does: `data.stannary.gate.deny` and `.allow`.

    Raises:
        UsageError: the policy bounds a privacy budget, whose sum Rego cannot work out.
    """
    if any(requirement.kind == SPEND for requirement in policy.require):
        msg = f"the policy {policy.name} bounds a privacy budget, which takes the sum of trainings and cannot be said in Rego"
        raise UsageError(msg, code="POL011", help="keep that requirement in a policy of its own, for `stannary gate`")
    fixed = resources.files("stannary.policy").joinpath("data", "gate.rego").read_text("utf-8")
    data = msgspec.json.format(msgspec.json.encode(policy_data(policy)), indent=2).decode().replace("`", "\\u0060")
    # As text: OPA's type checker would take a literal's nulls for all that a field can be.
    return f"{fixed}\npolicy := json.unmarshal(`{data}`)\n"


def policy_data(policy: Policy) -> dict[str, Json]:
    """Return a policy as plain data: every field there, durations in microseconds."""
    return {
        "name": policy.name,
        "digest": str(policy.digest),
        "require": [
            {
                "name": row.name,
                "kind": row.kind,
                "check": row.check,
                "signers": list(row.signers),
                "max_age": _length(row.max_age),
                "max_severity": row.max_severity,
                "verdicts": list(row.verdicts),
                "measures": [{"metric": m.metric, "min": m.min, "max": m.max, "min_samples": m.min_samples} for m in row.measures],
                "approvals": row.approvals,
                "not_by": list(row.not_by),
                "waivable": row.waivable,
            }
            for row in policy.require
        ],
        "waivers": {
            "allow": policy.waivers.allow,
            "signers": list(policy.waivers.signers),
            "max_days": policy.waivers.max_days,
        },
    }


def _evidence(item: Verified[Evidence]) -> dict[str, Any]:
    found = item.value
    return {
        "id": str(found.id),
        "subject": str(found.subject),
        "kind": found.kind,
        "check": found.check.id,
        "outcome": found.outcome,
        "verdict": found.verdict,
        "identity": item.identity,
        "keyid": item.keyid,
        "index": -1 if item.index is None else item.index,
        "issued": _microseconds(found.issued),
        "recorded": _microseconds(found.recorded) if found.recorded is not None else None,
        "expires": _microseconds(found.expires) if found.expires is not None else None,
        "partial": found.partial,
        "counts": msgspec.to_builtins(found.counts),
        "findings": [{"rule": f.rule, "severity": f.severity, "file": f.where.file} for f in found.findings],
        "measurements": [
            {"metric": m.metric, "value": m.value, "low": m.low, "high": m.high, "n": m.n} for m in found.measurements
        ],
    }


def _waiver(item: Verified[Evidence]) -> dict[str, Any]:
    found = item.value
    return {
        "id": str(found.id),
        "subject": str(found.subject),
        "identity": item.identity,
        "issued": _microseconds(found.issued),
        "expires": _microseconds(found.expires) if found.expires is not None else None,
        "rule": str(found.predicate.get("rule", "")),
        "file": str(found.predicate.get("file") or ""),
        "reason": str(found.predicate.get("reason", "")),
        "owner": str(found.predicate.get("owner", "")),
    }


def _microseconds(time: datetime) -> int:
    whole = int(time.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + time.microsecond


def _length(text: str | None) -> int | None:
    return None if text is None else int(duration(text).total_seconds()) * 1_000_000
