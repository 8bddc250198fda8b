"""Certificates for tests: authorities, and signers that are right or wrong in one way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from stannary.crypto.keys import PrivateKey, generate

__all__ = ["Identity", "issue", "pem_of"]

_Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class Identity:
    """A key and a certificate for it."""

    def __init__(self, key: PrivateKey, certificate: x509.Certificate) -> None:
        self.key = key
        self.certificate = certificate

    @property
    def pem(self) -> bytes:
        """Return the certificate in PEM."""
        return pem_of([self.certificate])


def issue(name: str, issuer: Identity | None = None, *, key: PrivateKey | None = None, ca: bool = False, **more: Any) -> Identity:  # noqa: ANN401 - options of many types
    """Issue a certificate, self-signed without an issuer.

    Args:
        name: the common name.
        issuer: who signs it.
        key: its key; a new one of P-256 when it is None.
        ca: whether it is an authority.
        more: `days` (first and last day of validity, from today), `path_length`, `usage` (names of key usages; None
            for no extension), `extended` (object ids; `strict`: critically), `critical` (an unknown critical
            extension), `subject_issuer` (the name to write as issuer), `constraints` (False: no basic constraints).
    """
    key = key or generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    first, last = more.get("days", (-1, 90))
    now = datetime.now(UTC)
    signed_by = issuer.certificate.subject if issuer else subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(more.get("subject_issuer") or signed_by)
        .public_key(key.public.key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=first))
        .not_valid_after(now + timedelta(days=last))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public.key), critical=False)
    )
    if more.get("constraints", True):
        builder = builder.add_extension(x509.BasicConstraints(ca, more.get("path_length")), critical=True)
    usage: Sequence[str] | None = more.get("usage", ("key_cert_sign", "crl_sign") if ca else ("digital_signature",))
    if usage is not None:
        builder = builder.add_extension(_usage(usage), critical=True)
    if more.get("extended"):
        builder = builder.add_extension(x509.ExtendedKeyUsage(more["extended"]), critical=more.get("strict", False))
    if more.get("critical"):
        unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
        builder = builder.add_extension(unknown, critical=True)
    signer: _Key = (issuer.key if issuer else key).key
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Identity(key, builder.sign(signer, digest))


def pem_of(certificates: Sequence[x509.Certificate]) -> bytes:
    """Return certificates in PEM, one after the other."""
    return b"".join(item.public_bytes(Encoding.PEM) for item in certificates)


def _usage(names: Sequence[str]) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in names for name in every})
