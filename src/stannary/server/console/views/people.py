"""Who is let in: one's own account, for admins everybody's. What is changed here asks `access/` for the right, as the API does."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from stannary.access import accounts, federation, grants, tokens
from stannary.access.access import Access
from stannary.access.model import Account, Federation, Grant, Kind, Scope, Token, account_id
from stannary.access.roles import ACTIONS, ROLES
from stannary.core.errors import UsageError
from stannary.server.console.page import Go, Page, Shown
from stannary.server.operations import Call

__all__ = ["PAGES"]

_ACCOUNT = "/people/{account}"
_LONGEST = timedelta(days=366)


class PeoplePage(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody: accounts, tokens (never the token itself), grants, and whose tokens are let in without an account's own."""

    schema: str = "stannary.console.people/1"
    accounts: tuple[Account, ...]
    tokens: tuple[Token, ...]
    grants: tuple[Grant, ...]
    rules: tuple[Federation, ...]
    issuers: tuple[str, ...]


class PersonPage(msgspec.Struct, frozen=True, kw_only=True):
    """One account with its rights and tokens. `own`: it is the caller's; `manage`: an admin is looking."""

    schema: str = "stannary.console.account/1"
    id: str
    account: Account | None
    tokens: tuple[Token, ...]
    grants: tuple[Grant, ...]
    own: bool
    manage: bool
    issue: bool
    roles: tuple[str, ...] = tuple(ROLES)
    actions: dict[str, str] = msgspec.field(default_factory=lambda: dict(ACTIONS))


class TokenPage(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was just made. It is shown this once."""

    schema: str = "stannary.console.token/1"
    secret: str
    token: Token
    back: str


def _access(call: Call) -> Access:
    found = call.place.access
    if found is None:
        msg = "accounts are not kept here"
        raise UsageError(msg, code="API004", help="stannary serve")
    return found


def _account(call: Call) -> Shown:
    access, me = _access(call), call.principal
    data = PersonPage(
        id=me.id, account=None, tokens=tuple(tokens.tokens(access, me, me.id)), grants=tuple(grants.grants(access, me, me.id)),
        own=True, manage=False, issue=True,
    )  # fmt: skip
    return Shown(template="person.html", title=me.id, data=data)


def _people(call: Call) -> Shown:
    access, me = _access(call), call.principal
    data = PeoplePage(
        accounts=tuple(accounts.accounts(access, me, "")), tokens=tuple(tokens.tokens(access, me, "")),
        grants=tuple(grants.grants(access, me, "")), rules=tuple(federation.rules(access, me)),
        issuers=tuple(item.issuer for item in federation.providers(access)),
    )  # fmt: skip
    return Shown(template="people.html", title="People and services", data=data)


def _person(call: Call) -> Shown:
    access, me, (name, _) = _access(call), call.principal, _named(call)
    found = next((item for item in accounts.accounts(access, me, "") if item.id == name), None)
    if found is None:
        msg = "there is no such account"
        raise UsageError(msg, where=name, code="ACC017", help="the page of people lists them")
    data = PersonPage(
        id=name, account=found, tokens=tuple(tokens.tokens(access, me, name)), grants=tuple(grants.grants(access, me, name)),
        own=name == me.id, manage=not found.disabled, issue=not found.disabled and (found.kind == "service" or name == me.id),
    )  # fmt: skip
    return Shown(template="person.html", title=name, data=data)


def _named(call: Call) -> tuple[str, Kind]:
    name = call.path["account"]
    kind: Kind = "service" if name.startswith("service:") else "user"
    return account_id(name, kind), kind


def _add(call: Call) -> Go:
    sent: dict[str, str] = call.body
    kind: Kind = "service" if sent.get("kind") == "service" else "user"
    made = accounts.add(
        _access(call), call.principal, sent.get("name", "").strip(), kind, display=sent.get("display", "").strip(),
        password=sent.get("password", ""), known_as=(sent.get("issuer", "").strip(), sent.get("subject", "").strip()),
    )  # fmt: skip
    return _to(made.id)


def _remove(call: Call) -> Go:
    name, kind = _named(call)
    accounts.remove(_access(call), call.principal, name, kind)
    return Go("/people")


def _groups(call: Call) -> Go:
    name, kind = _named(call)
    accounts.set_groups(_access(call), call.principal, name, call.body.get("groups", "").split(), kind)
    return _to(name)


def _set_password(call: Call) -> Go:
    name, _ = _named(call)
    accounts.set_password(_access(call), call.principal, name, call.body.get("password", ""))
    return _to(name)


def _password(call: Call) -> Go:
    accounts.change_password(_access(call), call.principal, call.body.get("old", ""), call.body.get("password", ""))
    return Go("/login")


def _grant(call: Call) -> Go:
    name, _ = _named(call)
    wanted = grants.read_grant(name, call.body.get("role", ""), call.body.get("on", "").strip() or "*")
    grants.grant(_access(call), call.principal, wanted)
    return _to(name)


def _ungrant(call: Call) -> Go:
    holder = call.body.get("holder", "")
    grants.revoke(_access(call), call.principal, grants.read_grant(holder, call.body.get("role", ""), call.body.get("on", "*")))
    return Go("/people") if call.body.get("back") == "people" else _to(holder)


def _issue(call: Call) -> Shown:
    return _issued(call, call.principal.id, "/account")


def _issue_for(call: Call) -> Shown:
    name, _ = _named(call)
    return _issued(call, name, _to(name).where)


def _issued(call: Call, name: str, back: str) -> Shown:
    sent: dict[str, str] = call.body
    days = sent.get("days", "90")
    if not (days.isascii() and days.isdigit() and 0 < int(days[:6]) <= _LONGEST.days):
        msg = f"is no number of days: {days[:20]!r}"
        raise UsageError(msg, where="days", code="API002", help=f"from 1 to {_LONGEST.days}")
    chosen = tuple(action for action in ACTIONS if sent.get(f"action-{action}") == "yes")
    scope = Scope(chosen or ("*",), tuple(sent.get("namespaces", "").split()) or ("*",))
    made = tokens.issue(
        _access(call), call.principal, name, label=sent.get("label", "").strip(), scope=scope, lasts=timedelta(days=int(days))
    )
    data = TokenPage(secret=str(made.secret), token=made.token, back=back)
    return Shown(template="token.html", title=f"A token for {name}", data=data)


def _revoke(call: Call) -> Go:
    ended = tokens.revoke(_access(call), call.principal, call.body.get("token", ""))
    back = call.body.get("back", "")
    return Go("/people") if back == "people" else _to(ended.account) if back == "person" else Go("/account")


def _to(name: str) -> Go:
    return Go(f"/people/{name}/rights")


PAGES = (
    Page(id="account", path="/account", run=_account),
    Page(id="people", path="/people", run=_people),
    Page(id="person", path=f"{_ACCOUNT}/rights", run=_person),
    Page(id="do.people", path="/people", run=_add, method="POST"),
    Page(id="do.remove", path=f"{_ACCOUNT}/remove", run=_remove, method="POST"),
    Page(id="do.groups", path=f"{_ACCOUNT}/groups", run=_groups, method="POST"),
    Page(id="do.set-password", path=f"{_ACCOUNT}/password", run=_set_password, method="POST"),
    Page(id="do.grant", path=f"{_ACCOUNT}/grant", run=_grant, method="POST"),
    Page(id="do.ungrant", path="/people/ungrant", run=_ungrant, method="POST"),
    Page(id="do.tokens", path=f"{_ACCOUNT}/tokens", run=_issue_for, method="POST"),
    Page(id="do.token", path="/account/tokens", run=_issue, method="POST"),
    Page(id="do.password", path="/account/password", run=_password, method="POST"),
    Page(id="do.revoke", path="/account/revoke", run=_revoke, method="POST"),
)
