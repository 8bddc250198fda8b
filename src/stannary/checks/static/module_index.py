"""The modules of `data/knowledge.json`, found by bisection in the file as it is: 25,000, of which a model names a few.

`tools/knowledge.py` writes them sorted, in ASCII, last in the file, and no value holds a brace:
`},"` stands between two modules and nowhere else. Reading all of it took 10 ms of every start; who asks for
hundreds gets a table of all of them, since each bisection costs 30 µs and a hostile file can name millions.
"""

from __future__ import annotations

import bisect
import mmap
import re
from collections.abc import Iterator

import msgspec

__all__ = ["ModuleIndex"]

_SECTION = b',"modules":{'
_NEAR = 4096  # bytes that are looked through from the front
_MANY = 300  # questions, after which a table pays
_MODULE = re.compile(rb'"([^"]*)":\{[^}]*\}')


class ModuleIndex:
    """`head` is the file up to the modules, as JSON of its own; the rest is asked for by name."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        at = data.find(_SECTION)
        if at < 0:
            msg = "knowledge.json holds no modules"
            raise ValueError(msg)
        self.head = data[:at] + b"}"
        self._data = data
        self._first = at + len(_SECTION)
        self._asked = 0
        self._table: dict[str, int] = {}
        self._keys: list[str] = []

    def roles(self, module: str) -> dict[str, str]:
        """Return role → names of a module, empty when it is not known."""
        for key, at in self._from(module):
            if key != module:
                break
            body = self._data[at : self._data.find(b"}", at) + 1]
            return msgspec.json.decode(body, type=dict[str, str])
        return {}

    def __contains__(self, module: str) -> bool:
        return next((key == module for key, _ in self._from(module)), False)

    def has_below(self, prefix: str) -> bool:
        """Tell whether a known module begins with `prefix`."""
        return next((key.startswith(prefix) for key, _ in self._from(prefix)), False)

    def _from(self, name: str) -> Iterator[tuple[str, int]]:
        """Yield the modules from `name` on, in order, each with the offset of its value."""
        self._asked += 1
        if self._asked > _MANY:
            return self._tabled(name)
        return self._bisected(name)

    def _tabled(self, name: str) -> Iterator[tuple[str, int]]:
        if not self._keys:
            found = _MODULE.finditer(self._data, self._first)
            self._table = {row[1].decode("ascii"): row.end(1) + 2 for row in found}
            self._keys = list(self._table)
        for at in range(bisect.bisect_left(self._keys, name), len(self._keys)):
            yield self._keys[at], self._table[self._keys[at]]

    def _bisected(self, name: str) -> Iterator[tuple[str, int]]:
        data, low, high = self._data, self._first, len(self._data)
        while high - low > _NEAR:
            middle = (low + high) // 2
            at = data.find(b'},"', middle, high)
            if at < 0:
                high = middle
            elif self._key(at + 2)[0] <= name:
                low = at + 2
            else:
                high = middle
        while data[low : low + 1] == b'"':
            key, at = self._key(low)
            if key >= name:
                yield key, at
            behind = data.find(b'},"', at)
            low = behind + 2 if behind >= 0 else len(data)

    def _key(self, at: int) -> tuple[str, int]:
        """Return the key whose opening quote is at `at`, and the offset of its value."""
        end = self._data.find(b'"', at + 1)
        return self._data[at + 1 : end].decode("ascii"), end + 2
