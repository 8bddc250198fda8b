"""People log in: by password, or as whom an identity provider knows them. A session is new with each login.

The value of a session's cookie is made here, never taken: what a browser had before is ended, so a session that somebody
else planted is worth nothing. Failures are counted before a password is looked at, so that many at once are counted too;
from the fifth on one has to wait, up to a quarter of an hour.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stannary.access import rows
from stannary.access.model import Account, account_id, no_credentials, read_time, stamp
from stannary.access.secret import Secret, digest, new, verify_password
from stannary.core.errors import UsageError
from stannary.store import tables as t

if TYPE_CHECKING:
    from stannary.access.access import Access

__all__ = ["LONGEST", "Session", "end_session", "log_in", "start_session", "store_password"]

LONGEST = timedelta(hours=12)
_FREE, _FIRST, _MOST = 4, 30, 900  # failures without waiting; seconds to wait after the next one, and at most


class Session(NamedTuple):
    """A session that has begun: the value of its cookie, and when it ends."""

    secret: Secret
    account: str
    expires: str


def log_in(access: Access, name: str, password: str, *, previous: str = "") -> Session:
    """Begin a session for somebody's password; `previous` is the cookie that was sent, which ends.

    Raises PolicyDenied (ACC001), the same and after the same work for a name that is not there.
    """
    try:
        identifier = account_id(name)
    except UsageError:
        verify_password(password, None)
        no_credentials("name and password do not belong together")
    waits = _count(access, identifier)
    with access.database.reading() as connection:
        account = rows.account(connection, identifier)
        row = connection.execute(sa.select(t.access_password.c.hash).where(t.access_password.c.account == identifier)).first()
    usable = account is not None and not account.disabled and not waits
    right = verify_password(password, row.hash if row is not None and usable else None)
    if not right or account is None:
        access.diary.deny(identifier, "refused", credential="password", reason="too many failures" if waits else "wrong")
        no_credentials("name and password do not belong together, or there were too many failures: wait a quarter of an hour")
    with access.database.writing() as connection:
        rows.remove(connection, t.access_attempt, name=identifier)
    return start_session(access, account, "password", previous=previous)


def start_session(access: Access, account: Account, by: str, *, previous: str = "") -> Session:
    """Begin a session for somebody who has proven to be an account's owner."""
    now = access.clock()
    made = Session(new(), account.id, stamp(now + LONGEST))
    with access.database.writing() as connection:
        _end(connection, previous)
        connection.execute(sa.delete(t.access_session).where(t.access_session.c.expires <= stamp(now)))
        values = {
            "hash": digest(made.secret),
            "account": account.id,
            "created": stamp(now),
            "seen": stamp(now),
            "expires": made.expires,
        }
        access.diary.tell("login", actor=account.id, by=by, credential=f"session:{digest(made.secret)[:12]}")
        connection.execute(sa.insert(t.access_session).values(**values))
    if previous:
        access.forget()
    return made


def end_session(access: Access, cookie: str) -> None:
    """End a session; nothing happens when there is none."""
    with access.database.writing() as connection:
        _end(connection, cookie)
    access.forget()


def store_password(access: Access, identifier: str, hashed: str, connection: Connection) -> None:
    """Write a password's hash, and end every session of the account."""
    rows.put(connection, t.access_password, account=identifier, hash=hashed, changed=stamp(access.clock()))
    rows.remove(connection, t.access_session, account=identifier)
    rows.remove(connection, t.access_attempt, name=identifier)


def _end(connection: Connection, cookie: str) -> None:
    if cookie:
        rows.remove(connection, t.access_session, hash=digest(cookie))


def _count(access: Access, identifier: str) -> bool:
    """Count an attempt as failed, until it is known better; return whether it comes too early."""
    now = access.clock()
    with access.database.writing() as connection:
        c = t.access_attempt.c
        connection.execute(sa.delete(t.access_attempt).where(c.until < stamp(now - timedelta(days=1))))
        row: Any = connection.execute(sa.select(t.access_attempt).where(c.name == identifier)).first()
        if row is not None and read_time(row.until) > now:
            return True
        failures = (row.failures if row is not None else 0) + 1
        seconds = min(_MOST, _FIRST << min(failures - _FREE - 1, 8)) if failures > _FREE else 0
        rows.put(connection, t.access_attempt, name=identifier, failures=failures, until=stamp(now + timedelta(seconds=seconds)))
    return False
