"""Decisions of the gate, as text: one module a format.

What belongs here: functions from a decision to text. To add a format: a module with `render`, and a name in FORMATS.
"""

from __future__ import annotations

import importlib
import shlex
from typing import Protocol

import msgspec

from stannary.core.errors import UsageError
from stannary.core.evidence import Decision

__all__ = ["FORMATS", "DecisionContext", "Renderer", "next_step", "renderer"]


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


def next_step(help_: str, target: str) -> str:
    """Return what to do with the target in it, so that the command can be copied."""
    return help_.replace(" TARGET ", f" {shlex.quote(target)} ") if target else help_


FORMATS = ("table", "json", "sarif", "junit", "gitlab", "markdown")


def renderer(name: str) -> Renderer:
    """Return the renderer of one of FORMATS. Raises UsageError for another name."""
    if name not in FORMATS:
        msg = f"there is no format {name!r} of a decision"
        raise UsageError(msg, where="--format", code="USE005", help=f"there are: {', '.join(FORMATS)}")
    found: Renderer = importlib.import_module(f"stannary.report.decision.{name}_").render
    return found
