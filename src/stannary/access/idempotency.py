"""Requests that may be sent again: the same key with the same content is done once, and answered the same for a day.

After draft-ietf-httpapi-idempotency-key-header: a key that comes with another content is refused, and one whose request is
still under way has to wait. A request that failed on our side is forgotten, and may be tried again.
"""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
import sqlalchemy as sa

from stannary.access.model import read_time, stamp
from stannary.core.clock import Clock, system_clock
from stannary.core.errors import InputError, UsageError
from stannary.store import tables as t
from stannary.store.database import Database

__all__ = ["KEPT", "Idempotency", "Kept"]

KEPT = timedelta(hours=24)
_DIES = timedelta(minutes=10)  # after so long without an answer the server that took a request is taken for dead
_LARGEST = 1 << 20
_KEY = re.compile(r"[\x21-\x7e]{1,128}")


class Kept(msgspec.Struct, frozen=True):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Idempotency:
    """Answers by principal and key, in a table."""

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, principal: str, key: str, operation: str, digest: str) -> Kept | None:
        """Return what was answered to this before; None when it is to be done now, and `finish` told.

        Raises UsageError for a key that is none or whose request is under way, InputError for one that came with something else.
        """
        if not _KEY.fullmatch(key):
            msg = "is not 1 to 128 printable characters"
            raise UsageError(msg, where="Idempotency-Key", code="API002", help="a UUID is one")
        now = self._clock()
        c = t.access_reply.c
        with self._database.writing() as connection:
            connection.execute(sa.delete(t.access_reply).where(c.created < stamp(now - KEPT)))
            row = connection.execute(sa.select(t.access_reply).where(c.principal == principal, c.key == key)).first()
            if row is not None and (row.operation, row.digest) != (operation, digest):
                msg = "was used for another request"
                raise InputError(msg, where="Idempotency-Key", code="API011", help="a new request has a new key")
            if row is not None and row.status:
                return Kept(row.status, dict(row.headers), bytes(row.body))
            if row is not None and read_time(row.created) + _DIES > now:
                msg = "the request with this key is under way"
                raise UsageError(msg, where="Idempotency-Key", code="API012", help="ask again in a while")
            values = {"operation": operation, "digest": digest, "status": 0, "headers": {}, "body": b"", "created": stamp(now)}
            if row is None:
                connection.execute(sa.insert(t.access_reply).values(principal=principal, key=key, **values))
            else:
                connection.execute(sa.update(t.access_reply).where(c.principal == principal, c.key == key).values(**values))
        return None

    def finish(self, principal: str, key: str, reply: Kept | None) -> None:
        """Keep an answer. None, or one that is too large to keep: the key is forgotten."""
        c = t.access_reply.c
        chosen = (c.principal == principal) & (c.key == key)
        with self._database.writing() as connection:
            if reply is None or len(reply.body) > _LARGEST:
                connection.execute(sa.delete(t.access_reply).where(chosen))
                return
            values = {"status": reply.status, "headers": reply.headers, "body": reply.body}
            connection.execute(sa.update(t.access_reply).where(chosen).values(**values))
