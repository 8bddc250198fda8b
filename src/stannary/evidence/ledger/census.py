"""What the entries can be found by, read from the proven records: in memory, and as far as it was done before, in signed files.

The columns of the store are as good as its permissions. Here every record is hashed, compared with its proven
leaf and read, once; what a later `find` answers from cannot have been changed in the store. Of complete stretches of
entries the result is signed with the log's key and kept beside the remembered head (`segment.py`), so that the next process
reads only what came after. Without the key nobody can make one that is taken; a signed one is bound to the records by the hash
of their subtree, and the audit makes all of them again.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from stannary.core.errors import IntegrityError
from stannary.crypto.merkle import TILE_HEIGHT, TILE_WIDTH
from stannary.crypto.note import Note
from stannary.evidence.ledger import segment as kept
from stannary.evidence.ledger.entry import header_of, says
from stannary.evidence.ledger.tree import Tree
from stannary.store.ledger_store import LedgerStore, Row

__all__ = ["Census"]

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
        self._open = _empty()  # of the entries after the sealed ones

    def refresh(self) -> None:
        """Take in the entries that were appended since. Raises IntegrityError for a row that was changed or is missing."""
        size = self._tree.head.size
        while self._size < size:
            start = len(self._sealed) << kept.HEIGHT
            end = start + (1 << kept.HEIGHT)
            if self._size == start and end <= size:
                body = kept.load(self._folder, start, self._subtree(start), self._tree.key)
                if body is not None:
                    self._sealed.append(kept.Segment(start, body))
                    self._size = end
                    continue
            self._read(min(end, size))
            if self._size == end:
                self._seal(start)

    def _subtree(self, start: int) -> bytes:
        return self._tree.node(kept.HEIGHT, start >> kept.HEIGHT)

    def _seal(self, start: int) -> None:
        body = kept.pack(start, self._open)
        self._sealed.append(kept.Segment(start, body))
        self._open = _empty()
        if self._sign is not None:
            kept.save(self._folder, (start, self._subtree(start), body), self._tree.key.name, self._sign)

    def _read(self, end: int) -> None:
        """Take in the entries up to `end`, from their records; none of them when one is not what it should be."""
        added: list[tuple[str, ...]] = []
        sha256 = hashlib.sha256
        for start in range(self._size >> TILE_HEIGHT << TILE_HEIGHT, end, TILE_WIDTH):
            first = max(start, self._size)
            leaves = self._tree.hashes(0, start >> TILE_HEIGHT)[first - start : end - start]
            rows = self._store.block(first, min(start + TILE_WIDTH, end))
            whole = [sha256(b"\0" + row[6]).digest() for row in rows] == leaves
            if not whole or [row[0] for row in rows] != list(range(first, first + len(rows))):
                found = {row[0]: sha256(b"\0" + row[6]).digest() for row in rows}
                raise _changed(next((i for i, leaf in enumerate(leaves, first) if found.get(i) != leaf), first))
            for row in rows:
                if not says(row) and header_of(row[6]).columns != row[1:6]:
                    msg = f"the columns of entry {row[0]} say something else than its record"
                    raise IntegrityError(msg, code="LED008", help="`stannary ledger audit` says which; restore it from a backup")
                added.append(row[1:5])
        for name, values in zip(kept.COLUMNS, zip(*added, strict=True), strict=True):
            places = self._open[name]
            for index, value in enumerate(values, self._size):
                if value in places:
                    places[value].append(index)
                elif value:
                    places[value] = array("q", (index,))
        self._size = end

    def lies(self) -> Iterator[int]:
        """Yield where signed segments begin that say something else than the records. Raises IntegrityError for a changed one."""
        for start in range(0, self._tree.head.size >> kept.HEIGHT << kept.HEIGHT, 1 << kept.HEIGHT):
            body = kept.load(self._folder, start, self._subtree(start), self._tree.key)
            if body is not None:
                self._size, self._open = start, _empty()
                self._read(start + (1 << kept.HEIGHT))
                if kept.pack(start, self._open) != body:
                    yield start

    def indexes(self, wanted: Mapping[str, str]) -> Iterator[int]:
        """Yield the indexes of all entries for which all columns hold, in their order, and perhaps others."""
        terms = [(name, value) for name, value in wanted.items() if value]
        for part in self._sealed:
            lists = [part.find(name, value) for name, value in terms]
            yield from _common(lists, range(part.start, part.start + (1 << kept.HEIGHT)))
        rest = range(len(self._sealed) << kept.HEIGHT, self._size)
        yield from _common([self._open[name].get(value, _NONE) for name, value in terms], rest)

    def find(self, wanted: Mapping[str, str]) -> Iterator[Row]:
        """Yield all rows for which all columns hold, by index, and perhaps others: still to be proven, and then compared."""
        for index in self.indexes(wanted):
            rows = list(self._store.rows(index, index + 1))
            if not rows:
                raise _changed(index)
            yield rows[0]


def _empty() -> dict[str, dict[str, array[int]]]:
    return {name: {} for name in kept.COLUMNS}


def _common(lists: Sequence[Iterable[int]], everything: Iterable[int]) -> Iterable[int]:
    """Return what is in all lists, in order; everything when there is none."""
    if not lists:
        return everything
    chosen = lists[0]
    for other in lists[1:]:
        members = set(other)
        chosen = [index for index in chosen if index in members]
    return chosen


def _changed(index: int) -> IntegrityError:
    msg = f"entry {index} was changed or is missing: it is not the one under the signed head"
    return IntegrityError(msg, code="LED007", help="`stannary ledger audit` says what else was; restore it from a backup")
