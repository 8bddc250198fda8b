"""From an identity token (OIDC Core 1.0, section 3.1.3.7) to the identity that a certificate names.

Verified before anything of it counts: the signature by a key of the provider, the issuer, the audience, the times,
the nonce where one is expected. What a pipeline's token says besides is carried into the certificate.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, Literal, NamedTuple, NoReturn
from urllib.parse import urlsplit

import msgspec

from stannary.core.errors import IntegrityError
from stannary.crypto.jws import Jwk, verify_compact
from stannary.evidence.oms.bundle import strict_json

__all__ = ["AUDIENCE", "KINDS", "Identity", "IdentityKind", "NameKind", "Provider", "identity_of", "public_kind"]

IdentityKind = Literal["email", "uri", "user", "github", "gitlab", "kubernetes"]
KINDS: tuple[IdentityKind, ...] = ("email", "uri", "user", "github", "gitlab", "kubernetes")
NameKind = Literal["email", "uri", "user"]
AUDIENCE = "stannary"  # for whom tokens are, where nothing else was said
_SKEW = 60  # seconds that the clocks of the provider and of this machine may differ by; an end is an end
_LONGEST = 24 * 3600
_MOST_TEXT = 1024
_DEEPEST = 4
_NO_NAME = re.compile(r"\W", re.ASCII)


class Provider(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An identity provider that is trusted: its issuer URL, for whom its tokens are, what in them names somebody.

    `jwks` is the file with its keys, beside the settings.
    """

    url: str
    audience: str
    kind: IdentityKind = "email"
    jwks: str = ""


class Identity(NamedTuple):
    """Who somebody is: `claims` are what the certificate says besides (last number of the OID → text)."""

    kind: NameKind
    name: str
    issuer: str
    subject: str
    claims: dict[int, str]
    expires: datetime


def identity_of(token: str, provider: Provider, keys: tuple[Jwk, ...], now: datetime, *, nonce: str | None = None) -> Identity:
    """Return whom a token names. Raises IntegrityError.

    1. a key of the provider signed it;
    2. the provider issued it, for the audience that is ours;
    3. it holds now;
    4. it has the nonce that was asked for;
    5. it names somebody in the way this provider does.
    """
    # 1.
    verified = verify_compact(token.strip(), keys)
    if str(verified.header.get("typ", "JWT")).upper() != "JWT":
        msg = f"is of type {str(verified.header['typ'])[:40]!r}; an identity token is a JWT"
        raise IntegrityError(msg, where="token", code="OID001")
    claims = _claims(verified.payload)
    # 2.
    _check_audience(claims, provider)
    # 3.
    expires = _check_times(claims, int(now.timestamp()))
    # 4.
    if nonce is not None and claims.get("nonce") != nonce:
        msg = "has not the nonce that was asked for: it is the answer to another request"
        raise IntegrityError(msg, where="token", code="OID007")
    # 5.
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        _nobody("it has no subject")
    kind, name, more = _name(claims, subject, provider)
    if not name.isprintable() or len(name) > _MOST_TEXT:
        _nobody("the name in it is no printable text of reasonable length")
    return Identity(kind, name, provider.url, subject, more, expires)


def public_kind(url: str) -> IdentityKind:
    """Return what names somebody in the tokens of an issuer, as far as its address tells: an e-mail address, if it does not."""
    return next((kind for kind in ("github", "gitlab") if _table()[kind]["issuer"] == url), "email")


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = strict_json(payload)
    except (ValueError, RecursionError) as error:
        msg = f"holds no claims: {str(error)[:120]}"
        raise IntegrityError(msg, where="token", code="OID001") from error
    if not isinstance(claims, dict):
        msg = "holds no claims: it is no JSON object"
        raise IntegrityError(msg, where="token", code="OID001")
    return claims


def _check_audience(claims: Mapping[str, Any], provider: Provider) -> None:
    if claims.get("iss") != provider.url:
        msg = f"is of {str(claims.get('iss'))[:200]!r}, not of {provider.url}"
        raise IntegrityError(msg, where="token", code="OID004")
    audience = claims.get("aud")
    if audience not in (provider.audience, [provider.audience]):
        several = isinstance(audience, list) and provider.audience in audience
        if not several or claims.get("azp") != provider.audience:
            msg = f"is for {str(audience)[:200]!r}, not for {provider.audience!r} alone"
            text = "ask the provider for a token of that audience"
            raise IntegrityError(msg, where="token", code="OID005", help=text)


def _check_times(claims: Mapping[str, Any], now: int) -> datetime:
    times = {name: claims.get(name) for name in ("exp", "iat", "nbf")}
    for name, value in times.items():
        needed = name != "nbf"
        if not (isinstance(value, int | float) and not isinstance(value, bool)) and (needed or value is not None):
            msg = f"has no time under {name!r}"
            raise IntegrityError(msg, where="token", code="OID006")
    end, issued, start = times["exp"], times["iat"], times["nbf"]
    assert isinstance(end, int | float)  # noqa: S101 - checked in the loop
    assert isinstance(issued, int | float)  # noqa: S101
    if now >= end:
        msg = f"expired {now - end:.0f} seconds ago"
        raise IntegrityError(msg, where="token", code="OID006", help="ask the provider for a new one")
    if issued > now + _SKEW or (start is not None and start > now + _SKEW):
        msg = "does not hold yet"
        raise IntegrityError(msg, where="token", code="OID006", help="check the clock of this machine")
    if end - issued > _LONGEST:
        msg = f"holds for {(end - issued) / 3600:.0f} hours; a token that names a signer holds for a day at most"
        raise IntegrityError(msg, where="token", code="OID006")
    return datetime.fromtimestamp(end, UTC)


def _name(claims: Mapping[str, Any], subject: str, provider: Provider) -> tuple[NameKind, str, dict[int, str]]:
    if provider.kind == "email":
        email = claims.get("email")
        if not isinstance(email, str) or not email.isascii() or email.count("@") != 1 or any(map(str.isspace, email)):
            _nobody("it has no e-mail address")
        if claims.get("email_verified") is not True:
            _nobody(f"the provider has not verified the address {email[:120]!r} (`email_verified`)")
        return "email", email, {}
    if provider.kind == "uri":
        if not _is_uri(subject):
            _nobody(f"its subject {subject[:120]!r} is no URI")
        return "uri", subject, {}
    if provider.kind == "user":
        if "!" in subject:
            _nobody("its subject has a `!`, which separates a user from a domain")
        return "user", f"{subject}!{urlsplit(provider.url).hostname}", {}
    return _pipeline(claims, provider)


def _pipeline(claims: Mapping[str, Any], provider: Provider) -> tuple[NameKind, str, dict[int, str]]:
    table = _table()[provider.kind]
    parts = urlsplit(provider.url)
    web = table["web"] if provider.url == table.get("issuer") else f"{parts.scheme}://{parts.netloc}"
    texts = dict(_texts(claims, ""))
    texts["web"] = web
    identity = _filled(table["identity"], texts)
    if identity is None or not _is_uri(identity):
        _nobody(f"it is no token of {table['what']} ({table['identity']})")
    filled = {int(number): _filled(template, texts) for number, template in table["claims"].items()}
    return "uri", identity, {number: text[:_MOST_TEXT] for number, text in filled.items() if text}


def _texts(claims: Mapping[str, Any], under: str) -> Iterator[tuple[str, str]]:
    """Yield the claims that are texts, those within others as `outer_inner`, with `_` for what no name has."""
    for name, value in claims.items():
        full = _NO_NAME.sub("_", f"{under}{name}")
        if isinstance(value, str | int) and not isinstance(value, bool):
            yield full, str(value)
        elif isinstance(value, dict) and under.count("_") < _DEEPEST:
            yield from _texts(value, f"{full}_")


def _filled(template: str, texts: Mapping[str, str]) -> str | None:
    """Return a template with claims in it, or None when one is missing. Claims are text, never templates."""
    try:
        return template.format_map(texts)
    except KeyError:
        return None


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc) and text.isascii() and not any(map(str.isspace, text))


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files("stannary.evidence.keyless").joinpath("claims.toml").read_text(encoding="utf-8"))


def _nobody(why: str) -> NoReturn:
    msg = f"names nobody: {why}"
    raise IntegrityError(msg, where="token", code="OID008", help="`stannary trust issuer URL --kind` says what names somebody")
