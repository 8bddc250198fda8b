"""What the entries can be found by, read from the proven records and kept in memory.

The columns of the file are as good as its permissions. Here every record is hashed, compared with its proven
leaf and read, once; what a later `find` answers from cannot have been changed in the file.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping

from stannary.core.errors import IntegrityError
from stannary.crypto.merkle import TILE_HEIGHT, TILE_WIDTH, leaf_hash
from stannary.evidence.ledger.entry import header_of, says
from stannary.evidence.ledger.tree import Tree
from stannary.store.ledger_store import LedgerStore, Row

__all__ = ["Census"]

_COLUMNS = ("type", "kind", "subject", "id")
_NONE: array[int] = array("q")


class Census:
    """Indexes over all entries, in memory: some 250 bytes an entry."""

    def __init__(self, store: LedgerStore, tree: Tree) -> None:
        self._store = store
        self._tree = tree
        self._size = 0
        self._places: dict[str, dict[str, array[int]]] = {name: {} for name in _COLUMNS}

    def refresh(self) -> None:
        """Take in the entries that were appended since. Raises IntegrityError for a row that was changed or is missing."""
        size = self._tree.head.size
        if self._size == size:
            return
        added: list[tuple[str, ...]] = []
        for start in range(self._size >> TILE_HEIGHT << TILE_HEIGHT, size, TILE_WIDTH):
            leaves = self._tree.hashes(0, start >> TILE_HEIGHT)
            for row in self._store.block(max(start, self._size), min(start + TILE_WIDTH, size)):
                index = self._size + len(added)
                if row[0] != index or leaf_hash(row[6]) != leaves[index & 255]:
                    raise _changed(index)
                if not says(row) and header_of(row[6]).columns != row[1:6]:
                    msg = f"the columns of entry {index} say something else than its record"
                    raise IntegrityError(msg, code="LED008", help="`stannary ledger audit` says which; restore it from a backup")
                added.append(row[1:5])
        if self._size + len(added) != size:
            raise _changed(self._size + len(added))
        for index, columns in enumerate(added, self._size):
            for name, value in zip(_COLUMNS, columns, strict=True):
                if value:
                    self._places[name].setdefault(value, array("q")).append(index)
        self._size = size

    def find(self, wanted: Mapping[str, str]) -> Iterator[Row]:
        """Yield the rows for which all columns hold, by index: chosen from memory, so they are still to be proven."""
        lists = sorted((self._places[name].get(value, _NONE) for name, value in wanted.items() if value), key=len)
        chosen: Iterable[int] = lists[0] if lists else range(self._size)
        for other in lists[1:]:
            members = set(other)
            chosen = [index for index in chosen if index in members]
        for index in chosen:
            rows = list(self._store.rows(index, index + 1))
            if not rows:
                raise _changed(index)
            yield rows[0]


def _changed(index: int) -> IntegrityError:
    msg = f"entry {index} was changed or is missing: it is not the one under the signed head"
    return IntegrityError(msg, code="LED007", help="`stannary ledger audit` says what else was; restore it from a backup")
