"""Envelopes: what was signed comes back, and nothing else does."""

import base64

import msgspec
import pytest

from stannary.core.errors import InputError, IntegrityError
from stannary.crypto import dsse
from stannary.crypto.keys import generate

KEY = generate()


def test_the_encoding_is_the_specification_s():
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_what_was_signed_comes_back_with_the_key():
    envelope = dsse.decode(dsse.encode(dsse.sign(b'{"a":1}', KEY)))
    payload, key = dsse.verify(envelope, [generate().public, KEY.public])
    assert payload == b'{"a":1}'
    assert key.keyid == KEY.public.keyid
    assert dsse.id_of(envelope) == dsse.id_of(dsse.sign(b'{"a":1}', generate()))


@pytest.mark.parametrize(
    "change",
    [
        lambda e: msgspec.structs.replace(e, payload=base64.b64encode(b'{"a":2}').decode()),
        lambda e: msgspec.structs.replace(e, payload_type="text/plain"),
        lambda e: msgspec.structs.replace(e, signatures=(dsse.Signature("AAAA"),)),
        lambda e: msgspec.structs.replace(e, signatures=()),
    ],
)
def test_a_change_is_refused(change):
    with pytest.raises(IntegrityError):
        dsse.verify(change(dsse.sign(b'{"a":1}', KEY)), [KEY.public])


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b'{"payload":"","payloadType":"x","signatures":[]}', b"\xff", b'{"payload":"\xff"}', b'{"x":' * 200_000],
)
def test_what_is_no_envelope_is_refused(content):
    with pytest.raises(InputError):
        dsse.decode(content)


def test_an_envelope_that_says_a_thing_twice_is_none():
    content = dsse.encode(dsse.sign(b'{"a":1}', KEY))
    assert dsse.decode(content) == dsse.decode(b" " + content)
    with pytest.raises(InputError, match="stands twice"):
        dsse.decode(b'{"payload":"e30=",' + content[1:])


def test_characters_outside_base64_are_refused():
    envelope = dsse.sign(b"{}", KEY)
    with pytest.raises(InputError):
        dsse.payload_of(msgspec.structs.replace(envelope, payload=envelope.payload + "\n"))


def test_a_key_id_is_a_hint_and_decides_nothing():
    envelope = dsse.sign(b"{}", KEY)
    renamed = msgspec.structs.replace(envelope, signatures=(dsse.Signature(envelope.signatures[0].sig, "ab" * 32),))
    assert dsse.verify(renamed, [generate().public, KEY.public])[1].keyid == KEY.public.keyid
    claimed = msgspec.structs.replace(envelope, signatures=(dsse.Signature(generate().sign(b"x").hex(), KEY.public.keyid),))
    with pytest.raises((IntegrityError, InputError)):
        dsse.verify(claimed, [KEY.public])
