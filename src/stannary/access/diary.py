"""What access writes into the ledger: grants, denials, uses of privileges, logins. No secret ever.

Denials are written as they happen, but not without end: of one caller at most 60 different ones a minute, each once. What
was left out is counted, and the count stands in the next entry about that caller, or in one of its own when the service ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from stannary.core.model import Json

__all__ = ["SCHEMA", "Diary", "Journal"]

SCHEMA = "stannary.access-event/1"
_SECONDS, _CALLERS = 60.0, 10_000


class Journal(Protocol):
    """Writes an event where nobody takes it out again. `app/places.py` ties it to the ledger."""

    def __call__(self, kind: str, body: dict[str, Json]) -> None:
        """Write an event; it is durable on return."""
        ...


class _Window:
    """What one caller was denied since `start`."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.seen: set[tuple[str, ...]] = set()
        self.left_out = 0


class Diary:
    """Writes events into a journal.

    Args:
        journal: takes them.
        clock: seconds that never go back.
        most: different denials of one caller in a minute; a part of them for each process of a server that has several.
    """

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic, most: int = 60) -> None:
        self._most = most
        self._journal = journal
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, _Window] = {}

    def tell(self, kind: str, **body: Json) -> None:
        """Write an event."""
        self._journal(kind, {"schema": SCHEMA, "event": kind, **body})

    def deny(self, caller: str, kind: str = "denied", **body: Json) -> None:
        """Write that a caller was denied something, unless that was just written, or too much was."""
        key = (kind, *(f"{name}={value}" for name, value in sorted(body.items())))
        with self._lock:
            now = self._clock()
            window = self._windows.get(caller)
            if window is None or now - window.start >= _SECONDS:
                fresh = _Window(now)
                fresh.left_out = window.left_out if window else 0
                self._make_room()
                self._windows[caller] = window = fresh
            if key in window.seen or len(window.seen) >= self._most:
                window.left_out += 1
                return
            window.seen.add(key)
            left_out, window.left_out = window.left_out, 0
        more: dict[str, Any] = {"repeated": left_out} if left_out else {}
        self.tell(kind, actor=caller, **body, **more)

    def close(self) -> None:
        """Write the counts of what was left out."""
        with self._lock:
            left = {caller: window.left_out for caller, window in self._windows.items() if window.left_out}
            self._windows.clear()
        for caller, count in left.items():
            self.tell("denied", actor=caller, repeated=count)

    def _make_room(self) -> None:
        """Forget the callers longest without a new window, and with them what was not written: memory is bounded."""
        while len(self._windows) >= _CALLERS:
            self._windows.pop(next(iter(self._windows)))
