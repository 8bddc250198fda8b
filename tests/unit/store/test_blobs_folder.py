"""Blobs in a folder: what only a folder can get wrong. What every store has to do is in the conformance suite."""

import hashlib
import os
import subprocess
import sys

import msgspec
import pytest

from stannary.core.errors import BackendError, InputError, IntegrityError, UsageError
from stannary.core.model import Digest
from stannary.crypto.envelope import Envelopes
from stannary.crypto.wrapping import WrappingKey
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.folder import FolderBlobs, FolderObjects
from stannary.store.blobs.interface import Blobs


def of(content):
    return Digest(hashlib.sha256(content).hexdigest())


@pytest.fixture
def blobs(tmp_path):
    return FolderBlobs(tmp_path / "blobs")


def unfinished(blobs):
    return list((blobs.objects.root / ".unfinished").iterdir())


def test_it_is_a_blob_store_with_the_layout_that_is_documented(blobs):
    assert isinstance(blobs, Blobs)
    assert blobs.put(of(b"tin"), 3, [b"t", b"in"]) is True
    path = blobs.objects.root / "sha256" / of(b"tin").hex[:2] / of(b"tin").hex[2:]
    assert path.read_bytes() == b"tin"
    assert path.stat().st_mode & 0o222 == 0
    assert b"".join(blobs.read(of(b"tin"))) == b"tin"
    assert blobs.put(of(b"tin"), 3, iter([pytest.fail])) is False
    assert not unfinished(blobs)


def test_what_is_not_the_content_leaves_nothing(blobs):
    for chunks in ([b"tim"], [b"ti"], [b"tin", b"n"], []):
        with pytest.raises(IntegrityError) as raised:
            blobs.put(of(b"tin"), 3, chunks)
        assert raised.value.code == "BLB004"
        assert not unfinished(blobs)
        assert not blobs.has(of(b"tin"))


def test_a_source_that_does_not_end_is_left(blobs):
    drawn = []

    def endless():
        while True:
            drawn.append(1)
            yield b"t"

    with pytest.raises(IntegrityError, match="more come"):
        blobs.put(of(b"tin"), 3, endless())
    assert len(drawn) == 4
    assert not unfinished(blobs)


def test_a_digest_that_was_forged_becomes_no_path(blobs):
    digest = Digest("0" * 64)
    msgspec.structs.force_setattr(digest, "hex", "../" * 20 + "etc/passwd")
    for call in (blobs.has, blobs.size, blobs.delete, blobs.read, lambda d: blobs.put(d, 0, [])):
        with pytest.raises(UsageError) as raised:
            call(digest)
        assert raised.value.code == "BLB001"
    with pytest.raises(UsageError):
        blobs.has(Digest("0" * 64, algo="../../x"))


def test_a_link_in_the_place_of_a_blob_is_not_followed(blobs, tmp_path):
    (tmp_path / "secret").write_bytes(b"tin")
    blobs.put(of(b"x"), 1, [b"x"])
    path = blobs.objects.root / "sha256" / of(b"tin").hex[:2] / of(b"tin").hex[2:]
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(tmp_path / "secret")
    assert not blobs.has(of(b"tin"))
    with pytest.raises(InputError):
        blobs.read(of(b"tin"))


def test_what_a_killed_writer_left_is_taken_away_and_what_a_living_one_writes_is_not(tmp_path):
    FolderObjects(tmp_path)
    script = (
        "import sys, time; from stannary.store.blobs.folder import FolderObjects as F\n"
        "def chunks():\n  yield b'x' * (3 << 20); print('going', flush=True); time.sleep(60)\n"
        "F(sys.argv[1]).create('sha256/aa/bb', chunks(), 9)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        assert writer.stdout.readline() == b"going\n"
    assert len(list((tmp_path / ".unfinished").iterdir())) == 2
    writers[0].kill()
    writers[0].wait()
    objects = FolderObjects(tmp_path)
    assert len(list((tmp_path / ".unfinished").iterdir())) == 1
    writers[1].kill()
    writers[1].wait()
    FolderObjects(tmp_path)
    assert not list((tmp_path / ".unfinished").iterdir())
    assert objects.head("sha256/aa/bb") is None
    for writer in writers:
        writer.stdout.close()


def test_a_file_system_without_links(blobs, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert blobs.put(of(b"tin"), 3, [b"tin"]) is True
    assert blobs.put(of(b"tin"), 3, [b"tin"]) is False
    assert b"".join(blobs.read(of(b"tin"))) == b"tin"
    assert not unfinished(blobs)


def test_strange_files_are_not_blobs(blobs):
    blobs.put(of(b"tin"), 3, [b"tin"])
    (blobs.objects.root / "sha256" / "README").write_text("hello")
    (blobs.objects.root / "sha256" / "zz").mkdir()
    (blobs.objects.root / "sha256" / "zz" / "x").write_text("hello")
    assert [(digest, size) for digest, size, _ in blobs.digests()] == [(of(b"tin"), 3)]


def test_a_place_that_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BackendError) as raised:
        FolderBlobs(tmp_path / "file")
    assert raised.value.code == "BLB006"


FULL = """
import hashlib, os, sys
from stannary.core.errors import BackendError
from stannary.core.model import Digest
from stannary.crypto.envelope import Envelopes
from stannary.crypto.wrapping import WrappingKey
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.folder import FolderBlobs
content = os.urandom(3 << 20)
digest = Digest(hashlib.sha256(content).hexdigest())
blobs = FolderBlobs(sys.argv[1])
def refused():
    try:
        blobs.put(digest, len(content), [content])
    except BackendError as error:
        print(error.code, error.message.rpartition(": ")[2], "/", error.help)
    assert not blobs.has(digest) and not list(blobs.digests()) and not os.listdir(sys.argv[1] + "/.unfinished")
refused()
os.system(f"mount -o remount,ro {sys.argv[1]}")
refused()
os.system(f"mount -o remount,rw,size=9m {sys.argv[1]}")
print(blobs.put(digest, len(content), [content]), b"".join(blobs.read(digest)) == content)
"""


def test_a_disk_that_is_full_or_cannot_be_written_is_said_to_be_so_and_is_used_again_afterwards(tmp_path):
    """A real file system of 1 MiB, in a mount namespace of its own."""
    private = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-Urm"]
    command = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    shell = [*private, "sh", "-c", command, "sh", str(tmp_path), sys.executable, FULL]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "BLB006 No space left on device / free the disk",
        "BLB006 Read-only file system / mount it for writing",
        "True True",
    ]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_long_content_is_what_was_put_or_nothing(tmp_path, sealed):
    """Long contents are written past the system's cache."""
    blobs = FolderBlobs(tmp_path / "blobs")
    if sealed:
        blobs = EncryptedBlobs(blobs.objects, Envelopes([WrappingKey(os.urandom(32))]))
    content = os.urandom(1 << 20) * 11 + b"tin"
    pieces = [content[start : start + 300_001] for start in range(0, len(content), 300_001)]
    with pytest.raises(IntegrityError):
        blobs.put(of(content), len(content), [*pieces[:-1], b"other"])
    assert not blobs.has(of(content))
    assert not unfinished(blobs)
    assert blobs.put(of(content), len(content), pieces)
    found = list(blobs.read(of(content)))
    assert b"".join(found) == content
    assert max(map(len, found)) <= 1 << 20
    assert b"".join(blobs.read(of(content), 5_000_000, 2_000_000)) == content[5_000_000:7_000_000]
