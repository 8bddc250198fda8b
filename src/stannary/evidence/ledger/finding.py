"""What the ledger is asked for: entries by their columns, all of them or the last, each proven under the signed head."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Literal

import msgspec

from stannary.core.errors import IntegrityError
from stannary.crypto.merkle import leaf_hash
from stannary.evidence.ledger.entry import Entry, asked_for, header_of, rejoin, timestamp
from stannary.evidence.ledger.sequencer import Sequencer
from stannary.evidence.ledger.tree import Reading, Tree, gone
from stannary.store.head_file import HeadFile
from stannary.store.ledger_store import Glance, LedgerStore, Row, retried

if TYPE_CHECKING:
    from stannary.evidence.ledger.census import Census

__all__ = ["Finding"]

_MOST = 1 << 62
_DISORDER = timedelta(minutes=10)  # a record is at most five minutes off the clock, either way: by so much may times go back
_PIECE = 4096  # entries: some hundredths of a second
_PAUSE = 0.001  # seconds: whoever waits for the lock gets it
_NEVER = threading.Event()
_AFTER_HEX = "g"


class Finding:
    """The part of a ledger that finds entries. `Ledger` is made of it."""

    _store: LedgerStore
    _tree: Tree
    _sequencer: Sequencer | None
    _head_file: HeadFile
    _census: Census | None
    _starts: dict[datetime, int]
    _latest: tuple[int, bytes, datetime | None]  # a head, and the time of its last entry

    def reading(self) -> Reading:
        """Return a context in which every question is about one state of the log, which costs less. Nothing is appended in it."""
        return Reading(self._store, self._tree)

    @retried
    def find(
        self,
        *,
        type: str = "",  # noqa: A002 - the names of the columns
        subject: str = "",
        id: str = "",  # noqa: A002
        kind: str = "",
        since: datetime | None = None,
        complete: bool = False,
    ) -> list[Entry]:
        """Return the entries for which all that is given holds, in their order.

        What is found is proven. That nothing was *left out* is not, when somebody can change the columns of the
        store: with `complete` the columns of all entries are read from the proven records themselves first (once
        for each entry, then from what was signed), which is what a decision should ask for.
        """
        wanted = [("type", type), ("kind", kind), ("subject", str(subject)), ("id", str(id))]
        given = [(name, value) for name, value in wanted if value]
        terms = [(column, "=", value) for column, value in given]
        terms += [("time", ">=", timestamp(since))] if since is not None else []
        with self.reading():
            if not complete:
                rows: Iterable[Row] = self._store.search(terms, _MOST)
                return asked_for(self._proven(row for row in rows if row.idx < self._tree.head.size), given)
            found = self._proven(self._counted().find(dict(wanted)))
            found = [item for item in found if all(getattr(item, name) == value for name, value in given)]
            return [item for item in found if since is None or item.time >= since]

    def take_in(self, stop: threading.Event | None = None) -> None:
        """Read what entries can be found by, as far as nobody has: a piece at a time, and others are let in between two of them.

        Whatever asks for it later has little to read, or nothing. In a process that has read it before this costs next to
        nothing. `stop`: give up when that is set. Raises IntegrityError for a row that was changed or is missing.
        """
        while self._census is None or self._tree.head.size - self._census.size > _PIECE:
            with self.reading():
                self._counted(_PIECE)
            if (stop or _NEVER).wait(_PAUSE):
                return

    def indexes(
        self,
        *,
        type: str = "",  # noqa: A002 - the names of the columns
        subject: str = "",
        kind: str = "",
        start: int = 0,
    ) -> list[int]:
        """Return the indexes from `start` on of all entries for which what is given holds, and of others: none is left out."""
        with self.reading():
            return list(self._counted().indexes({"type": type, "subject": subject, "kind": kind}, start))

    @retried
    def types(self, start: int) -> set[str]:
        """Return the types of the entries from `start` on, from their proven records."""
        with self.reading():
            if self._census is not None and self._tree.head.size - self._census.size <= _PIECE:
                found = self._counted().types(start)
                if found is not None:
                    return found
            return {item.type for item in self._proven(self._store.rows(start, self._tree.head.size))}

    @retried
    def last_time(self) -> datetime | None:
        """Return the time of the last entry, None when there is none. Of one that was appended here it is known."""
        with self.reading():
            head = self._tree.head
            if self._latest[:2] != (head.size, head.root) and head.size:
                self._latest = (head.size, head.root, self._one(head.size - 1).time)
            return self._latest[2] if head.size else None

    def newest(self, id: str) -> Entry | None:  # noqa: A002 - the name of the column
        """Return the last entry with an id, proven, or None. That no later one was left out is not proven."""
        with self.reading():
            rows = [row for row in self._store.search([("id", "=", id)], 2, newest=True) if row.idx < self._tree.head.size]
            return next(iter(asked_for(self._proven(rows[:1]), [("id", id)])), None)

    @retried
    def beginning(self, prefix: str, column: Literal["id", "subject"] = "id", most: int = _MOST) -> list[Entry]:
        """Return the last entries whose id (or subject) begins with a text, the newest first, proven.

        That none was left out is not proven.
        """
        with self.reading():
            terms = [(column, ">=", prefix), (column, "<", prefix + _AFTER_HEX)]
            rows = self._store.search(terms, most, newest=True)
            found = self._proven(row for row in rows if row.idx < self._tree.head.size)
            return [item for item in found if getattr(item, column).startswith(prefix)]

    @retried
    def last(
        self,
        most: int,
        *,
        before: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        **columns: str,
    ) -> list[Entry]:
        """Return the last entries for which all that is given holds, the newest first, `most` at most; none in between is left out.

        `columns` are `type`, `kind` and `subject`; only entries of an index below `before`, and from `since` up to `until` by
        their own time, which need not be given.
        """
        with self.reading():
            size = self._tree.head.size
            end = size if before is None else min(before, size)
            if until is not None:
                end = min(end, self._from(until + _DISORDER, size))
            start = 0 if since is None else max(0, self._from(since - _DISORDER, size) - 1)
            wanted = {name: value for name, value in columns.items() if value}
            indexes: Iterable[int] = range(end - 1, start - 1, -1)
            if wanted:
                indexes = self._counted().last(wanted, start, end)
            read = (self._one(index) for index in indexes)
            return list(islice((item for item in read if _is(item, wanted, since, until)), most))

    @retried
    def tally(self, times: Sequence[datetime]) -> list[dict[str, int]]:
        """Return how many entries of each kind the log took from each time up to the next one; "" for those without a kind.

        Kinds are read from the proven records, so that none is left out or made up. Entries are counted in the log's order: at a
        boundary one may fall to the other side of it, by as much as clocks differ when they are appended (five minutes).
        """
        with self.reading():
            size, bounds = self._tree.head.size, [0]
            for time in times:
                bounds.append(self._since(time, size, bounds[-1]))
            return self._counted().tally("kind", bounds[1:])

    def _since(self, time: datetime, size: int, low: int) -> int:
        """Return what `_from` does, for a time that is asked for again and again: one that is long past is looked for once."""
        if time in self._starts:
            return self._starts[time]
        index = self._from(time, size, low)
        if size and self._one(size - 1).time >= time + _DISORDER:  # nothing comes before it any more
            self._starts[time] = index
        return index

    def _from(self, time: datetime, size: int, low: int = 0) -> int:
        """Return an index from which on entries have that time or a later one, as far as times are in order.

        The columns lead there, which costs a tenth; that it is so is seen from the proven entries on both sides, and looked for
        among those alone where it is not.
        """
        text = timestamp(time)
        index = _bisected(low, size, lambda at: str(next((row.time for row in self._store.rows(at, at + 1)), "")) < text)
        if (index == low or self._one(index - 1).time < time) and (index == size or self._one(index).time >= time):
            return index
        return _bisected(low, size, lambda at: self._one(at).time < time)

    def _one(self, index: int) -> Entry:
        found = self._proven(self._store.rows(index, index + 1))
        if not found:
            raise gone(index)
        return found[0]

    @contextlib.contextmanager
    def _glance(self, index: int, *, entry: bool = True) -> Iterator[Glance | None]:
        """Look at an entry and what proves it, in one statement; None when the head is another one by now, or it cannot be done."""
        if not 0 <= index < self._tree.head.size:
            yield None
            return
        with self._store.glance(self._tree.above(index), index if entry else -1) as found:
            yield found if self._tree.bring(found) else None

    def _counted(self, most: int = sys.maxsize) -> Census:
        from stannary.evidence.ledger.census import Census

        if self._census is None:
            sign = None if self._sequencer is None else self._sequencer.sign
            self._census = Census(self._store, self._tree, self._head_file.path.with_suffix(".census"), sign)
        self._census.refresh(most)
        return self._census

    def _proven(self, rows: Iterable[Row]) -> list[Entry]:
        """Return entries of rows. Raises IntegrityError for one that is not the leaf under the head, or whose columns lie."""
        found: list[Entry] = []
        for row in rows:
            if leaf_hash(row.record) != self._tree.leaf(row.idx):
                msg = f"entry {row.idx} was changed: it is not the one under the signed head"
                raise IntegrityError(
                    msg, code="LED007", help="`stannary ledger audit` says what else was; restore it from a backup"
                )
            header = header_of(row.record)
            if header.columns != row[1:6]:
                msg = f"the columns of entry {row.idx} say something else than its record"
                raise IntegrityError(msg, code="LED008", help="`stannary ledger audit` says which; restore it from a backup")
            record = row.record
            if header.detached is not msgspec.UNSET:
                record = rejoin(record, self._store.body(header.detached.sha256))
            time = datetime.fromisoformat(header.time)
            found.append(Entry(row.idx, header.type, time, header.id, header.subject, header.kind, record))
        return found


def _bisected(low: int, high: int, is_before: Callable[[int], bool]) -> int:
    """Return the first index from `low` on that is not before something, `high` when there is none."""
    while low < high:
        middle = (low + high) // 2
        if is_before(middle):
            low = middle + 1
        else:
            high = middle
    return low


def _is(item: Entry, wanted: dict[str, str], since: datetime | None, until: datetime | None) -> bool:
    if any(getattr(item, name) != value for name, value in wanted.items()):
        return False
    return (since is None or item.time >= since) and (until is None or item.time < until)
