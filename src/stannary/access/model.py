"""What access is about: accounts, grants, tokens, rules; and the forms of their names."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal, NoReturn

import msgspec

from stannary.core.errors import PolicyDenied, UsageError
from stannary.core.model import Json

__all__ = [
    "ANY",
    "NO_CREDENTIALS",
    "Account",
    "Federation",
    "Grant",
    "Kind",
    "Owner",
    "Principal",
    "Provider",
    "Scope",
    "Token",
    "account_id",
    "group_id",
    "no_credentials",
    "read_time",
    "stamp",
]

ANY = "*"
NO_CREDENTIALS = "ACC001"
Kind = Literal["user", "service"]
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


class Scope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a credential is good for, of what its account may do: actions and namespaces, `*` for all."""

    actions: tuple[str, ...] = (ANY,)
    namespaces: tuple[str, ...] = (ANY,)

    def covers(self, other: Scope) -> bool:
        """Tell whether everything that the other one is good for, this one is."""
        return all(
            ANY in mine or (ANY not in theirs and set(theirs) <= set(mine))
            for mine, theirs in ((self.actions, other.actions), (self.namespaces, other.namespaces))
        )


class Grant(msgspec.Struct, frozen=True, order=True):
    """A role that somebody has: `holder` is `user:ann`, `service:ci` or `group:ml`; where: a namespace and a model, `*` for all."""

    holder: str
    role: str
    namespace: str = ANY
    model: str = ANY

    @property
    def place(self) -> str:
        """Return where it holds, as people write it."""
        return ANY if (self.namespace, self.model) == (ANY, ANY) else f"{self.namespace}/{self.model}"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody, or something that runs. `issuer` and `subject` say as whom an identity provider knows a person."""

    id: str
    kind: Kind
    display: str = ""
    groups: tuple[str, ...] = ()
    issuer: str = ""
    subject: str = ""
    disabled: bool = False
    created: str = ""
    actor: str = ""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token: everything but the token."""

    id: str
    account: str
    label: str
    scope: Scope
    created: str
    expires: str
    used: str = ""
    revoked: str = ""
    actor: str = ""


class Federation(msgspec.Struct, frozen=True, kw_only=True):
    """A rule: tokens of an issuer, for an audience, with these claims, are a service account's. Patterns have `*` for any text."""

    name: str
    issuer: str
    audience: str
    account: str
    claims: dict[str, str]
    jwks: str = ""  # the issuer's keys, when they are not to be fetched
    actor: str = ""
    created: str = ""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An identity provider by which people log in. `secret` is `env:NAME` or `file:PATH`: the secret is not stored."""

    issuer: str
    client: str
    secret: str = ""
    scopes: str = "openid email"
    jwks: str = ""
    actor: str = ""
    created: str = ""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, with the rights they had when they were let in.

    Args:
        id: the name that stands in the ledger.
        grants: their own, and those of their groups.
        scope: what the credential they came with is good for.
        credential: its public name: `token:…`, `session:…`, `federation:NAME`.
        expires: when that ends, in seconds since the epoch.
    """

    id: str
    groups: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()
    scope: Scope = Scope()
    credential: str = ""
    expires: float | None = None

    def told(self) -> dict[str, Json]:
        """Return who it is for an entry of the ledger."""
        return {"actor": self.id, "credential": self.credential}


class Owner(Principal, frozen=True, kw_only=True):
    """Whoever has the keys of the workspace: it is theirs, and they may everything. Nobody becomes one over a network."""


def account_id(name: str, kind: Kind = "user") -> str:
    """Return the id of an account: `user:ann` of `ann` or `user:ann`. Raises UsageError."""
    bare = name.removeprefix(f"{kind}:")
    if not _NAME.fullmatch(bare):
        msg = f"is no name of an account: {name[:80]!r}"
        raise UsageError(msg, code="ACC010", help="small letters, digits, and . _ - within; 64 at most")
    return f"{kind}:{bare}"


def group_id(name: str) -> str:
    """Return the id of a group, `group:ml`. Raises UsageError."""
    bare = name.removeprefix("group:")
    if not _NAME.fullmatch(bare):
        msg = f"is no name of a group: {name[:80]!r}"
        raise UsageError(msg, code="ACC010", help="small letters, digits, and . _ - within; 64 at most")
    return f"group:{bare}"


def no_credentials(why: str = "there are no credentials, or none that hold") -> NoReturn:
    """Let nobody in. What was shown is never said."""
    raise PolicyDenied(why, code=NO_CREDENTIALS, help="stannary access token issue")


def stamp(time: datetime) -> str:
    """Return a time as tables have it: RFC 3339 in UTC, of one length, so that texts sort as times do."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_time(text: str) -> datetime:
    """Return the time that a table has."""
    return datetime.fromisoformat(text)
