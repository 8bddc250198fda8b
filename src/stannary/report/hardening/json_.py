"""A result of hardening as JSON (`stannary schema harden`)."""

from __future__ import annotations

import msgspec

from stannary.harden.card import HardeningResult

__all__ = ["render"]


def render(result: HardeningResult, *, color: bool = False) -> str:  # noqa: ARG001 - the shape of every renderer
    """Return the result as JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n"
