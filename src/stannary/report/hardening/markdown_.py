"""A result of hardening as Markdown, for a comment on a merge request or a job summary."""

from __future__ import annotations

from stannary.harden.card import HardeningResult
from stannary.report.escape import code_span
from stannary.report.hardening.words import VERDICTS, rows, texts, why

__all__ = ["render"]


def render(result: HardeningResult, *, color: bool = False) -> str:  # noqa: ARG001 - the shape of every renderer
    """Return a heading, the numbers of both models, and what is said beside them."""
    heading = f"### {code_span(result.before.model.name)} by {result.method}: {VERDICTS[result.verdict]}"
    lines = [heading, "", why(result), "", "| | before | after | difference |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows(result)]
    said = texts(result)
    lines += ["", *(f"- {code_span(text)}" for text in said)] if said else []
    if result.output:
        digest = f", {code_span(result.after.model.digest)}" if result.after.model.digest else ""
        lines += ["", f"{code_span(result.output)}{digest}."]
    return "\n".join(lines) + "\n"
