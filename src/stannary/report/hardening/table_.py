"""A result of hardening for a terminal."""

from __future__ import annotations

from stannary.harden.card import HardeningResult
from stannary.report.escape import inline
from stannary.report.hardening.words import VERDICTS, rows, texts, why

__all__ = ["render"]

_BOLD, _DIM, _OFF = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_COLORS = {"hardened": "\x1b[32m", "not shown": "\x1b[33m", "weaker": "\x1b[31m", "too costly": "\x1b[31m", "masking": "\x1b[33m"}


def render(result: HardeningResult, *, color: bool = False) -> str:
    """Return the result as text."""

    def on(style: str, text: str) -> str:
        return f"{style}{text}{_OFF}" if color else text

    heading = f"{inline(result.before.model.name)} by {result.method}"
    lines = [f"{on(_BOLD + _COLORS[result.verdict], VERDICTS[result.verdict].upper())}  {heading}"]
    if result.output:
        lines.append(on(_DIM, f"  {inline(result.output)}  {result.after.model.digest or ''}".rstrip()))
    if result.verdict != "hardened":
        lines.append(f"  {inline(why(result), 300)}")
    lines.append("")
    table = [("", "before", "after", "difference"), *rows(result)]
    widths = [max(len(row[at]) for row in table) for at in range(3)]
    for number, row in enumerate(table):
        text = "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, (*widths, 0), strict=True)).rstrip()
        lines.append(text if number else on(_DIM, text))
    said = texts(result)
    lines += ["", *(f"  {inline(text, 300)}" for text in said)] if said else []
    samples = result.after.data.n if result.after.data else 0
    lines += ["", f"judged on {samples:,} samples that were not trained on, {result.seconds:.1f} s on {result.after.device}"]
    return "\n".join(lines) + "\n"
