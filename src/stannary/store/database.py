"""The tables' home: one SQLite file, or a PostgreSQL database; SQLAlchemy Core, no more.

`reading()` sees one state for as long as the block lasts. `writing()` is alone: one writer at a time among all
threads, processes and machines, and what it wrote is durable when the block ends, or nothing of it is there.
`sharing()` is for rows that have an owner, such as jobs.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stannary.core.errors import BackendError, StannaryError, UsageError

try:
    import sqlalchemy as sa
    from sqlalchemy import event
    from sqlalchemy.engine import URL, Connection, Engine, make_url
    from sqlalchemy.pool import QueuePool
except ModuleNotFoundError as error:
    _MSG = "the registry needs SQLAlchemy, which is not installed"
    raise UsageError(_MSG, code="DEP001", help="pip install 'stannary[registry]'") from error

from stannary.store import read_only
from stannary.store.disk_room import advice
from stannary.store.migrations import HEAD, upgrade
from stannary.store.postgres import NO_TEXT, no_text
from stannary.store.tables import metadata

__all__ = ["Database"]

_BUSY_SECONDS = 60
_SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,50}")
_LOCK = 0x5354414E4E415259  # "STANNARY", as PostgreSQL's advisory locks are numbered


class Database:
    """A database of a workspace.

    Args:
        url: the path of an SQLite file, or `postgresql://user@host/name`.
        schema: in which of PostgreSQL's schemas the tables are; it is made when it is not there.

    Raises BackendError when it cannot be reached, and UsageError when it is of a newer stannary.
    """

    def __init__(self, url: str | Path, schema: str = "stannary") -> None:
        if not _SCHEMA.fullmatch(schema):
            msg = f"is no name of a schema: {schema[:80]!r}"
            raise UsageError(msg, code="DBS002", help="small letters, digits and _, from a letter on")
        self.url = _url(url)
        self._schema = schema
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = _sqlite(self.url) if self.is_sqlite else _postgres(self.url, schema)
        try:
            self._prepare()
        except BaseException:
            self._engine.dispose()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Return a connection that sees one state."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
            if self.is_sqlite:
                # The driver's own: through SQLAlchemy it costs as much as what is read.
                connection.connection.dbapi_connection.execute("BEGIN")  # type: ignore[union-attr]
            else:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection

    @contextlib.contextmanager
    def writing(self, *, derived: bool = False) -> Iterator[Connection]:
        """Return a connection to write with, when no other writer is left; committed when the block ends well.

        What is `derived` can be made again from what is durable elsewhere: the commit does not wait for the disk. After a loss
        of power the tables are as they were a moment before, and whoever opens them sees that and brings them up to date.
        """
        with self._translated(), self._engine.connect() as connection, connection.begin():
            if self.is_sqlite:
                driver: Any = connection.connection.dbapi_connection
                driver.execute(f"PRAGMA synchronous={'NORMAL' if derived else 'FULL'}")
                driver.execute("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
                if derived:
                    connection.exec_driver_sql("SET LOCAL synchronous_commit=off")
            yield connection

    @contextlib.contextmanager
    def sharing(self) -> Iterator[Connection]:
        """Return a connection to write rows that their owner alone writes: beside other writers on PostgreSQL, alone on SQLite."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _prepare(self) -> None:
        """Make the tables, or bring them to the newest version."""
        found = self._version()
        if found == HEAD:
            return
        with self.writing() as connection:
            found = self._version_on(connection)  # another process may have been faster
            if found == HEAD:
                return
            if found is None:
                if not self.is_sqlite:
                    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
                metadata.create_all(connection)
                connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
                connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
                return
            upgrade(connection, found, self.url.render_as_string())

    def _version(self) -> str | None:
        with self.reading() as connection:
            return self._version_on(connection)

    def _version_on(self, connection: Connection) -> str | None:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        return str(found) if found is not None else None

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Say in our own terms what the database could not do."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise self._error(str(error.orig), lost=error.connection_invalidated) from error
        except sqlite3.Error as error:  # of a prepared statement
            raise self._error(str(error), lost=False) from error

    def _error(self, said: str, *, lost: bool) -> StannaryError:
        where = self.url.database if self.is_sqlite else self.url.render_as_string(hide_password=True)
        text = " ".join(said.split())
        if NO_TEXT in text:
            return no_text()
        help_ = None
        if "readonly" in text or "read-only" in text:
            help_ = "it has to be writable for that"
        elif "disk is full" in text or "No space left" in text:
            help_ = "nothing was changed; make room and do it again"
        elif "disk I/O error" in text and self.is_sqlite:
            help_ = advice(Path(where or ""), "check the disk")
        elif "unable to open" in text and self.is_sqlite and Path(f"{where}-wal").exists():
            help_ = read_only.UNREADABLE
        elif "locked" in text:
            help_ = f"another process has been writing for more than {_BUSY_SECONDS} seconds"
        elif "not a database" in text or "malformed" in text:
            help_ = "`stannary registry rebuild` makes the registry's tables again from the ledger"
        elif lost or not self.is_sqlite:
            help_ = "is PostgreSQL running, and are name and password right?"
        return BackendError(text[:300], where=where, code="DBS001", help=help_)


def _url(url: str | Path) -> URL:
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite+pysqlite", database=str(url))
    made = make_url(url)
    if made.get_backend_name() != "postgresql":
        msg = f"is no database that is known here: {made.get_backend_name()}"
        raise UsageError(msg, code="DBS002", help="a path (SQLite), or postgresql://user@host/name")
    return made.set(drivername="postgresql+psycopg")


def _sqlite(url: URL) -> Engine:
    path = Path(url.database or "")
    fixed = path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
    address = f"{path.absolute().as_uri()}?{read_only.options(path)}" if fixed else str(path)

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=fixed, timeout=_BUSY_SECONDS, check_same_thread=False)

    engine = sa.create_engine(url, poolclass=QueuePool, creator=connect)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - sqlite3's connection
        # Without this the driver begins transactions of its own, too late for a reader to see one state.
        connection.isolation_level = None
        if not fixed:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA wal_autocheckpoint=4000")  # each waits for the disk, which a commit does not
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def _postgres(url: URL, schema: str) -> Engine:
    try:
        # Nothing is found by a name that somebody else can define: the path has our schema and no other.
        return sa.create_engine(url, pool_pre_ping=True, connect_args={"options": f"-c search_path={schema}"})
    except ModuleNotFoundError as error:
        msg = "PostgreSQL needs psycopg, which is not installed"
        raise UsageError(msg, code="DEP001", help="pip install 'stannary[postgres]'") from error
