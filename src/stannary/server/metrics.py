"""Counters and histograms in the text format of Prometheus (0.0.4)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

__all__ = ["Metrics"]

_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """What was counted since the start. The number of series is bounded: labels are operations and statuses, never names."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[str, list[float]] = {}  # operation → counts by bound, then count and sum
        self._events: dict[tuple[str, str], int] = {}
        self.in_flight = 0

    def request(self, operation: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        with self._lock:
            key = (operation, method, status)
            self._requests[key] = self._requests.get(key, 0) + 1
            row = self._seconds.setdefault(operation, [0.0] * (len(_BOUNDS) + 2))
            for index, bound in enumerate(_BOUNDS):
                if seconds <= bound:
                    row[index] += 1
            row[-2] += 1
            row[-1] += seconds

    def event(self, name: str, outcome: str) -> None:
        """Count something that happened: `promotion`, `allow`."""
        with self._lock:
            self._events[name, outcome] = self._events.get((name, outcome), 0) + 1

    def text(self, gauges: Mapping[str, float]) -> str:
        """Return everything, with gauges that are measured now."""
        with self._lock:
            lines = list(self._lines(gauges))
        return "\n".join(lines) + "\n"

    def _lines(self, gauges: Mapping[str, float]) -> Iterable[str]:
        yield "# HELP stannary_http_requests_total Requests answered."
        yield "# TYPE stannary_http_requests_total counter"
        for (operation, method, status), count in sorted(self._requests.items()):
            yield f'stannary_http_requests_total{{operation="{operation}",method="{method}",status="{status}"}} {count}'
        yield "# HELP stannary_http_request_seconds Time until the answer was complete."
        yield "# TYPE stannary_http_request_seconds histogram"
        for operation, row in sorted(self._seconds.items()):
            for bound, within in zip((*_BOUNDS, "+Inf"), [*row[:-2], row[-2]], strict=True):
                yield f'stannary_http_request_seconds_bucket{{operation="{operation}",le="{bound}"}} {within:.0f}'
            yield f'stannary_http_request_seconds_count{{operation="{operation}"}} {row[-2]:.0f}'
            yield f'stannary_http_request_seconds_sum{{operation="{operation}"}} {row[-1]:.6f}'
        yield "# HELP stannary_events_total What happened."
        yield "# TYPE stannary_events_total counter"
        for (name, outcome), count in sorted(self._events.items()):
            yield f'stannary_events_total{{event="{name}",outcome="{outcome}"}} {count}'
        for name, value in {"stannary_http_in_flight": float(self.in_flight), **gauges}.items():
            yield f"# TYPE {name} gauge"
            yield f"{name} {value:g}"
