"""Answers of an endpoint on disk, by the digest of what was asked: an interrupted run goes on without paying twice."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from stannary.core.errors import UsageError

__all__ = ["AnswerCache", "request_key"]

_SCHEMA = "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, body BLOB NOT NULL, money REAL NOT NULL) WITHOUT ROWID"


def request_key(method: str, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the SHA-256 of a request. `headers` are as written in the request's file: no secret goes into the digest."""
    parts = [b"stannary.answer/1", method.encode(), url.encode()]
    parts += [f"{name.lower()}: {value}".encode() for name, value in sorted(headers.items())]
    parts.append(body)
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


class AnswerCache:
    """A SQLite file of answers that could be read, and of what each of them cost. It is for its owner alone (0600).

    Raises:
        UsageError: the file is something else, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # answers may hold what a model should not have said
            # What was paid for is on disk when it is used: at some requests a second that costs nothing that counts.
            self._base = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute(_SCHEMA)
            self.paid = self.total()
        except (OSError, sqlite3.Error) as exc:
            msg = f"answers cannot be kept there: {exc}"
            raise UsageError(msg, where=str(path), help="name a new file, or one that an earlier run made") from exc

    def get(self, key: bytes) -> bytes | None:
        """Return the answer to a request, or None."""
        row = self._base.execute("SELECT body FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: bytes, body: bytes, money: float) -> None:
        """Keep an answer, and what it cost."""
        self._base.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, body, money))

    def total(self) -> float:
        """Return what all answers in the file cost."""
        with closing(self._base.execute("SELECT COALESCE(SUM(money), 0) FROM answers")) as found:
            return float(found.fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._base.close()
