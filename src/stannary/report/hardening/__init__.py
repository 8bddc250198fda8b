"""What hardening did, as text: one module a format.

What belongs here: functions from a result to text. To add a format: a module with `render`, and a name in FORMATS.
"""

from __future__ import annotations

import importlib
from typing import Protocol

from stannary.core.errors import UsageError
from stannary.harden.card import HardeningResult

__all__ = ["FORMATS", "Renderer", "renderer"]


class Renderer(Protocol):
    """A format of results."""

    def __call__(self, result: HardeningResult, *, color: bool = False) -> str:
        """Return the whole report, ending in a line feed."""
        ...


FORMATS = ("table", "json", "html", "markdown")


def renderer(name: str) -> Renderer:
    """Return the renderer of one of FORMATS. Raises UsageError."""
    if name not in FORMATS:
        msg = f"there is no format {name!r} of what hardening did"
        raise UsageError(msg, code="USE004", help=f"one of {', '.join(FORMATS)}")
    found: Renderer = importlib.import_module(f"stannary.report.hardening.{name}_").render
    return found
