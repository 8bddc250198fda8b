"""How far along long work is: items, bytes, rate, time left. Counting only; drawing is the shell's."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

__all__ = ["OnProgress", "Progress", "Tracker"]


class Progress(msgspec.Struct, frozen=True):
    """A snapshot. Sizes in bytes, times in seconds; `left` is None until it can be estimated."""

    items: int
    items_total: int
    bytes: int
    bytes_total: int
    elapsed: float
    current: str = ""

    @property
    def rate(self) -> float:
        """Return bytes a second so far."""
        return self.bytes / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Estimate the seconds left from bytes, or from items when there are no bytes."""
        done, total = (self.bytes, self.bytes_total) if self.bytes_total else (self.items, self.items_total)
        if done <= 0 or self.elapsed <= 0:
            return None
        return max(0.0, (total - done) * self.elapsed / done)


OnProgress = Callable[[Progress], None]


class Tracker:
    """Counts, and calls back at most every `interval` seconds and at the end."""

    def __init__(self, on_progress: OnProgress | None, items: int, size: int, interval: float = 0.1) -> None:
        self._call = on_progress
        self._interval = interval
        self._start = self._last = time.monotonic()
        self.items_total = items
        self.bytes_total = size
        self.items = 0
        self.bytes = 0
        self._extra = 0

    def advance(self, items: int, size: int, current: str = "", *, extra: int = 0) -> None:
        """Count work that is done; `current` is what was worked on (untrusted text).

        `extra` replaces the bytes counted elsewhere so far, such as in threads.
        """
        self.items += items
        self.bytes += size
        self._extra = extra
        if self._call is not None:
            now = time.monotonic()
            if now - self._last >= self._interval:
                self._last = now
                self._call(self.snapshot(current))

    def finish(self) -> None:
        """Report the final counts."""
        if self._call is not None:
            self._call(self.snapshot())

    def snapshot(self, current: str = "") -> Progress:
        """Return the counts now."""
        elapsed = time.monotonic() - self._start
        return Progress(self.items, self.items_total, self.bytes + self._extra, self.bytes_total, elapsed, current)
