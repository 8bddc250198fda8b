"""Encrypted blobs: what lies there, keys that are turned, namespaces that are shredded, and attacks on what lies there."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from stannary.core.errors import BackendError, InputError, IntegrityError, UsageError
from stannary.core.model import Digest
from stannary.crypto.envelope import Envelopes, namespace_key, new_namespace
from stannary.crypto.wrapping import WrappingKey
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.folder import FolderObjects
from stannary.store.blobs.interface import Blobs, blob_name
from stannary.testing.blob_memory import MemoryObjects

OLD, NEW = WrappingKey(b"\1" * 32), WrappingKey(b"\2" * 32)
CONTENT = b"tin" * 30_000


def of(content):
    return Digest(hashlib.sha256(content).hexdigest())


def headers_of(objects):
    return {name: content for name, content in objects.contents.items() if name.startswith("keys/")}


@pytest.fixture
def objects():
    return MemoryObjects()


@pytest.fixture
def blobs(objects):
    return EncryptedBlobs(objects, Envelopes([OLD]))


def test_what_lies_there_tells_nothing_of_a_content(blobs, objects):
    assert isinstance(blobs, Blobs)
    blobs.put(of(CONTENT), len(CONTENT), [CONTENT])
    name = blob_name(of(CONTENT))
    assert set(objects.contents) == {name, f"keys/{name}"}
    assert all(b"tintin" not in content for content in objects.contents.values())
    assert set(json.loads(objects.contents[f"keys/{name}"])) == {"format", "cipher", "keys"}
    assert hashlib.sha256(objects.contents[name]).hexdigest() != of(CONTENT).hex


def test_the_format_is_what_is_documented(blobs, objects):
    """Another implementation opens what lies there, with the key and the context that the documentation says. Kept for ever."""
    from cryptography.cobblestone import Cobblestone256Decryptor

    digest = of(CONTENT)
    blobs.put(digest, len(CONTENT), [CONTENT])
    key = Envelopes([OLD]).key(
        objects.contents[f"keys/sha256/{digest.hex[:2]}/{digest.hex[2:]}"], f"stannary blob key\0{digest}".encode()
    )
    other = Cobblestone256Decryptor(key, b"stannary blob\0" + f"sha256:{digest.hex}".encode() + len(CONTENT).to_bytes(8, "big"))
    assert other.update(objects.contents[blob_name(digest)]) + other.finalize() == CONTENT


def test_each_content_has_a_key_of_its_own(blobs, objects):
    for content in (CONTENT, CONTENT + b"!"):
        blobs.put(of(content), len(content), [content])
    first, second = (of(content) for content in (CONTENT, CONTENT + b"!"))
    keys = {
        Envelopes([OLD]).key(objects.contents[f"keys/{blob_name(d)}"], f"stannary blob key\0{d}".encode()) for d in (first, second)
    }
    assert len(keys) == 2


def test_turning_a_key_leaves_the_contents_as_they_are(objects, blobs):
    contents = [CONTENT, b"", b"x" * (3 << 20)]
    for content in contents:
        blobs.put(of(content), len(content), [content])
    before = {name: content for name, content in objects.contents.items() if not name.startswith("keys/")}
    turned = EncryptedBlobs(objects, Envelopes([NEW], former=[OLD]))
    assert [turned.rewrap(of(content)) for content in contents] == [True] * 3
    assert [turned.rewrap(of(content)) for content in contents] == [False] * 3
    assert turned.rewrap(of(CONTENT), anew=True)
    assert before == {name: content for name, content in objects.contents.items() if not name.startswith("keys/")}
    without = EncryptedBlobs(objects, Envelopes([NEW]))
    assert all(b"".join(without.read(of(content))) == content for content in contents)
    with pytest.raises(UsageError, match=NEW.key_id):
        blobs.read(of(CONTENT))
    with pytest.raises(InputError):
        without.rewrap(of(b"nothing"))


def test_a_key_is_turned_while_blobs_are_read_and_put(objects):
    """Readers have both keys; nothing fails, and in the end the new key opens everything."""
    both = EncryptedBlobs(objects, Envelopes([NEW], former=[OLD]))
    contents = [os.urandom(50_000) for _ in range(12)]
    before = EncryptedBlobs(objects, Envelopes([OLD], former=[NEW]))
    errors, done = [], threading.Event()

    def work():
        try:
            while not done.is_set():
                for content in contents:
                    before.put(of(content), len(content), [content])
                    assert b"".join(before.read(of(content))) == content
        except Exception as error:  # noqa: BLE001 - whatever it is, the test has to say it
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for content in contents:
        before.put(of(content), len(content), [content])
    for thread in threads:
        thread.start()
    for _ in range(5):
        for content in contents:
            both.rewrap(of(content), anew=True)
    done.set()
    for thread in threads:
        thread.join()
    assert not errors
    new = EncryptedBlobs(objects, Envelopes([NEW]))
    assert all(b"".join(new.read(of(content))) == content for content in contents)


def test_a_namespace_without_its_key_is_unreadable_and_others_are_not():
    place, outer = {}, Envelopes([OLD])
    for name in ("team-a", "team-b"):
        header = new_namespace(name, outer)
        objects = MemoryObjects()
        place[name] = (header, objects)
        blobs = EncryptedBlobs(objects, Envelopes([namespace_key(name, header, outer)]))
        blobs.put(of(CONTENT), len(CONTENT), [CONTENT])
    other = namespace_key("team-b", place["team-b"][0], outer)
    shredded = place["team-a"][1]  # everything is there, but the header of the namespace
    for keys in (Envelopes([other]), outer, Envelopes([namespace_key("team-a", new_namespace("team-a", outer), outer)])):
        blobs = EncryptedBlobs(shredded, keys)
        for call in (
            lambda b=blobs: b.read(of(CONTENT)),
            lambda b=blobs: b.read(of(CONTENT), 5, 1),
            lambda b=blobs: b.size(of(CONTENT)),
        ):
            with pytest.raises(UsageError, match="none of the keys"):
                call()
    assert b"".join(EncryptedBlobs(place["team-b"][1], Envelopes([other])).read(of(CONTENT))) == CONTENT


def test_headers_kept_elsewhere(tmp_path):
    bodies, headers = FolderObjects(tmp_path / "blobs"), FolderObjects(tmp_path / "keys")
    blobs = EncryptedBlobs(bodies, Envelopes([OLD]), headers)
    blobs.put(of(CONTENT), len(CONTENT), [CONTENT])
    assert b"".join(blobs.read(of(CONTENT))) == CONTENT
    assert [name for name, _ in bodies.names("")] == [blob_name(of(CONTENT))]
    alone = EncryptedBlobs(bodies, Envelopes([OLD]))
    assert not alone.has(of(CONTENT))
    for call in (lambda: alone.read(of(CONTENT)), lambda: alone.put(of(CONTENT), len(CONTENT), [CONTENT])):
        with pytest.raises(IntegrityError, match="the header that opens it is gone"):
            call()
    assert blobs.has(of(CONTENT))
    blobs.close()


# Attacks on what lies there


def test_a_blob_in_the_place_of_another_is_refused_with_its_header_and_without(blobs, objects):
    other = CONTENT[::-1]
    for content in (CONTENT, other):
        blobs.put(of(content), len(content), [content])
    mine, theirs = blob_name(of(CONTENT)), blob_name(of(other))
    kept = dict(objects.contents)
    for moved in (
        {mine: kept[theirs]},
        {f"keys/{mine}": kept[f"keys/{theirs}"]},
        {mine: kept[theirs], f"keys/{mine}": kept[f"keys/{theirs}"]},
    ):
        objects.contents = kept | moved
        for call in (blobs.size, blobs.read, lambda d: blobs.read(d, 10, 10), lambda d: blobs.put(d, len(CONTENT), [CONTENT])):
            with pytest.raises(IntegrityError):
                call(of(CONTENT))


def test_a_blob_that_was_cut_is_refused_before_a_range_of_it_is_read(blobs, objects):
    content = os.urandom(5 * 16384)
    blobs.put(of(content), len(content), [content])
    name = blob_name(of(content))
    kept = objects.contents[name]
    for length in (len(kept) - 1, 56 + 16400 * 2 + 16, 56 + 16400 * 3 + 1000, 56 + 16):
        objects.contents[name] = kept[:length]
        with pytest.raises(IntegrityError) as raised:
            blobs.read(of(content), 0, 10)
        assert raised.value.where


def test_a_header_planted_before_a_content_comes_does_not_choose_its_key(blobs, objects):
    """A writer uses the header that is there only when our keys made it, and for this content."""
    name = blob_name(of(CONTENT))
    planted = Envelopes([NEW]).begin(f"stannary blob key\0{of(CONTENT)}".encode())
    forged = planted.replace(NEW.key_id.encode(), OLD.key_id.encode())
    blobs.put(of(b"other"), 5, [b"other"])
    moved = objects.contents[f"keys/{blob_name(of(b'other'))}"]
    for header in (planted, forged, moved, b"", b"{}"):
        objects.contents[f"keys/{name}"] = header
        assert blobs.put(of(CONTENT), len(CONTENT), [CONTENT]) is True
        assert objects.contents[f"keys/{name}"] != header
        assert b"".join(blobs.read(of(CONTENT))) == CONTENT
        # When the content is there, its header is left alone, and what is wrong is said.
        objects.contents[f"keys/{name}"] = header
        with pytest.raises((IntegrityError, UsageError)):
            blobs.put(of(CONTENT), len(CONTENT), [CONTENT])
        assert objects.contents[f"keys/{name}"] == header
        blobs.delete(of(CONTENT))


def test_a_header_is_not_thrown_away_because_a_service_does_not_answer(objects):
    class Away:
        provider, key_id, up = "service", "1", True

        def wrap(self, key, _):
            return key[::-1]

        def unwrap(self, wrapped, _):
            if not self.up:
                msg = "nobody answers"
                raise BackendError(msg)
            return wrapped[::-1]

    service = Away()
    blobs = EncryptedBlobs(objects, Envelopes([service]))
    blobs.put(of(CONTENT), len(CONTENT), [CONTENT])
    blobs.delete(of(CONTENT))
    before = dict(objects.contents)
    service.up = False
    with pytest.raises(BackendError, match="nobody answers"):
        blobs.put(of(CONTENT), len(CONTENT), [CONTENT])
    assert objects.contents == before


def test_writers_who_replace_a_planted_header_at_once_leave_nothing_that_cannot_be_read(objects, blobs):
    """The slower takes away the header of the quicker: the quicker is told to put it again, and then it is there."""
    name = f"keys/{blob_name(of(CONTENT))}"
    objects.contents[name] = b"planted"

    def slower():
        objects.contents[name] = Envelopes([OLD]).begin(f"stannary blob key\0{of(CONTENT)}".encode())
        yield CONTENT

    with pytest.raises(BackendError) as raised:
        blobs.put(of(CONTENT), len(CONTENT), slower())
    assert raised.value.code == "BLB010"
    assert not blobs.has(of(CONTENT))
    assert blobs.put(of(CONTENT), len(CONTENT), [CONTENT]) is True
    assert b"".join(blobs.read(of(CONTENT))) == CONTENT


def test_a_pass_over_what_is_outdated_turns_what_is_left_over_too(objects, blobs):
    for content in (CONTENT, b"gone"):
        blobs.put(of(content), len(content), [content])
    blobs.delete(of(b"gone"))
    turned = EncryptedBlobs(objects, Envelopes([NEW], former=[OLD]))
    assert set(turned.outdated()) == {of(CONTENT), of(b"gone")}
    assert [turned.rewrap(digest) for digest in turned.outdated()] == [True, True]
    assert not list(turned.outdated())
    new = EncryptedBlobs(objects, Envelopes([NEW]))
    assert new.put(of(b"gone"), 4, [b"gone"]) is True
    assert b"".join(new.read(of(b"gone"))) == b"gone"


def test_a_header_that_is_endless_is_not_read(blobs, objects):
    blobs.put(of(CONTENT), len(CONTENT), [CONTENT])
    objects.contents[f"keys/{blob_name(of(CONTENT))}"] = b" " * (1 << 20)
    with pytest.raises(IntegrityError, match="its header has 1048576 bytes"):
        blobs.read(of(CONTENT))


def test_a_size_that_is_not_the_content_s(blobs):
    blobs.put(of(CONTENT), len(CONTENT), [CONTENT])
    with pytest.raises(IntegrityError, match="were announced"):
        blobs.put(of(CONTENT), len(CONTENT) + 1, [CONTENT])


# What is left over


def test_what_is_left_over_is_taken_away_when_it_is_old(blobs, objects):
    with pytest.raises(IntegrityError):
        blobs.put(of(b"failed"), 6, [b"other!"])
    blobs.put(of(CONTENT), len(CONTENT), [CONTENT])
    blobs.put(of(b"gone"), 4, [b"gone"])
    blobs.delete(of(b"gone"))
    assert len(headers_of(objects)) == 3
    now = datetime.now(UTC)
    assert blobs.tidy(now - timedelta(days=1)) == 0
    assert blobs.tidy(now + timedelta(seconds=1)) == 2
    assert set(headers_of(objects)) == {f"keys/{blob_name(of(CONTENT))}"}
    assert b"".join(blobs.read(of(CONTENT))) == CONTENT


def test_a_header_that_is_used_again_is_young_again_and_one_that_is_taken_away_meanwhile_is_put_back(blobs, objects):
    name = f"keys/{blob_name(of(CONTENT))}"
    with pytest.raises(IntegrityError):
        blobs.put(of(CONTENT), len(CONTENT), [b"other"])
    objects.modified[name] = datetime.now(UTC) - timedelta(days=3)

    def chunks():
        assert blobs.tidy(datetime.now(UTC) - timedelta(days=1)) == 0
        del objects.contents[name]  # by somebody who does not ask how old it is
        yield CONTENT

    assert blobs.put(of(CONTENT), len(CONTENT), chunks()) is True
    assert b"".join(blobs.read(of(CONTENT))) == CONTENT


LARGE = """
import hashlib, sys
from pathlib import Path
from stannary.core.model import Digest
from stannary.testing.blobs import open_address
size, block = 600 << 20, bytes(range(256)) * 4096
digest = hashlib.sha256()
for _ in range(size >> 20):
    digest.update(block)
def most():  # of this program alone: ru_maxrss begins with what the process had that started it
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
blobs = open_address(sys.argv[1])
before = most()
assert blobs.put(Digest(digest.hexdigest()), size, (block for _ in range(size >> 20)))
assert sum(map(len, blobs.read(Digest(digest.hexdigest())))) == size
print((most() - before) >> 10)
"""


@pytest.mark.parametrize("kind", ["plain", "encrypted"])
def test_a_content_of_600_mib_takes_a_few_of_memory(tmp_path, kind):
    OLD.write(tmp_path / "key", None)
    address = f"folder:{tmp_path / 'blobs'}"
    address = address if kind == "plain" else f"encrypted:{tmp_path / 'key'}:{address}"
    done = subprocess.run([sys.executable, "-c", LARGE, address], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 24
