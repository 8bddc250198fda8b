"""Whatever is changed in a Sigstore bundle is refused, with the error that says what it was.

Every byte of every field; fields exchanged between signatures that hold; times, certificates, promises, proofs and
heads made anew by somebody who has some of the keys, and not all of them.
"""

import base64
import copy
import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import utils
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from stannary.core.errors import IntegrityError
from stannary.crypto import dsse
from stannary.crypto.certificates import der_of
from stannary.crypto.keys import generate
from stannary.crypto.note import Checkpoint, sign_note
from stannary.crypto.sct import SCT_OID, make_extension
from stannary.evidence.keyless.certificates import issue
from stannary.evidence.keyless.material import Stamped, bundle_of
from stannary.evidence.keyless.token import Identity
from stannary.evidence.oms.bundle import write_bundle
from stannary.evidence.sigstore.body import dsse_body
from stannary.evidence.sigstore.bundle import parse_bundle, unfold
from stannary.evidence.sigstore.entry import promised
from stannary.evidence.sigstore.identity import ARC, ISSUER_V1, ISSUER_V2, utf8_string
from stannary.evidence.sigstore.verify import verify_bundle
from stannary.testing.keyless import KeylessPlace

CERTIFICATE = ("verificationMaterial", "certificate", "rawBytes")
ENTRY = ("verificationMaterial", "tlogEntries", 0)
PROOF = (*ENTRY, "inclusionProof")
PROMISE = (*ENTRY, "inclusionPromise", "signedEntryTimestamp")
CHECKPOINT = (*PROOF, "checkpoint", "envelope")
SIGNATURE = ("dsseEnvelope", "signatures", 0, "sig")


class Signed:
    """Some signatures in one log, the trust that verifies them, and a way to say what is wrong with a bundle."""

    def __init__(self, folder):
        self.place = KeylessPlace(folder)
        models = [folder / name for name in ("one", "two")]
        for model in models:
            model.mkdir()
            (model / "config.json").write_text(model.name)
        self.bundles = [json.loads(write_bundle(self.place.sign(model))) for model in (*models, *models, models[0])]
        self.trust = self.place.trust()

    def code(self, value, trust=None):
        """Return the code that a bundle is refused with; None when it is accepted."""
        trust = trust or self.trust
        try:
            verify_bundle(unfold(value), trust.root, trust.wanted, revoked=trust.revoked)
        except IntegrityError as error:
            return error.code
        return None


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    return Signed(tmp_path_factory.mktemp("tamper"))


def at(value, path):
    for name in path:
        value = value[name]
    return value


def changed(bundle, path, new):
    """Return a copy with one field replaced; `new` may be a function of the old one."""
    value = copy.deepcopy(bundle)
    place = at(value, path[:-1])
    place[path[-1]] = new(place[path[-1]]) if callable(new) else new
    return value


def without(bundle, path):
    value = copy.deepcopy(bundle)
    del at(value, path[:-1])[path[-1]]
    return value


def b64(content):
    return base64.b64encode(content).decode()


def test_what_was_not_changed_is_accepted(signed):
    assert [signed.code(bundle) for bundle in signed.bundles] == [None] * 5


# Every byte

BYTES = {
    # SIG036: how many bits of its last byte count is not signed; the log has the one spelling.
    CERTIFICATE: {"SIG036", "SIG021", "SIG022", "SIG023", "SIG024", "SIG026", "SIG031"},
    SIGNATURE: {"SIG001"},
    ("dsseEnvelope", "payload"): {"SIG001"},
    PROMISE: {"SIG034"},
    (*ENTRY, "canonicalizedBody"): {"SIG034"},
    (*ENTRY, "logId", "keyId"): {"SIG042"},
    (*PROOF, "rootHash"): {"SIG035"},
    (*PROOF, "hashes", 0): {"SIG035"},
}


@pytest.mark.parametrize("path", BYTES, ids=lambda path: str(path[-1] if path[-1] != 0 else path[-2]))
def test_every_byte_of_what_is_encoded(signed, path):
    bundle = signed.bundles[4]
    content = base64.b64decode(at(bundle, path))
    found = {}
    for i in range(len(content)):
        other = bytearray(content)
        other[i] ^= 1 << (i % 8)
        found[i] = signed.code(changed(bundle, path, b64(other)))
    assert {i: code for i, code in found.items() if code not in BYTES[path]} == {}


def test_every_bit_of_the_promise_in_the_certificate(signed):
    """The certificate as its authority would have signed it, but for one bit of the log's promise."""
    key, identity = generate(), identity_of(signed)
    right = right_promise(signed, key, identity)

    def code(promise):
        leaf = made(signed, key, identity, promise=promise)
        return signed.code(changed(signed.bundles[4], CERTIFICATE, b64(der_of(leaf))))

    assert code(right) == "SIG001"  # the promise holds, and the signature is another certificate's
    found = {i: code(right[: i // 8] + bytes([right[i // 8] ^ 1 << i % 8]) + right[i // 8 + 1 :]) for i in range(8 * len(right))}
    assert {i: code for i, code in found.items() if code not in {"SIG032", "SIG026"}} == {}


TEXTS = {
    CHECKPOINT: {"SIG035"},
    (*ENTRY, "logIndex"): {"SIG034", "SIG030"},
    (*ENTRY, "integratedTime"): {"SIG034", "SIG030", "SIG042", "SIG033"},
    (*PROOF, "logIndex"): {"SIG035", "SIG030"},
    (*PROOF, "treeSize"): {"SIG035", "SIG030"},
    (*ENTRY, "kindVersion", "kind"): {"SIG036"},
    (*ENTRY, "kindVersion", "version"): {"SIG036"},
    ("dsseEnvelope", "payloadType"): {"SIG001"},
    ("mediaType",): {"SIG030"},
}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: "/".join(map(str, path[-2:])))
def test_every_character_of_what_is_text(signed, path):
    bundle = signed.bundles[4]
    text = at(bundle, path)
    others = {"", text + text, text + " "}
    for i, old in enumerate(text):
        others |= {text[:i] + new + text[i + 1 :] for new in {chr(ord(old) ^ 1), "0", "\n", "é", ""} - {old}}
    found = {other: signed.code(changed(bundle, path, other)) for other in others}
    assert {other: code for other, code in found.items() if code not in TEXTS[path]} == {}


# Form


def test_fields_that_are_missing(signed):
    bundle = signed.bundles[4]
    expected = {
        CERTIFICATE[:-1]: "SIG030",
        ENTRY: "SIG035",  # in no log
        PROOF: "SIG030",
        (*PROOF, "checkpoint"): "SIG030",
        (*ENTRY, "inclusionPromise"): "SIG033",  # nothing says when
        (*ENTRY, "integratedTime"): "SIG034",
        (*ENTRY, "logIndex"): "SIG034",
        (*PROOF, "logIndex"): "SIG035",
        (*PROOF, "hashes"): "SIG035",
        (*PROOF, "treeSize"): "SIG030",
        (*PROOF, "rootHash"): "SIG030",
        (*ENTRY, "logId"): "SIG030",
        (*ENTRY, "kindVersion"): "SIG030",
        (*ENTRY, "canonicalizedBody"): "SIG030",
        ("dsseEnvelope",): "SIG030",
        ("dsseEnvelope", "signatures", 0): "SIG030",
        ("dsseEnvelope", "payload"): "SIG030",
        ("verificationMaterial",): "SIG030",
        ("mediaType",): "SIG030",
    }
    assert {path: signed.code(without(bundle, path)) for path in expected} == expected
    assert signed.code(changed(bundle, ("verificationMaterial", "tlogEntries"), [])) == "SIG035"


def test_fields_that_are_too_many_or_of_another_kind(signed):
    bundle = signed.bundles[4]
    chain = {"certificates": [{"rawBytes": at(bundle, CERTIFICATE)}]}
    for other in (
        {**bundle, "more": 1},
        {**bundle, "messageSignature": {"signature": at(bundle, SIGNATURE)}},
        changed(bundle, ("verificationMaterial",), lambda old: {**old, "x509CertificateChain": chain}),
        changed(bundle, ("verificationMaterial",), lambda old: {**old, "publicKey": {"hint": "x"}}),
        changed(bundle, ("dsseEnvelope", "signatures"), lambda old: old * 2),
        changed(bundle, ("verificationMaterial", "tlogEntries"), lambda old: old * 33),
        changed(bundle, ("mediaType",), "application/vnd.dev.sigstore.bundle+json;version=0.1"),
        changed(bundle, ENTRY, None),
        changed(bundle, SIGNATURE, ""),
        [bundle],
        None,
    ):
        assert signed.code(other) == "SIG030"
    for spelt in ("AA==\n", "AB==", "AA", "A===", "_w=="):  # base64 that is not the one spelling of its bytes
        assert signed.code(changed(bundle, PROMISE, spelt)) in {"SIG003", "SIG030"}
    with pytest.raises(IntegrityError):
        parse_bundle(json.dumps(bundle).replace('"mediaType"', '"mediaType": "x", "mediaType"', 1).encode())


def test_the_same_entry_twice_is_the_same_entry(signed):
    twice = changed(signed.bundles[4], ("verificationMaterial", "tlogEntries"), lambda old: old * 2)
    assert signed.code(twice) is None
    mixed = changed(twice, ("verificationMaterial", "tlogEntries", 1), at(signed.bundles[3], ENTRY))
    assert signed.code(mixed) == "SIG036"  # each of them has to be of this signature


# Exchanged between signatures that hold


@pytest.mark.parametrize(
    "path, code",
    [
        (CERTIFICATE, "SIG001"),
        (SIGNATURE, "SIG001"),
        (("dsseEnvelope",), "SIG001"),
        (("dsseEnvelope", "payload"), "SIG001"),
        (ENTRY, "SIG036"),
        (PROMISE, "SIG034"),
        (PROOF, "SIG035"),
        (CHECKPOINT, "SIG035"),
        ((*ENTRY, "canonicalizedBody"), "SIG034"),
        ((*PROOF, "hashes"), "SIG035"),
        ((*PROOF, "rootHash"), "SIG035"),
        (("verificationMaterial",), "SIG001"),
    ],
    ids=lambda item: str(item if isinstance(item, str) else item[-1]),
)
def test_a_field_of_another_signature(signed, path, code):
    assert signed.code(changed(signed.bundles[4], path, at(signed.bundles[3], path))) == code


def test_a_signature_that_is_the_same_number_in_other_words(signed):
    """(r, -s) holds as (r, s) does; the log has the one that was made."""
    bundle = signed.bundles[4]
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = utils.decode_dss_signature(base64.b64decode(at(bundle, SIGNATURE)))
    assert signed.code(changed(bundle, SIGNATURE, b64(utils.encode_dss_signature(r, order - s)))) == "SIG036"


# Made anew by somebody with some of the keys


def identity_of(signed, name="alice@example.com", issuer=None):
    return Identity("email", name, issuer or signed.place.provider.url, "alice", {}, signed.place.now + timedelta(days=9999))


def made(signed, key, identity, *, promise=None, start=None, drop=(), more=(), signer=None):
    """Return a certificate as the authority would issue it, but for what is said."""
    issuer = signed.place.authority.issuer
    start = start or signed.place.now
    claims = [(ISSUER_V1, identity.issuer.encode()), (ISSUER_V2, utf8_string(identity.issuer))]
    extensions = {
        "usage": (x509.KeyUsage(True, False, False, False, False, False, False, False, False), True),
        "purposes": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
        "names": (x509.SubjectAlternativeName([x509.RFC822Name(identity.name)]), True),
        **{oid: (x509.UnrecognizedExtension(ObjectIdentifier(oid), value), False) for oid, value in claims},
        **dict(more),
    }
    builder = x509.CertificateBuilder(
        issuer_name=issuer.certificate.subject, subject_name=x509.Name([]), public_key=key.public.key, serial_number=7,
        not_valid_before=start, not_valid_after=start + timedelta(minutes=10),
    )  # fmt: skip
    for name, (value, critical) in extensions.items():
        if name not in drop:
            builder = builder.add_extension(value, critical=critical)
    sign = (signer or issuer.key).key
    if promise is None:
        first = builder.sign(sign, hashes.SHA384())
        promise = make_extension(issuer.log, first.tbs_certificate_bytes, issuer.key.public, start)
    if promise:
        builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier(SCT_OID), promise), critical=False)
    return builder.sign(sign, hashes.SHA384())


def right_promise(signed, key, identity):
    """Return the promise that belongs into `made(signed, key, identity)`."""
    first = made(signed, key, identity, promise=b"")
    return make_extension(signed.place.authority.issuer.log, first.tbs_certificate_bytes,
                          signed.place.authority.issuer.key.public, signed.place.now)  # fmt: skip


def forged(signed, leaf, key, *, when=None, body=None, log=None):
    """Return a bundle that is logged as it should be, with a certificate of one's own making."""
    from cryptography.hazmat.primitives.serialization import Encoding

    payload = base64.b64decode(signed.bundles[0]["dsseEnvelope"]["payload"])
    envelope = dsse.sign(payload, key, dsse.IN_TOTO)
    with log or signed.place.authority.signature_log(write=True) as opened:
        entry = body or dsse_body(envelope, leaf.public_bytes(Encoding.PEM))
        logged = opened.append(entry, ("dsse", "0.0.1"), when or signed.place.now)
    return json.loads(write_bundle(bundle_of(Stamped(envelope, leaf, logged))))


def test_what_the_forge_makes_is_right_when_nothing_is_wrong(signed):
    key = generate()
    assert signed.code(forged(signed, made(signed, key, identity_of(signed)), key)) is None


def other_text(oid, content):
    return {"more": {oid: (x509.UnrecognizedExtension(ObjectIdentifier(oid), content), False)}}


def other_names(*names):
    return {"more": {"names": (x509.SubjectAlternativeName(names), True)}}


@pytest.mark.parametrize(
    "name, code",
    [
        ({"drop": ["usage"]}, None),  # one of the two has to say it
        ({"drop": ["purposes"]}, None),
        ({"drop": ["usage", "purposes"]}, "SIG024"),
        ({"drop": ["names"]}, "SIG037"),
        ({"drop": [ISSUER_V2]}, None),
        ({"drop": [ISSUER_V1]}, None),
        ({"drop": [ISSUER_V1, ISSUER_V2]}, "SIG037"),
        ({"promise": b""}, "SIG032"),
        ({"more": {"ca": (x509.BasicConstraints(ca=True, path_length=0), True)}}, "SIG024"),
        ({"more": {"purposes": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)}}, "SIG024"),
        ({"more": {"critical": (x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)}}, "SIG024"),
        (other_text(ISSUER_V2, utf8_string("https://evil.example")), "SIG037"),
        (other_text(ISSUER_V2, b"https://idp.example"), "SIG037"),
        (other_text(f"{ARC}.3", b"\xff"), "SIG037"),
        (other_names(x509.RFC822Name("alice@example.com"), x509.RFC822Name("m@evil.example")), "SIG037"),
        (other_names(x509.DNSName("alice.example.com")), "SIG037"),
        (other_names(x509.RFC822Name("Alice@example.com")), "SIG037"),
        (other_names(x509.RFC822Name("alice@example.com.evil.example")), "SIG037"),
    ],
    ids=str,
)
def test_certificates_that_the_authority_should_not_have_issued(signed, name, code):
    key = generate()
    assert signed.code(forged(signed, made(signed, key, identity_of(signed), **name), key)) == code


def test_a_certificate_that_the_authority_did_not_sign(signed):
    key, stranger = generate(), generate("ecdsa-p384-sha384")
    assert signed.code(forged(signed, made(signed, key, identity_of(signed), signer=stranger), key)) == "SIG031"


def test_a_promise_for_another_certificate_or_by_another_log(signed):
    key, identity, issuer = generate(), identity_of(signed), signed.place.authority.issuer
    other = right_promise(signed, key, identity_of(signed, "bob@example.com"))
    assert signed.code(forged(signed, made(signed, key, identity, promise=other), key)) == "SIG032"
    first = made(signed, key, identity, promise=b"").tbs_certificate_bytes
    stranger = make_extension(generate(), first, issuer.key.public, signed.place.now)
    assert signed.code(forged(signed, made(signed, key, identity, promise=stranger), key)) == "SIG032"
    foreign = make_extension(issuer.log, first, generate().public, signed.place.now)
    assert signed.code(forged(signed, made(signed, key, identity, promise=foreign), key)) == "SIG032"
    early = make_extension(issuer.log, first, issuer.key.public, signed.place.now - timedelta(days=400))
    assert signed.code(forged(signed, made(signed, key, identity, promise=early), key)) == "SIG032"


@pytest.mark.parametrize(
    "when, code",
    [
        (timedelta(seconds=-1), "SIG022"),
        (timedelta(0), None),
        (timedelta(minutes=10), None),
        (timedelta(minutes=10, seconds=1), "SIG021"),
        (timedelta(days=-1), "SIG042"),  # before there was that log
        (timedelta(days=3000), "SIG021"),
    ],
)
def test_logged_outside_of_the_certificate_s_ten_minutes(tmp_path, when, code):
    """With the promise of the log itself: the log helps, or the clock was wrong."""
    signed = Signed(tmp_path)
    start, key = signed.place.now + timedelta(hours=2), generate()
    if code != "SIG042":
        leaf, at_ = made(signed, key, identity_of(signed), start=start), start + when
    else:
        leaf, at_ = made(signed, key, identity_of(signed)), signed.place.now + when
    assert signed.code(forged(signed, leaf, key, when=at_)) == code


def test_an_entry_about_something_else(signed):
    key, other = generate(), base64.b64decode(at(signed.bundles[1], (*ENTRY, "canonicalizedBody")))
    leaf = made(signed, key, identity_of(signed))
    assert signed.code(forged(signed, leaf, key, body=other)) == "SIG036"
    said = json.loads(other)
    for body in (
        b"",
        b"[]",
        b"null",
        b"{}",
        b"[" * 9999,
        json.dumps({**said, "spec": {}}).encode(),
        json.dumps({**said, "kind": "rpm"}).encode(),
    ):
        assert signed.code(forged(signed, leaf, key, body=body or b" ")) == "SIG036"


def test_the_log_of_somebody_else(signed, tmp_path):
    """Another authority by the same name: its certificate, its log, or one of the two."""
    stranger = Signed(tmp_path)
    stranger.place.provider.url = signed.place.provider.url
    assert signed.code(stranger.bundles[0]) == "SIG042"
    key = generate()
    theirs = stranger.place.authority.signature_log(write=True)
    leaf = made(signed, key, identity_of(signed))
    bundle = forged(signed, leaf, key, log=theirs)
    assert signed.code(bundle) == "SIG042"
    ours = at(signed.bundles[0], (*ENTRY, "logId"))
    assert signed.code(changed(bundle, (*ENTRY, "logId"), ours)) == "SIG034"  # by our log's name, with their key
    unpromised = without(changed(bundle, (*ENTRY, "logId"), ours), (*ENTRY, "inclusionPromise"))
    assert signed.code(unpromised) == "SIG035"
    leaf = issue(identity_of(signed), key.public, stranger.place.authority.issuer, signed.place.now)
    assert signed.code(forged(signed, leaf, key)) == "SIG031"


def test_a_promise_with_the_right_key_and_no_entry(signed, tmp_path):
    """The key of the log got out, and the log itself did not: a promise, and a head, for an entry that is not in it."""
    bundle, authority = signed.bundles[4], signed.place.authority
    stranger = Signed(tmp_path)
    key = generate()
    made_up = forged(signed, made(signed, key, identity_of(signed)), key, log=stranger.place.authority.signature_log(write=True))
    entry = unfold(made_up).entries[0]
    log_id = base64.b64decode(at(bundle, (*ENTRY, "logId", "keyId")))
    promise = authority.key("log").sign(promised(entry.body, entry.position, entry.integrated, log_id))
    value = changed(changed(made_up, (*ENTRY, "logId", "keyId"), b64(log_id)), PROMISE, b64(promise))
    assert signed.code(value) == "SIG035"  # the head of their tree is not signed by our log


def test_heads_of_other_trees(signed):
    bundle, key = signed.bundles[4], signed.place.authority.key("log")
    name = signed.place.authority.log_name(1)
    size, root = int(at(bundle, (*PROOF, "treeSize"))), base64.b64decode(at(bundle, (*PROOF, "rootHash")))

    def head(origin, count, top, signer=key, said=name):
        return str(sign_note(Checkpoint(origin, count, top).text, said, signer, 2))

    assert signed.code(changed(bundle, CHECKPOINT, head(name, size, root))) is None
    for other in (
        head(name, size + 1, root),
        head(name, size, bytes(32)),
        head("another/log", size, root),
        head(name, size, root, generate()),
        head(name, size, root, said="another/log"),
        head(name, size, root).partition("\n\n")[0] + "\n",
        head(name, size, root).replace("\n\n", "\nmore\n\n"),
        head(name, size, root) + "x",
        "",
    ):
        assert signed.code(changed(bundle, CHECKPOINT, other)) == "SIG035"


def test_a_bundle_of_one_file_is_no_statement_on_a_model(signed):
    value = without(signed.bundles[4], ("dsseEnvelope",))
    assert signed.code({**value, "messageSignature": {"signature": at(signed.bundles[4], SIGNATURE)}}) == "SIG011"
