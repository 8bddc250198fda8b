"""Report cards of evaluations, as text: one module a format.

What belongs here: functions from a card to text, and the plots of the page as SVG. To add a format: a module with `render`, and a
name in FORMATS.
"""

from __future__ import annotations

import importlib
from typing import Protocol

from stannary.checks.target.card import EvaluationResult
from stannary.core.errors import UsageError

__all__ = ["FORMATS", "Renderer", "renderer"]


class Renderer(Protocol):
    """A format of cards."""

    def __call__(self, card: EvaluationResult, *, color: bool = False) -> str:
        """Return the whole report, ending in a line feed."""
        ...


FORMATS = ("table", "json", "html", "markdown", "junit")


def renderer(name: str) -> Renderer:
    """Return the renderer of one of FORMATS. Raises UsageError."""
    if name not in FORMATS:
        msg = f"there is no format {name!r} of report cards"
        raise UsageError(msg, code="USE004", help=f"one of {', '.join(FORMATS)}")
    found: Renderer = importlib.import_module(f"stannary.report.evaluation.{name}_").render
    return found
