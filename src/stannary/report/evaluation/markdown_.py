"""A card as Markdown, for a comment on a merge request or a job summary."""

from __future__ import annotations

from stannary.checks.target.card import EvaluationResult
from stannary.report.escape import code_span
from stannary.report.evaluation.words import attack_rows, measured, title, verdict

__all__ = ["render"]


def render(card: EvaluationResult, *, color: bool = False) -> str:  # noqa: ARG001 - the shape of every renderer
    """Return a heading, the numbers, the attacks, and what was not measured."""
    lines = [f"### {code_span(title(card))}: {verdict(card)}", "", "| measured | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in measured(card)]
    rows = attack_rows(card)
    if rows:
        lines += ["", "| attack | survivors | spent | |", "|---|---|---|---|"]
        lines += [f"| {code_span(name, table=True)} | {stood} | {spent} | {end} |" for name, stood, spent, end in rows]
    if card.robustness and card.robustness.masked:
        lines += ["", "**Masked gradients are likely: the robust accuracy is not to be trusted.**"]
    for heading, texts in (("Not measured", card.incomplete), ("Below the threshold", card.reasons), ("Next", card.next)):
        if texts:
            lines += ["", f"{heading}:", "", *(f"- {code_span(text)}" for text in texts)]
    digest = f"{code_span(card.model.digest)}, " if card.model.digest else ""
    lines += ["", f"{digest}{card.queries:,} queries, seed {card.seed}, {card.device}."]
    return "\n".join(lines) + "\n"
