"""Identity tokens (OIDC Core 1.0, section 3.1.3.7): whose they are, for whom, and that they hold now.

Whom a token names, and whether that somebody may do anything, is for those who ask: keyless signing, and access.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from stannary.core.errors import IntegrityError
from stannary.core.strict_json import strict_json
from stannary.crypto.jws import Jwk, verify_compact

__all__ = ["Expected", "VerifiedToken", "verify_identity_token"]

_SKEW = 60  # seconds that the clocks of the provider and of this machine may differ by; an end is an end
_LONGEST = 24 * 3600
_END_OF_TIME = 1 << 40  # seconds; what is beyond is no date, and too large a number for arithmetic in floats


class Expected(NamedTuple):
    """Whose token it has to be, for whom, and in answer to what."""

    issuer: str
    audience: str
    nonce: str | None = None


class VerifiedToken(NamedTuple):
    """What a token says, which is true as far as its issuer can tell."""

    claims: Mapping[str, Any]
    subject: str
    expires: datetime


def verify_identity_token(token: str, keys: tuple[Jwk, ...], expected: Expected, now: datetime) -> VerifiedToken:
    """Return what a token says. Raises IntegrityError.

    1. a key of the provider signed it;
    2. the provider issued it, for the audience that is ours;
    3. it holds now;
    4. it has the nonce that was asked for, and a subject.
    """
    # 1.
    verified = verify_compact(token.strip(), keys)
    if str(verified.header.get("typ", "JWT")).upper() != "JWT":
        msg = f"is of type {str(verified.header['typ'])[:40]!r}; an identity token is a JWT"
        raise IntegrityError(msg, where="token", code="OID001")
    claims = _claims(verified.payload)
    # 2.
    _check_audience(claims, expected)
    # 3.
    expires = _check_times(claims, int(now.timestamp()))
    # 4.
    if expected.nonce is not None and not hmac.compare_digest(str(claims.get("nonce")).encode(), expected.nonce.encode()):
        msg = "has not the nonce that was asked for: it is the answer to another request"
        raise IntegrityError(msg, where="token", code="OID007")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or "\0" in subject:  # which PostgreSQL has in no text
        msg = "names nobody: it has no subject"
        raise IntegrityError(msg, where="token", code="OID008")
    return VerifiedToken(claims, subject, expires)


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


def _check_audience(claims: Mapping[str, Any], expected: Expected) -> None:
    if claims.get("iss") != expected.issuer:
        msg = f"is of {str(claims.get('iss'))[:200]!r}, not of {expected.issuer}"
        raise IntegrityError(msg, where="token", code="OID004")
    audience = claims.get("aud")
    if audience not in (expected.audience, [expected.audience]):
        several = isinstance(audience, list) and expected.audience in audience
        if not several or claims.get("azp") != expected.audience:
            msg = f"is for {str(audience)[:200]!r}, not for {expected.audience!r} alone"
            text = "ask the provider for a token of that audience"
            raise IntegrityError(msg, where="token", code="OID005", help=text)


def _check_times(claims: Mapping[str, Any], now: int) -> datetime:
    times = {name: claims.get(name) for name in ("exp", "iat", "nbf")}
    for name, value in times.items():
        needed = name != "nbf"
        if not (isinstance(value, int | float) and not isinstance(value, bool)) and (needed or value is not None):
            msg = f"has no time under {name!r}"
            raise IntegrityError(msg, where="token", code="OID006")
        if isinstance(value, int | float) and not abs(value) < _END_OF_TIME:  # not `>=`: that is false of what is no number
            msg = f"has a time under {name!r} that no clock shows"
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
