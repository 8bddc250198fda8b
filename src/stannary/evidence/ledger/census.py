"""What the entries can be found by, read from the proven records: in memory, and as far as it was done before, in signed files.

The columns of the store are as good as its permissions. Here every record is hashed, compared with its proven
leaf and read, once; what a later `find` answers from cannot have been changed in the store. Of complete stretches of
entries the result is signed with the log's key and kept beside the remembered head (`segment.py`), so that the next process
reads only what came after. Without the key nobody can make one that is taken; a signed one is bound to the records by the hash
of their subtree, and the audit makes all of them again from the records it reads (`audit.py`).
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from stannary.core.errors import IntegrityError
from stannary.crypto.merkle import TILE_HEIGHT, TILE_WIDTH, fold
from stannary.crypto.note import Note, VerifierKey
from stannary.evidence.ledger import segment as kept
from stannary.evidence.ledger.entry import all_say, header_of
from stannary.evidence.ledger.tree import Tree
from stannary.store.ledger_store import LedgerStore, Plain, Row

__all__ = ["Census", "Recount"]

_NONE: array[int] = array("q")


class Census:
    """Indexes over all entries: some 20 bytes an entry, and 250 of the last ones. `sign` is there when the ledger can write."""

    def __init__(self, store: LedgerStore, tree: Tree, folder: Path, sign: Callable[[str], Note] | None) -> None:
        self._store = store
        self._tree = tree
        self._folder = folder
        self._sign = sign
        self._size = 0
        self._sealed: list[kept.Segment] = []
        self._open = _none()  # the columns of the entries after the sealed ones
        self._places = _empty()  # the same by value, as far as `_placed`
        self._placed = 0
        self._values: dict[tuple[str, int], str] = {}  # what the keys of segments stand for, as far as it was asked

    @property
    def size(self) -> int:
        """Return how many entries were taken in."""
        return self._size

    def refresh(self, most: int = sys.maxsize) -> None:
        """Take in the entries that were appended since, or `most` of them.

        Raises IntegrityError for a row that was changed or is missing.
        """
        size = min(self._tree.head.size, self._size + most)
        while self._size < size:
            start = len(self._sealed) << kept.HEIGHT
            end = start + (1 << kept.HEIGHT)
            if self._size == start and end <= self._tree.head.size:
                body = kept.load(self._folder, start, self._subtree(start), self._tree.keys.current)
                if body is not None:
                    self._sealed.append(kept.Segment(start, body))
                    self._size = self._placed = end
                    continue
            self._read(min(end, size))
            if self._size == end:
                self._seal(start)

    def _subtree(self, start: int) -> bytes:
        return self._tree.node(kept.HEIGHT, start >> kept.HEIGHT)

    def _seal(self, start: int) -> None:
        body = kept.pack(self._open)
        self._sealed.append(kept.Segment(start, body))
        self._open, self._places, self._placed = _none(), _empty(), self._size
        if self._sign is not None:
            kept.save(self._folder, (start, self._subtree(start), body), self._tree.keys.name, self._sign)

    def _read(self, end: int) -> None:
        """Take in the entries up to `end`, from their records; none of them when one is not what it should be."""
        added = _none()
        sha256 = hashlib.sha256
        for start in range(self._size >> TILE_HEIGHT << TILE_HEIGHT, end, TILE_WIDTH):
            first = max(start, self._size)
            leaves = self._tree.hashes(0, start >> TILE_HEIGHT)[first - start : end - start]
            rows = self._store.block(first, min(start + TILE_WIDTH, end))
            whole = [sha256(b"\0" + row[6]).digest() for row in rows] == leaves
            if not whole or [row[0] for row in rows] != list(range(first, first + len(rows))):
                found = {row[0]: sha256(b"\0" + row[6]).digest() for row in rows}
                raise _changed(next((i for i, leaf in enumerate(leaves, first) if found.get(i) != leaf), first))
            if not all_say(rows):
                _require_columns(rows)
            _extend(added, list(zip(*rows, strict=True))[1:5])
        _extend(self._open, added)
        self._size = end

    def _place(self) -> None:
        """Bring the index of the last entries, which are in no segment, up to date."""
        first = self._placed - (len(self._sealed) << kept.HEIGHT)
        for name, column in zip(kept.COLUMNS, self._open, strict=True):
            places = self._places[name]
            for index, value in enumerate(column[first:], self._placed):
                if value in places:
                    places[value].append(index)
                elif value:
                    places[value] = array("q", (index,))
        self._placed = self._size

    def indexes(self, wanted: Mapping[str, str], start: int = 0) -> Iterator[int]:
        """Yield the indexes from `start` on of all entries for which all columns hold, in their order, and perhaps others."""
        terms = [(name, value) for name, value in wanted.items() if value]
        for part in self._sealed[start >> kept.HEIGHT :]:
            lists = [part.find(name, value) for name, value in terms]
            yield from _common(lists, range(part.start, part.start + (1 << kept.HEIGHT)), start)
        self._place()
        rest = range(len(self._sealed) << kept.HEIGHT, self._size)
        yield from _common([self._places[name].get(value, _NONE) for name, value in terms], rest, start)

    def types(self, start: int) -> set[str] | None:
        """Return the types of the entries from `start` on; None when they are not at hand, because it is further back."""
        first = len(self._sealed) << kept.HEIGHT
        return set(self._open[0][start - first :]) if start >= first else None

    def last(self, wanted: Mapping[str, str], start: int, end: int) -> Iterator[int]:
        """Yield what `indexes` does from `start` up to `end`, the last first, a segment at a time."""
        terms = [(name, value) for name, value in wanted.items() if value]
        sealed = len(self._sealed) << kept.HEIGHT
        self._place()
        rest = _common([self._places[name].get(value, _NONE) for name, value in terms], range(sealed, self._size))
        yield from reversed([index for index in rest if start <= index < end])
        for part in reversed(self._sealed):
            if part.start < end and start < part.start + (1 << kept.HEIGHT):
                lists = [part.find(name, value) for name, value in terms]
                found = _common(lists, range(part.start, part.start + (1 << kept.HEIGHT)))
                yield from reversed([index for index in found if start <= index < end])

    def find(self, wanted: Mapping[str, str]) -> Iterator[Row]:
        """Yield all rows for which all columns hold, by index, and perhaps others: still to be proven, and then compared."""
        for index in self.indexes(wanted):
            rows = list(self._store.rows(index, index + 1))
            if not rows:
                raise _changed(index)
            yield rows[0]

    def tally(self, column: str, bounds: Sequence[int]) -> list[dict[str, int]]:
        """Return how many entries have each value of a column (`type` or `kind`), between each two bounds; "" for none.

        Only the first entry of a value is read, once, to learn what it is called.
        """
        self._place()
        sealed = len(self._sealed) << kept.HEIGHT
        found: list[dict[str, int]] = []
        for start, end in pairwise(bounds):
            counts: Counter[str] = Counter()
            for part in self._sealed[start >> kept.HEIGHT : (end >> kept.HEIGHT) + 1]:
                for key, first, count in part.counts(column, start, end):
                    counts[self._value(column, key, first)] += count
            if end > sealed:
                for value, places in self._places[column].items():
                    counts[value] += bisect_left(places, end) - bisect_left(places, start)
            counts[""] = end - start - counts.total()
            found.append({value: count for value, count in counts.items() if count})
        return found

    def _value(self, column: str, key: int, index: int) -> str:
        """Return the value that a key stands for: an entry has it, and it has that key."""
        if (column, key) not in self._values:
            value = next((getattr(row, column) for row in self._store.rows(index, index + 1)), "")
            if not kept.is_key_of(key, value):
                raise _changed(index)
            self._values[column, key] = value
        return self._values[column, key]


class Recount:
    """Makes the signed segments again from the rows that an audit reads anyway."""

    def __init__(self, folder: Path, key: VerifierKey) -> None:
        self.lies: list[int] = []  # where segments begin that say something else than the records
        self._folder = folder
        self._key = key
        self._columns = _none()
        self._roots: list[bytes] = []
        self._wanted = False

    def take(self, start: int, rows: Sequence[Plain], root: bytes) -> None:
        """Take the rows of the tile from `start` on, in order, and its root, which the records give."""
        inside = start & (1 << kept.HEIGHT) - 1
        if not inside:
            self._columns, self._roots, self._wanted = _none(), [], kept.is_there(self._folder, start)
        self._wanted = self._wanted and len(rows) == TILE_WIDTH
        if not self._wanted:
            return
        self._roots.append(root)
        _extend(self._columns, list(zip(*rows, strict=True))[1:5])
        if inside + TILE_WIDTH == 1 << kept.HEIGHT:
            first = start - inside
            body = kept.load(self._folder, first, fold(self._roots), self._key)
            if body is not None and kept.pack(self._columns) != body:
                self.lies.append(first)


def _none() -> list[list[str]]:
    return [[] for _ in kept.COLUMNS]


def _extend(columns: list[list[str]], more: Sequence[Sequence[str]]) -> None:
    for values, added in zip(columns, more, strict=True):
        values.extend(added)


def _empty() -> dict[str, dict[str, array[int]]]:
    return {name: {} for name in kept.COLUMNS}


def _require_columns(rows: Sequence[Plain]) -> None:
    for row in rows:
        if header_of(row[6]).columns != row[1:6]:
            msg = f"the columns of entry {row[0]} say something else than its record"
            raise IntegrityError(msg, code="LED008", help="`stannary ledger audit` says which; restore it from a backup")


def _common(lists: Sequence[Sequence[int]], everything: range, start: int = 0) -> Iterable[int]:
    """Return what is in all lists, in order, from `start` on; everything when there is none."""
    if not lists:
        return everything[max(0, start - everything.start) :]
    rare, *others = sorted((item[bisect_left(item, start) :] for item in lists) if start else lists, key=len)
    chosen: Sequence[int] = rare
    for other in others:  # each is in order: what is rare is looked for in what is not
        chosen = [index for index in chosen if (at := bisect_left(other, index)) < len(other) and other[at] == index]
    return chosen


def _changed(index: int) -> IntegrityError:
    msg = f"entry {index} was changed or is missing: it is not the one under the signed head"
    return IntegrityError(msg, code="LED007", help="`stannary ledger audit` says what else was; restore it from a backup")
