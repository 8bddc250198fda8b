"""How much one caller may ask for: a bucket of tokens that fills at a rate; how much of something he may have at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from stannary.server.shared import Pair, Table

__all__ = ["AtOnce", "CountedHere", "CountedTogether", "RateLimit", "SharedRateLimit"]

_MOST = 100_000  # callers remembered at once


class RateLimit:
    """Counts requests by caller.

    Args:
        rate: requests a second; 0 for any number.
        burst: how many at once.
        clock: seconds that never go back.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, caller: str) -> float:
        """Count a request. Returns 0.0 when it may pass, or the seconds to wait."""
        if not self.rate:
            return 0.0
        now = self._clock()
        with self._lock:
            left = self._left(self._buckets.get(caller), now)
            if left < 1.0:
                self._buckets[caller] = (left, now)
                return (1.0 - left) / self.rate
            if len(self._buckets) >= _MOST and caller not in self._buckets:
                self._forget(now)
            self._buckets[caller] = (left - 1.0, now)
            return 0.0

    def _left(self, bucket: Pair | None, now: float) -> float:
        left, seen = bucket or (float(self.burst), now)
        return min(float(self.burst), left + max(0.0, now - seen) * self.rate)

    def _forget(self, now: float) -> None:
        """Drop the callers whose buckets are full again; if that is nobody, all of them."""
        full = [name for name, (left, seen) in self._buckets.items() if left + (now - seen) * self.rate >= self.burst]
        for name in full or list(self._buckets):
            del self._buckets[name]


class SharedRateLimit(RateLimit):
    """The same over all processes of a server: a caller has the rate once, whichever of them answers.

    The clock is the system's since its start, which is the same in each of them. Of more callers than the table has room for,
    those who asked longest ago are forgotten.
    """

    def __init__(self, rate: float, burst: int, table: Table) -> None:
        super().__init__(rate, burst)
        self._table = table

    def take(self, caller: str) -> float:
        """Count a request. Returns 0.0 when it may pass, or the seconds to wait."""
        if not self.rate:
            return 0.0
        now = self._clock()
        wait = 0.0

        def taken(bucket: Pair | None) -> Pair:
            nonlocal wait
            left = self._left(bucket, now)
            wait = 0.0 if left >= 1.0 else (1.0 - left) / self.rate
            return (left if wait else left - 1.0), now

        self._table.change(caller, taken)
        return wait


class AtOnce(Protocol):
    """How many of something each caller has under way."""

    def enter(self, caller: str, most: int) -> bool:
        """Count one more, unless there are `most` already. Returns whether it was counted."""
        ...

    def leave(self, caller: str) -> None:
        """Count one less."""
        ...


class CountedHere:
    """Counts in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()

    def enter(self, caller: str, most: int) -> bool:
        """Count one more, unless there are `most` already."""
        with self._lock:
            if self._busy[caller] >= most:
                return False
            self._busy[caller] += 1
            return True

    def leave(self, caller: str) -> None:
        """Count one less."""
        with self._lock:
            self._busy[caller] -= 1
            if not self._busy[caller]:
                del self._busy[caller]


class CountedTogether:
    """Counts over all processes, each in a region of its own: what a process had under way is forgotten when it dies."""

    def __init__(self, table: Table, region: int) -> None:
        self._table, self._region = table, region

    def enter(self, caller: str, most: int) -> bool:
        """Count one more, unless there are `most` already."""
        return self._table.count(caller, self._region, 1, most)

    def leave(self, caller: str) -> None:
        """Count one less."""
        self._table.count(caller, self._region, -1, 1 << 30)
