"""Counters and histograms in the text format of Prometheus (0.0.4), over all processes of a server."""

from __future__ import annotations

import mmap
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Cells", "Metrics"]

_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZE = 1 << 20  # of memory for one process: some ten thousand series
_LENGTH = struct.Struct("<I")
_NUMBER = struct.Struct("<d")
_FIRST = 8


class Cells:
    """Numbers by name in memory that one process writes and others read; whoever takes it over goes on with them.

    A name stands there once, before its number, which is in an address of its own width: nobody reads half of one.
    """

    def __init__(self, size: int = _SIZE) -> None:
        self._memory = mmap.mmap(-1, size)
        self._size = size
        self._places: dict[str, int] = {}

    def add(self, name: str, step: float) -> None:
        """Add to a number; nothing happens when there is no room for another name."""
        at = self._place(name)
        if at:
            _NUMBER.pack_into(self._memory, at, _NUMBER.unpack_from(self._memory, at)[0] + step)

    def put(self, name: str, value: float) -> None:
        """Write a number."""
        at = self._place(name)
        if at:
            _NUMBER.pack_into(self._memory, at, value)

    def get(self, name: str) -> float:
        """Return a number, 0 for one that was never written."""
        return dict(self.rows()).get(name, 0.0)

    def rows(self) -> Iterator[tuple[str, float]]:
        """Yield all names and numbers."""
        for name, at in self._entries():
            yield name, _NUMBER.unpack_from(self._memory, at)[0]

    def _entries(self) -> Iterator[tuple[str, int]]:
        end, at = _LENGTH.unpack_from(self._memory, 0)[0], _FIRST
        while at < end:
            length = _LENGTH.unpack_from(self._memory, at)[0]
            text = at + _LENGTH.size
            place = (text + length + 7) & ~7
            yield self._memory[text : text + length].decode(), place
            at = place + _NUMBER.size

    def _place(self, name: str) -> int:
        at = self._places.get(name)
        if at is None:
            self._places = dict(self._entries())  # of the process before, where this one takes over
            at = self._places.get(name) or self._append(name)
        return at

    def _append(self, name: str) -> int:
        content = name.encode()
        at = _LENGTH.unpack_from(self._memory, 0)[0] or _FIRST
        text = at + _LENGTH.size
        place = (text + len(content) + 7) & ~7
        end = place + _NUMBER.size
        if end > self._size:
            return 0
        _LENGTH.pack_into(self._memory, at, len(content))
        self._memory[text : text + len(content)] = content
        _NUMBER.pack_into(self._memory, place, 0.0)
        _LENGTH.pack_into(self._memory, 0, end)  # last: others read up to here
        self._places[name] = place
        return place


class Metrics:
    """What was counted since the start. The number of series is bounded: labels are operations and statuses, never names.

    Args:
        cells: what this process counts in.
        all_cells: those of all processes, which are told of together; its own by default.
    """

    def __init__(self, cells: Cells | None = None, all_cells: Sequence[Cells] = ()) -> None:
        self._lock = threading.Lock()
        self._cells = cells or Cells()
        self._all = tuple(all_cells) or (self._cells,)
        self._in_flight = 0
        self._cells.put("flight", 0.0)  # what a process before this one had under way is not any more

    @property
    def in_flight(self) -> int:
        """Return how many requests are under way in this process."""
        return self._in_flight

    @in_flight.setter
    def in_flight(self, value: int) -> None:
        self._in_flight = value
        self._cells.put("flight", float(value))

    def request(self, operation: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        bound = next((index for index, most in enumerate(_BOUNDS) if seconds <= most), len(_BOUNDS))
        with self._lock:
            self._cells.add(f"request {operation} {method} {status}", 1.0)
            self._cells.add(f"within {operation} {bound}", 1.0)
            self._cells.add(f"seconds {operation}", seconds)

    def event(self, name: str, outcome: str) -> None:
        """Count something that happened: `promotion`, `allow`."""
        with self._lock:
            self._cells.add(f"event {name} {outcome}", 1.0)

    def text(self, gauges: Mapping[str, float]) -> str:
        """Return everything, with gauges that are measured now."""
        found: dict[str, float] = {}
        for cells in self._all:
            for name, value in cells.rows():
                found[name] = found.get(name, 0.0) + value
        return "\n".join(_lines(found, gauges)) + "\n"


def _lines(found: Mapping[str, float], gauges: Mapping[str, float]) -> Iterable[str]:
    rows = sorted((name.split(), value) for name, value in found.items())
    yield "# HELP stannary_http_requests_total Requests answered."
    yield "# TYPE stannary_http_requests_total counter"
    for (_, operation, method, status), count in (row for row in rows if row[0][0] == "request"):
        yield f'stannary_http_requests_total{{operation="{operation}",method="{method}",status="{status}"}} {count:.0f}'
    yield "# HELP stannary_http_request_seconds Time until the answer was complete."
    yield "# TYPE stannary_http_request_seconds histogram"
    for (_, operation), seconds in (row for row in rows if row[0][0] == "seconds"):
        total = 0.0
        for index, bound in enumerate((*_BOUNDS, "+Inf")):
            total += found.get(f"within {operation} {index}", 0.0)
            yield f'stannary_http_request_seconds_bucket{{operation="{operation}",le="{bound}"}} {total:.0f}'
        yield f'stannary_http_request_seconds_count{{operation="{operation}"}} {total:.0f}'
        yield f'stannary_http_request_seconds_sum{{operation="{operation}"}} {seconds:.6f}'
    yield "# HELP stannary_events_total What happened."
    yield "# TYPE stannary_events_total counter"
    for (_, name, outcome), count in (row for row in rows if row[0][0] == "event"):
        yield f'stannary_events_total{{event="{name}",outcome="{outcome}"}} {count:.0f}'
    yield "# HELP stannary_worker_restarts_total Processes that were started again."
    yield "# TYPE stannary_worker_restarts_total counter"
    yield f"stannary_worker_restarts_total {found.get('restarts', 0.0):.0f}"
    now = {"stannary_http_in_flight": found.get("flight", 0.0), "stannary_workers": found.get("workers", 0.0) or 1.0, **gauges}
    for name, value in now.items():
        yield f"# TYPE {name} gauge"
        yield f"{name} {value:g}"
