"""X.509 certificates of code signers: chains, and what a certificate may be used for.

Chains are built and checked by the verifier of the `cryptography` package (RFC 5280: signatures, names, validity,
basic constraints, path lengths, name constraints, unknown critical extensions). Its profile is the web's, which
wants host names and server authentication; here the extensions asked for are those of code signing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stannary.core.errors import InputError, IntegrityError
from stannary.crypto.keys import PublicKey

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509.verification import ExtensionPolicy, Policy

__all__ = ["der_of", "key_of", "parse_der", "parse_pem", "subject_of", "verify_chain"]

_MOST_IN_A_CHAIN = 16


def parse_pem(content: bytes, where: str) -> list[x509.Certificate]:
    """Read the certificates of a PEM file. Raises InputError."""
    from cryptography import x509

    try:
        return [_parsed(item) for item in x509.load_pem_x509_certificates(content)]
    except Exception as error:  # the parser raises ValueError, UnsupportedAlgorithm, DuplicateExtension and others
        msg = f"holds no certificate in PEM: {str(error).partition(' See http')[0][:120].rstrip('. ')}"
        raise InputError(msg, where=where, code="SIG026", help="it begins with -----BEGIN CERTIFICATE-----") from error


def parse_der(content: bytes, where: str) -> x509.Certificate:
    """Read a certificate in DER. Raises IntegrityError: it came with a signature, which stands or falls with it."""
    from cryptography import x509

    try:
        return _parsed(x509.load_der_x509_certificate(content))
    except Exception as error:  # the parser raises ValueError, UnsupportedAlgorithm, DuplicateExtension and others
        msg = f"is not a certificate: {str(error)[:120]}"
        raise IntegrityError(msg, where=where, code="SIG026") from error


def _parsed(certificate: x509.Certificate) -> x509.Certificate:
    """Return a certificate of which every part was read: `cryptography` reads them when they are asked for."""
    parts = (certificate.subject, certificate.issuer, certificate.extensions, certificate.serial_number, certificate.version)
    times = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    _ = (parts, times, certificate.public_key(), certificate.signature_algorithm_oid)
    return certificate


def der_of(certificate: x509.Certificate) -> bytes:
    """Return the DER of a certificate."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def key_of(certificate: x509.Certificate) -> PublicKey:
    """Return the public key of a certificate. Raises InputError for kinds that sign nothing here."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey.of_der(spki, f"certificate of {subject_of(certificate)}")


def subject_of(certificate: x509.Certificate) -> str:
    """Return the subject's name, or its serial number when it has none."""
    return certificate.subject.rfc4514_string() or f"serial {certificate.serial_number:x}"


def verify_chain(
    leaf: x509.Certificate, others: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate], at: datetime
) -> None:
    """Return when `leaf` may sign at the time `at`, as somebody trusted says. Raises IntegrityError.

    1. it is valid at that time;
    2. it may be used for signatures: key usage, extended key usage, and it is no authority;
    3. it is one of the trusted certificates itself, or a chain leads from it to one.

    Of the trusted ones those that are self-signed are roots, and the others help to build chains; when none is
    self-signed, all are trusted as they are.
    """
    # 1.
    _check_validity(leaf, at)
    # 2.
    _check_usage(leaf)
    # 3.
    if any(der_of(leaf) == der_of(item) for item in trusted):
        return
    roots = [item for item in trusted if _is_self_signed(item)] or list(trusted)
    helpers = [item for item in (*others, *trusted) if item not in roots]
    _check_chain(leaf, helpers, roots, at)


def _check_validity(certificate: x509.Certificate, at: datetime) -> None:
    name, when = subject_of(certificate), f"{at:%Y-%m-%d %H:%M} UTC"
    if at > certificate.not_valid_after_utc:
        msg = f"the certificate of {name} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, before {when}"
        text = (
            "nothing proves that it was signed before: sign it again with a certificate that is valid, or say "
            "--at TIME when you know from elsewhere when it was signed"
        )
        raise IntegrityError(msg, code="SIG021", help=text)
    if at < certificate.not_valid_before_utc:
        msg = f"the certificate of {name} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; it is {when}"
        raise IntegrityError(msg, code="SIG022", help="check the clock, and --at if it was given")


def _check_usage(leaf: x509.Certificate) -> None:
    """Check what the certificate is for: `digitalSignature`, `codeSigning`; one of them has to be said."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    name = subject_of(leaf)
    usage = _extension(leaf, x509.KeyUsage)
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    constraints = _extension(leaf, x509.BasicConstraints)
    problem = ""
    if usage is not None and not usage.digital_signature:
        problem = "is not for signatures (key usage)"
    elif extended is not None and ExtendedKeyUsageOID.CODE_SIGNING not in extended:
        problem = "is not for signing code (extended key usage)"
    elif usage is None and extended is None:
        problem = "does not say that it is for signatures: it has no key usage at all"
    elif constraints is not None and constraints.ca:
        problem = "is an authority's, which signs certificates and not models"
    elif any(item.critical and isinstance(item.value, x509.UnrecognizedExtension) for item in leaf.extensions):
        problem = "has a critical extension that is not known here"
    if problem:
        msg = f"the certificate of {name} {problem}"
        raise IntegrityError(msg, code="SIG024", help="sign with a certificate for code signing")


def _extension(certificate: x509.Certificate, kind: type) -> Any:  # noqa: ANN401 - one of the extension types
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _is_self_signed(certificate: x509.Certificate) -> bool:
    if certificate.issuer != certificate.subject:
        return False
    try:
        certificate.verify_directly_issued_by(certificate)
    except Exception:  # noqa: BLE001 - a signature that does not hold, or an algorithm that is not known: not self-signed
        return False
    return True


def _check_chain(
    leaf: x509.Certificate, helpers: Iterable[x509.Certificate], roots: Sequence[x509.Certificate], at: datetime
) -> None:
    from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

    ca, end = _policies()
    builder = PolicyBuilder().store(Store(list(roots))).time(at).max_chain_depth(_MOST_IN_A_CHAIN)
    verifier = builder.extension_policies(ca_policy=ca, ee_policy=end).build_client_verifier()
    try:
        verifier.verify(leaf, list(helpers))
    except (VerificationError, ValueError) as error:
        msg = f"no chain of certificates leads from {subject_of(leaf)} to one that is trusted: {str(error)[:300]}"
        text = "name the authority you trust with --certificate-chain, intermediate ones as well"
        raise IntegrityError(msg, code="SIG023", help=text) from error


def _policies() -> tuple[ExtensionPolicy, ExtensionPolicy]:
    """Return what extensions authorities and signers may have. What is critical and not named here is refused."""
    from cryptography import x509
    from cryptography.x509.verification import Criticality, ExtensionPolicy

    any_ = Criticality.AGNOSTIC
    authority = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, any_, None)  # that it is one is checked by the verifier itself
        .may_be_present(x509.KeyUsage, any_, _signs_certificates)
        .may_be_present(x509.ExtendedKeyUsage, any_, _for_code)
    )
    return authority, ExtensionPolicy.permit_all()  # the signer's were checked before


def _signs_certificates(_: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        msg = f"{subject_of(certificate)} may not sign certificates (key usage)"
        raise ValueError(msg)


def _for_code(_: Policy, certificate: x509.Certificate, extended: x509.ExtendedKeyUsage | None) -> None:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    allowed = {ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if extended is not None and allowed.isdisjoint(extended):
        msg = f"{subject_of(certificate)} is no authority for signing code (extended key usage)"
        raise ValueError(msg)
