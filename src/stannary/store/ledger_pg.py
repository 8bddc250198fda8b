"""A ledger in a PostgreSQL database (`ledger_store.py` says what a store does): a schema of its own for each log.

The single writer is whoever holds an advisory lock, which belongs to the transaction: it goes when the transaction ends,
however it ends. What a writer brings is sent in one go, with the COMMIT at its end. When the connection is lost on the
way, the transaction's own state tells, once the server is back, whether it happened; if the server does not come back, the
caller is told that nobody knows. Nothing is sent twice.

The rows that the head rests on are known again by the transactions that wrote them (xmin): another's write changes those.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from stannary.core.errors import BackendError, IntegrityError, UsageError
from stannary.store.file_lock import held
from stannary.store.ledger_pg_schema import MAKE, SHAPE, SHAPE_QUERY, VERSION, check
from stannary.store.ledger_pg_statements import ADD, CHECKPOINT, GLANCE, ROWS, STATE, STATE_WIDTH, TILE
from stannary.store.ledger_store import OPERATORS, Glance, OnServer, Plain, Row
from stannary.store.postgres import connect, is_lost, redacted, translated

__all__ = ["PostgresStore"]

_PATIENCE_SECONDS = 15  # for a server that restarts
_MOST_KEPT = 16_384  # rows, before they are sent
_COPY_FROM = 24  # rows from which COPY is cheaper than parameters


class PostgresStore(OnServer):
    """A ledger in a schema of a PostgreSQL database; writers of this machine take turns by a lock file besides."""

    def __init__(self, url: str, origin: str, *, lock: Path, create: Mapping[str, str] | None = None, write: bool = False) -> None:
        """Open a ledger. Raises UsageError when there is none and `create` (its meta) is None, BackendError, IntegrityError."""
        name = hashlib.sha256(origin.encode()).digest()
        self.where = redacted(url)
        self.write = write
        self._origin = origin
        self.schema = f"stannary_ledger_{name[:8].hex()}"
        self._url = url
        self._file = lock
        self._key = int.from_bytes(name[8:16], signed=True)
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._inside = False
        self._state: tuple[Any, ...] | None = None  # as of the beginning of the transaction
        self._seen: tuple[Any, ...] | None = None
        self._generation = 0
        self._writes: list[tuple[bytes, Sequence[Any]]] = []
        self._rows: list[Row] = []
        self._db = self._connect()
        try:
            if create is not None:
                self._create(create)
            self._recognise()
        except BaseException:
            self._db.close()
            raise

    def again(self) -> PostgresStore:
        """Connect a second time, for reading."""
        return PostgresStore(self._url, self._origin, lock=self._file)

    def _connect(self, patience: float = 0.0) -> psycopg.Connection[Any]:
        return connect(self._url, write=self.write, patience=patience)

    def _sql(self, text: str) -> bytes:
        return text.replace("@", f"{self.schema}.").encode()

    def _create(self, meta: Mapping[str, str]) -> None:
        if self._shape():
            return
        with translated(self.where), self._db.transaction():
            self._db.execute("SELECT pg_advisory_xact_lock(%s)", (self._key,))
            if self._shape():
                return  # another process was faster
            if not self._db.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (self.schema,)).fetchone():
                self._db.execute(f"CREATE SCHEMA {self.schema}".encode())  # unless the administrator made an empty one for us
            self._db.execute(self._sql(MAKE))
            self._db.execute(self._sql("INSERT INTO @version VALUES (%s)"), (VERSION,))
            self._db.cursor().executemany(self._sql("INSERT INTO @meta VALUES (%s, %s)"), list(meta.items()))

    def _shape(self) -> set[str]:
        with translated(self.where):
            return {row[0].replace(f"{self.schema}.", "") for row in self._db.execute(SHAPE_QUERY, {"schema": self.schema})}

    def _recognise(self) -> None:
        """Raise UsageError when there is no ledger, IntegrityError when its tables are not the ones that were made."""
        found = self._shape()
        if not found:
            msg = f"there is no ledger: no schema {self.schema}"
            raise UsageError(msg, where=self.where, code="LED018", help="`stannary init --database` makes a workspace with one")
        with translated(self.where):
            allowed = self._db.execute("SELECT has_schema_privilege(%s, 'USAGE')", (self.schema,)).fetchone()
            if allowed != (True,):
                msg = f"the role may not use the schema {self.schema}"
                raise BackendError(msg, where=self.where, code="LED020", help="GRANT USAGE ON SCHEMA ... TO ...")
            version = self._db.execute(self._sql("SELECT version FROM @version")).fetchall() if "r version" in found else []
        if version and version != [(VERSION,)]:
            msg = f"has tables of version {version[0][0]}, and this is version {VERSION}"
            raise IntegrityError(msg, where=self.where, code="LED010", help="use the release of stannary that made it")
        if found != SHAPE or not version:
            msg = "has other tables, views or triggers than a ledger: " + ", ".join(sorted(found ^ SHAPE)[:3])
            raise IntegrityError(msg, where=self.where, code="LED010", help="restore it from a backup")

    # Transactions

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Hold one state of all tables for reading."""
        self._same_process()
        with self._lock, translated(self.where):
            if self._inside:
                yield
                return
            self._begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "")
            try:
                yield
            finally:
                self._end()

    @contextlib.contextmanager
    def glance(self, tiles: Sequence[tuple[int, int]], index: int) -> Iterator[Glance | None]:
        """Ask for some full tiles and an entry in one statement: one way to the server and back instead of three."""
        self._same_process()
        with self._lock, translated(self.where):
            yield None if self._inside or self._db.closed else self._glance(tiles, index)

    def _glance(self, tiles: Sequence[tuple[int, int]], index: int) -> Glance | None:
        try:
            values = [level for level, _ in tiles], [n for _, n in tiles], index
            found = self._db.execute(self._sql(GLANCE), values, binary=True).fetchone() or ()
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            self._db.close()  # a snapshot connects again
            return None
        state, hashes, row = found[:STATE_WIDTH], found[STATE_WIDTH], found[STATE_WIDTH + 1 :]
        self._take_up(state)
        there = {tile: bytes(content) for tile, content in zip(tiles, hashes, strict=True) if content is not None}
        return Glance(self._generation, str(state[0] or ""), there, Row._make(row) if row[0] is not None else None)

    @contextlib.contextmanager
    def sequencer(self) -> Iterator[list[Callable[[], None]]]:
        """Be the only writer, of all machines."""
        self._same_process()
        with self._lock, translated(self.where), held(self._file):
            # Read committed: after the wait for the lock the statements that follow see what the last holder wrote.
            lock = f"SELECT pg_advisory_xact_lock({self._key}), pg_current_xact_id()::text"
            transaction = self._begin("BEGIN ISOLATION LEVEL READ COMMITTED", lock)
            after: list[Callable[[], None]] = []
            try:
                with self._before_commit():
                    yield after
                self._commit(transaction)
            finally:
                self._end()
            for call in after:
                call()

    @contextlib.contextmanager
    def _before_commit(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            raise self._did_not_happen() from error

    def _did_not_happen(self) -> BackendError:
        msg = "the connection was lost, and the append did not happen"
        return BackendError(msg, where=self.where, code="LED020", help="append again")

    def _begin(self, begin: str, lock: str) -> str:
        """Begin, on a new connection when the old one is gone: nothing was asked of it yet. Return the transaction's id."""
        row: tuple[Any, ...] | None = None
        for again in (True, False):
            if self._db.closed:
                self._db = self._connect(_PATIENCE_SECONDS)
            try:
                with self._db.pipeline():
                    self._db.execute(begin.encode())
                    first = self._db.execute(lock.encode()) if lock else None
                    state = self._db.execute(self._sql(STATE))
                row = first.fetchone() if first else None
                self._state = state.fetchone()
                self._take_up(self._state)
                break
            except psycopg.Error as error:
                self._db.close()
                if not again or not is_lost(error):
                    raise
        self._inside = True
        return str(row[1]) if row else ""

    def _take_up(self, state: tuple[Any, ...] | None) -> None:
        self._generation += state != self._seen
        self._seen = state

    def _commit(self, transaction: str) -> None:
        """Send all that was written, and the COMMIT, and wait until it is durable."""
        try:
            self._copy()
            with self._db.pipeline():
                for statement, values in self._writes:
                    self._db.execute(statement, values)
                state = self._db.execute(self._sql(STATE))
                self._db.execute(b"COMMIT")
            self._seen = state.fetchone()
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            self._seen = None
            self._db.close()
            if not self._happened(transaction, error):
                raise self._did_not_happen() from error
        except BaseException:  # interrupted: the connection may be in the middle of anything
            self._seen = None
            self._db.close()
            raise

    def _happened(self, transaction: str, error: psycopg.Error) -> bool:
        """Ask the server what became of a transaction. Whoever has the lock knows that it has ended."""
        try:
            self._db = self._connect(_PATIENCE_SECONDS)
            with self._db.transaction():
                self._db.execute("SELECT pg_advisory_xact_lock(%s)", (self._key,))
                found = self._db.execute("SELECT pg_xact_status(%s::xid8)", (transaction,)).fetchone()
        except (psycopg.Error, BackendError):
            found = None
        if found not in (("committed",), ("aborted",)):
            msg = "the connection was lost at the end of an append: whether it happened is not known"
            hint = "when the server is back, look whether the entry is there (`stannary evidence list`) before you append it again"
            raise BackendError(msg, where=self.where, code="LED024", help=hint) from error
        return bool(found == ("committed",))

    def _end(self) -> None:
        self._inside, self._state = False, None
        self._writes, self._rows = [], []
        if self._db.closed or self._db.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            return
        try:
            self._db.execute(b"ROLLBACK")
        except psycopg.Error:  # then the server does it: the connection is gone, and with it the transaction
            self._db.close()

    def _same_process(self) -> None:
        if os.getpid() != self._pid:
            msg = "was opened by another process; a connection does not survive a fork"
            raise UsageError(msg, where=self.where, code="LED019", help="open the ledger after the fork")

    # Reading

    def _read(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._flush()
        with self._db.cursor(binary=True) as cursor:
            return cursor.execute(self._sql(text), values).fetchall()

    def changed(self) -> int:
        """Return a number that differs after another connection wrote."""
        return self._generation

    def meta(self) -> dict[str, str]:
        """Return what the ledger says of itself."""
        return dict(self._read("SELECT name, value FROM @meta"))

    def head(self) -> str:
        """Return the signed note of the largest checkpoint, or an empty text."""
        return str(self._current()[0] or "")

    def span(self) -> tuple[int, int]:
        """Return how many entries there are, as far as the first and the last index say, and the index after the last."""
        first, last = self._current()[1:3]
        return (0, 0) if last is None else (last - first + 1, last + 1)

    def _current(self) -> tuple[Any, ...]:
        if self._state is None:
            self._state = self._read(STATE)[0]
        return self._state

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Yield (size, note), the smallest first."""
        yield from self._read("SELECT size, note FROM @checkpoint ORDER BY size")

    def tile(self, level: int, n: int) -> bytes:
        """Return the hashes of a tile, as many as there are."""
        found = self._read("SELECT hashes FROM @tile WHERE level = %b AND n = %b", (level, n))
        if not found and not level:
            found = self._read("SELECT leaf FROM @tail WHERE idx BETWEEN %b AND %b ORDER BY idx", (n << 8, n << 8 | 255))
        return b"".join([hashes for (hashes,) in found])

    def rows(self, start: int, end: int) -> Iterator[Row]:
        """Yield the entries from `start` up to `end`."""
        for first in range(start, end, 1024):
            yield from map(Row._make, self.block(first, min(end, first + 1024)))

    def block(self, start: int, end: int) -> list[Plain]:
        """Return the same as plain tuples."""
        return self._read(f"{ROWS} WHERE idx >= %b AND idx < %b ORDER BY idx", (start, end))

    def search(self, where: Sequence[tuple[str, str, str]], most: int, *, newest: bool = False) -> list[Row]:
        """Return the first entries for which (column, `=`, `>=` or `<`, value) hold, by index; or the last, the newest first."""
        known = {"type", "kind", "subject", "id", "time"}
        terms = [f"{column} {OPERATORS[operator]} %b" for column, operator, _ in where if column in known]
        terms += [f"{column} <> ''" for column in sorted({"subject", "kind"} & {column for column, _, _ in where})]
        query = f"{ROWS} WHERE {' AND '.join(terms) or 'true'} ORDER BY idx {'DESC' if newest else 'ASC'} LIMIT %b"
        self._flush()
        with self._db.cursor(binary=True) as cursor, self._db.pipeline():
            self._db.execute(b"SET LOCAL plan_cache_mode = auto")  # which index is best depends on what is looked for
            found = cursor.execute(self._sql(query), [*(value for _, _, value in where), most]).fetchall()
        return list(map(Row._make, found))

    def body(self, digest: str) -> bytes | None:
        """Return a body that is too large for its record."""
        found = self._read("SELECT content FROM @body WHERE digest = %b", (digest,))
        return bytes(found[0][0]) if found else None

    def counts(self) -> dict[str, int]:
        """Return how many rows there are of each table."""
        names = ("entry", "body", "tile", "tail", "checkpoint")
        return {name: int(self._read(f"SELECT count(*) FROM @{name}")[0][0]) for name in names}  # noqa: S608 - of a fixed set

    def indexed(self) -> dict[str, int]:
        """Return nothing: `problems` compares how many entries indexes have."""
        return {}

    def problems(self, *, deep: bool = False) -> list[str]:
        """Return where indexes and tables do not agree; with `deep` also what amcheck says when the database has it."""
        with translated(self.where), connect(self._url, write=False) as connection:
            return check(connection, self.schema, deep=deep)

    # Writing, inside `sequencer()`: kept until the end of it, or until something is read

    def add(self, rows: Iterable[Row], bodies: Iterable[tuple[str, bytes]]) -> None:
        """Add entries, and bodies by digest."""
        self._rows += rows
        if len(self._rows) >= _MOST_KEPT:
            self._flush()
        self._later("INSERT INTO @body VALUES (%b, %b) ON CONFLICT DO NOTHING", bodies)

    def put_tile(self, level: int, n: int, hashes: bytes) -> None:
        """Write a tile anew."""
        self._later(TILE, [(level, n, hashes)])
        if level == 0:
            self._later("DELETE FROM @tail WHERE idx <= %b", [(n << 8 | 255,)])

    def add_tail(self, leaves: Iterable[tuple[int, bytes]]) -> None:
        """Add leaf hashes to the last tile of level 0."""
        self._later(
            "INSERT INTO @tail SELECT * FROM unnest(%b::int8[], %b::bytea[])", [tuple(map(list, zip(*leaves, strict=True)))]
        )

    def put_checkpoint(self, size: int, note: str) -> None:
        """Write a checkpoint anew."""
        self._later(CHECKPOINT, [(size, note)])

    def drop_checkpoint(self, size: int) -> None:
        """Forget a checkpoint."""
        self._later("DELETE FROM @checkpoint WHERE size = %b", [(size,)])

    def _later(self, text: str, values: Iterable[Sequence[Any]]) -> None:
        self._state = None
        self._writes += [(self._sql(text), item) for item in values]

    def _copy(self) -> None:
        """Send the entries: many of them by COPY, few with what else is written."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        if len(rows) < _COPY_FROM:
            self._writes.insert(0, (self._sql(ADD), [list(column) for column in zip(*rows, strict=True)]))
            return
        text = "COPY @entry (idx, type, kind, subject, id, time, record) FROM STDIN (FORMAT BINARY)"
        with self._db.cursor().copy(self._sql(text)) as copy:
            copy.set_types(["int8", "text", "text", "text", "text", "text", "bytea"])
            for row in rows:
                copy.write_row(row)

    def _flush(self) -> None:
        if self._rows or self._writes:
            self._copy()
            writes, self._writes = self._writes, []
            with self._db.pipeline():
                for statement, values in writes:
                    self._db.execute(statement, values)

    def close(self) -> None:
        """Let go of the connection."""
        if os.getpid() == self._pid:
            with self._lock:
                self._db.close()
