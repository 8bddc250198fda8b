"""The facade: who calls, and whether they may. What is asked most is answered from memory, for a few seconds.

A token or session that was revoked by this process, or by one that shares its turns, holds no more at once; by another one, after
`CACHED` seconds at most.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import NamedTuple, Protocol

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stannary.access import rows
from stannary.access.diary import Diary, Journal
from stannary.access.federated import Issuers, federated
from stannary.access.model import ANY, Account, Owner, Principal, no_credentials, read_time, stamp
from stannary.access.roles import PRIVILEGED, WHOLE, Place, Verdict, decide_access, places_of
from stannary.access.secret import PREFIX, digest, is_token, same
from stannary.core.clock import Clock, system_clock
from stannary.core.errors import BackendError, PolicyDenied
from stannary.store import tables as t
from stannary.store.database import Database

__all__ = ["CACHED", "IDLE", "Access", "Here", "Turns"]

CACHED = 4.0
IDLE = timedelta(hours=2)  # a session that was not used for so long is over
_USED_EVERY = timedelta(minutes=10)  # how exactly it is known when a token was used last
_MOST_CACHED = 20_000
_LONGEST_SHOWN = 20_000  # characters; an identity token with many groups has a few thousand


_DONE = {
    "jobs": "ask for jobs",
    "metrics": "read metrics",
    "fetch": "fetch with credentials",
    "backup": "back up",
}  # actions that are no verbs


class _Remembered(NamedTuple):
    principal: Principal
    until: float
    turn: object


class Turns(Protocol):
    """Says whether accounts, grants or credentials were changed: what was looked up in a turn before is looked up again."""

    def now(self) -> object:
        """Return the turn that it is."""
        ...

    def advance(self) -> None:
        """Begin another one."""
        ...


class Here:
    """Turns of this process alone."""

    def __init__(self) -> None:
        self._turn = object()

    def now(self) -> object:
        """Return the turn that it is."""
        return self._turn

    def advance(self) -> None:
        """Begin another one."""
        self._turn = object()


class Access:
    """Accounts, credentials and grants of a workspace. Safe to use from many threads.

    Args:
        database: where the tables are.
        journal: what has to stand in the ledger goes there.
        clock: the time.
        offline: whether no identity provider may be asked for its keys.
        turns: what says that something was changed, to all processes of a server.
        denials: of one caller that are written in a minute, at most.
    """

    def __init__(
        self, database: Database, journal: Journal, *, clock: Clock = system_clock, offline: bool = False,
        turns: Turns | None = None, denials: int = 60,
    ) -> None:  # fmt: skip
        self.database = database
        self.clock = clock
        self.diary = Diary(journal, most=denials)
        self.issuers = Issuers(offline=offline)
        self._lock = threading.Lock()
        self._cache: dict[str, _Remembered] = {}
        self._turns = turns or Here()

    # Who calls

    def authenticate(self, authorization: str, session: str = "") -> Principal:
        """Return who shows an `Authorization` header, or without one the value of a session's cookie.

        Raises PolicyDenied (ACC001), the same for whatever is wrong with what was shown.
        """
        shown = _shown(authorization, session)
        key = digest(shown)
        found = self._from_memory(key)
        if found is not None:
            return found
        turn = self._turns.now()  # before it is looked up: what is revoked meanwhile begins another one
        made = self._identified(shown)
        with self._lock:
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            self._cache[key] = _Remembered(made, self._now() + CACHED, turn)
        return made

    def remembered(self, authorization: str, session: str = "") -> Principal | None:
        """Return who shows it when that is known already: asks no table, and may be called where nothing may wait."""
        try:
            return self._from_memory(digest(_shown(authorization, session)))
        except PolicyDenied:
            return None

    def forget(self) -> None:
        """Look everybody up again: something was revoked, granted or changed."""
        self._turns.advance()
        with self._lock:
            self._cache.clear()

    def principal_of(self, account: Account, connection: Connection, credential: str, **more: object) -> Principal:
        """Return an account as somebody who was let in. Raises PolicyDenied when it is disabled."""
        if account.disabled:
            no_credentials()
        groups = tuple(f"group:{name}" for name in account.groups)
        grants = rows.grants_of(connection, (account.id, *groups))
        made = Principal(id=account.id, groups=groups, grants=grants, credential=credential)
        return msgspec.structs.replace(made, **more)

    # What they may

    def decide(self, principal: Principal, action: str, place: Place) -> Verdict:
        """Return whether somebody may do something, and why. Nothing is written."""
        if isinstance(principal, Owner):
            return Verdict(allowed=True, reason="it is their workspace")
        return decide_access(action, place, principal.grants, principal.scope)

    def places(self, principal: Principal, action: str) -> list[Place]:
        """Return where somebody may do something: `places_of` their grants."""
        return [Place(ANY, ANY)] if isinstance(principal, Owner) else places_of(action, principal.grants, principal.scope)

    def check(self, principal: Principal, action: str, place: Place = WHOLE, alias: str = "", *, told: bool = True) -> None:
        """Return when somebody may do something; that they use a privilege is written first, unless `told` is False.

        Raises PolicyDenied (ACC002), which is written as well.
        """
        verdict = self.decide(principal, action, place)
        where = "*" if place == WHOLE else f"{place.namespace}/{place.model}"
        where = f"{where}@{alias}" if alias else where
        if not verdict.allowed:
            self.diary.deny(principal.id, action=action, on=where, credential=principal.credential, reason=verdict.reason)
            msg = f"{principal.id} may not {_DONE.get(action, action)}: {verdict.reason}"
            raise PolicyDenied(
                msg, where=where, code="ACC002", help="`stannary access roles` shows who may what; an admin grants it"
            )
        if told and action in PRIVILEGED and not isinstance(principal, Owner):
            self.diary.tell("used", action=action, on=where, reason=verdict.reason, **principal.told())

    @contextmanager
    def changing(self, actor: Principal, *, administer: bool = True) -> Iterator[Connection]:
        """Return a connection to change accounts or grants with; who does has to be an admin. Afterwards all are looked up again.

        What is written to the ledger within is there before the change is: a change that is not told of cannot be.
        """
        if administer:
            self.check(actor, "administer", told=False)
        with self.database.writing() as connection:
            yield connection
        self.forget()

    def is_empty(self) -> bool:
        """Tell whether there is no account: then nobody could be let in."""
        with self.database.reading() as connection:
            return connection.execute(sa.select(t.access_account.c.id).limit(1)).first() is None

    def close(self) -> None:
        """Write what is left to write. The database stays open: it is the registry's as well."""
        self.diary.close()

    # Within

    def _from_memory(self, key: str) -> Principal | None:
        found = self._cache.get(key)
        if found is None or found.turn != self._turns.now():
            return None
        now, ends = self._now(), found.principal.expires
        return found.principal if now < found.until and (ends is None or now < ends) else None

    def _now(self) -> float:
        return self.clock().timestamp()

    def _identified(self, shown: str) -> Principal:
        kind, _, text = shown.partition(" ")
        if kind == "session":
            return self._of_session(text)
        if text.startswith(PREFIX):
            return self._of_token(text)
        return federated(self, text)

    def _of_token(self, text: str) -> Principal:
        if not is_token(text):
            no_credentials()
        hashed, now = digest(text), stamp(self.clock())
        with self.database.reading() as connection:
            found = rows.token_by(connection, hash=hashed)
            if found is None or not same(found[1], hashed):
                no_credentials()
            token = found[0]
            account = rows.account(connection, token.account)
            bad = "revoked" if token.revoked else "expired" if token.expires <= now else "disabled" if _off(account) else ""
            if not bad and account is not None:
                ends = read_time(token.expires).timestamp()
                made = self.principal_of(account, connection, f"token:{token.id}", scope=token.scope, expires=ends)
        if bad or account is None:
            self.diary.deny(token.account, "refused", credential=f"token:{token.id}", reason=bad or "disabled")
            no_credentials()
        if not token.used or read_time(token.used) + _USED_EVERY < self.clock():
            self._note(lambda c: c.execute(sa.update(t.access_token).where(t.access_token.c.id == token.id).values(used=now)))
        return made

    def _of_session(self, text: str) -> Principal:
        hashed, now = digest(text), self.clock()
        with self.database.reading() as connection:
            row = rows.session(connection, hashed)
            if row is None or not same(row.hash, hashed) or row.expires <= stamp(now) or read_time(row.seen) + IDLE < now:
                no_credentials()
            account = rows.account(connection, row.account)
            if account is None:
                no_credentials()
            ends = read_time(row.expires).timestamp()
            made = self.principal_of(account, connection, f"session:{hashed[:12]}", expires=ends)
        if read_time(row.seen) + _USED_EVERY < now:
            seen = stamp(now)
            self._note(lambda c: c.execute(sa.update(t.access_session).where(t.access_session.c.hash == hashed).values(seen=seen)))
        return made

    def _note(self, write: Callable[[Connection], object]) -> None:
        """Note when something was used. That it cannot be noted (a disk is full) keeps nobody out."""
        with suppress(BackendError), self.database.writing() as connection:
            write(connection)


def _shown(authorization: str, session: str) -> str:
    """Return what was shown, as its kind and text. Raises PolicyDenied for what can be neither a token nor a session."""
    if authorization:
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text or len(text) > _LONGEST_SHOWN or not text.isascii():
            no_credentials()
        return f"bearer {text}"
    if not session or len(session) > _LONGEST_SHOWN or not session.isascii():
        no_credentials()
    return f"session {session}"


def _off(account: Account | None) -> bool:
    return account is None or account.disabled
