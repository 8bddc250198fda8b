"""A decision as SARIF 2.1.0: each requirement is a rule, each reason a result (§3.27.9: kind pass or fail)."""

from __future__ import annotations

from typing import Any

from stannary.core.evidence import Decision, Reason
from stannary.report.decision import DecisionContext, next_step
from stannary.report.escape import encodable, inline, relative_uri
from stannary.report.json_ import dump

__all__ = ["render"]


def render(decision: Decision, context: DecisionContext) -> str:
    """Return one SARIF log with one run."""
    names = list(dict.fromkeys(reason.rule for reason in decision.reasons))
    run = {
        "tool": {
            "driver": {
                "name": "stannary gate",
                "version": context.version,
                "semanticVersion": context.version,
                "shortDescription": {"text": "Decides by a policy from signed evidence."},
                "rules": [_rule(name, decision) for name in names],
            }
        },
        "automationDetails": {"id": f"stannary/gate/{inline(decision.policy_name)}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True, "endTimeUtc": decision.decided.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}],
        "artifacts": [{"location": {"uri": _uri(context)}, "properties": {"dirHash1": decision.subject.hex}}],
        "results": [_result(reason, names.index(reason.rule), context) for reason in decision.reasons],
        "properties": {"verdict": decision.verdict, "policy": str(decision.policy), "recorded": context.recorded},
    }
    return dump(encodable({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}))


def _rule(name: str, decision: Decision) -> dict[str, Any]:
    title = f"{inline(name)} of policy {inline(decision.policy_name)}"
    text = f"The policy {inline(decision.policy_name)} requires {inline(name)} before an artifact may pass."
    return {
        "id": f"gate/{inline(name)}",
        "name": "".join(word.capitalize() for word in inline(name).replace(":", "-").split("-")),
        "shortDescription": {"text": f"{title}."},
        "fullDescription": {"text": text},
        "help": {"text": f"{text} `stannary why TARGET` shows what is known."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security", "policy"], "security-severity": "8.0", "precision": "very-high"},
    }


def _result(reason: Reason, index: int, context: DecisionContext) -> dict[str, Any]:
    after = f" Next: {inline(next_step(reason.help, context.target))}." if reason.help and not reason.ok else ""
    text = f"{inline(reason.message)}.{after}"
    found: dict[str, Any] = {
        "ruleId": f"gate/{inline(reason.rule)}",
        "ruleIndex": index,
        "kind": "pass" if reason.ok else "fail",
        "level": "none" if reason.ok else "error",
        "message": {"text": text[:1].upper() + text[1:]},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": _uri(context), "index": 0}, "region": {"startLine": 1}}},
        ],
        "partialFingerprints": {"stannaryRequirement/v1": inline(reason.rule)},
    }
    if reason.evidence or reason.waiver:
        found["properties"] = {"evidence": reason.evidence, "waiver": reason.waiver}
    return found


def _uri(context: DecisionContext) -> str:
    return relative_uri(context.target.lstrip("/") or ".")
