"""Names that imitate well-known projects: one slip of the keyboard, or characters that look alike."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

__all__ = ["Lookalike", "lookalike", "popular"]

_SHORTEST = 5
_CONFUSABLE = str.maketrans({"0": "o", "1": "l", "5": "s", "3": "e", "i": "l"})
_TARGETS = 1500


class Lookalike(NamedTuple):
    """The project that a name resembles, and how."""

    target: str
    how: str


@cache
def popular() -> dict[str, int]:
    """Return the rank of each of the most downloaded projects, from 0."""
    raw = resources.files("stannary.checks.static").joinpath("data", "popular_packages.txt").read_text(encoding="utf-8")
    return {name: rank for rank, name in enumerate(line for line in raw.splitlines() if line and not line.startswith("#"))}


@cache
def _near() -> frozenset[str]:
    raw = resources.files("stannary.checks.static").joinpath("data", "sets", "near_names.txt").read_text(encoding="utf-8")
    return frozenset(line for line in raw.splitlines() if line and not line.startswith("#"))


def lookalike(name: str) -> Lookalike | None:
    """Return the well-known project that `name` (normalised) imitates, or None. A known name imitates nothing."""
    known = popular()
    if name in known or len(name) < _SHORTEST or name in _near():
        return None
    ascii_name = name.encode("ascii", "ignore").decode()
    if ascii_name != name:
        return Lookalike(ascii_name, "letters of another alphabet")
    squeezed = name.replace("-", "")
    for target, rank in known.items():
        if rank >= _TARGETS:
            break
        if len(target) < _SHORTEST or abs(len(target) - len(name)) > 2:  # noqa: PLR2004 - one slip, and a separator
            continue
        plain = target.replace("-", "")
        if squeezed == plain:
            return Lookalike(target, "other separators")
        if squeezed.translate(_CONFUSABLE) == plain.translate(_CONFUSABLE) or squeezed.replace("rn", "m") == plain.replace(
            "rn", "m"
        ):
            return Lookalike(target, "characters that look alike")
        if _one_slip(squeezed, plain):
            return Lookalike(target, "one character differs")
    return None


def _one_slip(name: str, target: str) -> bool:
    """Tell whether one insertion, deletion, substitution or transposition turns one into the other."""
    a, b = (name, target) if len(name) <= len(target) else (target, name)
    if len(b) - len(a) > 1:
        return False
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    if len(a) == len(b):
        swapped = at + 1 < len(a) and a[at] == b[at + 1] and a[at + 1] == b[at] and a[at + 2 :] == b[at + 2 :]
        return a[at + 1 :] == b[at + 1 :] or swapped
    return a[at:] == b[at + 1 :]
