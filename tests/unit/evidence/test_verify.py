"""From an envelope to evidence: five steps, each of which refuses what it is there for."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from stannary.core.errors import InputError, IntegrityError
from stannary.core.evidence import Resource
from stannary.core.model import Digest
from stannary.crypto import dsse
from stannary.crypto.keys import generate
from stannary.evidence.predicates.table import KINDS
from stannary.evidence.statement import encode, subject_resource
from stannary.evidence.verify import verify_envelope
from stannary.formats.tree import dir_hash
from stannary.testing.statements import EXAMPLES, SUBJECT_HEX

KEY = generate("ed25519")
TRUSTED = {KEY.public.keyid: (KEY.public, "ci")}
SUBJECT = subject_resource(Digest(SUBJECT_HEX), "claims")


def statement(kind="model-scan", **changes):
    whole = json.loads(encode([SUBJECT], KINDS[kind].predicate_type, EXAMPLES[kind]))
    return {**whole, **changes}


def signed(value, key=KEY, payload_type=dsse.IN_TOTO):
    payload = value if isinstance(value, bytes) else json.dumps(value).encode()
    return dsse.sign(payload, key, payload_type)


def test_what_holds_comes_out_with_who_signed_it():
    item = verify_envelope(signed(statement()), TRUSTED, subject=Digest(SUBJECT_HEX), index=3)
    assert (item.identity, item.keyid, item.index) == ("ci", KEY.public.keyid, 3)
    assert item.value.kind == "model-scan"
    assert item.value.counts.critical == 1
    assert item.value.findings[0].rule == "PKL001"
    assert item.value.subject == Digest(SUBJECT_HEX)


@pytest.mark.parametrize(
    "envelope,error,code",
    [
        (signed(statement(), generate("ed25519")), IntegrityError, "SIG001"),
        (signed(statement(), payload_type="application/json"), IntegrityError, "SIG002"),
        (signed(b"{"), InputError, "EVD001"),
        (signed(b"\xff\xfe"), InputError, "EVD001"),
        (signed(b"[" * 100_000), InputError, "EVD001"),
        (signed(statement(_type="https://in-toto.io/Statement/v0.1")), InputError, "EVD001"),
        (signed(statement(subject=[])), InputError, "EVD001"),
        (signed(statement(subject=[{"name": "x"}])), InputError, "EVD001"),
        (signed(statement(subject=[{"name": "x", "digest": {}}])), InputError, "EVD001"),
        (signed(statement(subject=[{"name": "x", "digest": {"sha256": "zz"}}])), InputError, "EVD001"),
        (signed(statement(subject=[{"name": "x", "digest": {"sha256": "ab"}}])), InputError, "EVD001"),
        (signed(statement(subject=[{"name": "x", "digest": {"sha1": "a" * 40}}])), InputError, "EVD001"),
        (signed(statement(predicateType="https://example.com/unknown/v1")), InputError, "EVD005"),
        (signed(statement(predicate={})), InputError, "EVD002"),
        (signed(statement(predicate={**EXAMPLES["model-scan"], "outcome": "clean"})), InputError, "EVD002"),
        (signed(statement(predicate={**EXAMPLES["model-scan"], "finishedOn": "2026-11-20T09:30:00"})), InputError, "EVD002"),
    ],
)
def test_what_does_not_hold_is_refused_for_its_reason(envelope, error, code):
    with pytest.raises(error) as caught:
        verify_envelope(envelope, TRUSTED)
    assert caught.value.code == code


def test_evidence_about_something_else_is_refused():
    with pytest.raises(IntegrityError) as caught:
        verify_envelope(signed(statement()), TRUSTED, subject=Digest("0" * 64))
    assert caught.value.code == "EVD003"


def test_what_claims_to_be_issued_after_it_was_recorded_is_refused():
    issued = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    with pytest.raises(IntegrityError) as caught:
        verify_envelope(signed(statement()), TRUSTED, recorded=issued - timedelta(hours=1))
    assert caught.value.code == "EVD004"
    item = verify_envelope(signed(statement()), TRUSTED, recorded=issued + timedelta(hours=1))
    assert item.value.issued == issued


def test_a_published_type_without_a_time_of_its_own_is_as_old_as_its_record():
    when = datetime(2026, 11, 21, tzinfo=UTC)
    item = verify_envelope(signed(statement("test-result")), TRUSTED, recorded=when)
    assert item.value.issued == when
    # Without a record it has no time at all, and any limit of age refuses it.
    assert verify_envelope(signed(statement("test-result")), TRUSTED).value.issued.year == 1970


def test_the_name_of_a_statement_does_not_depend_on_who_signed_it():
    other = generate()
    one = verify_envelope(signed(statement()), TRUSTED)
    two = verify_envelope(signed(statement(), other), {other.public.keyid: (other.public, "x")})
    assert one.value.id == two.value.id


def test_the_digest_that_binds_names_comes_first():
    both = Resource(name="x", digest={"sha256": "1" * 64, "dirHash1": "2" * 64})
    payload = encode([both], KINDS["lineage"].predicate_type, EXAMPLES["lineage"])
    assert verify_envelope(dsse.sign(payload, KEY), TRUSTED).value.subject == Digest("2" * 64)


def test_a_statement_about_several_artifacts_counts_for_the_one_that_is_asked_for():
    rows = [Resource(name=name, digest={"dirHash1": digit * 64}) for name, digit in (("x", "2"), ("y", "3"))]
    envelope = dsse.sign(encode(rows, KINDS["lineage"].predicate_type, EXAMPLES["lineage"]), KEY)
    with pytest.raises(InputError, match="about 2 artifacts"):
        verify_envelope(envelope, TRUSTED)
    for digit, name in (("2", "x"), ("3", "y")):
        found = verify_envelope(envelope, TRUSTED, subject=Digest(digit * 64)).value
        assert (found.subject, found.subject_name) == (Digest(digit * 64), name)
    with pytest.raises(IntegrityError, match="not about sha256:4444"):
        verify_envelope(envelope, TRUSTED, subject=Digest("4" * 64))


def test_a_single_file_is_meant_by_its_content_and_its_name():
    payload = encode(
        [Resource(name="dist/m.safetensors", digest={"sha256": "5" * 64})], KINDS["lineage"].predicate_type, EXAMPLES["lineage"]
    )
    envelope, digest = dsse.sign(payload, KEY), dir_hash([("m.safetensors", "5" * 64)])
    assert verify_envelope(envelope, TRUSTED, subject=digest).value.subject == digest
    with pytest.raises(IntegrityError, match="is about sha256:5555"):
        verify_envelope(envelope, TRUSTED, subject=dir_hash([("other.safetensors", "5" * 64)]))


@pytest.mark.parametrize("key", ["subject", "predicateType", "predicate", "_type"])
def test_a_statement_that_says_a_thing_twice_is_none(key):
    payload = encode([Resource(name="x", digest={"dirHash1": "2" * 64})], KINDS["lineage"].predicate_type, EXAMPLES["lineage"])
    said = json.loads(payload)
    for twice in (
        json.dumps({key: said[key]})[:-1].encode() + b"," + payload[1:],
        payload.replace(b'"dirHash1":"2', b'"dirHash1":"' + b"4" * 64 + b'","dirHash1":"2'),
    ):
        with pytest.raises(InputError, match="stands twice"):
            verify_envelope(dsse.sign(twice, KEY), TRUSTED)


def test_nothing_else_makes_verified_evidence():
    """`seal` is called by evidence/verify.py alone."""
    import ast
    from pathlib import Path

    import stannary

    root = Path(stannary.__file__).parent
    callers = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "seal"
    }
    assert callers == {"evidence/verify.py"}
