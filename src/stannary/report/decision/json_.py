"""`stannary.decision/1`: the decision as it is."""

from __future__ import annotations

from stannary.core.evidence import Decision
from stannary.report.decision import DecisionContext
from stannary.report.documents import DecisionDocument
from stannary.report.json_ import dump

__all__ = ["render"]


def render(decision: Decision, context: DecisionContext) -> str:
    """Return the decision as indented JSON."""
    return dump(DecisionDocument.of(decision, context.recorded))
