"""From an identity token (OIDC Core 1.0, section 3.1.3.7) to the identity that a certificate names.

Verified before anything of it counts: the signature by a key of the provider, the issuer, the audience, the times,
the nonce where one is expected. What a pipeline's token says besides is carried into the certificate.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any, Literal, NamedTuple, NoReturn
from urllib.parse import urlsplit

import msgspec

from stannary.core.errors import IntegrityError
from stannary.crypto.identity_token import Expected, verify_identity_token
from stannary.crypto.jws import Jwk

__all__ = ["AUDIENCE", "KINDS", "Identity", "IdentityKind", "NameKind", "Provider", "identity_of", "public_kind"]

IdentityKind = Literal["email", "uri", "user", "github", "gitlab", "kubernetes"]
KINDS: tuple[IdentityKind, ...] = ("email", "uri", "user", "github", "gitlab", "kubernetes")
NameKind = Literal["email", "uri", "user"]
AUDIENCE = "stannary"  # for whom tokens are, where nothing else was said
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
    # 1. to 4.
    verified = verify_identity_token(token, keys, Expected(provider.url, provider.audience, nonce), now)
    claims, subject, expires = verified.claims, verified.subject, verified.expires
    # 5.
    kind, name, more = _name(claims, subject, provider)
    if not name.isprintable() or len(name) > _MOST_TEXT:
        _nobody("the name in it is no printable text of reasonable length")
    return Identity(kind, name, provider.url, subject, more, expires)


def public_kind(url: str) -> IdentityKind:
    """Return what names somebody in the tokens of an issuer, as far as its address tells: an e-mail address, if it does not."""
    return next((kind for kind in ("github", "gitlab") if _table()[kind]["issuer"] == url), "email")


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
