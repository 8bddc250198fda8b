"""A decision for a terminal: the verdict, then each rule with its reason, its evidence and what to do."""

from __future__ import annotations

from stannary.core.evidence import Decision
from stannary.report.decision import DecisionContext, next_step
from stannary.report.escape import inline

__all__ = ["render"]

_GREEN, _RED, _BOLD, _DIM, _CYAN, _OFF = "\x1b[32m", "\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[0m"


def render(decision: Decision, context: DecisionContext) -> str:
    """Return the decision as text."""

    def on(style: str, text: str) -> str:
        return f"{style}{text}{_OFF}" if context.color else text

    allowed = decision.verdict == "allow"
    verdict = on(_BOLD + (_GREEN if allowed else _RED), decision.verdict.upper())
    name = inline(decision.subject_name) if decision.subject_name else "artifact"
    lines = [f"{verdict}  {name} by policy {inline(decision.policy_name)}", on(_DIM, f"       {decision.subject}"), ""]
    width = max((len(reason.rule) for reason in decision.reasons), default=0)
    for reason in decision.reasons:
        mark = on(_GREEN, "pass") if reason.ok else on(_RED, "FAIL")
        about = on(_DIM, f"  [{reason.evidence[7:19]}]") if reason.evidence else ""
        waived = on(_DIM, f"  waiver [{reason.waiver[7:19]}]") if reason.waiver else ""
        lines.append(f"  {mark}  {reason.rule:<{width}}  {inline(reason.message, 400)}{about}{waived}")
        if reason.help and not reason.ok:
            lines.append(f"{' ' * (width + 10)}{on(_CYAN, 'next')}: {inline(next_step(reason.help, context.target))}")
    lines.append("")
    if decision.expires:
        lines.append(f"stands until {decision.expires:%Y-%m-%d %H:%M} UTC")
    if context.recorded:
        lines.append(f"recorded as {context.recorded[7:19]}")
    return "\n".join(lines).rstrip("\n") + "\n"
