"""What access answers, as JSON documents and as text. A secret stands in one of them alone: the token that was just made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from stannary.access.model import ANY, Account, Federation, Grant, Principal, Provider, Scope, Token
from stannary.access.roles import ACTIONS, ROLES
from stannary.access.tokens import Issued
from stannary.report.escape import inline

__all__ = [
    "AccountsDocument",
    "CheckDocument",
    "FederationDocument",
    "GrantsDocument",
    "IssuedDocument",
    "Me",
    "RolesDocument",
    "TokensDocument",
    "account_lines",
    "federation_lines",
    "grant_lines",
    "token_lines",
]


def _roles() -> dict[str, tuple[str, ...]]:
    return {role: tuple(action for action in ACTIONS if action in has) for role, has in ROLES.items()}


class AccountsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts, by name."""

    schema: str = "stannary.accounts/1"
    accounts: tuple[Account, ...]


class TokensDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens, the newest first: what is known of them."""

    schema: str = "stannary.tokens/1"
    tokens: tuple[Token, ...]


class IssuedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was just made. `secret` is shown this once."""

    schema: str = "stannary.issued/1"
    secret: str
    token: Token

    @classmethod
    def of(cls, issued: Issued) -> IssuedDocument:
        """Return the document of a new token."""
        return cls(secret=str(issued.secret), token=issued.token)


class GrantsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Who has which role where."""

    grants: tuple[Grant, ...]


class RolesDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The roles there are and the actions they have; what an action lets one do; and grants."""

    schema: str = "stannary.roles/1"
    roles: dict[str, tuple[str, ...]] = msgspec.field(default_factory=_roles)
    actions: dict[str, str] = msgspec.field(default_factory=ACTIONS.copy)
    grants: tuple[Grant, ...] = ()


class FederationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens are let in as service accounts, and by whom people log in."""

    schema: str = "stannary.federation/1"
    rules: tuple[Federation, ...]
    providers: tuple[Provider, ...] = ()


class CheckDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Whether somebody may do something, and why."""

    schema: str = "stannary.check/1"
    principal: str
    action: str
    on: str
    allowed: bool
    reason: str


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who the server takes the caller for, and with which rights."""

    principal: str
    credential: str
    groups: tuple[str, ...]
    grants: tuple[Grant, ...]
    scope: Scope
    expires: float | None

    @classmethod
    def of(cls, principal: Principal) -> Me:
        """Return the document of a caller."""
        return cls(
            principal=principal.id, credential=principal.credential, groups=principal.groups, grants=principal.grants,
            scope=principal.scope, expires=principal.expires,
        )  # fmt: skip


def account_lines(accounts: Iterable[Account]) -> Iterator[str]:
    """Yield a line an account."""
    for item in accounts:
        more = [
            ", ".join(item.groups),
            f"{item.subject} at {item.issuer}" if item.issuer else "",
            "removed" if item.disabled else "",
        ]
        yield "  ".join([f"{item.id:<32}", *(inline(text) for text in (item.display, *more) if text)]).rstrip()


def token_lines(tokens: Iterable[Token]) -> Iterator[str]:
    """Yield a line a token."""
    for item in tokens:
        state = f"revoked {item.revoked[:10]}" if item.revoked else f"until {item.expires[:10]}"
        used = f"used {item.used[:16]}" if item.used else "never used"
        yield f"{item.id}  {item.account:<24}  {state}  {used}  {_scope(item.scope)}  {inline(item.label)}".rstrip()


def grant_lines(grants: Iterable[Grant]) -> Iterator[str]:
    """Yield a line a grant."""
    for item in grants:
        yield f"{item.holder:<32}  {item.role:<12}  {item.place}"


def federation_lines(rules: Iterable[Federation], providers: Iterable[Provider]) -> Iterator[str]:
    """Yield a line a rule and a provider."""
    for rule in rules:
        claims = " ".join(f"{name}={inline(pattern)}" for name, pattern in rule.claims.items())
        yield f"{rule.name}  {inline(rule.issuer)} for {inline(rule.audience)}  {claims}  is {rule.account}"
    for item in providers:
        yield f"people  {inline(item.issuer)}  client {inline(item.client)}"


def _scope(scope: Scope) -> str:
    actions = "everything" if ANY in scope.actions else ",".join(scope.actions)
    return actions if ANY in scope.namespaces else f"{actions} in {','.join(scope.namespaces)}"
