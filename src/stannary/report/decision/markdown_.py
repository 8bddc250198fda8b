"""A decision as Markdown, for a comment on a merge request or a job summary."""

from __future__ import annotations

from stannary.core.evidence import Decision
from stannary.report.decision import DecisionContext, next_step
from stannary.report.escape import code_span

__all__ = ["render"]


def render(decision: Decision, context: DecisionContext) -> str:
    """Return a heading, a table of reasons, and what to do."""
    verdict = "Allowed" if decision.verdict == "allow" else "Denied"
    lines = [
        f"### {verdict}: {code_span(context.target)} by policy {code_span(decision.policy_name)}",
        "",
        "| | requirement | reason | evidence |",
        "|---|---|---|---|",
    ]
    for reason in decision.reasons:
        mark = "✅" if reason.ok else "❌"
        about = code_span(reason.evidence[7:19]) if reason.evidence else ""
        lines.append(f"| {mark} | {code_span(reason.rule, table=True)} | {code_span(reason.message, table=True)} | {about} |")
    steps = list(
        dict.fromkeys(next_step(reason.help, context.target) for reason in decision.reasons if reason.help and not reason.ok)
    )
    if steps:
        lines += ["", "Next:", "", *(f"- {code_span(step)}" for step in steps)]
    end = f", stands until {decision.expires:%Y-%m-%d %H:%M} UTC" if decision.expires else ""
    lines += ["", f"{code_span(str(decision.subject))} decided {decision.decided:%Y-%m-%d %H:%M} UTC{end}."]
    if context.recorded:
        lines.append(f"Recorded as {code_span(context.recorded)}; `stannary why {decision.subject}` shows the chain.")
    return "\n".join(lines) + "\n"
