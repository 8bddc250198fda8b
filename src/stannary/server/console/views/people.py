"""Who is let in: one's own account, for admins everybody's; tokens are ended here. And the policies that are shipped."""

from __future__ import annotations

import msgspec

from stannary.access import accounts, grants, tokens
from stannary.access.access import Access
from stannary.access.model import Account, Grant, Token
from stannary.core.errors import UsageError
from stannary.policy.library import SHIPPED, shipped_text
from stannary.server.console.page import Go, Page, Shown
from stannary.server.operations import Call

__all__ = ["PAGES"]


class PeoplePage(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts, tokens (never the token itself) and grants. `everybody`: not one's own alone."""

    schema: str = "stannary.console.people/1"
    everybody: bool
    accounts: tuple[Account, ...]
    tokens: tuple[Token, ...]
    grants: tuple[Grant, ...]


class PoliciesPage(msgspec.Struct, frozen=True, kw_only=True):
    """The policies that are shipped, as they are written."""

    schema: str = "stannary.console.policies/1"
    shipped: dict[str, str]


def _access(call: Call) -> Access:
    found = call.place.access
    if found is None:
        msg = "accounts are not kept here"
        raise UsageError(msg, code="API004", help="stannary serve")
    return found


def _account(call: Call) -> Shown:
    access, me = _access(call), call.principal
    data = PeoplePage(
        everybody=False, accounts=(), tokens=tuple(tokens.tokens(access, me, me.id)), grants=tuple(grants.grants(access, me, me.id))
    )
    return Shown(template="people.html", title=me.id, data=data)


def _people(call: Call) -> Shown:
    access, me = _access(call), call.principal
    data = PeoplePage(
        everybody=True, accounts=tuple(accounts.accounts(access, me, "")), tokens=tuple(tokens.tokens(access, me, "")),
        grants=tuple(grants.grants(access, me, "")),
    )  # fmt: skip
    return Shown(template="people.html", title="People and services", data=data)


def _revoke(call: Call) -> Go:
    tokens.revoke(_access(call), call.principal, call.body.get("token", ""))
    return Go("/people" if call.body.get("back") == "people" else "/account")


def _policies(_: Call) -> Shown:
    return Shown(
        template="policies.html", title="Policies", data=PoliciesPage(shipped={name: shipped_text(name) for name in SHIPPED})
    )


PAGES = (
    Page(id="account", path="/account", run=_account),
    Page(id="people", path="/people", run=_people),
    Page(id="do.revoke", path="/account/revoke", run=_revoke, method="POST"),
    Page(id="policies", path="/policies", run=_policies),
)
