"""Time as an argument, so that tests and replays can set it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "system_clock"]


class Clock(Protocol):
    """Anything that returns an aware UTC datetime when called."""

    def __call__(self) -> datetime:
        """Return now."""
        ...


def system_clock() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)
