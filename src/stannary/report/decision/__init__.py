"""Decisions of the gate, as text: one module a format.

What belongs here: functions from a decision to text. To add a format: a module with `render`, and a name in FORMATS.
"""

from __future__ import annotations

import importlib
from typing import Protocol

import msgspec

from stannary.core.evidence import Decision

__all__ = ["FORMATS", "DecisionContext", "Renderer", "renderer"]


class DecisionContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a report needs beside the decision.

    Attributes:
        target: what was decided about, as it was named.
        recorded: the id of the signed decision; empty when it was not recorded.
        version: of the tool that decided.
        color: whether the text may carry terminal escapes.
    """

    target: str
    recorded: str = ""
    version: str = ""
    color: bool = False


class Renderer(Protocol):
    """A format of decisions."""

    def __call__(self, decision: Decision, context: DecisionContext) -> str:
        """Return the whole report, ending in a line feed."""
        ...


FORMATS = ("table", "json", "sarif", "junit", "gitlab", "markdown")


def renderer(name: str) -> Renderer:
    """Return the renderer of one of FORMATS."""
    found: Renderer = importlib.import_module(f"stannary.report.decision.{name}_").render
    return found
