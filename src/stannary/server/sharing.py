"""What the processes of a server count together, so that a limit holds once, however many of them there are.

Shared: requests and logins a second, contents that one caller sends at once, what callers have sent, what was revoked or
granted just now, and what `/metrics` counts. Of each process alone: how many threads it has, and what it remembers for speed.
Passwords are hashed by two threads of a server; by one of each process where there are more processes than that.
"""

from __future__ import annotations

import mmap
import threading
from typing import Protocol

from stannary.access.access import Here, Turns
from stannary.server.limits import CountedTogether, RateLimit, SharedRateLimit
from stannary.server.metrics import Cells, Metrics
from stannary.server.receiving import Threads
from stannary.server.shared import Table
from stannary.server.uploads import SharedUploads, Uploads

__all__ = ["Alone", "Board", "Part", "Shares"]

_SLOW, _SLOW_EACH = 32, 8
_HASHING, _HASHING_EACH = 2, 16
_DENIALS = 60  # of one caller that are logged in a minute


class Shares(Protocol):
    """What one process of a server counts in. `denials`: of one caller that it logs in a minute; `turns`: what was changed."""

    denials: int
    turns: Turns

    def rates(self, rate: float, burst: int) -> RateLimit:
        """Return what counts requests."""
        ...

    def logins(self, rate: float, burst: int) -> RateLimit:
        """Return what counts logins."""
        ...

    def slow(self) -> Threads:
        """Return the threads that contents are taken in by."""
        ...

    def hashing(self) -> Threads:
        """Return the threads that passwords are hashed by."""
        ...

    def uploads(self) -> Uploads:
        """Return who has sent what."""
        ...

    def metrics(self) -> Metrics:
        """Return what was counted."""
        ...


class Alone:
    """The shares of a server of one process: all of it is in its own memory."""

    denials = _DENIALS

    def __init__(self) -> None:
        self.turns: Turns = Here()

    def rates(self, rate: float, burst: int) -> RateLimit:
        """Return what counts requests."""
        return RateLimit(rate, burst)

    logins = rates

    def slow(self) -> Threads:
        """Return the threads that contents are taken in by."""
        return Threads(_SLOW, _SLOW_EACH)

    def hashing(self) -> Threads:
        """Return the threads that passwords are hashed by."""
        return Threads(_HASHING, _HASHING_EACH)

    def uploads(self) -> Uploads:
        """Return who has sent what."""
        return Uploads()

    def metrics(self) -> Metrics:
        """Return what was counted."""
        return Metrics()


class Board:
    """The shared memory of a server of several processes: made by the process that forks them, which counts `restarts` in it."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.rates = Table(1 << 14)  # 131,072 callers, 4 MiB
        self.logins = Table(1 << 11)
        self.slow = Table(256, 8, processes)
        self.hashing = Table(256, 8, processes)
        self.uploads = Table(1 << 17, 16)  # 2,097,152 contents, 64 MiB when it is full
        self.changes = mmap.mmap(-1, 8 * processes)
        self.cells = tuple(Cells() for _ in range(processes + 1))  # the last of whoever forks

    @property
    def own(self) -> Cells:
        """Return the numbers of the process that forks the others."""
        return self.cells[-1]

    def part(self, index: int) -> Part:
        """Return the shares of a process."""
        return Part(self, index)

    def forget(self, index: int) -> None:
        """Forget what a process that has ended had under way."""
        self.slow.clear(index)
        self.hashing.clear(index)
        self.cells[index].put("flight", 0.0)

    def beat(self, index: int) -> float:
        """Return how often a process has said that it goes on."""
        return self.cells[index].get("beat")


class Part:
    """The shares of one of several processes."""

    def __init__(self, board: Board, index: int) -> None:
        self._board, self._index = board, index
        self.denials = max(1, _DENIALS // board.processes)
        self.turns: Turns = _Together(board.changes, index)

    def rates(self, rate: float, burst: int) -> RateLimit:
        """Return what counts requests."""
        return SharedRateLimit(rate, burst, self._board.rates)

    def logins(self, rate: float, burst: int) -> RateLimit:
        """Return what counts logins."""
        return SharedRateLimit(rate, burst, self._board.logins)

    def slow(self) -> Threads:
        """Return the threads that contents are taken in by."""
        return Threads(_SLOW, _SLOW_EACH, CountedTogether(self._board.slow, self._index))

    def hashing(self) -> Threads:
        """Return the threads that passwords are hashed by."""
        busy = CountedTogether(self._board.hashing, self._index)
        return Threads(max(1, _HASHING // self._board.processes), _HASHING_EACH, busy)

    def uploads(self) -> Uploads:
        """Return who has sent what."""
        return SharedUploads(self._board.uploads)

    def metrics(self) -> Metrics:
        """Return what was counted."""
        return Metrics(self._board.cells[self._index], self._board.cells)


class _Together:
    """Changes of all processes: each counts its own in eight bytes that it alone writes, and compares all of them."""

    def __init__(self, memory: mmap.mmap, index: int) -> None:
        self._memory, self._at = memory, 8 * index
        self._lock = threading.Lock()

    def now(self) -> object:
        """Return what is another one as soon as anybody has changed something."""
        return self._memory[:]

    def advance(self) -> None:
        """Say that something was changed."""
        with self._lock:
            count = int.from_bytes(self._memory[self._at : self._at + 8], "little") + 1
            self._memory[self._at : self._at + 8] = count.to_bytes(8, "little")
