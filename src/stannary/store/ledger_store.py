"""What keeps a ledger: records by index with columns to search by, tiles of hashes, signed checkpoints.

A store keeps bytes and knows nothing of what they mean: hashing, signing and checking are done above
(`evidence/ledger/`). `LedgerStore` is what a back end does, `open_store` opens the one that an address names:
a file (`ledger_db.py`) or `postgresql://...` (`ledger_pg.py`). Writing happens inside `sequencer()` alone: one
writer at a time, whatever the number of threads, processes and machines, and what it wrote is on disk when the block
ends.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

from stannary.core.errors import BackendError

__all__ = ["LOST", "OPERATORS", "Glance", "LedgerStore", "OnServer", "Plain", "Row", "is_url", "open_store", "retried"]

LOST = "LED023"  # the code of the error for a connection that is gone
_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


def is_url(address: str | Path) -> bool:
    """Tell whether an address is of a PostgreSQL database, and not of a file."""
    return str(address).startswith(("postgresql://", "postgres://"))


def retried(read: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
    """Do what only reads a second time when the connection was lost on the way: the store waits for a server that restarts."""

    @functools.wraps(read)
    def again(*args: _Given.args, **kwargs: _Given.kwargs) -> _Found:
        try:
            return read(*args, **kwargs)
        except BackendError as error:
            if error.code != LOST:
                raise
        return read(*args, **kwargs)

    return again


def open_store(
    address: str | Path, origin: str, *, lock: Path, create: Mapping[str, str] | None = None, write: bool = False
) -> LedgerStore:
    """Open the store of a ledger; `create` (its meta) makes it when it is not there.

    `lock` is a file of this machine that its writers take turns by, where the store itself is elsewhere.
    Raises UsageError, BackendError or IntegrityError.
    """
    if is_url(address):
        from stannary.store.postgres import require

        require()
        from stannary.store.ledger_pg import PostgresStore

        return PostgresStore(str(address), origin, lock=lock, create=create, write=write)
    from stannary.store.ledger_db import SqliteStore

    return SqliteStore(address, create=create, write=write)


class Row(NamedTuple):
    """One entry as it is stored: its index, its columns, its record."""

    idx: int
    type: str
    kind: str
    subject: str
    id: str
    time: str
    record: bytes


OPERATORS = {"=": "=", ">=": ">=", "<": "<"}  # that `search` knows
Plain = tuple[int, str, str, str, str, str, bytes]  # a Row as the back end gives it


class Glance(NamedTuple):
    """What one statement says: `changed()` and `head()` as of it, the tiles that were asked for, and the entry."""

    changed: int
    note: str
    tiles: Mapping[tuple[int, int], bytes]
    row: Row | None


class OnServer:
    """A part of a store on a server, which does not say who wrote."""

    def is_alone(self, changed: int) -> bool:
        """Return False: see `LedgerStore.is_alone`."""
        del changed
        return False


class LedgerStore(Protocol):
    """What keeps a ledger. Reading happens inside `snapshot()` or `sequencer()`."""

    @property
    def where(self) -> str:
        """Return what to call it in messages: a path, or an address without its password."""
        ...

    def again(self) -> LedgerStore:
        """Open it a second time, for reading."""
        ...

    def snapshot(self) -> contextlib.AbstractContextManager[None]:
        """Hold one state of all tables for reading."""
        ...

    def glance(self, tiles: Sequence[tuple[int, int]], index: int) -> contextlib.AbstractContextManager[Glance | None]:
        """Ask for some full tiles and an entry (none of index -1) in one statement, where that costs less than a snapshot.

        None where it does not, and inside of `snapshot()` or `sequencer()`. No other thread reads or writes in the block.
        """
        ...

    def sequencer(self) -> contextlib.AbstractContextManager[list[Callable[[], None]]]:
        """Be the only writer; commit durably at the end, or leave nothing behind when the block raises.

        What the block puts into the list is called after the commit, while there is still no other writer.
        """
        ...

    def changed(self) -> int:
        """Return a number that differs after another connection wrote what the head rests on."""
        ...

    def is_alone(self, changed: int) -> bool:
        """Tell whether no other connection wrote since `changed()` said that; False also when that is not known without asking."""
        ...

    def meta(self) -> dict[str, str]:
        """Return what the ledger says of itself."""
        ...

    def head(self) -> str:
        """Return the signed note of the largest checkpoint, or an empty text."""
        ...

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Yield (size, note), the smallest first."""
        ...

    def span(self) -> tuple[int, int]:
        """Return how many entries there are, and the index after the last of them."""
        ...

    def tile(self, level: int, n: int) -> bytes:
        """Return the hashes of a tile, as many as there are; of the last tile of level 0, the tail."""
        ...

    def rows(self, start: int, end: int) -> Iterator[Row]:
        """Yield the entries from `start` up to `end`."""
        ...

    def block(self, start: int, end: int) -> list[Plain]:
        """Return the same as plain tuples in the order of a Row's fields: for going through millions of them."""
        ...

    def search(self, where: Sequence[tuple[str, str, str]], most: int, *, newest: bool = False) -> list[Row]:
        """Return the first entries for which (column, `=`, `>=` or `<`, value) hold, by index; or the last, the newest first."""
        ...

    def body(self, digest: str) -> bytes | None:
        """Return a body that is too large for its record."""
        ...

    def add(self, rows: Iterable[Row], bodies: Iterable[tuple[str, bytes]]) -> None:
        """Add entries, and bodies by digest."""
        ...

    def put_tile(self, level: int, n: int, hashes: bytes) -> None:
        """Write a tile anew. One of level 0 is full, and takes the place of the tail."""
        ...

    def add_tail(self, leaves: Iterable[tuple[int, bytes]]) -> None:
        """Add leaf hashes to the last tile of level 0."""
        ...

    def put_checkpoint(self, size: int, note: str) -> None:
        """Write a checkpoint anew."""
        ...

    def drop_checkpoint(self, size: int) -> None:
        """Forget a checkpoint."""
        ...

    def counts(self) -> dict[str, int]:
        """Return how many rows there are of `entry`, `body`, `tile`, `tail` and `checkpoint`, by an index where there is one."""
        ...

    def indexed(self) -> dict[str, int]:
        """Return how many entries `entry_subject`, `entry_type` and `entry_kind` have; nothing when `problems` compares that."""
        ...

    def problems(self, *, deep: bool = False) -> list[str]:
        """Return what the back end finds broken in its own structures; to be called from any thread.

        With `deep` every row is looked for in every index, where the back end would not do so otherwise.
        """
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
