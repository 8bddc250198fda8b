"""Signed certificate timestamps (RFC 6962, section 3.2): a log's promise that it has a certificate, inside of it.

What is signed is the certificate as it was before the promise was put into it, the hash of its issuer's key, and
the time in milliseconds. A list of promises is an extension of the certificate.
"""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stannary.core.errors import IntegrityError, UsageError
from stannary.crypto.interface import Signer, Verifier

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509.certificate_transparency import SignedCertificateTimestamp

__all__ = ["SCT_OID", "make_extension", "promises_of", "verify_promise"]

SCT_OID = "1.3.6.1.4.1.11129.2.4.2"
_PRECERTIFICATE, _SHA256, _ECDSA = 1, 4, 3  # LogEntryType, HashAlgorithm, SignatureAlgorithm (RFC 5246)
_LARGEST = 1 << 24
_LONG_FORM = 0x80


def make_extension(signer: Signer, precertificate: bytes, issuer: Verifier, at: datetime) -> bytes:
    """Return the value of the extension with one promise about a certificate (its TBSCertificate without the extension).

    Raises UsageError for a key that is not of P-256: verifiers of Sigstore take SHA-256 alone.
    """
    if signer.public.algorithm != "ecdsa-p256-sha256":
        msg = f"a certificate log signs with P-256, and this key is {signer.public.algorithm}"
        raise UsageError(msg, code="KEY006")
    milliseconds = int(at.timestamp() * 1000)
    signature = signer.sign(_signed(milliseconds, precertificate, issuer, b""))
    log = hashlib.sha256(signer.public.spki).digest()
    promise = struct.pack("!B32sQHBBH", 0, log, milliseconds, 0, _SHA256, _ECDSA, len(signature)) + signature
    content = struct.pack("!HH", len(promise) + 2, len(promise)) + promise
    return b"\x04" + _length(len(content)) + content  # an OCTET STRING


def promises_of(certificate: x509.Certificate) -> list[SignedCertificateTimestamp]:
    """Return the promises in a certificate; none when it has no such extension."""
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps)
    except x509.ExtensionNotFound:
        return []
    return list(extension.value)


def verify_promise(promise: SignedCertificateTimestamp, certificate: x509.Certificate, issuer: Verifier, log: Verifier) -> None:
    """Return when the promise is the log's, on this certificate of this issuer. Raises IntegrityError."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.certificate_transparency import LogEntryType, SignatureAlgorithm

    algorithms = (type(promise.signature_hash_algorithm), promise.signature_algorithm)
    if promise.entry_type != LogEntryType.PRE_CERTIFICATE or algorithms != (SHA256, SignatureAlgorithm.ECDSA):
        msg = "the certificate's promise of a log is of another kind than RFC 6962 has with SHA-256 and ECDSA"
        raise IntegrityError(msg, code="SIG032")
    milliseconds = round(promise.timestamp.replace(tzinfo=UTC).timestamp() * 1000)
    message = _signed(milliseconds, certificate.tbs_precertificate_bytes, issuer, promise.extension_bytes)
    log.verify(promise.signature, message)


def _signed(milliseconds: int, precertificate: bytes, issuer: Verifier, extensions: bytes) -> bytes:
    """Return what a log signs: version, type, time, kind of entry, entry, extensions."""
    if len(precertificate) >= _LARGEST:
        msg = "the certificate is too large for a log"
        raise IntegrityError(msg, code="SIG032")
    size = len(precertificate).to_bytes(3, "big")
    head = struct.pack("!BBQH", 0, 0, milliseconds, _PRECERTIFICATE)
    entry = hashlib.sha256(issuer.spki).digest() + size + precertificate
    return head + entry + struct.pack("!H", len(extensions)) + extensions


def _length(size: int) -> bytes:
    """Return a DER length."""
    if size < _LONG_FORM:
        return bytes([size])
    content = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([_LONG_FORM | len(content)]) + content
