"""A card for a terminal."""

from __future__ import annotations

from stannary.checks.target.card import EvaluationResult
from stannary.report.escape import inline
from stannary.report.evaluation.words import attack_rows, figure, masking_row, measured, title, verdict

__all__ = ["render"]

_GREEN, _RED, _YELLOW, _BOLD, _DIM, _CYAN, _OFF = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[0m"
_COLORS = {"passed": _GREEN, "failed": _RED, "incomplete": _YELLOW, "error": _RED}
_EXAMPLES = 3


def render(card: EvaluationResult, *, color: bool = False) -> str:
    """Return the card as text."""

    def on(style: str, text: str) -> str:
        return f"{style}{text}{_OFF}" if color else text

    lines = [f"{on(_BOLD + _COLORS[card.outcome], verdict(card).upper())}  {title(card)}"]
    model = card.model
    if model.digest:
        lines.append(on(_DIM, f"  {model.digest}"))
    lines += [on(_DIM, f"  {model.format or 'model'}, access: {model.access}, jail: {model.jail}, seed {card.seed}"), ""]
    rows = measured(card)
    width = max((len(name) for name, _ in rows), default=0)
    lines += [f"  {name:<{width}}  {value}" for name, value in rows]
    lines += _attacks(card, on(_BOLD, "attacks"))
    lines += _masking(card, on(_BOLD, "masked gradients"))
    lines += _examples(card, on(_BOLD, "cheapest examples"))
    for heading, texts in (("not measured", card.incomplete), ("to know", model.notes), ("below the threshold", card.reasons)):
        if texts:
            lines += ["", on(_BOLD, heading), *(f"  {inline(text, 400)}" for text in texts)]
    if card.next:
        lines += ["", *(f"{on(_CYAN, 'next')}: {inline(text, 300)}" for text in card.next)]
    lines += ["", f"{card.queries:,} queries, {card.seconds:.1f} s on {card.device}"]
    return "\n".join(lines) + "\n"


def _attacks(card: EvaluationResult, heading: str) -> list[str]:
    rows = attack_rows(card)
    if not rows:
        return []
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    return ["", heading] + [
        f"  {name:<{widths[0]}}  {stood:<{widths[1]}}  {spent:<{widths[2]}}  {end}".rstrip() for name, stood, spent, end in rows
    ]


def _masking(card: EvaluationResult, heading: str) -> list[str]:
    part = card.robustness
    if part is None or not part.masking:
        return []
    warned = [point for point in part.masking if point.warn]
    if not part.masked and not warned:
        return ["", f"{heading}: none of {len(part.masking)} signs"]
    said = "likely: the robust accuracy above is not to be trusted" if part.masked else "some signs"
    return ["", f"{heading}: {said}"] + [f"  {masking_row(point)}" for point in warned]


def _examples(card: EvaluationResult, heading: str) -> list[str]:
    part = card.robustness
    shown = [example for example in part.examples if example.changes][:_EXAMPLES] if part else []
    if not shown:
        return []
    lines = ["", heading]
    for example in shown:
        changes = ", ".join(f"{inline(c.column)} {figure(c.before)} → {figure(c.after)}" for c in example.changes[:6])
        rest = f" and {len(example.changes) - 6} more" if len(example.changes) > 6 else ""  # noqa: PLR2004 - those shown
        lines.append(f"  row {example.sample}: {inline(example.label)} → {inline(example.decided)} by {changes}{rest}")
    return lines
