"""What the authority issues: its own certificates, and those of ten minutes for identities.

The profile is Fulcio's: the root and the issuing authority on P-384, path lengths that leave no room for others,
code signing alone; a signer's certificate has no subject but a critical alternative name, and the promise of the
certificate log inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from stannary.core.errors import Bug
from stannary.crypto.certificates import der_of
from stannary.crypto.keys import PrivateKey, PublicKey
from stannary.crypto.sct import SCT_OID, make_extension
from stannary.evidence.keyless.token import Identity
from stannary.evidence.sigstore.identity import ARC, ISSUER_V1, ISSUER_V2, OTHER_NAME, utf8_string

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["CA_YEARS", "MINUTES", "ROOT_YEARS", "Issuer", "issue", "make_authority", "make_root"]

ROOT_YEARS, CA_YEARS, MINUTES = 20, 3, 10
_YEAR = timedelta(days=365)
_FIRST_ENCODED = 8
_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


class Issuer:
    """The keys that issue: the authority's with its certificate, and the certificate log's."""

    def __init__(self, key: PrivateKey, certificate: x509.Certificate, log: PrivateKey) -> None:
        self.key = key
        self.certificate = certificate
        self.log = log


def make_root(name: str, key: PrivateKey, now: datetime) -> x509.Certificate:
    """Return the certificate of a root, signed by itself. It may have one authority below it and no more."""
    builder = _builder(_subject(name, "root"), _subject(name, "root"), key.public, (now, now + ROOT_YEARS * _YEAR))
    builder = _as_authority(builder, key.public, key.public, 1)
    return _signed(builder, key)


def make_authority(
    name: str, number: int, public: PublicKey, root: x509.Certificate, root_key: PrivateKey, now: datetime
) -> x509.Certificate:
    """Return the certificate of an authority that issues to signers alone."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    end = min(now + CA_YEARS * _YEAR, root.not_valid_after_utc)
    builder = _builder(_subject(name, f"authority {number}"), root.subject, public, (now, end))
    builder = _as_authority(builder, public, root_key.public, 0)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    return _signed(builder, root_key)


def issue(identity: Identity, public: PublicKey, issuer: Issuer, now: datetime) -> x509.Certificate:
    """Return a certificate for a key that an identity holds, valid from now for ten minutes.

    It is made twice: the log promises to keep the first, and the promise goes into the second.
    """
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

    start = now.replace(microsecond=0)
    times = (start, start + timedelta(minutes=MINUTES))
    builder = _builder(x509.Name([]), issuer.certificate.subject, public, times)
    extensions: list[tuple[Any, bool]] = [
        (_usage("digital_signature"), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public.key), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public.key), False),
        (x509.SubjectAlternativeName([_name(identity)]), True),
        *((x509.UnrecognizedExtension(ObjectIdentifier(oid), content), False) for oid, content in _claims(identity)),
    ]
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    first = _signed(builder, issuer.key)
    promise = make_extension(issuer.log, first.tbs_certificate_bytes, issuer.key.public, now)
    builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier(SCT_OID), promise), critical=False)
    second = x509.load_der_x509_certificate(der_of(_signed(builder, issuer.key)))
    if second.tbs_precertificate_bytes != first.tbs_certificate_bytes:
        msg = "the certificate with the log's promise differs from the one that was promised"
        raise Bug(msg)
    return second


def _claims(identity: Identity) -> Sequence[tuple[str, bytes]]:
    rows = [(ISSUER_V1, identity.issuer.encode()), (ISSUER_V2, utf8_string(identity.issuer))]
    for number, text in sorted(identity.claims.items()):
        rows.append((f"{ARC}.{number}", utf8_string(text) if number >= _FIRST_ENCODED else text.encode()))
    return rows


def _name(identity: Identity) -> x509.GeneralName:
    from cryptography import x509
    from cryptography.x509.oid import ObjectIdentifier

    if identity.kind == "email":
        return x509.RFC822Name(identity.name)
    if identity.kind == "uri":
        return x509.UniformResourceIdentifier(identity.name)
    return x509.OtherName(ObjectIdentifier(OTHER_NAME), utf8_string(identity.name))


def _subject(name: str, what: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, name[:64]),
        x509.NameAttribute(NameOID.COMMON_NAME, f"stannary {what}"),
    ])  # fmt: skip


def _builder(subject: x509.Name, issuer: x509.Name, public: PublicKey, times: tuple[datetime, datetime]) -> x509.CertificateBuilder:
    from cryptography import x509

    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public.key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(times[0].replace(microsecond=0)).not_valid_after(times[1].replace(microsecond=0))


def _as_authority(builder: x509.CertificateBuilder, public: PublicKey, by: PublicKey, path_length: int) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public.key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key), critical=False)
    )


def _usage(*names: str) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(**{name: name in names for name in _USAGES})


def _signed(builder: x509.CertificateBuilder, key: PrivateKey) -> x509.Certificate:
    from cryptography.hazmat.primitives import hashes

    digest = hashes.SHA384() if key.public.algorithm == "ecdsa-p384-sha384" else hashes.SHA256()
    return builder.sign(key.key, digest)
