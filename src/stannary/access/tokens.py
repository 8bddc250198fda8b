"""Tokens: for scripts and services, with an end, good for a part of what their account may or for all of it."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import sqlalchemy as sa

from stannary.access import rows
from stannary.access.accounts import found
from stannary.access.model import Owner, Principal, Scope, Token, stamp
from stannary.access.roles import check_scope
from stannary.access.secret import Secret, digest, new
from stannary.core.errors import PolicyDenied, UsageError
from stannary.store import tables as t

if TYPE_CHECKING:
    from stannary.access.access import Access

__all__ = ["LONGEST", "Issued", "check_lasts", "issue", "revoke", "tokens"]

LONGEST = timedelta(days=366)
_WHOLE = Scope()


class Issued(NamedTuple):
    """A token, which is shown this once, and what is known of it."""

    secret: Secret
    token: Token


def issue(
    access: Access, actor: Principal, account: str, *, label: str = "", scope: Scope = _WHOLE, lasts: timedelta = timedelta(days=90)
) -> Issued:
    """Make a token for one's own account, or as an admin for a service's.

    With a token one makes none that is good for more, or longer. Raises UsageError or PolicyDenied.
    """
    check_scope(scope)
    check_lasts(lasts)
    now = access.clock()
    own = account == actor.id
    _may_issue(actor, account, scope, own=own)
    ends = now + lasts
    if (
        own
        and actor.credential.startswith(("token:", "federation:"))
        and actor.expires is not None
        and ends.timestamp() > actor.expires
    ):
        msg = "a token that is made with another one does not last longer than that"
        raise PolicyDenied(msg, code="ACC003", help="log in, or take a shorter time")
    secret, identifier = new(), secrets.token_hex(6)
    made = Token(
        id=identifier, account=account, label=label[:200], scope=scope, created=stamp(now), expires=stamp(ends), actor=actor.id
    )
    with access.changing(actor, administer=not own) as connection:
        found(connection, account)
        told = {"token": identifier, "account": account, "label": made.label, "expires": made.expires}
        access.diary.tell("token", change="issued", scope=msgspec.to_builtins(scope), **told, **actor.told())
        connection.execute(
            sa.insert(t.access_token).values(
                **msgspec.structs.asdict(made) | {"scope": msgspec.to_builtins(scope), "hash": digest(secret)}
            )
        )
    return Issued(secret, made)


def tokens(access: Access, actor: Principal, account: str = "") -> list[Token]:
    """Return one's own tokens, or as an admin anybody's. Raises PolicyDenied."""
    if account != actor.id:
        access.check(actor, "administer", told=False)
    with access.database.reading() as connection:
        return rows.tokens(connection, account)


def revoke(access: Access, actor: Principal, identifier: str) -> Token:
    """End one of one's own tokens, or as an admin anybody's. Raises UsageError or PolicyDenied."""
    with access.database.reading() as connection:
        row = rows.token_by(connection, id=identifier)
    own = row is not None and row[0].account == actor.id
    with access.changing(actor, administer=not own) as connection:
        row = rows.token_by(connection, id=identifier)
        if row is None:
            msg = "there is no such token"
            raise UsageError(msg, where=identifier[:40], code="ACC018", help="stannary access token list")
        token = row[0]
        if token.revoked:
            return token
        now = stamp(access.clock())
        access.diary.tell("token", change="revoked", token=token.id, account=token.account, **actor.told())
        connection.execute(sa.update(t.access_token).where(t.access_token.c.id == identifier).values(revoked=now))
    return msgspec.structs.replace(token, revoked=now)


def check_lasts(lasts: timedelta) -> None:
    """Raise UsageError for a time that no token lasts."""
    if not timedelta(minutes=1) <= lasts <= LONGEST:
        msg = f"a token lasts from a minute to {LONGEST.days} days"
        raise UsageError(msg, code="ACC012", help="--expires 90d")


def _may_issue(actor: Principal, account: str, scope: Scope, *, own: bool) -> None:
    if not own and account.startswith("user:") and not isinstance(actor, Owner):
        msg = "a person's token is made by themselves: whoever has it is that person"
        raise PolicyDenied(msg, where=account, code="ACC003", help="a service account is for what is shared")
    if own and not actor.scope.covers(scope):
        msg = "a token that is made with another one is not good for more than that"
        raise PolicyDenied(msg, where=account, code="ACC003", help="log in, or take a smaller scope")
