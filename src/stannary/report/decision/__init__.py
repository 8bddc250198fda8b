"""Decisions of the gate, as text: one module a format.

What belongs here: functions from a decision to text. To add a format: a module with `render`, and a row in FORMATS.
"""

from __future__ import annotations

import importlib
from typing import Protocol

from stannary.core.evidence import Decision

__all__ = ["FORMATS", "Renderer", "renderer"]


class Renderer(Protocol):
    """A format of decisions."""

    def __call__(self, decision: Decision, recorded: str, color: bool) -> str:  # noqa: FBT001 - as the others
        """Return the report. `recorded` is the id of the signed decision, empty when it was not recorded."""
        ...


FORMATS = ("table", "json")


def renderer(name: str) -> Renderer:
    """Return the renderer of one of FORMATS."""
    found: Renderer = importlib.import_module(f"stannary.report.decision.{name}_").render
    return found
