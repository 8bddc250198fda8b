"""Exit codes (CLI.md). A worse thing outranks: 70 > 2 > 1 > 3 > 0."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["BUG", "CANNOT", "CLEAN", "DENIED", "INCOMPLETE", "INTERRUPTED", "worst"]

CLEAN = 0  # clean or allowed
DENIED = 1  # findings at or above the threshold, or denied
CANNOT = 2  # usage, configuration, I/O
INCOMPLETE = 3  # something could not be analysed
BUG = 70  # ours
INTERRUPTED = 130  # Ctrl-C, as shells count it: 128 + SIGINT

_RANK = (BUG, CANNOT, DENIED, INCOMPLETE, CLEAN)


def worst(codes: Iterable[int]) -> int:
    """Return the code that outranks the others; 0 for none. A code that is not ours counts as a bug."""
    found = {code if code in _RANK else BUG for code in codes}
    return next((code for code in _RANK if code in found), CLEAN)
