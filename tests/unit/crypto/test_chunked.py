"""Chunked encryption: the published vectors, the `cryptography` package's own, and whatever can be done to a message."""

import base64
import hashlib
import json
import os
import zlib
from pathlib import Path

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from stannary.core.errors import IntegrityError, UsageError
from stannary.crypto import chunked
from stannary.crypto.chunked import HEADER, Message, plain_size, sealed_size

GOLDEN = Path(__file__).parents[2] / "golden/chunked_encryption"
VECTORS = json.loads((GOLDEN / "vectors.json").read_text())["vectors"]
WYCHEPROOF = json.loads((GOLDEN / "wycheproof.json").read_text())["tests"]
KEY = bytes(range(32))
CHUNK, SEALED = 16384, 16400
EDGES = (0, 1, 16383, 16384, 16385, 32768, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (2 << 20) + 16384)


def opened(key, context, message, plain=None):
    """Decrypt a message, and put into `plain` what came before an error."""
    plain = [] if plain is None else plain
    for chunk in Message(key, context, message[:HEADER]).unseal([message[HEADER:]]):
        plain.append(chunk)
    return b"".join(plain)


def sealed(content, key=KEY, context=b"tin"):
    return b"".join(Message(key, context).seal([content]))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_published_vector(vector, monkeypatch):
    """All there is of the construction, but for the hash: these are for SHA-256."""
    monkeypatch.setattr(chunked, "SHA512", SHA256)
    key, context = bytes.fromhex(vector["key"]), vector["context"].encode()
    message = base64.b64decode(vector["ciphertext"] or "")
    message = zlib.decompress(message) if vector.get("compressed") else message
    if vector["expect"] == "success":
        content = opened(key, context, message)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (vector["payload_length"], vector["payload_sha256"])
        assert plain_size(len(message)) == len(content)
        assert sealed_size(len(content)) == len(message)
        return
    plain = []
    with pytest.raises((IntegrityError, UsageError)):
        opened(key, context, message, plain)
    # What came before the error is the content's beginning, or nothing.
    if "payload_length" in vector and plain:
        assert hashlib.sha256(b"".join(plain)[: vector["payload_length"]]).hexdigest() == vector["payload_sha256"]


@pytest.mark.parametrize("vector", WYCHEPROOF, ids=lambda vector: str(vector["tcId"]))
def test_a_vector_of_project_wycheproof(vector):
    content = opened(bytes.fromhex(vector["key"]), bytes.fromhex(vector["ctx"]), zlib.decompress(bytes.fromhex(vector["ct"])))
    assert (len(content), hashlib.sha512(content).hexdigest()) == (vector["msgLength"], vector["msgSha512"])


def test_there_are_as_many_vectors_as_were_published():
    expected = [vector["expect"] for vector in VECTORS]
    assert (expected.count("success"), expected.count("failure")) == (9, 25)


@pytest.mark.parametrize("size", EDGES)
def test_another_implementation_opens_what_we_seal_and_the_other_way_round(size):
    content = os.urandom(size)
    message = sealed(content)
    assert len(message) == sealed_size(size)
    other = Cobblestone256Decryptor(KEY, b"tin")
    assert other.update(message) + other.finalize() == content
    maker = Cobblestone256Encryptor(KEY, b"tin")
    theirs = maker.update(content) + maker.finalize()
    assert opened(KEY, b"tin", theirs) == content


@given(st.lists(st.binary(max_size=40_000), max_size=8), st.binary(max_size=40), st.randoms(use_true_random=False))
def test_any_pieces_make_the_message_of_the_whole(chunks, context, random):
    content = b"".join(chunks)
    message = b"".join(Message(KEY, context).seal(chunks))
    other = Cobblestone256Decryptor(KEY, context)
    assert other.update(message) + other.finalize() == content
    cuts = sorted(random.choices(range(HEADER, len(message) + 1), k=3))
    pieces = [message[a:b] for a, b in zip([HEADER, *cuts], [*cuts, len(message)], strict=True)]
    assert b"".join(Message(KEY, context, message[:HEADER]).unseal(pieces)) == content


def test_a_source_may_use_its_memory_again():
    buffer, content = bytearray(40_000), b""

    def chunks():
        nonlocal content
        for number in range(60):
            buffer[:] = bytes([number]) * len(buffer)
            content += bytes(buffer)
            yield buffer

    message = b"".join(Message(KEY, b"tin").seal(chunks()))
    assert opened(KEY, b"tin", message) == content


@given(st.integers(0, 1 << 50))
def test_lengths_follow_from_each_other(size):
    assert plain_size(sealed_size(size)) == size


@pytest.mark.parametrize("length", [0, 24, 55, 56, 71, 56 + SEALED, 56 + SEALED + 15, 56 + 3 * SEALED])
def test_a_length_that_no_message_has(length):
    with pytest.raises(IntegrityError) as raised:
        plain_size(length)
    assert raised.value.code == "ENC001"


@given(st.integers(0, 100_000), st.integers(0, 100_000))
def test_any_range_is_the_content_s(first, second):
    start, end = sorted((first, second))
    content = bytes(range(256)) * 390 + b"x" * 160
    message = MESSAGES.setdefault(len(content), sealed(content))
    fetched = []

    def fetch(begin, stop):
        fetched.append(stop - begin)
        yield message[begin:stop]

    opener = Message(KEY, b"tin", message[:HEADER])
    end = min(end, len(content))
    start = min(start, end)
    assert b"".join(opener.unseal_range(start, end, len(content), fetch)) == content[start:end]
    assert sum(fetched) <= (end - start) + 2 * SEALED + 16 * ((end - start) // CHUNK + 1)  # and little more is read


MESSAGES: dict = {}


def damages(message, content):
    """Yield what can be done to a message of three chunks and a bit, each with the name of it."""
    head, chunks = message[:HEADER], [message[n : n + SEALED] for n in range(HEADER, len(message), SEALED)]
    join = lambda *parts: head + b"".join(parts)  # noqa: E731 - a row each
    yield "cut by a byte", message[:-1]
    yield "cut within the last tag", message[: -len(chunks[3]) + 8]
    yield "the last chunk left out", join(*chunks[:3])
    yield "two chunks left out", join(*chunks[:2])
    yield "all chunks left out", head
    yield "the first chunk left out", join(*chunks[1:])
    yield "two chunks change places", join(chunks[1], chunks[0], *chunks[2:])
    yield "a chunk twice", join(chunks[0], chunks[0], *chunks[1:])
    yield "a chunk twice, in the place of another", join(chunks[0], chunks[0], *chunks[2:])
    yield "the last chunk twice", join(*chunks, chunks[3])
    yield "bytes added", message + b"\0" * 16
    yield (
        "a chunk of another message of the same key",
        join(chunks[0], sealed(content)[HEADER + SEALED : HEADER + 2 * SEALED], *chunks[2:]),
    )
    yield "the header of another message", sealed(content)[:HEADER] + message[HEADER:]


def test_nothing_can_be_done_to_a_message():
    content = os.urandom(3 * CHUNK + 100)
    message = sealed(content)
    for what, changed in damages(message, content):
        plain = []
        with pytest.raises(IntegrityError):
            opened(KEY, b"tin", changed, plain)
        assert b"".join(plain) in {content[: n * CHUNK] for n in range(4)}, what


def test_every_bit_of_a_message_counts():
    message = sealed(b"tin" * 10)
    for bit in range(8 * len(message)):
        changed = bytearray(message)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            opened(KEY, b"tin", bytes(changed))


def test_a_message_is_committed_to_one_key_and_one_context():
    message = sealed(b"tin")
    for key, context in ((KEY, b"tim"), (KEY, b""), (b"\1" * 32, b"tin"), (KEY[::-1], b"tin")):
        with pytest.raises(IntegrityError) as raised:
            Message(key, context, message[:HEADER])
        assert raised.value.code == "ENC003"


def test_two_messages_of_one_content_have_nothing_in_common():
    first, second = sealed(b"\0" * CHUNK), sealed(b"\0" * CHUNK)
    assert first[:24] != second[:24]
    assert sum(a == b for a, b in zip(first, second, strict=True)) < len(first) // 64


def test_a_range_of_a_damaged_chunk_is_refused_and_one_beside_it_is_not():
    content = os.urandom(4 * CHUNK)
    message = bytearray(sealed(content))
    message[HEADER + SEALED + 5] ^= 1
    opener = Message(KEY, b"tin", bytes(message[:HEADER]))
    fetch = lambda begin, stop: iter([bytes(message[begin:stop])])  # noqa: E731 - as short as it is
    with pytest.raises(IntegrityError, match="chunk 1 "):
        list(opener.unseal_range(CHUNK, CHUNK + 1, len(content), fetch))
    assert b"".join(opener.unseal_range(2 * CHUNK, 3 * CHUNK, len(content), fetch)) == content[2 * CHUNK : 3 * CHUNK]


def test_a_place_that_gives_other_lengths_is_refused():
    message = sealed(b"x" * 40_000)
    opener = Message(KEY, b"tin", message[:HEADER])
    for cut in (-1, 1):
        with pytest.raises(IntegrityError):
            list(opener.unseal_range(0, 100, 40_000, lambda a, b, c=cut: iter([(message + b"\0")[a : b + c]])))


def test_a_message_ends_before_its_counter_does(monkeypatch):
    monkeypatch.setattr(chunked, "_MOST", 64)
    with pytest.raises(UsageError, match="longer than"):
        sealed(b"\0" * (1 << 20))
    sealed(b"\0" * ((1 << 20) - CHUNK))


def test_keys_and_headers_have_their_lengths():
    for key, header in ((KEY[:-1], None), (KEY + b"x", None), (b"", None), (KEY, b""), (KEY, b"x" * 57)):
        with pytest.raises(UsageError):
            Message(key, b"", header)


def test_older_versions_of_the_package_make_the_same(monkeypatch):
    content = os.urandom((1 << 20) + 20_000)
    fast = sealed(content)
    monkeypatch.setattr(chunked, "_INTO", False)
    assert opened(KEY, b"tin", fast) == content
    slow = sealed(content)
    with pytest.raises(IntegrityError):
        opened(KEY, b"tin", slow[:-1])
    monkeypatch.setattr(chunked, "_INTO", True)
    assert opened(KEY, b"tin", slow) == content
