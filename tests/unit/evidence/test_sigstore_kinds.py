"""Every kind of log entry that is read, on files and on statements, and time stamps: right, and wrong in one way."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from stannary.core.errors import IntegrityError, UsageError
from stannary.crypto import dsse
from stannary.crypto.certificates import der_of
from stannary.crypto.keys import generate
from stannary.evidence.sigstore.bundle import unfold
from stannary.evidence.sigstore.timestamps import verify_time_stamp
from stannary.evidence.sigstore.trusted_root import Authority, Period
from stannary.evidence.sigstore.verify import verify_bundle
from stannary.testing.certificates import issue
from stannary.testing.keyless import KeylessPlace
from stannary.testing.time_stamps import TimeStampAuthority

FILE = b"weights of a model" * 99
STATEMENT = b'{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x","predicate":{}}'
MEDIA = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return KeylessPlace(tmp_path_factory.mktemp("kinds"))


def b64(content):
    return base64.b64encode(content).decode()


def pem(leaf):
    return b64(leaf.public_bytes(Encoding.PEM))


class Made:
    """A key with a certificate, and a signature of a file and of a statement."""

    def __init__(self, place):
        self.key = generate()
        self.leaf = place.certify(self.key)
        self.on_file = self.key.sign(FILE)
        self.envelope = dsse.sign(STATEMENT, self.key, dsse.IN_TOTO)
        self.on_statement = base64.b64decode(self.envelope.signatures[0].sig)


def body_of(kind, made, content=None, signature=None, leaf=None):
    """Return a log entry of a kind about a signature, or with one thing in it exchanged."""
    leaf = leaf or made.leaf
    on_file = kind.endswith("file")
    signature = signature or (made.on_file if on_file else made.on_statement)
    pae = dsse.pae(dsse.IN_TOTO, STATEMENT)
    content = content or (FILE if on_file else STATEMENT)
    digest = hashlib.sha256(content)
    raw = {"x509Certificate": {"rawBytes": b64(der_of(leaf))}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    old = {"algorithm": "sha256", "value": digest.hexdigest()}
    new = {"algorithm": "SHA2_256", "digest": b64(digest.digest())}
    if kind == "hashedrekord 0.0.1 file":
        spec = {"data": {"hash": old}, "signature": {"content": b64(signature), "publicKey": {"content": pem(leaf)}}}
    elif kind == "hashedrekord 0.0.2 file":
        spec = {"hashedRekordV002": {"data": new, "signature": {"content": b64(signature), "verifier": raw}}}
    elif kind == "hashedrekord 0.0.2":
        said = new if content != STATEMENT else {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(pae).digest())}
        spec = {"hashedRekordV002": {"data": said, "signature": {"content": b64(signature), "verifier": raw}}}
    elif kind == "dsse 0.0.1":
        row = {"signature": b64(signature), "verifier": pem(leaf)}
        spec = {"envelopeHash": old, "payloadHash": old, "signatures": [row]}
    elif kind == "dsse 0.0.2":
        spec = {"dsseV002": {"payloadHash": new, "signatures": [{"content": b64(signature), "verifier": raw}]}}
    else:
        row = {"sig": b64(b64(signature).encode()), "publicKey": pem(leaf)}
        spec = {"content": {"envelope": {"payloadType": dsse.IN_TOTO, "signatures": [row]}, "hash": old, "payloadHash": old}}
    name, version = kind.split()[:2]
    return {"apiVersion": version, "kind": name, "spec": spec}


KINDS = ["hashedrekord 0.0.1 file", "hashedrekord 0.0.2 file", "hashedrekord 0.0.2", "dsse 0.0.1", "dsse 0.0.2", "intoto 0.0.2"]


def bundle_of(place, made, body, *, on_file):
    material = {"certificate": {"rawBytes": b64(der_of(made.leaf))}, "tlogEntries": [place.log(body)]}
    value = {"mediaType": MEDIA, "verificationMaterial": material}
    if on_file:
        digest = {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(FILE).digest())}
        return {**value, "messageSignature": {"messageDigest": digest, "signature": b64(made.on_file)}}
    signature = {"sig": made.envelope.signatures[0].sig}
    return {**value, "dsseEnvelope": {"payload": b64(STATEMENT), "payloadType": dsse.IN_TOTO, "signatures": [signature]}}


def digest_of(name):
    return hashlib.new(name, FILE).digest()


def outcome(place, value, file=digest_of):
    trust = place.trust()
    try:
        verify_bundle(unfold(value), trust.root, trust.wanted, file=file)
    except IntegrityError as error:
        return error.code
    return "holds"


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_of_each_kind(place, kind):
    made, other = Made(place), Made(place)
    on_file = kind.endswith("file")
    signature = other.on_file if on_file else other.on_statement
    found = {
        name: outcome(place, bundle_of(place, made, body, on_file=on_file))
        for name, body in {
            "right": body_of(kind, made),
            "content": body_of(kind, made, content=b"another"),
            "signature": body_of(kind, made, signature=signature),
            "certificate": body_of(kind, made, leaf=other.leaf),
        }.items()
    }
    assert found == {"right": "holds", "content": "SIG036", "signature": "SIG036", "certificate": "SIG036"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_for_a_file_is_none_for_a_statement(place, kind):
    made = Made(place)
    body = body_of(kind, made)
    assert outcome(place, bundle_of(place, made, body, on_file=not kind.endswith("file"))) == "SIG036"


def test_another_file(place):
    made = Made(place)
    value = bundle_of(place, made, body_of(KINDS[0], made), on_file=True)
    assert outcome(place, value, lambda name: hashlib.new(name, b"another").digest()) == "SIG005"
    del value["messageSignature"]["messageDigest"]  # then the signature says it
    assert outcome(place, value) == "holds"
    assert outcome(place, value, lambda name: hashlib.new(name, b"another").digest()) == "SIG001"


# Time stamps


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Return the certificates of a time stamp authority, and a function that asks it."""
    pytest.importorskip("rfc3161_client", reason="extra `timestamps`: what verifies RFC 3161 is not installed")
    made = TimeStampAuthority(tmp_path_factory.mktemp("tsa"))
    return made.chain, made.stamp


def test_time_stamps(authority):
    chain, stamp = authority
    now = datetime.now(UTC)
    trusted = [Authority(chain, Period(now - timedelta(hours=1)))]
    content = stamp(b"signature")
    assert abs(verify_time_stamp(content, b"signature", trusted) - now) < timedelta(minutes=1)
    stranger = issue("tsa root", ca=True)
    for signature, authorities in (
        (b"another", trusted),
        (b"signature", []),
        (b"signature", [Authority((issue("tsa", stranger).certificate, stranger.certificate), Period())]),
        (b"signature", [Authority(chain, Period(now - timedelta(hours=2), now - timedelta(hours=1)))]),
    ):
        with pytest.raises(IntegrityError) as raised:
            verify_time_stamp(content, signature, authorities)
        assert raised.value.code == "SIG039"
    for other in (b"", content[:-40], content[:60] + bytes([content[60] ^ 1]) + content[61:]):
        with pytest.raises(IntegrityError):
            verify_time_stamp(other, b"signature", trusted)


def test_a_time_stamp_instead_of_a_promise(place, authority):
    chain, stamp = authority
    made = Made(place)
    value = bundle_of(place, made, body_of("hashedrekord 0.0.2", made), on_file=False)
    entry = value["verificationMaterial"]["tlogEntries"][0]
    del entry["inclusionPromise"]
    assert outcome(place, value) == "SIG033"
    stamps = [{"signedTimestamp": b64(stamp(made.on_statement))}]
    value["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
    assert outcome(place, value) == "SIG039"  # by nobody who is trusted
    trust = place.trust()
    root = trust.root._replace(time_stamps=(Authority(chain, Period()),))
    assert verify_bundle(unfold(value), root, trust.wanted).owner.names == ("alice@example.com",)
    late = root._replace(
        authorities=tuple(item._replace(period=Period(end=place.now - timedelta(days=1))) for item in root.authorities)
    )
    with pytest.raises(IntegrityError) as raised:
        verify_bundle(unfold(value), late, trust.wanted)
    assert raised.value.code == "SIG031"


def test_without_the_extra_it_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rfc3161_client", None)
    with pytest.raises(UsageError) as raised:
        verify_time_stamp(b"x", b"y", [])
    assert raised.value.code == "SIG039"
    assert "timestamps" in raised.value.help
