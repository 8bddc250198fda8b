"""Signing with an X.509 certificate: the bundle carries its chain; the verifier trusts authorities.

No time in such a bundle can be trusted: the signer wrote all of it. A certificate that has expired says
nothing about when the key was used, and whoever has an old key could sign today. So certificates count as of
now; who knows from elsewhere when it was signed says so. (`model_signing` 1.1.1 verifies chains as of the
first moment of the certificate, so that an expired one verifies for ever.)
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stannary.core.clock import system_clock
from stannary.core.errors import InputError, IntegrityError, UsageError, named_by_caller
from stannary.crypto import dsse
from stannary.crypto.certificates import der_of, key_of, parse_der, parse_pem, subject_of, verify_chain
from stannary.crypto.interface import Signer
from stannary.evidence.oms.bundle import UNSET, Bundle, Certificate, Chain, Material, decoded, encoded, make_bundle
from stannary.evidence.oms.envelope import check_signature
from stannary.evidence.oms.interface import SignedBy

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["CertificateMaterial", "CertificateTrust", "read_certificates"]

_MOST_BYTES = 4 << 20  # the roots of an operating system take a quarter of a megabyte
_MOST = 16


class CertificateMaterial:
    """Signs with a key that a certificate is for. `chain` are the authorities between it and the root."""

    def __init__(self, signer: Signer, certificate: x509.Certificate, chain: Sequence[x509.Certificate] = ()) -> None:
        """Take the certificate. Raises UsageError or IntegrityError when no verifier could accept what it signs."""
        if key_of(certificate).keyid != signer.public.keyid:
            msg = f"the certificate of {subject_of(certificate)} is for another key than the one that signs"
            raise UsageError(msg, where="--certificate", code="SIG025", help="name the certificate of the key")
        # By itself, as if it were trusted: validity now, and what it is for.
        verify_chain(certificate, (), [certificate], system_clock())
        self.signer = signer
        self.public = signer.public
        self.identity, self.issuer = subject_of(certificate), certificate.issuer.rfc4514_string()
        self.certificates = (certificate, *chain)

    def bundle(self, payload: bytes) -> Bundle:
        """Return the signed bundle. Raises BackendError."""
        chain = Chain(tuple(Certificate(encoded(der_of(item))) for item in self.certificates))
        return make_bundle(Material(x509_certificate_chain=chain), dsse.sign(payload, self.signer))


class CertificateTrust:
    """Trusts authorities; `at` is when the signature was made, if that is known from elsewhere."""

    def __init__(self, trusted: Sequence[x509.Certificate], at: datetime | None = None) -> None:
        self.trusted = tuple(trusted)
        self.at = at

    def check(self, bundle: Bundle) -> SignedBy:
        """Return who signed. Raises IntegrityError.

        1. the bundle is one of this method;
        2. its first certificate is valid, for signatures, and vouched for by somebody trusted;
        3. the signature is that certificate's key's.
        """
        found = bundle.verification_material.x509_certificate_chain
        # 1.
        if found is UNSET:
            msg = "was not signed with a certificate"
            raise IntegrityError(msg, code="SIG011", help="verify it with --key, or with --identity and --trust-config")
        if len(found.certificates) > _MOST:
            msg = f"carries {len(found.certificates)} certificates; up to {_MOST} are read"
            raise IntegrityError(msg, code="SIG026")
        # 2.
        chain = [parse_der(decoded(item.raw_bytes, "certificate"), "certificate") for item in found.certificates]
        leaf = chain[0]
        verify_chain(leaf, chain[1:], self.trusted, self.at or system_clock())
        # 3.
        try:
            key = key_of(leaf)
        except InputError as error:
            raise IntegrityError(error.message, where=error.where, code=error.code, help=error.help) from error
        check_signature(bundle, key)
        return SignedBy(
            method="certificate",
            keyid=key.keyid,
            algorithm=key.algorithm,
            subject=subject_of(leaf),
            issuer=leaf.issuer.rfc4514_string(),
            valid_until=f"{leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        )


def read_certificates(paths: Iterable[str | os.PathLike[str]]) -> list[x509.Certificate]:
    """Read the certificates of PEM files. Raises UsageError."""
    found: list[x509.Certificate] = []
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            msg = "there is no such certificate file"
            raise UsageError(msg, where=os.fspath(path), code="SIG026") from None
        if len(content) > _MOST_BYTES:
            msg = f"is larger than any certificate file ({_MOST_BYTES:,} bytes)"
            raise UsageError(msg, where=os.fspath(path), code="SIG026")
        with named_by_caller():
            found += parse_pem(content, os.fspath(path))
    return found
