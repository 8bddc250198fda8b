"""DSSE: Dead Simple Signing Envelopes, version 1.0.

The signature is over the pre-authentication encoding, which binds the type and the length of the
payload (https://github.com/secure-systems-lab/dsse). `keyid` is always written: securesystemslib
matches signatures to keys by it. It is a hint on reading, and authenticates nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from stannary.core.errors import InputError, IntegrityError
from stannary.core.model import Digest
from stannary.core.strict_json import strict_json
from stannary.crypto.interface import Signer, Verifier

__all__ = ["IN_TOTO", "Envelope", "Signature", "decode", "encode", "id_of", "pae", "payload_of", "sign", "verify"]

IN_TOTO = "application/vnd.in-toto+json"
_MOST_SIGNATURES = 64
_SHORT = 1 << 16


class Signature(msgspec.Struct, frozen=True):
    """One signature: base64 of its bytes, and which key it claims to be of."""

    sig: str
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """A payload (base64), its media type, and signatures."""

    payload: str
    payload_type: str
    signatures: tuple[Signature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, signer: Signer, payload_type: str = IN_TOTO) -> Envelope:
    """Return an envelope with one signature."""
    signature = Signature(base64.b64encode(signer.sign(pae(payload_type, payload))).decode(), signer.public.keyid)
    return Envelope(base64.b64encode(payload).decode(), payload_type, (signature,))


def verify(envelope: Envelope, keys: Sequence[Verifier], payload_type: str = IN_TOTO) -> tuple[bytes, Verifier]:
    """Return the payload and the key that signed it. Raises IntegrityError when no key of `keys` did.

    1. the type of the payload is the one that was asked for;
    2. a signature holds for one of the keys; the key that it names is tried first, and a name alone rules no key out.
    """
    # 1.
    if envelope.payload_type != payload_type:
        msg = f"the envelope holds {envelope.payload_type[:80]!r}, not {payload_type!r}"
        raise IntegrityError(msg, code="SIG002")
    payload = payload_of(envelope)
    message = pae(envelope.payload_type, payload)
    # 2.
    for signature in envelope.signatures:
        found = _decoded(signature.sig, "signature")
        # Others name the same key by other digests of it.
        for key in sorted(keys, key=lambda key: key.keyid != signature.keyid):
            try:
                key.verify(found, message)
            except IntegrityError:
                continue
            return payload, key
    claimed = ", ".join(sorted({s.keyid[:16] for s in envelope.signatures if s.keyid})) or "no key"
    known = ", ".join(sorted(key.keyid[:16] for key in keys)) or "none"
    msg = f"no signature of a trusted key holds (signed by {claimed}; trusted: {known})"
    raise IntegrityError(msg, code="SIG001", help="check who signed it; `stannary trust add NAME PUBLIC.pem` makes a key count")


def payload_of(envelope: Envelope) -> bytes:
    """Return the payload without verifying anything. Raises InputError when it is not base64."""
    return _decoded(envelope.payload, "payload")


def id_of(envelope: Envelope) -> Digest:
    """Return what names the statement: the SHA-256 of its pre-authentication encoding, whoever signed it."""
    if len(envelope.payload) > _SHORT:
        return _named(envelope.payload_type, envelope.payload)
    return _remembered(envelope.payload_type, envelope.payload)


def _named(payload_type: str, payload: str) -> Digest:
    return Digest(hashlib.sha256(pae(payload_type, _decoded(payload, "payload"))).hexdigest())


# Whoever makes, verifies, logs and answers with a statement asks for its name each time.
_remembered = lru_cache(maxsize=64)(_named)


def encode(envelope: Envelope) -> bytes:
    """Return the JSON of an envelope."""
    return msgspec.json.encode(envelope)


def decode(content: bytes, where: str = "envelope") -> Envelope:
    """Read the JSON of an envelope. Raises InputError."""
    try:
        envelope = msgspec.convert(strict_json(content), Envelope)
    except (ValueError, RecursionError) as error:
        msg = f"is not a DSSE envelope: {error}"
        raise InputError(msg, where=where, code="SIG003") from error
    if not 0 < len(envelope.signatures) <= _MOST_SIGNATURES:
        msg = f"carries {len(envelope.signatures)} signatures; from 1 to {_MOST_SIGNATURES} are read"
        raise InputError(msg, where=where, code="SIG003")
    return envelope


def _decoded(text: str, what: str) -> bytes:
    try:
        # The specification allows both alphabets; whatever is outside of them is an error, not skipped.
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        msg = f"the {what} is not base64"
        raise InputError(msg, code="SIG003") from error
