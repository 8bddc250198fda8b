"""Certificates for listeners and for clients, from an authority of one's own (RFC 5280): for tests and small teams.

A listener's names the addresses that it is for, and serves nothing else; a client's names who it is, and is no listener's. The
authority signs no authorities.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from stannary.core.errors import InputError, UsageError
from stannary.crypto.keys import PrivateKey, generate

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["Issued", "authority", "client", "listener", "read_authority"]

_AUTHORITY, _LEAF = timedelta(days=3650), timedelta(days=397)  # what browsers take for a leaf
_BEFORE = timedelta(minutes=5)  # clocks differ


class Issued(NamedTuple):
    """A key, and the certificate for it in PEM."""

    key: PrivateKey
    pem: bytes


def authority(name: str, now: datetime) -> Issued:
    """Make an authority."""
    from cryptography import x509

    key = generate()
    subject = _named(name)
    builder = _certificate(key, subject, subject, now, _AUTHORITY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return Issued(key, _signed(builder.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True), key))


def read_authority(pem: bytes, key: PrivateKey, where: str) -> Issued:
    """Return an authority that was made before. Raises InputError when it is none, or the key is another one's."""
    found = _parsed(pem, where)
    if found.public_key() != key.key.public_key():
        msg = "the certificate is for another key than the one beside it"
        raise InputError(msg, where=where, code="KEY021", help="name another folder")
    return Issued(key, pem)


def listener(issuer: Issued, hosts: Sequence[str], now: datetime) -> Issued:
    """Issue a certificate for a listener that is reached by these names and addresses. Raises UsageError."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if not hosts:
        msg = "a listener's certificate names the addresses it is reached by"
        raise UsageError(msg, code="KEY022", help="--host NAME")
    names = [_address(host) for host in hosts]
    key = generate()
    builder = _certificate(key, _named(hosts[0]), _parsed(issuer.pem, "authority").subject, now, _LEAF)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Issued(key, _leaf(builder, issuer, ExtendedKeyUsageOID.SERVER_AUTH))


def client(issuer: Issued, name: str, now: datetime) -> Issued:
    """Issue a certificate that says who a client is."""
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = generate()
    builder = _certificate(key, _named(name), _parsed(issuer.pem, "authority").subject, now, _LEAF)
    return Issued(key, _leaf(builder, issuer, ExtendedKeyUsageOID.CLIENT_AUTH))


def _certificate(
    key: PrivateKey, subject: x509.Name, issuer: x509.Name, now: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.key.public_key()), critical=False)
    )


def _leaf(builder: x509.CertificateBuilder, issuer: Issued, purpose: x509.ObjectIdentifier) -> bytes:
    from cryptography import x509

    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(above, critical=False).add_extension(_usage("digital_signature"), critical=True)
    return _signed(builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False), issuer.key)


def _signed(builder: x509.CertificateBuilder, key: PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding

    digest = None if isinstance(key.key, Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key.key, digest).public_bytes(Encoding.PEM)


def _named(name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    if not 0 < len(name) <= 64 or not name.isprintable():  # noqa: PLR2004 - ub-common-name
        msg = f"is no name for a certificate: {name[:80]!r}"
        raise UsageError(msg, code="KEY022", help="1 to 64 printable characters")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _address(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    labels = host.removeprefix("*.").split(".")
    if not all(label.isascii() and label.replace("-", "").isalnum() for label in labels) or len(host) > 253:  # noqa: PLR2004 - RFC 1035
        msg = f"is no name or address of a host: {host[:80]!r}"
        raise UsageError(msg, where="--host", code="KEY022", help="--host registry.example, --host 10.0.0.7")
    return x509.DNSName(host)


def _usage(*names: str) -> x509.KeyUsage:
    from cryptography import x509

    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
        "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in names for name in every})


def _parsed(pem: bytes, where: str) -> x509.Certificate:
    from stannary.crypto.certificates import parse_pem

    return parse_pem(pem, where)[0]
