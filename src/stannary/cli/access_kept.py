"""Where `stannary access` changes accounts: in a workspace, whose owner runs it here, or on a server, over its API."""

from __future__ import annotations

import urllib.parse
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import msgspec

from stannary.access.model import Account, Federation, Grant, Kind, Principal, Scope, Token
from stannary.registry.client import Client
from stannary.report.access import (
    AccountsDocument,
    CheckDocument,
    FederationDocument,
    GrantsDocument,
    IssuedDocument,
    TokensDocument,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stannary.access.access import Access

__all__ = ["Here", "There", "asked"]

_Found = TypeVar("_Found")
_LONGEST_LABEL = 200  # what is longer is cut there, as it is here


@contextmanager
def asked(server: str | None, workspace: str | None) -> Iterator[Here | There]:
    """Return the accounts of the server that is named, or of a workspace. Raises UsageError when both are."""
    from stannary.cli.access import opened
    from stannary.cli.registry_remote import client_of

    if server and client_of(server, workspace):
        from stannary.access.kept_tokens import token_for

        yield There(server, token_for(server))
        return
    with opened(workspace) as (access, owner):
        yield Here(access, owner)


class Here:
    """The accounts of a workspace."""

    def __init__(self, access: Access, actor: Principal) -> None:
        self._access, self._actor = access, actor

    def add(self, name: str, kind: Kind, *, display: str, password: str = "", known_as: tuple[str, str] = ("", "")) -> Account:
        """Make an account."""
        from stannary.access import accounts

        return accounts.add(self._access, self._actor, name, kind, display=display, password=password, known_as=known_as)

    def set_groups(self, account: str, groups: Sequence[str]) -> None:
        """Say which groups a person is in."""
        from stannary.access import accounts

        accounts.set_groups(self._access, self._actor, account, groups)

    def accounts(self, kind: Kind) -> Sequence[Account]:
        """Return the accounts of a kind."""
        from stannary.access import accounts

        return accounts.accounts(self._access, self._actor, kind)

    def disable(self, account: str, kind: Kind) -> None:
        """Disable an account, with all it has."""
        from stannary.access import accounts

        accounts.remove(self._access, self._actor, account, kind)

    def set_password(self, account: str, password: str) -> None:
        """Give a person a new password."""
        from stannary.access import accounts

        accounts.set_password(self._access, self._actor, account, password)

    def issue(self, account: str, *, label: str, scope: Scope, lasts: timedelta) -> IssuedDocument:
        """Make a token."""
        from stannary.access import tokens

        return IssuedDocument.of(tokens.issue(self._access, self._actor, account, label=label, scope=scope, lasts=lasts))

    def tokens(self, account: str) -> Sequence[Token]:
        """Return the tokens of an account, or all of them."""
        from stannary.access import tokens

        return tokens.tokens(self._access, self._actor, account)

    def end_token(self, identifier: str) -> Token:
        """End a token."""
        from stannary.access import tokens

        return tokens.revoke(self._access, self._actor, identifier)

    def grant(self, wanted: Grant) -> bool:
        """Grant a role."""
        from stannary.access import grants

        return grants.grant(self._access, self._actor, wanted)

    def revoke(self, unwanted: Grant) -> None:
        """Take a role away."""
        from stannary.access import grants

        grants.revoke(self._access, self._actor, unwanted)

    def grants(self, holder: str) -> Sequence[Grant]:
        """Return the grants of a holder, or all of them."""
        from stannary.access import grants

        return grants.grants(self._access, self._actor, holder)

    def check(self, about: Grant, action: str) -> CheckDocument:
        """Return whether a holder may do something, and why."""
        from stannary.access import grants

        found = grants.explain(self._access, self._actor, about, action)
        return CheckDocument(principal=about.holder, action=action, on=about.place, allowed=found.allowed, reason=found.reason)

    def federation(self) -> FederationDocument:
        """Return whose tokens are let in, and by whom people log in."""
        from stannary.access import federation

        rules = federation.rules(self._access, self._actor)
        return FederationDocument(rules=tuple(rules), providers=tuple(federation.providers(self._access)))

    def add_rule(self, rule: Federation) -> None:
        """Let tokens of pipelines in."""
        from stannary.access import federation

        federation.add_rule(self._access, self._actor, rule)

    def remove_rule(self, name: str) -> None:
        """Take a rule away."""
        from stannary.access import federation

        federation.remove_rule(self._access, self._actor, name)


class There(Client):
    """The accounts of a server. What is wrong with what one writes is found here already, and is the same error."""

    def add(self, name: str, kind: Kind, *, display: str, password: str = "", known_as: tuple[str, str] = ("", "")) -> Account:
        """Make an account."""
        from stannary.access.model import account_id

        sent = {"name": account_id(name, kind), "kind": kind, "display": display[:_LONGEST_LABEL], "password": password}
        return self._sent("POST", "accounts", sent | {"issuer": known_as[0], "subject": known_as[1]}, Account)

    def set_groups(self, account: str, groups: Sequence[str]) -> None:
        """Say which groups a person is in."""
        from stannary.access.model import account_id, group_id

        named = [group_id(group).partition(":")[2] for group in groups]
        self._sent("PUT", f"accounts/{account_id(account)}/groups", {"groups": named}, None)

    def accounts(self, kind: Kind) -> Sequence[Account]:
        """Return the accounts of a kind."""
        return self._sent("GET", f"accounts?kind={kind}", None, AccountsDocument).accounts

    def disable(self, account: str, kind: Kind) -> None:
        """Disable an account, with all it has."""
        from stannary.access.model import account_id

        self._sent("DELETE", f"accounts/{account_id(account, kind)}", None, None)

    def set_password(self, account: str, password: str) -> None:
        """Give a person a new password."""
        from stannary.access.model import account_id

        self._sent("PUT", f"accounts/{account_id(account)}/password", {"password": password}, None)

    def issue(self, account: str, *, label: str, scope: Scope, lasts: timedelta) -> IssuedDocument:
        """Make a token."""
        from stannary.access.roles import check_scope
        from stannary.access.tokens import check_lasts

        check_scope(scope)
        check_lasts(lasts)
        sent = {"account": account, "label": label[:_LONGEST_LABEL], "hours": lasts // timedelta(hours=1)}
        return self._sent("POST", "tokens", sent | {"actions": scope.actions, "namespaces": scope.namespaces}, IssuedDocument)

    def tokens(self, account: str) -> Sequence[Token]:
        """Return the tokens of an account, or all of them."""
        return self._sent("GET", f"tokens?{_query(account=account or '*')}", None, TokensDocument).tokens

    def end_token(self, identifier: str) -> Token:
        """End a token."""
        return self._sent("DELETE", f"tokens/{urllib.parse.quote(identifier, safe='')}", None, Token)

    def grant(self, wanted: Grant) -> bool:
        """Grant a role."""
        from stannary.access.roles import check_grant

        check_grant(wanted, "", (), ())
        before = wanted in self.grants(wanted.holder)
        self._sent("POST", "grants", {"holder": wanted.holder, "role": wanted.role, "on": wanted.place}, Grant)
        return not before

    def revoke(self, unwanted: Grant) -> None:
        """Take a role away."""
        self._sent("DELETE", f"grants?{_query(holder=unwanted.holder, role=unwanted.role, on=unwanted.place)}", None, None)

    def grants(self, holder: str) -> Sequence[Grant]:
        """Return the grants of a holder, or all of them."""
        return self._sent("GET", f"grants?{_query(holder=holder or '*')}", None, GrantsDocument).grants

    def check(self, about: Grant, action: str) -> CheckDocument:
        """Return whether a holder may do something, and why."""
        return self._sent("GET", f"check?{_query(holder=about.holder, action=action, on=about.place)}", None, CheckDocument)

    def federation(self) -> FederationDocument:
        """Return whose tokens are let in, and by whom people log in."""
        return self._sent("GET", "federation", None, FederationDocument)

    def add_rule(self, rule: Federation) -> None:
        """Let tokens of pipelines in."""
        from stannary.access.federated import check_rule

        check_rule(rule)
        sent = {name: getattr(rule, name) for name in ("name", "issuer", "audience", "account", "claims", "jwks")}
        self._sent("POST", "federation", sent, Federation)

    def remove_rule(self, name: str) -> None:
        """Take a rule away."""
        self._sent("DELETE", f"federation/{urllib.parse.quote(name, safe='')}", None, None)

    def _sent(self, method: str, what: str, sent: Mapping[str, object] | None, type_: type[_Found] | None) -> _Found:
        return self._json(method, f"/access/{what}", type_, msgspec.json.encode(sent) if sent is not None else None)


def _query(**given: str) -> str:
    return urllib.parse.urlencode(given)
