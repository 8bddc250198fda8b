"""Who stands in which entry of a ledger, in a SQLite file: a projection that can be thrown away and made again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from stannary.store.projection_file import ProjectionFile

__all__ = ["ActorStore"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE actor (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, short TEXT NOT NULL);
CREATE INDEX actor_short ON actor (short);
CREATE TABLE stands (actor INTEGER NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (actor, idx)) WITHOUT ROWID;
"""


class ActorStore(ProjectionFile):
    """The file."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, _SCHEMA, _VERSION)

    def add(self, rows: Iterable[tuple[str, int]], meta: dict[str, str]) -> None:
        """Add all or nothing: (actor, index) each, and notes."""
        known: dict[str, int] = {}
        with self._writing(meta):
            for name, index in rows:
                if name not in known:
                    self._db.execute("INSERT OR IGNORE INTO actor (name, short) VALUES (?, ?)", (name, name.partition(":")[2]))
                    known[name] = int(self._db.execute("SELECT id FROM actor WHERE name = ?", (name,)).fetchone()[0])
                self._db.execute("INSERT OR IGNORE INTO stands VALUES (?, ?)", (known[name], index))

    def last(self, names: Sequence[str], before: int, most: int) -> list[int]:
        """Return the last entries below an index in which one of these stands, the newest first; `ann` means `user:ann` too."""
        marks = ",".join("?" * len(names))
        ids = self._db.execute(f"SELECT id FROM actor WHERE name IN ({marks}) OR short IN ({marks})", (*names, *names)).fetchall()  # noqa: S608 - question marks
        found: set[int] = set()
        for (number,) in ids:
            query = "SELECT idx FROM stands WHERE actor = ? AND idx < ? ORDER BY idx DESC LIMIT ?"
            found.update(row[0] for row in self._db.execute(query, (number, before, most)))
        return sorted(found, reverse=True)[:most]
