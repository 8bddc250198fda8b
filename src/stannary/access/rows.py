"""The tables of access, read and written: SQL, and nothing decided."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stannary.access.model import Account, Federation, Grant, Provider, Scope, Token
from stannary.store import tables as t

__all__ = [
    "account",
    "account_of_subject",
    "accounts",
    "federations",
    "grants",
    "grants_of",
    "providers",
    "put",
    "remove",
    "session",
    "token_by",
    "tokens",
]


def account(connection: Connection, identifier: str) -> Account | None:
    """Return an account."""
    row = connection.execute(sa.select(t.access_account).where(t.access_account.c.id == identifier)).first()
    return _account(row) if row is not None else None


def account_of_subject(connection: Connection, issuer: str, subject: str) -> Account | None:
    """Return whose account it is that an identity provider knows by a subject. Two of them are nobody's."""
    c = t.access_account.c
    found = connection.execute(sa.select(t.access_account).where(c.issuer == issuer, c.subject == subject, c.kind == "user")).all()
    return _account(found[0]) if len(found) == 1 else None


def accounts(connection: Connection, kind: str = "") -> list[Account]:
    """Return all accounts, or those of people or services, by name."""
    query = sa.select(t.access_account).order_by(t.access_account.c.id)
    return [_account(row) for row in connection.execute(query.where(t.access_account.c.kind == kind) if kind else query)]


def grants(connection: Connection, holder: str = "") -> list[Grant]:
    """Return all grants, or somebody's own."""
    query = sa.select(t.access_grant)
    found = connection.execute(query.where(t.access_grant.c.holder == holder) if holder else query)
    return sorted(Grant(row.holder, row.role, row.namespace, row.model) for row in found)


def grants_of(connection: Connection, holders: Iterable[str]) -> tuple[Grant, ...]:
    """Return the grants of any of the holders."""
    found = connection.execute(sa.select(t.access_grant).where(t.access_grant.c.holder.in_(list(holders))))
    return tuple(sorted(Grant(row.holder, row.role, row.namespace, row.model) for row in found))


def token_by(connection: Connection, **columns: str) -> tuple[Token, str] | None:
    """Return a token by its id or hash, and the hash that is stored."""
    chosen = [t.access_token.c[name] == value for name, value in columns.items()]
    row = connection.execute(sa.select(t.access_token).where(*chosen)).first()
    return (_token(row), str(row.hash)) if row is not None else None


def tokens(connection: Connection, holder: str = "") -> list[Token]:
    """Return all tokens, or those of an account, the newest first."""
    query = sa.select(t.access_token).order_by(t.access_token.c.created.desc(), t.access_token.c.id)
    return [_token(row) for row in connection.execute(query.where(t.access_token.c.account == holder) if holder else query)]


def session(connection: Connection, hashed: str) -> Any:  # noqa: ANN401 - a row
    """Return the row of a session."""
    return connection.execute(sa.select(t.access_session).where(t.access_session.c.hash == hashed)).first()


def federations(connection: Connection, issuer: str = "") -> list[Federation]:
    """Return the rules, or those for an issuer, by name."""
    query = sa.select(t.access_federation).order_by(t.access_federation.c.name)
    found = connection.execute(query.where(t.access_federation.c.issuer == issuer) if issuer else query)
    return [Federation(**row._asdict()) for row in found]


def providers(connection: Connection) -> list[Provider]:
    """Return the identity providers of people."""
    found = connection.execute(sa.select(t.access_provider).order_by(t.access_provider.c.issuer))
    return [Provider(**row._asdict()) for row in found]


def put(connection: Connection, table: sa.Table, **values: Any) -> None:  # noqa: ANN401 - of the columns' types
    """Write a row, over the one with the same key."""
    key = [column == values[column.name] for column in table.primary_key.columns]
    if not connection.execute(sa.update(table).where(*key).values(**values)).rowcount:
        connection.execute(sa.insert(table).values(**values))


def remove(connection: Connection, table: sa.Table, **columns: str) -> int:
    """Delete the rows in which the columns have these values; return how many there were."""
    return int(connection.execute(sa.delete(table).where(*(table.c[name] == value for name, value in columns.items()))).rowcount)


def _account(row: Any) -> Account:  # noqa: ANN401 - a row
    return Account(**{**row._asdict(), "groups": tuple(row.groups)})


def _token(row: Any) -> Token:  # noqa: ANN401 - a row
    values = {name: value for name, value in row._asdict().items() if name != "hash"}
    return Token(**{**values, "scope": msgspec.convert(row.scope, Scope)})
