"""What the processes of one server share: a small hash table in memory, made before they are forked.

A limit that each process kept for itself would be as many times as high as there are processes. What is kept here is gone
when the server ends, as what one process remembers is. A process that is killed leaves nothing locked: its locks are those of
the system on a file (POSIX record locks), which end with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import secrets
import struct
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["Pair", "Table", "TableLock"]

_RECORD = struct.Struct("<16sdd")
_PAIR = struct.Struct("<dd")
_KEY = 16
_NOBODY = b"\0" * _KEY
_STRIPES = 64

Pair = tuple[float, float]


class TableLock:
    """A lock for each of some stripes of a table, over threads and processes."""

    def __init__(self) -> None:
        # Opened once: to close any descriptor of the file would let go of every lock that this process has on it.
        self._file, path = tempfile.mkstemp(prefix="stannary-lock-")
        Path(path).unlink()
        weakref.finalize(self, os.close, self._file)
        self._threads = [threading.Lock() for _ in range(_STRIPES)]

    @contextlib.contextmanager
    def held(self, stripe: int) -> Iterator[None]:
        """Hold the lock of a stripe; for microseconds, as an event loop may wait for it."""
        at = stripe % _STRIPES
        with self._threads[at]:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, at)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, at)


class Table:
    """Two numbers for each name; of the names only a keyed digest is kept, which nobody outside can aim at a place of his choice.

    Args:
        sets: places that names are spread over.
        ways: names that one place has room for; another one takes that of the smallest second number.
        regions: parts with all places each, such as one for each process.
    """

    def __init__(self, sets: int, ways: int = 8, regions: int = 1) -> None:
        self._sets, self._regions = sets, regions
        self._row = ways * _RECORD.size
        self._memory = mmap.mmap(-1, regions * sets * self._row)  # shared with children; the system gives pages when they are used
        self._secret = secrets.token_bytes(32)
        self._lock = TableLock()

    def get(self, name: str) -> Pair | None:
        """Return the numbers of a name, in the first region."""
        key = self._key(name)
        place = self._place(key)
        with self._lock.held(place):
            at = self._at(key, place, 0)
            return None if at is None else _PAIR.unpack_from(self._memory, at + _KEY)

    def change(self, name: str, make: Callable[[Pair | None], Pair | None]) -> None:
        """Have `make` say what the numbers of a name become, None to forget it, in the first region; nobody else does meanwhile."""
        key = self._key(name)
        place = self._place(key)
        with self._lock.held(place):
            at = self._at(key, place, 0)
            made = make(None if at is None else _PAIR.unpack_from(self._memory, at + _KEY))
            if made is not None:
                _RECORD.pack_into(self._memory, self._room(place, 0) if at is None else at, key, *made)
            elif at is not None:
                _RECORD.pack_into(self._memory, at, _NOBODY, 0.0, 0.0)

    def count(self, name: str, region: int, step: int, most: int) -> bool:
        """Add a step to the first number of a name in a region, if that of all regions together is not above `most` then.

        Returns whether it was added. A place that is full of others that count is as good as a count that is too high.
        """
        key = self._key(name)
        place = self._place(key)
        with self._lock.held(place):
            found = [self._at(key, place, number) for number in range(self._regions)]
            total = sum(_PAIR.unpack_from(self._memory, at + _KEY)[0] for at in found if at is not None)
            if total + step > most:
                return False
            at = found[region] if found[region] is not None else self._at(_NOBODY, place, region)
            if at is None:
                return False
            own = step + (_PAIR.unpack_from(self._memory, at + _KEY)[0] if found[region] is not None else 0.0)
            _RECORD.pack_into(self._memory, at, key if own > 0 else _NOBODY, max(own, 0.0), 0.0)
        return True

    def clear(self, region: int) -> None:
        """Forget everything in a region: the process whose it was has ended."""
        for place in range(self._sets):
            start = self._start(place, region)
            with self._lock.held(place):
                self._memory[start : start + self._row] = b"\0" * self._row

    def _key(self, name: str) -> bytes:
        return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=_KEY).digest()

    def _place(self, key: bytes) -> int:
        return int.from_bytes(key[:8], "little") % self._sets

    def _start(self, place: int, region: int) -> int:
        return (region * self._sets + place) * self._row

    def _at(self, key: bytes, place: int, region: int) -> int | None:
        """Return where the record of a key is."""
        start = self._start(place, region)
        for at in range(start, start + self._row, _RECORD.size):
            if self._memory[at : at + _KEY] == key:
                return at
        return None

    def _room(self, place: int, region: int) -> int:
        """Return a record that is free, or the one of the smallest second number."""
        free = self._at(_NOBODY, place, region)
        if free is not None:
            return free
        start = self._start(place, region)
        return min(range(start, start + self._row, _RECORD.size), key=lambda at: _PAIR.unpack_from(self._memory, at + _KEY)[1])
