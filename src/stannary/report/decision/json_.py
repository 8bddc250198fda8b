"""`stannary.decision/1`: the decision as it is."""

from __future__ import annotations

from stannary.core.evidence import Decision
from stannary.report.documents import DecisionDocument
from stannary.report.json_ import dump

__all__ = ["render"]


def render(decision: Decision, recorded: str, color: bool) -> str:  # noqa: ARG001, FBT001 - the shape of every renderer
    """Return the decision as indented JSON."""
    return dump(DecisionDocument.of(decision, recorded))
