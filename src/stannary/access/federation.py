"""Rules for tokens of pipelines, and the identity providers by which people log in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from stannary.access import rows
from stannary.access.accounts import found
from stannary.access.federated import check_rule
from stannary.access.model import Federation, Principal, Provider, stamp
from stannary.core.errors import UsageError
from stannary.store import tables as t

if TYPE_CHECKING:
    from stannary.access.access import Access

__all__ = ["add_provider", "add_rule", "providers", "remove_provider", "remove_rule", "rules"]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_SECRET = re.compile(r"(?:env:[A-Za-z_][A-Za-z0-9_]*|file:.+)?")


def add_rule(access: Access, actor: Principal, rule: Federation) -> Federation:
    """Let tokens of an issuer in as a service account. Raises UsageError, PolicyDenied, InputError for keys that are none."""
    from stannary.crypto.jws import read_keys

    if not _NAME.fullmatch(rule.name):
        msg = f"is no name of a rule: {rule.name[:80]!r}"
        raise UsageError(msg, code="ACC010", help="small letters, digits, and . _ - within; 64 at most")
    if not rule.account.startswith("service:"):
        msg = "a pipeline is a service, and no person"
        raise UsageError(msg, where=rule.account, code="ACC014", help="stannary access service add NAME")
    check_rule(rule)
    if rule.jwks:
        read_keys(rule.jwks.encode(), rule.issuer)
    made = msgspec.structs.replace(rule, actor=actor.id, created=stamp(access.clock()))
    with access.changing(actor) as connection:
        found(connection, rule.account)
        if any(other.name == rule.name for other in rows.federations(connection)):
            msg = "there is a rule of that name"
            raise UsageError(msg, where=rule.name, code="ACC016", help="stannary access federate remove, or another name")
        told = {"rule": rule.name, "issuer": rule.issuer, "audience": rule.audience, "account": rule.account}
        access.diary.tell("federation", change="added", claims=dict(rule.claims), **told, **actor.told())
        rows.put(connection, t.access_federation, **msgspec.structs.asdict(made))
    return made


def rules(access: Access, actor: Principal) -> list[Federation]:
    """Return the rules there are. Raises PolicyDenied."""
    access.check(actor, "administer", told=False)
    with access.database.reading() as connection:
        return rows.federations(connection)


def remove_rule(access: Access, actor: Principal, name: str) -> None:
    """Take a rule away. Raises UsageError or PolicyDenied."""
    with access.changing(actor) as connection:
        if name not in {rule.name for rule in rows.federations(connection)}:
            msg = "there is no such rule"
            raise UsageError(msg, where=name[:80], code="ACC020", help="stannary access federate list")
        access.diary.tell("federation", change="removed", rule=name, **actor.told())
        rows.remove(connection, t.access_federation, name=name)


def add_provider(access: Access, actor: Principal, provider: Provider) -> Provider:
    """Let people log in by an identity provider, over the one with the same issuer. Raises UsageError or PolicyDenied."""
    from stannary.crypto.discovery import check_address
    from stannary.crypto.jws import read_keys

    check_address(provider.issuer)
    if not provider.client or not _SECRET.fullmatch(provider.secret):
        msg = "the client's id is missing" if not provider.client else "a secret is not stored here: say where it is"
        raise UsageError(msg, where=provider.issuer, code="ACC021", help="--client ID, and --secret env:NAME or file:PATH")
    if "openid" not in provider.scopes.split():
        msg = "without the scope `openid` no provider says who somebody is"
        raise UsageError(msg, where=provider.issuer, code="ACC021", help='--scopes "openid email"')
    if provider.jwks:
        read_keys(provider.jwks.encode(), provider.issuer)
    made = msgspec.structs.replace(provider, actor=actor.id, created=stamp(access.clock()))
    with access.changing(actor) as connection:
        access.diary.tell("provider", change="added", issuer=provider.issuer, client=provider.client, **actor.told())
        rows.put(connection, t.access_provider, **msgspec.structs.asdict(made))
    return made


def providers(access: Access) -> list[Provider]:
    """Return the identity providers of people. Whoever wants to log in may know them."""
    with access.database.reading() as connection:
        return rows.providers(connection)


def remove_provider(access: Access, actor: Principal, issuer: str) -> None:
    """Take an identity provider away. Sessions that began by it go on until they end. Raises UsageError or PolicyDenied."""
    with access.changing(actor) as connection:
        if issuer not in {item.issuer for item in rows.providers(connection)}:
            msg = "there is no such provider"
            raise UsageError(msg, where=issuer[:120], code="ACC020", help="stannary access federate list")
        access.diary.tell("provider", change="removed", issuer=issuer, **actor.told())
        rows.remove(connection, t.access_provider, issuer=issuer)
