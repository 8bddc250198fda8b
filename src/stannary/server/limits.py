"""How much one caller may ask for: a bucket of tokens that fills at a rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["RateLimit"]

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
            left, seen = self._buckets.get(caller, (float(self.burst), now))
            left = min(float(self.burst), left + (now - seen) * self.rate)
            if left < 1.0:
                self._buckets[caller] = (left, now)
                return (1.0 - left) / self.rate
            if len(self._buckets) >= _MOST and caller not in self._buckets:
                self._forget(now)
            self._buckets[caller] = (left - 1.0, now)
            return 0.0

    def _forget(self, now: float) -> None:
        """Drop the callers whose buckets are full again; if that is nobody, all of them."""
        full = [name for name, (left, seen) in self._buckets.items() if left + (now - seen) * self.rate >= self.burst]
        for name in full or list(self._buckets):
            del self._buckets[name]
