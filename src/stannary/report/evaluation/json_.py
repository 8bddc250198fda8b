"""A card as JSON, as it is."""

from __future__ import annotations

from stannary.checks.target.card import EvaluationResult
from stannary.report.json_ import dump

__all__ = ["render"]


def render(card: EvaluationResult, *, color: bool = False) -> str:  # noqa: ARG001 - the shape of every renderer
    """Return the card as indented JSON."""
    return dump(card)
