"""Every bit of a signed statement counts: more than a thousand changes, each refused for its reason."""

import base64
import json
import random

import msgspec
import pytest

from stannary.core.errors import InputError, IntegrityError
from stannary.core.evidence import Reason
from stannary.core.model import Digest
from stannary.crypto import dsse
from stannary.crypto.keys import generate
from stannary.evidence.chain import Chain
from stannary.evidence.gate import judge
from stannary.evidence.predicates.table import KINDS
from stannary.evidence.statement import encode, subject_resource
from stannary.evidence.verify import verify_envelope
from stannary.policy.model import Policy, Requirement
from stannary.testing.statements import EXAMPLES, SUBJECT_HEX

SUBJECT = subject_resource(Digest(SUBJECT_HEX), "claims")
OTHER = subject_resource(Digest("0" * 64), "other")
KEYS = {name: generate(name) for name in ("ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512", "ed25519")}


def signed(key, kind="model-scan", subject=SUBJECT):
    return dsse.sign(encode([subject], KINDS[kind].predicate_type, EXAMPLES[kind]), key)


def trusting(*keys):
    return {key.public.keyid: (key.public, "ci") for key in keys}


def with_payload(envelope, payload):
    return msgspec.structs.replace(envelope, payload=base64.b64encode(payload).decode())


def with_signature(envelope, signature):
    first = dsse.Signature(base64.b64encode(signature).decode(), envelope.signatures[0].keyid)
    return msgspec.structs.replace(envelope, signatures=(first,))


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("name", KEYS)
def test_no_bit_of_the_payload_can_be_changed(name):
    key = KEYS[name]
    envelope = signed(key)
    payload = dsse.payload_of(envelope)
    bits = random.Random(name).sample(range(len(payload) * 8), 250)
    for bit in bits:
        with pytest.raises(IntegrityError) as caught:
            verify_envelope(with_payload(envelope, flipped(payload, bit)), trusting(key))
        assert caught.value.code == "SIG001"


@pytest.mark.parametrize("name", KEYS)
def test_no_bit_of_the_signature_can_be_changed(name):
    key = KEYS[name]
    envelope = signed(key)
    signature = base64.b64decode(envelope.signatures[0].sig)
    for bit in range(len(signature) * 8):
        with pytest.raises(IntegrityError):
            verify_envelope(with_signature(envelope, flipped(signature, bit)), trusting(key))


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("other", KEYS)
def test_a_signature_holds_for_its_own_key_alone(name, other):
    key, wrong = KEYS[name], generate(other)
    with pytest.raises(IntegrityError):
        verify_envelope(signed(key), trusting(wrong))
    # Nor for a key that took the other's name.
    with pytest.raises((IntegrityError, KeyError)):
        verify_envelope(signed(key), {key.public.keyid: (wrong.public, "ci")})


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_on_one_statement_is_none_on_another(kind):
    key = KEYS["ed25519"]
    one = signed(key, kind)
    for another in KINDS:
        moved = msgspec.structs.replace(signed(key, another), signatures=one.signatures)
        if another == kind:
            verify_envelope(moved, trusting(key))
            continue
        with pytest.raises(IntegrityError):
            verify_envelope(moved, trusting(key))
    with pytest.raises(IntegrityError) as caught:
        verify_envelope(signed(key, kind, OTHER), trusting(key), subject=Digest(SUBJECT_HEX))
    assert caught.value.code == "EVD003"


@pytest.mark.parametrize("length", range(0, 72, 3))
def test_a_signature_cut_or_padded_is_refused(length):
    key = KEYS["ecdsa-p256-sha256"]
    envelope = signed(key)
    signature = base64.b64decode(envelope.signatures[0].sig)
    for changed in (signature[:length] if length < len(signature) else b"", signature + b"\0" * (length + 1)):
        with pytest.raises(IntegrityError):
            verify_envelope(with_signature(envelope, changed), trusting(key))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(payloadType="application/json"),
        lambda d: d.update(payload=""),
        lambda d: d.update(signatures=[]),
        lambda d: d.update(signatures=[{"sig": ""}]),
        lambda d: d.update(signatures=[{"sig": "!!!", "keyid": "x"}]),
        lambda d: d.update(signatures=d["signatures"] * 65),
        lambda d: d.pop("payload"),
        lambda d: d.pop("signatures"),
        lambda d: d.update(payload=d["payload"] + "===="),
        lambda d: d.update(payload=[d["payload"]]),
    ],
)
def test_a_changed_envelope_is_refused(change):
    key = KEYS["ed25519"]
    document = json.loads(dsse.encode(signed(key)))
    change(document)
    with pytest.raises((IntegrityError, InputError)):
        verify_envelope(dsse.decode(json.dumps(document).encode()), trusting(key))


def test_evidence_of_one_artifact_opens_no_gate_for_another(workspace):
    chain = Chain(workspace, write=True)
    good = {**EXAMPLES["statement"]}
    chain.state(OTHER, "statement", good)
    policy = Policy(name="p", require=(Requirement(kind="statement"),))
    assert judge(chain, OTHER, policy).decision.verdict == "allow"
    denied = judge(chain, SUBJECT, policy).decision
    assert denied.verdict == "deny"
    assert isinstance(denied.reasons[0], Reason)
    # The same envelope, logged again: it is still about the other one.
    (item,) = chain.about(Digest("0" * 64)).evidence
    _, envelope = chain.one(item.value.id.hex)
    chain.log([envelope])
    assert judge(chain, SUBJECT, policy).decision.verdict == "deny"
