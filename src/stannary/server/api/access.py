"""Who somebody is: accounts, tokens, grants, federation. Rights are asked by `access/` itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec

from stannary.access import accounts, exchange, federation, grants, tokens
from stannary.access.access import Access
from stannary.access.model import Account, Federation, Grant, Kind, Provider, Scope, Token, account_id
from stannary.core.errors import PolicyDenied, UsageError
from stannary.report.access import (
    AccountsDocument,
    CheckDocument,
    FederationDocument,
    GrantsDocument,
    IssuedDocument,
    Me,
    TokensDocument,
)
from stannary.server.operations import Call, Operation, Parameter, Reply
from stannary.server.problems import Refused

__all__ = ["OPERATIONS"]

_Short = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Long = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
_Password = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class _Sent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is sent has no other fields."""


class NewAccount(_Sent, frozen=True, kw_only=True):
    """An account. A person may have a password, or be known to an identity provider by issuer and subject."""

    name: _Short
    kind: Kind = "user"
    display: Annotated[str, msgspec.Meta(max_length=200)] = ""
    password: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    issuer: Annotated[str, msgspec.Meta(max_length=500)] = ""
    subject: Annotated[str, msgspec.Meta(max_length=500)] = ""


class Groups(_Sent, frozen=True, kw_only=True):
    """The groups of an account, all of them."""

    groups: Annotated[tuple[_Short, ...], msgspec.Meta(max_length=50)]


class NewPassword(_Sent, frozen=True, kw_only=True):
    """A password; `old` is the one before, for one's own."""

    password: _Password
    old: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class NewToken(_Sent, frozen=True, kw_only=True):
    """A token for an account, one's own when none is named; for how many hours, and for which actions and namespaces."""

    account: Annotated[str, msgspec.Meta(max_length=80)] = ""
    label: Annotated[str, msgspec.Meta(max_length=200)] = ""
    hours: Annotated[int, msgspec.Meta(ge=1, le=8784)] = 2160
    actions: Annotated[tuple[_Short, ...], msgspec.Meta(min_length=1, max_length=50)] = ("*",)
    namespaces: Annotated[tuple[_Short, ...], msgspec.Meta(min_length=1, max_length=100)] = ("*",)


class NewGrant(_Sent, frozen=True, kw_only=True):
    """A role for `ann`, `service:ci` or `group:ml`, on `*`, `NAMESPACE/*` or `NAMESPACE/MODEL`."""

    holder: _Short
    role: _Short
    on: _Short = "*"


class NewRule(_Sent, frozen=True, kw_only=True):
    """Tokens of an issuer with these claims are a service account's."""

    name: _Short
    issuer: _Long
    audience: _Short
    account: _Short
    claims: dict[_Short, _Long]
    jwks: Annotated[str, msgspec.Meta(max_length=1 << 16)] = ""


class IdentityToken(_Sent, frozen=True, kw_only=True):
    """An identity token of a provider by which people log in."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=1 << 15)]


class PublicProvider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider by which people log in."""

    issuer: str
    client: str
    scopes: str


class Providers(msgspec.Struct, frozen=True, kw_only=True):
    """The providers by which people log in."""

    providers: tuple[PublicProvider, ...]


def _access(call: Call) -> Access:
    found = call.place.access
    if found is None:
        msg = "accounts are not kept here"
        raise UsageError(msg, code="API004", help="stannary serve")
    return found


def _me(call: Call) -> Me:
    _access(call)
    return Me.of(call.principal)


def _accounts(call: Call) -> AccountsDocument:
    return AccountsDocument(accounts=tuple(accounts.accounts(_access(call), call.principal, call.query["kind"])))


def _add(call: Call) -> Reply:
    sent: NewAccount = call.body
    made: Account = accounts.add(
        _access(call), call.principal, sent.name, sent.kind, display=sent.display, password=sent.password,
        known_as=(sent.issuer, sent.subject),
    )  # fmt: skip
    return Reply(body=made, status=201, headers={"location": f"/api/v1/access/accounts/{made.id}"})


def _named(call: Call) -> tuple[str, Kind]:
    name = call.path["account"]
    kind: Kind = "service" if name.startswith("service:") else "user"
    return account_id(name, kind), kind


def _remove(call: Call) -> None:
    accounts.remove(_access(call), call.principal, *_named(call))


def _groups(call: Call) -> None:
    name, kind = _named(call)
    accounts.set_groups(_access(call), call.principal, name, call.body.groups, kind)


def _password(call: Call) -> None:
    name, _ = _named(call)
    if name == call.principal.id:
        accounts.change_password(_access(call), call.principal, call.body.old, call.body.password)
    else:
        accounts.set_password(_access(call), call.principal, name, call.body.password)


def _tokens(call: Call) -> TokensDocument:
    whose = call.query["account"] or call.principal.id
    found = tokens.tokens(_access(call), call.principal, "" if whose == "*" else whose)
    return TokensDocument(tokens=tuple(found))


def _issue(call: Call) -> Reply:
    sent: NewToken = call.body
    scope, lasts = Scope(sent.actions, sent.namespaces), timedelta(hours=sent.hours)
    issued = tokens.issue(
        _access(call), call.principal, sent.account or call.principal.id, label=sent.label, scope=scope, lasts=lasts
    )
    return Reply(body=IssuedDocument.of(issued), status=201)


def _revoke(call: Call) -> Token:
    return tokens.revoke(_access(call), call.principal, call.path["token"])


def _grants(call: Call) -> GrantsDocument:
    holder = call.query["holder"] or call.principal.id
    found = grants.grants(_access(call), call.principal, "" if holder == "*" else holder)
    return GrantsDocument(grants=tuple(found))


def _grant(call: Call) -> Reply:
    wanted = grants.read_grant(call.body.holder, call.body.role, call.body.on)
    made = grants.grant(_access(call), call.principal, wanted)
    return Reply(body=wanted, status=201 if made else 200)


def _ungrant(call: Call) -> None:
    grants.revoke(_access(call), call.principal, grants.read_grant(call.query["holder"], call.query["role"], call.query["on"]))


def _check(call: Call) -> CheckDocument:
    asked = grants.read_grant(call.query["holder"] or call.principal.id, "viewer", call.query["on"])
    verdict = grants.explain(_access(call), call.principal, asked, call.query["action"])
    return CheckDocument(
        principal=asked.holder, action=call.query["action"], on=asked.place, allowed=verdict.allowed, reason=verdict.reason
    )


def _federation(call: Call) -> FederationDocument:
    access = _access(call)
    return FederationDocument(rules=tuple(federation.rules(access, call.principal)), providers=tuple(federation.providers(access)))


def _rule(call: Call) -> Reply:
    made = federation.add_rule(_access(call), call.principal, Federation(**msgspec.structs.asdict(call.body)))
    return Reply(body=made, status=201)


def _unrule(call: Call) -> None:
    federation.remove_rule(_access(call), call.principal, call.path["rule"])


def _providers(call: Call) -> Providers:
    def shown(item: Provider) -> PublicProvider:
        return PublicProvider(issuer=item.issuer, client=item.client, scopes=item.scopes)

    return Providers(providers=tuple(shown(item) for item in federation.providers(_access(call))))


def _exchange(call: Call) -> Reply:
    try:
        issued = exchange.exchange(_access(call), call.body.token)
    except PolicyDenied as error:
        raise Refused(401, "Not authenticated", "the token is of nobody who is known here", code="ACC001") from error
    return Reply(body=IssuedDocument.of(issued), status=201)


_ACCOUNT = "/access/accounts/{account}"
_ERRORS = (404, 409)


def _row(id_: str, what: str, run: object, summary: str, **more: object) -> Operation:
    method, path = what.split()
    more.setdefault("errors", _ERRORS)
    return Operation(id=id_, method=method, path=path, run=run, tag="access", summary=summary, **more)  # type: ignore[arg-type]


OPERATIONS: tuple[Operation, ...] = (
    _row("me", "GET /access/me", _me, "Who you are here, and with which rights.", reply=Me, quick=True, errors=(404,)),
    _row(
        "listAccounts", "GET /access/accounts", _accounts, "Accounts of people and services.", reply=AccountsDocument,
        query=(Parameter("kind", str, "`user` or `service`.", ""),),
    ),
    _row(
        "addAccount", "POST /access/accounts", _add, "Make an account, without any right.", body=NewAccount, reply=Account,
        status=201, kept=False,
    ),
    _row("removeAccount", f"DELETE {_ACCOUNT}", _remove, "Disable an account, with all it has.", status=204),
    _row("setGroups", f"PUT {_ACCOUNT}/groups", _groups, "Say which groups it is in.", body=Groups, status=204),
    _row(
        "setPassword", f"PUT {_ACCOUNT}/password", _password, "Give a new password; one's own for the old one.", body=NewPassword,
        status=204,
    ),
    _row(
        "listTokens", "GET /access/tokens", _tokens, "One's own tokens, or somebody's.", reply=TokensDocument,
        query=(Parameter("account", str, "Whose; `*` for all.", ""),),
    ),
    _row(
        "issueToken", "POST /access/tokens", _issue, "Make a token; it is shown this once.", body=NewToken, reply=IssuedDocument,
        status=201, kept=False,
    ),
    _row("revokeToken", "DELETE /access/tokens/{token}", _revoke, "End a token.", reply=Token),
    _row(
        "listGrants", "GET /access/grants", _grants, "One's own grants, or somebody's.", reply=GrantsDocument,
        query=(Parameter("holder", str, "Whose; `*` for all.", ""),),
    ),
    _row("grant", "POST /access/grants", _grant, "Grant a role.", body=NewGrant, reply=Grant, status=201),
    _row(
        "revokeGrant", "DELETE /access/grants", _ungrant, "Take a role away.", status=204,
        query=(
            Parameter("holder", str, "Who has it.", ""), Parameter("role", str, "Which.", ""), Parameter("on", str, "Where.", "*"),
        ),
    ),
    _row(
        "checkAccess", "GET /access/check", _check, "Whether somebody may do something, and why.", reply=CheckDocument,
        query=(
            Parameter("holder", str, "Who; oneself when it is left out.", ""), Parameter("action", str, "Which action.", "read"),
            Parameter("on", str, "Where: `NAMESPACE/MODEL`, or `*`.", "*"),
        ),
    ),
    _row("listFederation", "GET /access/federation", _federation, "Whose tokens are let in.", reply=FederationDocument),
    _row(
        "addRule", "POST /access/federation", _rule, "Let tokens of pipelines in as a service account.", body=NewRule,
        reply=Federation, status=201,
    ),
    _row("removeRule", "DELETE /access/federation/{rule}", _unrule, "Take a rule away.", status=204),
    _row("listProviders", "GET /access/providers", _providers, "By whom people log in.", reply=Providers, open=True),
    _row(
        "exchange", "POST /access/exchange", _exchange, "A token for an identity token of such a provider.", body=IdentityToken,
        reply=IssuedDocument, status=201, open=True, errors=(401, 404),
    ),
)  # fmt: skip
