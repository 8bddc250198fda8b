"""Accounts of people and services. An account that was removed stays, disabled: its name in the ledger is never somebody else's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stannary.access import rows
from stannary.access.login import store_password
from stannary.access.model import Account, Kind, Owner, Principal, account_id, group_id, stamp
from stannary.access.roles import check_grant
from stannary.access.secret import check_new_password, hash_password, verify_password
from stannary.core.errors import PolicyDenied, UsageError
from stannary.store import tables as t

if TYPE_CHECKING:
    from stannary.access.access import Access

__all__ = ["accounts", "add", "change_password", "found", "remove", "set_groups", "set_password"]

_MOST_GROUPS = 50


def add(
    access: Access, actor: Principal, name: str, kind: Kind = "user", *, display: str = "", password: str = "",
    known_as: tuple[str, str] = ("", ""),
) -> Account:  # fmt: skip
    """Make an account, without any right.

    Args:
        access: where.
        actor: who makes it.
        name: its name, which nobody had before.
        kind: of a person or a service.
        display: a name for people to read.
        password: of a person; they may also log in with a provider, or with tokens.
        known_as: the issuer and subject by which an identity provider knows a person.

    Raises UsageError for a name that is taken, also by an account that was removed, PolicyDenied.
    """
    identifier = account_id(name, kind)
    issuer, subject = known_as
    if bool(issuer) != bool(subject) or (issuer and kind != "user"):
        msg = "a provider knows a person by issuer and subject together"
        raise UsageError(msg, where=identifier, code="ACC015", help="--issuer URL --subject SUB")
    hashed = ""
    if password:
        check_new_password(password, identifier.partition(":")[2])
        hashed = hash_password(password)
    made = Account(
        id=identifier,
        kind=kind,
        display=display[:200],
        issuer=issuer,
        subject=subject,
        created=stamp(access.clock()),
        actor=actor.id,
    )
    with access.changing(actor) as connection:
        if rows.account(connection, identifier) is not None:
            msg = "there is such an account already, or was"
            raise UsageError(msg, where=identifier, code="ACC016", help="a name is never given again: take another one")
        if issuer and rows.account_of_subject(connection, issuer, subject) is not None:
            msg = f"another account is {subject[:80]!r} at {issuer}"
            raise UsageError(msg, where=identifier, code="ACC016", help="stannary access user list")
        access.diary.tell("account", account=identifier, change="added", **_known(made), **actor.told())
        connection.execute(sa.insert(t.access_account).values(**msgspec.structs.asdict(made) | {"groups": []}))
        if hashed:
            store_password(access, identifier, hashed, connection)
    return made


def accounts(access: Access, actor: Principal, kind: str = "") -> list[Account]:
    """Return the accounts there are. Raises PolicyDenied."""
    access.check(actor, "administer", told=False)
    with access.database.reading() as connection:
        return rows.accounts(connection, kind)


def remove(access: Access, actor: Principal, name: str, kind: Kind = "user") -> None:
    """Disable an account: its tokens, sessions, password and grants are gone. Raises UsageError or PolicyDenied."""
    identifier = account_id(name, kind)
    if identifier == actor.id:
        msg = "nobody removes themselves"
        raise PolicyDenied(msg, where=identifier, code="ACC003", help="ask another admin")
    with access.changing(actor) as connection:
        found(connection, identifier)
        access.diary.tell("account", account=identifier, change="removed", **actor.told())
        now = stamp(access.clock())
        alive = (t.access_token.c.account == identifier) & (t.access_token.c.revoked == "")
        connection.execute(sa.update(t.access_token).where(alive).values(revoked=now))
        for table in (t.access_session, t.access_password):
            rows.remove(connection, table, account=identifier)
        rows.remove(connection, t.access_federation, account=identifier)
        rows.remove(connection, t.access_grant, holder=identifier)
        chosen = t.access_account.c.id == identifier
        connection.execute(sa.update(t.access_account).where(chosen).values(disabled=True, issuer="", subject=""))


def set_groups(access: Access, actor: Principal, name: str, groups: Sequence[str], kind: Kind = "user") -> None:
    """Say which groups an account is in. Raises UsageError, PolicyDenied: nobody joins a group, for it has rights."""
    identifier = account_id(name, kind)
    wanted = sorted({group_id(group).partition(":")[2] for group in groups})
    if len(wanted) > _MOST_GROUPS:
        msg = f"an account is in {_MOST_GROUPS} groups at most"
        raise UsageError(msg, where=identifier, code="ACC010", help="grant to fewer groups")
    with access.changing(actor) as connection:
        account = found(connection, identifier)
        if identifier == actor.id and set(wanted) - set(account.groups):
            msg = "nobody puts themselves into a group: it may have rights that they have not"
            raise PolicyDenied(msg, where=identifier, code="ACC003", help="ask another admin")
        own = rows.grants(connection, identifier)
        theirs = rows.grants_of(connection, [f"group:{group}" for group in wanted])
        for grant in theirs:  # what the group may must not clash with what they may themselves
            check_grant(msgspec.structs.replace(grant, holder=identifier), "", (), own)
        access.diary.tell("account", account=identifier, change="groups", groups=list(wanted), **actor.told())
        connection.execute(sa.update(t.access_account).where(t.access_account.c.id == identifier).values(groups=wanted))


def set_password(access: Access, actor: Principal, name: str, password: str) -> None:
    """Give somebody a new password, which ends their sessions. Raises UsageError or PolicyDenied."""
    identifier = account_id(name)
    check_new_password(password, identifier.partition(":")[2])
    hashed = hash_password(password)
    with access.changing(actor) as connection:
        found(connection, identifier)
        access.diary.tell("account", account=identifier, change="password", **actor.told())
        store_password(access, identifier, hashed, connection)


def change_password(access: Access, actor: Principal, old: str, new: str) -> None:
    """Change one's own password, for the old one. Raises UsageError or PolicyDenied."""
    if isinstance(actor, Owner) or not actor.credential.startswith("session:"):
        msg = "a password is changed by whoever logged in with it"
        raise PolicyDenied(msg, code="ACC003", help="log in")
    with access.database.reading() as connection:
        row = connection.execute(sa.select(t.access_password.c.hash).where(t.access_password.c.account == actor.id)).first()
    if not verify_password(old, row.hash if row is not None else None):
        access.diary.deny(actor.id, "refused", credential="password", reason="wrong, to change it")
        msg = "the old password is another one"
        raise PolicyDenied(msg, code="ACC003", help="an admin can set a new one")
    check_new_password(new, actor.id.partition(":")[2])
    hashed = hash_password(new)
    with access.changing(actor, administer=False) as connection:
        access.diary.tell("account", account=actor.id, change="password", **actor.told())
        store_password(access, actor.id, hashed, connection)


def found(connection: Connection, identifier: str) -> Account:
    """Return an account that is in use. Raises UsageError."""
    account = rows.account(connection, identifier)
    if account is None or account.disabled:
        msg = "there is no such account" if account is None else "the account was removed"
        raise UsageError(msg, where=identifier, code="ACC017", help=f"stannary access {identifier.partition(':')[0]} list")
    return account


def _known(account: Account) -> dict[str, str]:
    return {"issuer": account.issuer, "subject": account.subject} if account.issuer else {}
