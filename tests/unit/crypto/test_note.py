"""Signed notes, checkpoints and cosignatures: one spelling each, and nothing that was not signed."""

import base64
import hashlib
import re

import msgspec
import pytest

from stannary.core.errors import InputError, IntegrityError, StannaryError, UsageError
from stannary.crypto import keys
from stannary.crypto.note import (
    COSIGNATURE,
    ECDSA,
    Checkpoint,
    Note,
    NoteSignature,
    VerifierKey,
    check_name,
    cosign,
    cosigned_at,
    open_checkpoint,
    parse_note,
    sign_note,
    verify_note,
)

# The example of c2sp.org/signed-note's reference implementation (golang.org/x/mod/sumdb/note).
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SAID = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNED = SAID + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
ORIGIN = "example.com/team/log"
KEY, WITNESS = keys.generate("ed25519"), keys.generate("ed25519")
LOG = VerifierKey.of(ORIGIN, KEY.public)
WATCHER = VerifierKey.of("witness.example/1", WITNESS.public, COSIGNATURE)
HEAD = Checkpoint(ORIGIN, 7, bytes(range(32)))
SIGNED_HEAD = sign_note(HEAD.text, ORIGIN, KEY)


def test_the_reference_note_is_read_and_written():
    key = VerifierKey.parse(PETER)
    note = parse_note(SIGNED)
    assert verify_note(note, [key]) == (key,)
    assert (str(key), note.text, str(note)) == (PETER, SAID, SIGNED)


def test_a_checkpoint_of_another_implementation_is_read():
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nan extension\n"
    found = Checkpoint.parse(text)
    assert (found.origin, found.size, found.extensions, found.text) == (
        "example.com/behind-the-sofa",
        20852163,
        ("an extension",),
        text,
    )


def test_a_head_is_opened_with_the_key_of_its_log():
    found, note = open_checkpoint(str(SIGNED_HEAD), LOG)
    assert (found, note) == (HEAD, SIGNED_HEAD)
    assert open_checkpoint(str(SIGNED_HEAD).encode(), VerifierKey.parse(str(LOG)))[0] == HEAD


def test_a_witness_says_when_it_saw_a_head():
    both = Note(SIGNED_HEAD.text, (*SIGNED_HEAD.signatures, cosign(SIGNED_HEAD, WATCHER.name, WITNESS, 1767000000)))
    assert cosigned_at(parse_note(str(both)), [WATCHER, LOG]) == {WATCHER.name: 1767000000}


def test_a_cosignature_holds_for_its_time_only():
    line = cosign(SIGNED_HEAD, WATCHER.name, WITNESS, 1767000000)
    later = msgspec.structs.replace(line, signature=(1767000001).to_bytes(8, "big") + line.signature[8:])
    with pytest.raises(IntegrityError) as refused:
        cosigned_at(Note(SIGNED_HEAD.text, (later,)), [WATCHER])
    assert refused.value.code == "LED004"


def test_a_signature_of_a_log_is_no_cosignature():
    """The same key under the same name, of the other type: another id, and another message."""
    other = VerifierKey(WATCHER.name, 1, WATCHER.public)
    line = cosign(SIGNED_HEAD, WATCHER.name, WITNESS, 1767000000)
    assert verify_note(Note(SIGNED_HEAD.text, (line,)), [other]) == ()
    with pytest.raises(IntegrityError):
        verify_note(Note(SIGNED_HEAD.text, (NoteSignature(line.name, other.id, line.signature[8:]),)), [other])


def test_signatures_of_unknown_keys_are_ignored():
    stranger = NoteSignature(ORIGIN, b"\0\1\2\3", b"x" * 64)
    assert verify_note(Note(SIGNED_HEAD.text, (stranger, *SIGNED_HEAD.signatures)), [LOG]) == (LOG,)


def test_a_note_signed_by_strangers_only_is_refused():
    with pytest.raises(IntegrityError) as refused:
        open_checkpoint(str(sign_note(HEAD.text, ORIGIN, WITNESS)), LOG)
    assert refused.value.code == "LED004"


def test_a_head_of_another_log_is_refused():
    with pytest.raises(IntegrityError) as refused:
        open_checkpoint(str(sign_note(Checkpoint("other.example", 1, bytes(32)).text, ORIGIN, KEY)), LOG)
    assert refused.value.code == "LED011"


def test_a_key_signs_once():
    with pytest.raises(IntegrityError, match="twice"):
        verify_note(Note(SIGNED_HEAD.text, SIGNED_HEAD.signatures * 2), [LOG])


@pytest.mark.parametrize("place", range(0, len(str(SIGNED_HEAD)), 3))
def test_no_character_of_a_signed_head_can_be_changed(place):
    text = str(SIGNED_HEAD)
    changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
    with pytest.raises(IntegrityError) as refused:
        open_checkpoint(changed, LOG)
    assert refused.value.help


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\n\n\xe2\x80\x94 a AAAAAA==\n",
        "",
        "text\n",
        "text\n\n",
        "text\n\n— name\n",
        "text\n\n— name AAAA\n",
        "text\n\n- name AAAAAAAA\n",
        "text\n\n—  AAAAAAAA\n",
        "text\n\n— na+me AAAAAAAA\n",
        "text\n\n— name AAAAAAAA",
        "text\n\n— name AAAAAAAA\n\n",
        "text\n\n— name AAAAAAA=A\n",
        "te\txt\n\n— name AAAAAAAA\n",
        "text\n\n— name AAAAAAB=\n",  # not the canonical spelling of its bytes
        "text\n\n" + "— name AAAAAAAA\n" * 129,
    ],
)
def test_what_is_not_a_note_is_refused(content):
    with pytest.raises(IntegrityError) as refused:
        parse_note(content)
    assert refused.value.code == "LED005"


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        f"origin\n1\n{ROOT}",
        f"origin\n01\n{ROOT}\n",
        f"origin\n-1\n{ROOT}\n",
        f"origin\n1_0\n{ROOT}\n",
        f"origin\n²\n{ROOT}\n",
        f"origin\n{'9' * 19}\n{ROOT}\n",
        f"origin\n1\n{ROOT[:-4]}\n",
        f"origin\n1\n{ROOT}=\n",
        f"\n1\n{ROOT}\n",
        f"origin\n1\n{ROOT}\n\nextension\n",
    ],
)
def test_what_is_not_a_checkpoint_is_refused(text):
    with pytest.raises(IntegrityError) as refused:
        Checkpoint.parse(text)
    assert refused.value.code == "LED005"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+c74f20a3",
        PETER.replace("c74f20a3", "c74f20a4"),
        PETER.replace("PeterNeumann", "PeterNewmann"),
        PETER[:-1],
        PETER.replace("+ARpc", "+CRpc"),
        "a b+00000000+" + base64.b64encode(b"\1" + bytes(32)).decode(),
    ],
)
def test_what_is_not_a_verifier_key_is_refused(text):
    with pytest.raises(StannaryError):
        VerifierKey.parse(text)


ORDER_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"


@pytest.mark.parametrize(
    "point", ["00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", ORDER_8, ORDER_8[:-2] + "fa", "ee" + "ff" * 30 + "7f"]
)
def test_keys_under_which_anybody_can_sign_are_refused(point):
    key = VerifierKey("log", 1, bytes.fromhex(point))
    with pytest.raises(InputError, match="anybody can sign"):
        VerifierKey.parse(str(key))


def test_only_ed25519_signs_notes():
    with pytest.raises(UsageError, match="Ed25519"):
        sign_note(HEAD.text, ORIGIN, keys.generate())


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb", "a" * 256])
def test_names_are_names(name):
    with pytest.raises(UsageError):
        check_name(name)
    assert not re.search(r"\s", check_name(ORIGIN))


# Logs of Sigstore: ECDSA


def test_a_head_signed_by_a_log_of_sigstore_s_kind():
    signer = keys.generate("ecdsa-p256-sha256")
    key = VerifierKey.of_log("log.example/1", signer.public)
    assert key.id == hashlib.sha256(signer.public.spki).digest()[:4]
    note = sign_note(Checkpoint("log.example/1", 1, bytes(32)).text, "log.example/1", signer, ECDSA)
    assert verify_note(parse_note(str(note)), [key])
    other = VerifierKey.of_log("log.example/1", keys.generate("ecdsa-p256-sha256").public)
    assert not verify_note(parse_note(str(note)), [other])
    assert not verify_note(parse_note(str(note)), [VerifierKey.of_log("log.example/2", signer.public)])
    changed = str(note).replace("\n1\n", "\n2\n")
    with pytest.raises(IntegrityError):
        verify_note(parse_note(changed), [key])


def test_a_log_of_ed25519_is_what_it_was():
    signer = keys.generate("ed25519")
    assert VerifierKey.of_log("log.example", signer.public) == VerifierKey.of("log.example", signer.public)
