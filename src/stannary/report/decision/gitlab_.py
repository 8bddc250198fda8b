"""A decision as a GitLab Code Quality report: an issue for each reason that denies; an empty list allows.

Publish it as `artifacts: reports: codequality:`. A decision is no vulnerability, so it is no SAST report.
"""

from __future__ import annotations

import hashlib

from stannary.core.evidence import Decision, Reason
from stannary.report.decision import DecisionContext, next_step
from stannary.report.escape import encodable, inline
from stannary.report.json_ import dump

__all__ = ["render"]


def render(decision: Decision, context: DecisionContext) -> str:
    """Return the list of issues."""
    path = inline(context.target).lstrip("/") or "."
    issues = [
        {
            "description": _description(reason, context.target),
            "check_name": f"stannary-gate/{inline(decision.policy_name)}/{inline(reason.rule)}",
            # The requirement and where it fails, not what was said of it: the same issue next time is the same issue.
            "fingerprint": hashlib.sha256(f"{path}\0{decision.policy_name}\0{reason.rule}\0{number}".encode()).hexdigest(),
            "severity": "blocker" if reason.rule == "revocation" else "critical",
            "location": {"path": path, "lines": {"begin": 1}},
        }
        for number, reason in enumerate(reason for reason in decision.reasons if not reason.ok)
    ]
    return dump(encodable(issues))


def _description(reason: Reason, target: str) -> str:
    after = f" (next: {inline(next_step(reason.help, target))})" if reason.help else ""
    return f"{inline(reason.message)}{after}"
