"""Schemas of calls that make something large out of little: containers of ranges, numbers of a billion digits."""

from __future__ import annotations

import re
from typing import Any

from stannary.checks.static.knowledge import Knowledge

__all__ = ["number", "sized", "typed"]

Args = list[Any]

_MOST_ITEMS = 1 << 27
_MOST_DIGITS = 1 << 20
_EXPONENT = re.compile(r"[eE]\+?(\d{1,30})")
_NETWORK = re.compile(r"/(\d{1,3})\Z")
_ENDLESS = frozenset({"itertools.count", "itertools.repeat", "itertools.cycle", "itertools.product"})


def sized(args: Args, _known: Knowledge) -> str:
    """Containers and byte strings made from a number or a range: the number is memory."""
    todo, biggest = list(args[:1]), 0
    while todo:
        item = todo.pop()
        if isinstance(item, dict) and (item.get("call") or item.get("object")):
            made = str(item.get("call") or item.get("object"))
            if made in _ENDLESS:
                return f"made from {made}"
            inner = item.get("args", ())
            if made.startswith("ipaddress.") and made.endswith("Network"):
                biggest = max(biggest, _addresses(inner))
                continue
            todo += inner if isinstance(inner, list) else [inner]
        elif isinstance(item, int) and not isinstance(item, bool):
            biggest = max(biggest, item)
        elif isinstance(item, str) and item.startswith("0x"):
            biggest = 1 << 60
    return f"asks for {biggest} items" if biggest > _MOST_ITEMS else ""


def typed(args: Args, known: Knowledge) -> str:
    """`array.array(code, items)`."""
    return sized(args[1:], known)


def number(args: Args, _known: Knowledge) -> str:
    """Whole numbers and fractions of decimal text: its exponent is how many digits there will be."""
    texts = [a for a in args if isinstance(a, str)]
    for item in args:
        if isinstance(item, dict) and str(item.get("call") or item.get("object") or "").endswith(".Decimal"):
            inner = item.get("args", ())
            texts += [a for a in (inner if isinstance(inner, list) else [inner]) if isinstance(a, str)]
    digits = max((int(m[1]) for text in texts for m in _EXPONENT.finditer(text) if not text.startswith("0x")), default=0)
    return f"asks for a number of {digits} digits" if digits > _MOST_DIGITS else ""


def _addresses(args: Any) -> int:  # noqa: ANN401 - rendered JSON
    """Return how many addresses a network has."""
    text = args[0] if isinstance(args, list) and args and isinstance(args[0], str) else ""
    prefix = _NETWORK.search(text)
    return 1 << max(0, (128 if ":" in text else 32) - int(prefix[1])) if prefix else 0
