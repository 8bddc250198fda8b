"""A projection of the ledger in a SQLite file, that can be thrown away and made again: what such files have in common."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ProjectionFile"]

_META = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"


class ProjectionFile:
    """The file. Made anew when it is not there or is of another version.

    Args:
        path: of it.
        schema: the statements that make its tables, each ended by a semicolon; that of the notes stands before them.
        version: of the schema.
    """

    def __init__(self, path: str | Path, schema: str, version: int) -> None:
        self._schema, self._version = f"{_META}{schema}", version
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")  # what is lost is made again
        if self._db.execute("PRAGMA user_version").fetchone()[0] != version:
            self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._writing({}):
            tables = self._db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
            for (name,) in tables:
                self._db.execute(f'DROP TABLE "{name}"')
            for statement in self._schema.split(";")[:-1]:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={self._version}")

    def meta(self, key: str) -> str:
        """Return a note, empty when there is none."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def _writing(self, meta: Mapping[str, str]) -> Iterator[None]:
        """Write all that is written within, and notes, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite ends it by itself when the disk is full
                self._db.execute("ROLLBACK")
            raise
