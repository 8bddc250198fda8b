"""JSON of a known model format, parsed whole, with its cost known beforehand.

A parsed value takes 20 to 60 times the space of its text, so brackets and commas are counted
first. Repeated keys are left in their object, under a name no honest file uses.
"""

from __future__ import annotations

import json

from stannary.core.errors import BudgetExceeded, FormatError
from stannary.core.model import Json
from stannary.formats.interface import Sink, View, clip

__all__ = ["DUPLICATE", "load", "loads"]

DUPLICATE = "\0duplicate"
_MAX_CONTAINERS = 500_000  # 200 MB when all are objects
_MAX_ITEMS = 4_000_000


def load(view: View, sink: Sink) -> Json:
    """Return the value of a JSON document. Raises FormatError, and BudgetExceeded when it would not fit."""
    return loads(view.text(sink.budget.limits.text))


def loads(text: str) -> Json:
    """Return the value of a JSON text; an object with a repeated key has that key under `DUPLICATE`."""
    containers = text.count("{") + text.count("[")
    if containers > _MAX_CONTAINERS or text.count(",") > _MAX_ITEMS:
        msg = f"JSON of {containers} arrays and objects is over the limit"
        raise BudgetExceeded(msg)
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as exc:
        msg = f"not JSON: {clip(str(exc), 100)}"
        raise FormatError(msg) from exc


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        result[DUPLICATE] = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return result
