"""Promises of certificate logs: what `cryptography` reads of ours, and every way in which one does not hold."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.certificate_transparency import LogEntryType, SignatureAlgorithm, Version
from cryptography.x509.oid import NameOID, ObjectIdentifier

from stannary.core.errors import IntegrityError, UsageError
from stannary.crypto.keys import generate
from stannary.crypto.sct import SCT_OID, make_extension, promises_of, verify_promise

LOG, CA, LEAF = generate(), generate("ecdsa-p384-sha384"), generate()
AT = datetime(2026, 11, 26, 12, 0, 0, 123000, tzinfo=UTC)


def certificate(extension=b"", name="leaf"):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        subject, subject, LEAF.public.key, 7, AT.replace(microsecond=0), AT.replace(microsecond=0) + timedelta(minutes=10)
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if extension:
        builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier(SCT_OID), extension), critical=False)
    made = builder.sign(CA.key, hashes.SHA384())
    return x509.load_der_x509_certificate(made.public_bytes(Encoding.DER))


def promised(log=LOG, issuer=CA, at=AT, of=None):
    of = of or certificate()
    return make_extension(log, of.tbs_certificate_bytes, issuer.public, at)


def test_cryptography_reads_ours():
    (found,) = promises_of(certificate(promised()))
    assert found.version == Version.v1
    assert found.entry_type == LogEntryType.PRE_CERTIFICATE
    assert found.signature_algorithm == SignatureAlgorithm.ECDSA
    assert found.timestamp.replace(tzinfo=UTC) == AT
    verify_promise(found, certificate(promised()), CA.public, LOG.public)


def test_a_certificate_without_one():
    assert promises_of(certificate()) == []


@pytest.mark.parametrize(
    "extension, issuer, log",
    [
        (promised(), CA, generate()),
        (promised(), generate(), LOG),
        (promised(log=generate()), CA, LOG),
        (promised(issuer=generate()), CA, LOG),
        (promised(of=certificate(name="another")), CA, LOG),
    ],
    ids=["by another log", "of another issuer", "with another key", "for another issuer", "for another certificate"],
)
def test_one_that_does_not_hold(extension, issuer, log):
    made = certificate(extension)
    (found,) = promises_of(made)
    with pytest.raises(IntegrityError) as raised:
        verify_promise(found, made, issuer.public, log.public)
    assert raised.value.code == "SIG001"


def test_another_algorithm_than_it_says():
    right = bytearray(promised())
    place = right.rindex(b"\x04\x03")  # SHA-256, ECDSA
    for hashed, signed in ((4, 1), (4, 2), (5, 3), (2, 3)):
        right[place : place + 2] = bytes([hashed, signed])
        made = certificate(bytes(right))
        (found,) = promises_of(made)
        with pytest.raises(IntegrityError) as raised:
            verify_promise(found, made, CA.public, LOG.public)
        assert raised.value.code == "SIG032"


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p384-sha384", "ecdsa-p521-sha512"])
def test_keys_that_no_certificate_log_has(algorithm):
    with pytest.raises(UsageError) as raised:
        promised(log=generate(algorithm))
    assert raised.value.code == "KEY006"


def test_a_certificate_beyond_any_size():
    with pytest.raises(IntegrityError):
        make_extension(LOG, bytes(1 << 24), CA.public, AT)
