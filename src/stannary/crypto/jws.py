"""Signed JSON (RFC 7515, compact form) and the keys it is verified with (RFC 7517): what OIDC tokens are made of.

Only what tokens of identity providers need, and strict. The key decides the algorithm, never the token: `none` and
the HMACs do not exist here, an RSA key verifies RS256 alone, a key on P-256 ES256, on P-384 ES384, Ed25519 EdDSA.
Nothing a header points to is fetched or used (`jwk`, `jku`, `x5c`, `x5u`), and what it calls critical is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import msgspec

from stannary.core.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

__all__ = ["Jwk", "Verified", "read_keys", "verify_compact"]

_MOST_BYTES, _MOST_KEYS = 64 << 10, 64
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2048, 8192
_CURVES = {"P-256": ("ES256", 32), "P-384": ("ES384", 48)}
_ALGORITHMS = frozenset({"RS256", "ES256", "ES384", "EdDSA"})
_ED25519_SIZE = 32


class Jwk(NamedTuple):
    """A public key of a provider, the name it goes by, and the one algorithm it verifies."""

    kid: str
    algorithm: str
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class Verified(NamedTuple):
    """A token whose signature holds."""

    header: Mapping[str, Any]
    payload: bytes
    key: Jwk


def read_keys(content: bytes, where: str = "JWKS") -> tuple[Jwk, ...]:
    """Read a set of public keys. Keys that verify nothing here are left out. Raises InputError when none is left."""
    try:
        rows = msgspec.json.decode(content, type=dict[str, Any])["keys"]
        if not isinstance(rows, list) or len(rows) > _MOST_KEYS or not all(isinstance(row, dict) for row in rows):
            _no_keys("its keys are not a list of objects", where)
    except (msgspec.MsgspecError, KeyError, RecursionError) as error:
        _no_keys(str(error) or "it has no keys", where)
    found = tuple(key for row in rows if (key := _read_key(row, where)) is not None)
    if not found:
        _no_keys(f"none of its {len(rows)} keys verifies {', '.join(sorted(_ALGORITHMS))}", where)
    return found


def verify_compact(token: str, keys: Sequence[Jwk]) -> Verified:
    """Return header and payload of a token that one of the keys signed. Raises IntegrityError.

    1. it is `header.payload.signature`, each canonical base64url, the header strict JSON;
    2. the header names an algorithm that is known, and calls nothing critical;
    3. the key it names (or one that fits, when it names none) is for that very algorithm;
    4. the signature holds.
    """
    # 1.
    parts = token.split(".")
    if len(token) > _MOST_BYTES or len(parts) != 3:  # noqa: PLR2004 - RFC 7515
        _malformed("it is not header.payload.signature")
    head, payload, signature = (_decoded(part) for part in parts)
    header = _header(head)
    # 2.
    algorithm = "EdDSA" if header.get("alg") == "Ed25519" else header.get("alg")  # RFC 9864 renamed it
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
        msg = f"is signed with {str(algorithm)[:40]!r}; {', '.join(sorted(_ALGORITHMS))} are taken"
        raise IntegrityError(msg, where="token", code="OID002")
    if "crit" in header:
        msg = "calls something critical that is not known here"
        raise IntegrityError(msg, where="token", code="OID002")
    # 3.
    kid = header.get("kid")
    fitting = [key for key in keys if kid is None or key.kid == kid]
    if not fitting:
        msg = f"is signed with the key {str(kid)[:60]!r}, which the provider does not have"
        help_ = "give the provider's current keys with `stannary trust issuer URL --jwks FILE`"
        raise IntegrityError(msg, where="token", code="OID003", help=help_)
    same = [key for key in fitting if key.algorithm == algorithm]
    if not same:
        msg = f"says {algorithm}, and the key {fitting[0].kid[:60]!r} is for {fitting[0].algorithm}"
        raise IntegrityError(msg, where="token", code="OID002")
    # 4.
    message = f"{parts[0]}.{parts[1]}".encode()
    for key in same:
        if _holds(key, signature, message):
            return Verified(header, payload, key)
    msg = "is not signed by the provider: the signature does not hold"
    raise IntegrityError(msg, where="token", code="OID003")


def _header(content: bytes) -> dict[str, Any]:
    import json

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            _malformed("a key stands twice in its header")
        return dict(pairs)

    try:
        header = json.loads(content.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        _malformed("its header is not JSON")
    if not isinstance(header, dict):
        _malformed("its header is not an object")
    return header


def _holds(jwk: Jwk, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

    key = jwk.key
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            half = (key.curve.key_size + 7) // 8
            if len(signature) != 2 * half:  # r and s, of full length: not DER
                return False
            r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
            digest = hashes.SHA256() if jwk.algorithm == "ES256" else hashes.SHA384()
            key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(digest))
        else:
            key.verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _read_key(row: Mapping[str, Any], where: str) -> Jwk | None:
    """Return a key, or None for one of a kind or use that is not ours. Raises InputError for one that is broken or weak."""
    kid, kind, curve, uses = str(row.get("kid", "")), row.get("kty"), row.get("crv"), row.get("key_ops", ["verify"])
    if row.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
        return None
    try:
        if kind == "RSA":
            found = Jwk(kid, "RS256", _rsa(row))
        elif kind == "EC" and isinstance(curve, str) and curve in _CURVES:
            found = Jwk(kid, _CURVES[curve][0], _elliptic(row))
        elif kind == "OKP" and curve == "Ed25519":
            found = Jwk(kid, "EdDSA", _edwards(row))
        else:
            return None
    except (KeyError, ValueError, TypeError, IntegrityError) as error:
        _no_keys(f"the key {kid[:60]!r} is broken: {str(error)[:120]}", where)
    return found if row.get("alg", found.algorithm) in (found.algorithm, "Ed25519") else None


def _rsa(row: Mapping[str, Any]) -> rsa.RSAPublicKey:
    from cryptography.hazmat.primitives.asymmetric import rsa

    n, e = (int.from_bytes(_decoded(row[name]), "big") for name in ("n", "e"))
    if not _LEAST_RSA_BITS <= n.bit_length() <= _MOST_RSA_BITS:
        msg = f"RSA of {n.bit_length()} bits"
        raise ValueError(msg)
    return rsa.RSAPublicNumbers(e, n).public_key()


def _elliptic(row: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    x, y = (_decoded(row[name]) for name in ("x", "y"))
    if {len(x), len(y)} != {_CURVES[row["crv"]][1]}:
        msg = "a coordinate is not of the curve's length"
        raise ValueError(msg)
    curve = ec.SECP256R1() if row["crv"] == "P-256" else ec.SECP384R1()
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()


def _edwards(row: Mapping[str, Any]) -> ed25519.Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    content = _decoded(row["x"])
    if len(content) != _ED25519_SIZE:
        msg = "the key has not 32 bytes"
        raise ValueError(msg)
    return ed25519.Ed25519PublicKey.from_public_bytes(content)


def _decoded(text: Any) -> bytes:  # noqa: ANN401 - what stands in a JSON document
    """Return the bytes of base64url without padding, written the one way. Raises IntegrityError."""
    if not isinstance(text, str):
        _malformed("a part is no text")
    try:
        content = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        _malformed("a part is not base64url")
    if base64.urlsafe_b64encode(content).rstrip(b"=").decode() != text:
        _malformed("a part is not canonical base64url")
    return content


def _malformed(why: str) -> NoReturn:
    msg = f"is not a signed token: {why}"
    raise IntegrityError(msg, where="token", code="OID001", help="give the identity token as the provider issued it")


def _no_keys(why: str, where: str) -> NoReturn:
    msg = f"is no set of public keys: {why[:200]}"
    raise InputError(msg, where=where, code="OID009", help="the provider publishes it under its `jwks_uri`")
