"""The word lists of `data/sets/` for judges: read once, in the file's own spelling."""

from __future__ import annotations

from functools import cache

from stannary.checks.static.shipped import shipped

__all__ = ["contains_any", "words"]


@cache
def words(name: str) -> frozenset[str]:
    """Return the entries of `data/sets/NAME.txt` (one a line, `#` starts a comment)."""
    raw = shipped(f"sets/{name}.txt").decode("utf-8")
    return frozenset(entry for line in raw.splitlines() if (entry := line.partition("#")[0].strip()))


def contains_any(text: str, name: str) -> str:
    """Return the first entry (alphabetically) of a list that `text` contains, or an empty string."""
    return next((entry for entry in sorted(words(name)) if entry in text), "")
