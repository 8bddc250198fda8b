"""Who stands in which entry of a ledger, in a SQLite file: a projection that can be thrown away and made again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["ActorStore"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE actor (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, short TEXT NOT NULL);
CREATE INDEX actor_short ON actor (short);
CREATE TABLE stands (actor INTEGER NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (actor, idx)) WITHOUT ROWID;
"""


class ActorStore:
    """The file. Made anew when it is not there or is of another version."""

    def __init__(self, path: str | Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")  # what is lost is made again
        if self._db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._db.execute("BEGIN IMMEDIATE")
        for name, kind in self._db.execute("SELECT name, type FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'").fetchall():
            if kind == "table":
                self._db.execute(f'DROP TABLE "{name}"')
        for statement in _SCHEMA.split(";")[:-1]:
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version={_VERSION}")
        self._db.execute("COMMIT")

    def meta(self, key: str) -> str:
        """Return a note, empty when there is none."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def add(self, rows: Iterable[tuple[str, int]], meta: dict[str, str]) -> None:
        """Add all or nothing: (actor, index) each, and notes."""
        known: dict[str, int] = {}
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for name, index in rows:
                if name not in known:
                    self._db.execute("INSERT OR IGNORE INTO actor (name, short) VALUES (?, ?)", (name, name.partition(":")[2]))
                    known[name] = int(self._db.execute("SELECT id FROM actor WHERE name = ?", (name,)).fetchone()[0])
                self._db.execute("INSERT OR IGNORE INTO stands VALUES (?, ?)", (known[name], index))
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def last(self, names: Sequence[str], before: int, most: int) -> list[int]:
        """Return the last entries below an index in which one of these stands, the newest first; `ann` means `user:ann` too."""
        marks = ",".join("?" * len(names))
        ids = self._db.execute(f"SELECT id FROM actor WHERE name IN ({marks}) OR short IN ({marks})", (*names, *names)).fetchall()  # noqa: S608 - question marks
        found: set[int] = set()
        for (number,) in ids:
            query = "SELECT idx FROM stands WHERE actor = ? AND idx < ? ORDER BY idx DESC LIMIT ?"
            found.update(row[0] for row in self._db.execute(query, (number, before, most)))
        return sorted(found, reverse=True)[:most]

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
