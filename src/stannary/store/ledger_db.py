"""A ledger in one SQLite file (`ledger_store.py` says what a store does).

The writers of all processes take turns by a lock file; what one wrote is on disk when its block ends (write-ahead
log, synchronous=FULL).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from stannary.core.errors import BackendError, IntegrityError, StannaryError, UsageError
from stannary.store import read_only
from stannary.store.disk_room import advice
from stannary.store.file_lock import held
from stannary.store.ledger_store import OPERATORS, Glance, Plain, Row

__all__ = ["SqliteStore"]

_VERSION = 1
_APPLICATION = 0x53544C47  # "STLG", in the header of the file
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (
  idx INTEGER PRIMARY KEY,
  type TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, id TEXT NOT NULL, time TEXT NOT NULL,
  record BLOB NOT NULL
);
CREATE INDEX entry_id ON entry (id);
CREATE INDEX entry_subject ON entry (subject) WHERE subject <> '';
CREATE INDEX entry_type ON entry (type, time);
CREATE INDEX entry_kind ON entry (kind, time) WHERE kind <> '';
CREATE TABLE body (digest TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE tile (level INTEGER NOT NULL, n INTEGER NOT NULL, hashes BLOB NOT NULL, UNIQUE (level, n));
CREATE TABLE tail (idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL);
CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL);
"""
# Whatever somebody put there: bytes, and never NULL.
_ROWS = "SELECT idx, type, kind, subject, id, time, ifnull(CAST(record AS BLOB), x'') FROM entry"
_AS_THEY_ARE = "SELECT idx, type, kind, subject, id, time, record FROM entry"  # a tenth less for each row
# A count without a condition is answered from the smallest index, which is that of ids, whatever INDEXED BY says.
_INDEXES = {"entry_subject": "subject <> ''", "entry_type": "type >= ''", "entry_kind": "kind <> ''"}
_BUSY_SECONDS = 60
_NO_CODE = ("decode to UTF-8", "unsupported file format")  # the module's own words, and SQLite's of a header
_PAGE = 8192  # 4,096 fit two envelopes, badly; this makes batches 6% and audits 8% cheaper, single appends 8% dearer


class SqliteStore:
    """A ledger in one SQLite file, with a lock file beside it."""

    def __init__(self, path: str | Path, *, create: Mapping[str, str] | None = None, write: bool = False) -> None:
        """Open a file. Raises UsageError when it is not there and `create` (its meta) is None, IntegrityError for no ledger."""
        self.path = Path(path)
        self.write = write
        self._lock = threading.RLock()
        self._pid = os.getpid()
        with _translated(self.path):
            if not self.path.exists() and create is None:
                msg = "there is no ledger"
                raise UsageError(msg, where=str(self.path), code="LED018", help="`stannary init` makes a workspace with one")
            self._connection = self._connect()
            if create is not None:
                self._create(create)
            self._recognise()

    @property
    def where(self) -> str:
        """Return the path of the file."""
        return str(self.path)

    def again(self) -> SqliteStore:
        """Open the file a second time, for reading."""
        return SqliteStore(self.path)

    def _connect(self) -> sqlite3.Connection:
        writable = os.access(self.path.parent, os.W_OK) and (not self.path.exists() or os.access(self.path, os.W_OK))
        mode = f"mode={'rwc' if self.write else 'rw'}" if writable else read_only.options(self.path)
        uri = f"{self.path.absolute().as_uri()}?{mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA page_size={_PAGE}")  # of a file that is made now
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA cell_size_check=ON")
        connection.execute("PRAGMA cache_size=-32768")
        if self.write:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_autocheckpoint=4000")
        else:
            connection.execute("PRAGMA query_only=ON")
        return connection

    def _create(self, meta: Mapping[str, str]) -> None:
        with self.sequencer():
            if self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                return  # another process was faster
            for statement in _SCHEMA.split(";")[:-1]:
                self._connection.execute(statement)
            self._connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            self._connection.execute(f"PRAGMA application_id={_APPLICATION}")
            self._connection.execute(f"PRAGMA user_version={_VERSION}")

    def _recognise(self) -> None:
        """Raise IntegrityError for a file that is not a ledger, or whose tables are not the ones that were made."""
        found = {row[0] for row in self._connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}
        wanted = {statement.strip() for statement in _SCHEMA.split(";")[:-1]}
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        if not (found or application or version):  # who made it did not get to its tables, on a full disk for one
            msg = "there is no ledger in it: making one was broken off"
            raise UsageError(msg, where=str(self.path), code="LED018", help="do again what was to make it; nothing was in it yet")
        if application != _APPLICATION or not found:
            msg = "is not a ledger"
            raise IntegrityError(msg, where=str(self.path), code="LED010", help="name the file `ledger.db` of a workspace")
        if version != _VERSION:
            msg = f"has tables of version {version}, and this is version {_VERSION}"
            raise IntegrityError(msg, where=str(self.path), code="LED010", help="use the release of stannary that made it")
        if found != wanted:  # a trigger or a view could show what is not there
            msg = "has other tables, views or triggers than a ledger"
            raise IntegrityError(msg, where=str(self.path), code="LED010", help="restore it from a backup")

    # Transactions

    def snapshot(self) -> _Snapshot:
        """Hold one state of all tables for reading."""
        self._same_process()
        return _Snapshot(self.path, self._lock, self._connection)

    def glance(self, tiles: Sequence[tuple[int, int]], index: int) -> contextlib.AbstractContextManager[Glance | None]:
        """Return nothing: there is no way to a server to be saved."""
        del tiles, index
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def sequencer(self) -> Iterator[list[Callable[[], None]]]:
        """Be the only writer of the file."""
        self._same_process()
        with self._lock, _translated(self.path), held(f"{self.path}.lock"):
            # Waiting for the lock file is fair; waiting for SQLite's own lock is polling.
            self._connection.execute("BEGIN IMMEDIATE")
            after: list[Callable[[], None]] = []
            try:
                yield after
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            for call in after:
                call()

    def _same_process(self) -> None:
        if os.getpid() != self._pid:
            msg = "was opened by another process; a connection does not survive a fork"
            raise UsageError(msg, where=str(self.path), code="LED019", help="open the ledger after the fork")

    # Reading

    def changed(self) -> int:
        """Return a number that differs after another connection wrote."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def is_alone(self, changed: int) -> bool:
        """Tell whether no other connection wrote since `changed()` said that; False also while another thread has this one."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return not self._connection.in_transaction and self.changed() == changed
        finally:
            self._lock.release()

    def meta(self) -> dict[str, str]:
        """Return what the ledger says of itself."""
        return dict(self._connection.execute("SELECT name, value FROM meta"))

    def head(self) -> str:
        """Return the signed note of the largest checkpoint, or an empty text."""
        row = self._connection.execute(
            "SELECT ifnull(CAST(note AS TEXT), '') FROM checkpoint ORDER BY size DESC LIMIT 1"
        ).fetchone()
        return str(row[0]) if row else ""

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Yield (size, note), the smallest first."""
        yield from self._connection.execute("SELECT size, ifnull(CAST(note AS TEXT), '') FROM checkpoint ORDER BY size")

    def span(self) -> tuple[int, int]:
        """Return how many entries there are, as far as the first and the last index say, and the index after the last."""
        first, last = self._connection.execute("SELECT (SELECT min(idx) FROM entry), (SELECT max(idx) FROM entry)").fetchone()
        return (0, 0) if last is None else (last - first + 1, last + 1)

    def tile(self, level: int, n: int) -> bytes:
        """Return the hashes of a tile, as many as there are."""
        row = self._connection.execute(
            "SELECT ifnull(CAST(hashes AS BLOB), x'') FROM tile WHERE level = ? AND n = ?", (level, n)
        ).fetchone()
        if row or level:
            return bytes(row[0]) if row else b""
        leaves = self._connection.execute(
            "SELECT ifnull(CAST(leaf AS BLOB), x'') FROM tail WHERE idx BETWEEN ? AND ? ORDER BY idx", (n << 8, n << 8 | 255)
        )
        return b"".join([leaf for (leaf,) in leaves.fetchall()])

    def rows(self, start: int, end: int) -> Iterator[Row]:
        """Yield the entries from `start` up to `end`."""
        cursor = self._connection.execute(f"{_ROWS} WHERE idx >= ? AND idx < ? ORDER BY idx", (start, end))
        while block := cursor.fetchmany(256):
            yield from map(Row._make, block)

    def block(self, start: int, end: int) -> list[Plain]:
        """Return the same as plain tuples."""
        where = "WHERE idx >= ? AND idx < ? ORDER BY idx"
        with contextlib.suppress(sqlite3.OperationalError):  # a record that somebody made a text, and no UTF-8
            rows: list[Plain] = self._connection.execute(f"{_AS_THEY_ARE} {where}", (start, end)).fetchall()
            if all(isinstance(row[6], bytes) for row in rows):
                return rows
        return self._connection.execute(f"{_ROWS} {where}", (start, end)).fetchall()

    def search(self, where: Sequence[tuple[str, str, str]], most: int, *, newest: bool = False) -> list[Row]:
        """Return the first entries for which (column, `=`, `>=` or `<`, value) hold, by index; or the last, the newest first."""
        known = {"type", "kind", "subject", "id", "time"}
        terms = " AND ".join(f"{column} {OPERATORS[operator]} ?" for column, operator, _ in where if column in known)
        for column in {"subject", "kind"} & {column for column, _, _ in where}:
            terms += f" AND {column} <> ''"  # the condition of the index, which a parameter does not imply
        query = f"{_ROWS} WHERE {terms or '1'} ORDER BY idx {'DESC' if newest else 'ASC'} LIMIT ?"
        return list(map(Row._make, self._connection.execute(query, (*(value for _, _, value in where), most))))

    def body(self, digest: str) -> bytes | None:
        """Return a body that is too large for its record."""
        row = self._connection.execute("SELECT ifnull(CAST(content AS BLOB), x'') FROM body WHERE digest = ?", (digest,)).fetchone()
        return bytes(row[0]) if row else None

    def counts(self) -> dict[str, int]:
        """Return how many rows there are of each table."""
        return {name: self._count(name) for name in ("entry", "body", "tile", "tail", "checkpoint")}

    def indexed(self) -> dict[str, int]:
        """Return how many entries the indexes have that a count of the table does not go by."""
        return {name: self._count(f"entry INDEXED BY {name} WHERE {where}") for name, where in _INDEXES.items()}

    def _count(self, what: str) -> int:
        return int(self._connection.execute(f"SELECT count(*) FROM {what}").fetchone()[0])  # noqa: S608 - of a fixed set

    def problems(self, *, deep: bool = False) -> list[str]:
        """Return what SQLite's own check of the file finds: pages, rows; with `deep` also indexes that disagree with their table.

        That looks for every row in every index, at random, and takes seven times as long.
        """
        with _translated(self.path), contextlib.closing(self._connect()) as connection:
            if deep:
                connection.execute(
                    "PRAGMA cache_size=-262144"
                )  # it goes through the indexes at random: 1.6 times quicker at a million
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {'integrity' if deep else 'quick'}_check(100)")]
        return [] if found == ["ok"] else found

    # Writing, inside `sequencer()`

    def add(self, rows: Iterable[Row], bodies: Iterable[tuple[str, bytes]]) -> None:
        """Add entries, and bodies by digest."""
        self._connection.executemany(
            "INSERT INTO entry (idx, type, kind, subject, id, time, record) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
        )
        self._connection.executemany("INSERT INTO body VALUES (?, ?) ON CONFLICT DO NOTHING", bodies)

    def put_tile(self, level: int, n: int, hashes: bytes) -> None:
        """Write a tile anew."""
        query = "INSERT INTO tile VALUES (?, ?, ?) ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes"
        self._connection.execute(query, (level, n, hashes))
        if level == 0:
            self._connection.execute("DELETE FROM tail WHERE idx <= ?", (n << 8 | 255,))

    def add_tail(self, leaves: Iterable[tuple[int, bytes]]) -> None:
        """Add leaf hashes to the last tile of level 0."""
        self._connection.executemany("INSERT INTO tail VALUES (?, ?)", leaves)

    def put_checkpoint(self, size: int, note: str) -> None:
        """Write a checkpoint anew."""
        self._connection.execute(
            "INSERT INTO checkpoint VALUES (?, ?) ON CONFLICT DO UPDATE SET note = excluded.note", (size, note)
        )

    def drop_checkpoint(self, size: int) -> None:
        """Forget a checkpoint."""
        self._connection.execute("DELETE FROM checkpoint WHERE size = ?", (size,))

    def close(self) -> None:
        """Let go of the file."""
        if os.getpid() == self._pid:
            with self._lock:
                self._connection.close()


class _Snapshot:
    """A read transaction, or nothing inside of another one. A class: there are twenty to a promotion, mostly in one another."""

    __slots__ = ("_connection", "_is_own", "_lock", "_path")

    def __init__(self, path: Path, lock: threading.RLock, connection: sqlite3.Connection) -> None:
        self._path, self._lock, self._connection, self._is_own = path, lock, connection, False

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN")
                self._is_own = True
        except BaseException as error:
            self._lock.release()
            if isinstance(error, sqlite3.DatabaseError):
                raise _meaning(self._path, error) from error
            raise

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self._is_own:
                self._connection.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            value = value if isinstance(value, sqlite3.DatabaseError) else error
        finally:
            self._lock.release()
        if isinstance(value, sqlite3.DatabaseError):
            raise _meaning(self._path, value) from value


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Say whose fault an error of SQLite is."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _meaning(path, error) from error


def _meaning(path: Path, error: sqlite3.DatabaseError) -> StannaryError:
    """Return whose fault an error of SQLite is: the file was damaged, or the machine could not do it."""
    if isinstance(error, sqlite3.IntegrityError):
        msg = f"holds rows where new ones belong: {error}"
        return IntegrityError(msg, where=str(path), code="LED006", help="`stannary ledger audit` says which")
    if not isinstance(error, sqlite3.OperationalError):
        return _damaged(path, error)
    damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    if damaged or any(text in str(error) for text in _NO_CODE):
        return _damaged(path, error)
    msg = f"could not be read or written: {error}"
    unreadable = "unable to open" in str(error) and Path(f"{path}-wal").exists()
    help_ = read_only.UNREADABLE if unreadable else advice(path, "check the disk, and who else holds the file")
    return BackendError(msg, where=str(path), code="LED020", help=help_)


def _damaged(path: Path, error: Exception) -> IntegrityError:
    return IntegrityError(
        f"is damaged: {error}", where=str(path), code="LED010", help="restore it from a backup, then verify it --since a checkpoint"
    )
