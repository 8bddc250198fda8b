"""The container of a model signature: a Sigstore bundle (JSON, version 0.3) around a DSSE envelope.

Reading is strict, because whatever is skipped can be forged: no field that the format does not have, no
key twice, one way to write base64, exactly one kind of verification material, exactly one signature.
Bundles of older `model_signing` differ in `publicKey` (`rawBytes` for `hint`) and in a `keyid` of null.
"""

from __future__ import annotations

import base64
import binascii
from functools import cached_property
from typing import Any, Literal, NoReturn

import msgspec

from stannary.core.errors import IntegrityError
from stannary.core.strict_json import strict_json
from stannary.crypto import dsse

__all__ = [
    "MEDIA_TYPE",
    "MOST_BYTES",
    "UNSET",
    "Bundle",
    "Certificate",
    "Chain",
    "Envelope",
    "KeyHint",
    "Material",
    "Method",
    "Signature",
    "decoded",
    "encoded",
    "make_bundle",
    "read_bundle",
    "strict_json",
    "write_bundle",
]

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
# Of older Sigstore clients, for keyless signatures.
_OLDER = frozenset(f"application/vnd.dev.sigstore.bundle+json;version={number}" for number in ("0.1", "0.2", "0.3"))
MOST_BYTES = 256 << 20  # 10,000 files take 2 MB
Unset = msgspec.UnsetType | None
UNSET = msgspec.UNSET
Method = Literal["key", "certificate", "sigstore"]


class KeyHint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Which key signed: a hint, or (before model_signing 1.1) the key itself, in PEM. Neither is trusted."""

    hint: str | Unset = UNSET
    raw_bytes: str | Unset = UNSET
    key_details: str | Unset = UNSET


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A certificate: base64 of its DER."""

    raw_bytes: str


class Chain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Certificates, that of the signer first."""

    certificates: tuple[Certificate, ...]


class Material(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What a verifier needs besides what it trusts: one of a key hint, a chain, or a certificate with log entries."""

    public_key: KeyHint | msgspec.UnsetType = UNSET
    x509_certificate_chain: Chain | msgspec.UnsetType = UNSET
    certificate: Certificate | msgspec.UnsetType = UNSET
    tlog_entries: tuple[dict[str, Any], ...] = ()
    timestamp_verification_data: dict[str, Any] | Unset = UNSET

    @property
    def method(self) -> Method:
        """Return the method that this material belongs to."""
        if self.public_key is not UNSET:
            return "key"
        return "sigstore" if self.certificate is not UNSET else "certificate"


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signature in base64. What `keyid` says is a hint."""

    sig: str
    keyid: str | None = ""


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A DSSE envelope as Sigstore has it: with one signature."""

    payload: str
    payload_type: str
    signatures: tuple[Signature, ...]


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", dict=True):
    """The whole."""

    media_type: str
    verification_material: Material
    dsse_envelope: Envelope

    @cached_property
    def payload(self) -> bytes:
        """Return what was signed, or is said to have been. Raises IntegrityError."""
        return decoded(self.dsse_envelope.payload, "payload")

    @property
    def signature(self) -> bytes:
        """Return the bytes of the signature. Raises IntegrityError."""
        return decoded(self.dsse_envelope.signatures[0].sig, "signature")


def make_bundle(material: Material, envelope: dsse.Envelope) -> Bundle:
    """Return the bundle of an envelope that was just signed."""
    signatures = tuple(Signature(item.sig, item.keyid) for item in envelope.signatures)
    return Bundle(MEDIA_TYPE, material, Envelope(envelope.payload, envelope.payload_type, signatures))


def write_bundle(bundle: Bundle) -> bytes:
    """Return the JSON of a bundle."""
    return msgspec.json.encode(bundle) + b"\n"


def read_bundle(content: bytes, where: str = "signature") -> Bundle:
    """Read a bundle. Raises IntegrityError: what is not a bundle signs nothing.

    1. it is strict JSON with the fields of a bundle and no others;
    2. it is of the version that is read, for an in-toto statement;
    3. it has one kind of verification material, and one signature.
    """
    # 1.
    if len(content) > MOST_BYTES:
        _refuse(f"is larger than any signature ({MOST_BYTES:,} bytes)", where)
    try:
        bundle = msgspec.convert(strict_json(content), Bundle)
    except (ValueError, RecursionError) as error:
        _refuse(f"is not a Sigstore bundle: {str(error)[:200]}", where)
    # 2.
    if bundle.media_type != MEDIA_TYPE and not (bundle.media_type in _OLDER and bundle.verification_material.tlog_entries):
        _refuse(f"is a bundle of type {bundle.media_type[:80]!r}; {MEDIA_TYPE} is read", where)
    if bundle.dsse_envelope.payload_type != dsse.IN_TOTO:
        msg = f"signs {bundle.dsse_envelope.payload_type[:80]!r}, not {dsse.IN_TOTO}"
        raise IntegrityError(msg, where=where, code="SIG002")
    # 3.
    material = bundle.verification_material
    kinds = sum(part is not UNSET for part in (material.public_key, material.x509_certificate_chain, material.certificate))
    if kinds != 1:
        _refuse(f"has {kinds} kinds of verification material; one is needed", where)
    if material.x509_certificate_chain is not UNSET and not material.x509_certificate_chain.certificates:
        _refuse("has an empty certificate chain", where)
    count = len(bundle.dsse_envelope.signatures)
    if count != 1:
        _refuse(f"has {count} signatures; a Sigstore bundle has one", where)
    return bundle


def encoded(content: bytes) -> str:
    """Return base64."""
    return base64.b64encode(content).decode()


def decoded(text: str, what: str) -> bytes:
    """Return the bytes of base64 written the one standard way. Raises IntegrityError."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        msg = f"the {what} is not base64"
        raise IntegrityError(msg, code="SIG003") from error
    if encoded(content) != text:  # unused bits that are not zero
        msg = f"the {what} is not base64 in its standard form"
        raise IntegrityError(msg, code="SIG003")
    return content


def _refuse(message: str, where: str) -> NoReturn:
    raise IntegrityError(message, where=where, code="SIG003", help="is this the signature file? `stannary sign` writes one")
