"""The tree as the store holds it, proven up to the signed head before anything is read from it.

A tile is used only when it folds to the hash that its parent tile has for it, and the last tile of each
level, which has no parent yet, only when all of them together give the root of the checkpoint. What is
handed out can therefore not be wrong: a changed hash, a moved or missing tile raises IntegrityError.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

from stannary.core.errors import IntegrityError
from stannary.crypto.merkle import HASH_SIZE, TILE_HEIGHT, TILE_WIDTH, Frontier, node_hash, peaks, root_of, verify_consistency
from stannary.crypto.merkle import consistency_proof as _consistency_proof
from stannary.crypto.note import Checkpoint
from stannary.evidence.ledger.log_keys import LogKeys
from stannary.store.ledger_store import Glance, LedgerStore

__all__ = ["Reading", "Signed", "Tree", "gone"]

_CACHED = 512  # full tiles with what is between their rows: some 35 kB each
_Rows = list[list[bytes]]  # the hashes of a tile, then what they fold to, level by level


class Signed(NamedTuple):
    """A head, the note that it was signed as, and the root of the log that it was appended to."""

    note: str
    head: Checkpoint
    before: tuple[int, bytes]


class Tree:
    """A proven view of the store at one checkpoint. Use it inside `store.snapshot()` or `store.sequencer()`."""

    def __init__(self, store: LedgerStore, keys: LogKeys) -> None:
        self.store = store
        self.keys = keys
        self.renew: Callable[[], bool] = _never  # takes up the keys of a log that was handed over, if it was
        self.own: Callable[[], Signed | None] = _nothing  # the head that this process signed last
        self.at_hand: Callable[[Checkpoint], list[list[bytes]] | None] = _none  # the edge, when nobody else has written since then
        self.depth = 0  # of `Reading`s in one another
        self.head = Checkpoint(keys.name, 0, root_of(0, self.node))
        self.note = ""
        self._changed = -1  # what the store said when the head was taken up
        self._edge: list[_Rows] = []  # the last, partial tile of each level
        self._full: OrderedDict[tuple[int, int], _Rows] = OrderedDict()
        self._brought: dict[tuple[int, int], bytes] = {}  # read beforehand, unproven

    def refresh(self) -> Checkpoint:
        """Take up the head of the store, if anybody wrote since. Raises IntegrityError.

        1. the checkpoint is the log's;
        2. there are as many entries as it says;
        3. the right edge of the stored tree gives its root;
        4. the head that was seen before is the beginning of it: nothing was rolled back or rewritten.

        When this process signed it, and no other connection has written since, 2. and the edge of 3. are what it wrote itself.
        """
        changed, note = self.store.changed(), self.store.head()
        if note == self.note and changed == self._changed:
            return self.head
        if not note:
            msg = "the signed head of the ledger is missing"
            raise IntegrityError(msg, code="LED004", help="restore the ledger from a backup")
        head = self._opened(note)  # 1.
        own = self.own()
        is_own = own is not None and own.note == note
        known = self.at_hand(head) if is_own else None
        if known is None and self.store.span() != (head.size, head.size):  # 2.
            msg = f"there are {self.store.span()[0]:,} entries, and the signed head has {head.size:,}"
            raise _lost(msg)
        edge = self._read_edge(head.size, known)
        before = (self.head, self._edge)
        self.head, self._edge = head, edge
        try:
            if root_of(head.size, self.node) != head.root:  # 3.
                msg = f"the stored tree does not give the signed head of size {head.size:,}"
                raise _broken(msg)
            if own is None or not is_own or own.before != (before[0].size, before[0].root):  # else it was made from that one
                self.remember(before[0])  # 4.
        except IntegrityError:
            self.head, self._edge = before
            raise
        self.note, self._changed = note, changed
        return head

    def _opened(self, note: str) -> Checkpoint:
        own = self.own()
        if own is not None and own.note == note:  # to the last byte what was signed here just now
            return own.head
        try:
            return self.keys.open_head(note)
        except IntegrityError:
            if not self.renew():
                raise
            return self.keys.open_head(note)

    def remember(self, seen: Checkpoint) -> None:
        """Hold the head against one that was seen before. Raises IntegrityError when it does not continue that one."""
        if seen.size > self.head.size:
            msg = f"the ledger was rolled back: it had {seen.size:,} entries, and has {self.head.size:,}"
            raise IntegrityError(
                msg, code="LED003", help="restore the newer file; entries that were acknowledged are gone from this one"
            )
        proof = _consistency_proof(seen.size, self.head.size, self.node)
        verify_consistency(seen.size, self.head.size, seen.root, self.head.root, proof)

    def above(self, index: int) -> list[tuple[int, int]]:
        """Return the tiles on the way from an entry to the root that are not in memory."""
        size, found, level = self.head.size, [], 0
        while (n := index >> TILE_HEIGHT * (level + 1)) < size >> TILE_HEIGHT * (level + 1):
            if (level, n) not in self._full:
                found.append((level, n))
            level += 1
        return found

    def bring(self, glance: Glance | None) -> bool:
        """Tell whether what a glance at the store says is of the head that was taken up; then its tiles are read from it."""
        if glance is None or (glance.changed, glance.note) != (self._changed, self.note):
            return False
        self._brought = dict(glance.tiles)
        return True

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree."""
        tile_level, inside = divmod(level, TILE_HEIGHT)
        n, place = divmod(index << inside, TILE_WIDTH)
        rows = self._tile(tile_level, n)
        return rows[inside][place >> inside]

    def leaf(self, index: int) -> bytes:
        """Return the hash of a leaf."""
        return self.node(0, index)

    def frontier(self) -> Frontier:
        """Return the peaks, to append to."""
        return Frontier(self.head.size, [self.node(level, index) for level, index in peaks(self.head.size)])

    def edge(self) -> list[list[bytes]]:
        """Return the hashes of the last, partial tile of each level."""
        return [list(rows[0]) for rows in self._edge]

    def hashes(self, level: int, n: int) -> list[bytes]:
        """Return the hashes of a tile, as many as it has under this head."""
        return self._tile(level, n)[0]

    def _tile(self, level: int, n: int) -> _Rows:
        if n == self.head.size >> TILE_HEIGHT * (level + 1):
            return self._edge[level]
        rows = self._full.get((level, n))
        if rows is None:
            rows = _rows(self._read(level, n, TILE_WIDTH))
            above, place = divmod(n, TILE_WIDTH)
            if rows[TILE_HEIGHT][0] != self._tile(level + 1, above)[0][place]:
                msg = f"tile {n} of level {level} is not the one under the signed head"
                raise _broken(msg)
            self._full[level, n] = rows
            if len(self._full) > _CACHED:
                self._full.popitem(last=False)
        else:
            self._full.move_to_end((level, n))
        return rows

    def _read_edge(self, size: int, known: list[list[bytes]] | None) -> list[_Rows]:
        edge, level = [], 0
        while size >> TILE_HEIGHT * level:
            n, width = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
            is_same = level < len(self._edge) and self.head.size >> TILE_HEIGHT * (level + 1) == n
            hashes = self._read(level, n, width) if known is None else known[level]
            edge.append(_rows(hashes, self._edge[level] if is_same else None))
            level += 1
        return edge

    def _read(self, level: int, n: int, width: int) -> list[bytes]:
        content = self._brought.pop((level, n), None) or (self.store.tile(level, n) if width else b"")
        if len(content) != width * HASH_SIZE:
            msg = f"tile {n} of level {level} has {len(content) / HASH_SIZE:g} hashes, not {width}"
            raise _broken(msg)
        return [content[i : i + HASH_SIZE] for i in range(0, len(content), HASH_SIZE)]


def _never() -> bool:
    return False


def _nothing() -> Signed | None:
    return None


def _none(head: Checkpoint) -> None:
    del head


class Reading:
    """One state of the store, its head taken up and proven."""

    def __init__(self, store: LedgerStore, tree: Tree) -> None:
        self._snapshot = store.snapshot()
        self._store = store
        self._tree = tree

    def __enter__(self) -> None:
        self._snapshot.__enter__()
        self._tree.depth += 1  # the snapshot keeps other threads out
        try:
            if self._tree.depth == 1:  # else it is the state of the one around it, which is proven
                self._tree.refresh()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> bool | None:
        if isinstance(value, IntegrityError) and value.where is None:
            value.where = self._store.where
        self._tree.depth -= 1
        return self._snapshot.__exit__(kind, value, trace)


def _rows(hashes: list[bytes], before: _Rows | None = None) -> _Rows:
    """Return the levels between a tile and the one above, of complete subtrees only.

    `before` is the same tile when it had fewer hashes: what they fold to is not computed again, if they are the same.
    """
    known = before if before is not None and hashes[: len(before[0])] == before[0] else None
    rows = [hashes]
    for level in range(1, TILE_HEIGHT + 1):
        row, old = rows[-1], known[level] if known is not None else []
        rows.append([*old, *(node_hash(row[i], row[i + 1]) for i in range(2 * len(old), len(row) - 1, 2))])
    return rows


def _broken(why: str) -> IntegrityError:
    return IntegrityError(
        f"the ledger was changed: {why}", code="LED006", help="`stannary ledger audit` says where; restore it from a backup"
    )


def _lost(why: str) -> IntegrityError:
    return IntegrityError(
        f"the ledger was changed: {why}", code="LED015", help="`stannary ledger audit` says where; restore it from a backup"
    )


def gone(index: int) -> IntegrityError:
    """Return the error for an entry that is not there."""
    msg = f"entry {index} is missing"
    return IntegrityError(msg, code="LED015", help="`stannary ledger audit` says what else is; restore it from a backup")
