"""Older contents get a key for each namespace, wherever a registry is; killed anywhere, it goes on; then one is shredded."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from tests.conformance.test_blobs import bucket  # noqa: F401 - a fixture
from tests.conformance.test_shredding import OWN, SHARED, SHARED_DIGEST, Bench, refused

from stannary.core.errors import InputError, StannaryError, UsageError
from stannary.crypto.envelope import Envelopes, new_namespace
from stannary.crypto.wrapping import WrappingKey
from stannary.evidence.contents import renew_namespace, turn_contents
from stannary.evidence.resealing import is_resealing
from stannary.evidence.workspace import Workspace
from stannary.registry.backup import restore, write_backup
from stannary.registry.names import parse, parse_model
from stannary.registry.resealing import reseal
from stannary.registry.retention import sweep
from stannary.registry.shredding import shred
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.folder import FolderObjects
from stannary.store.blobs.interface import blob_name

# moto serves each connection by a thread that ends with the process
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
ROUNDS = 12 if os.environ.get("CI") else 6


class OldBench(Bench):
    """A workspace of before: with one key for everything, or with contents as they are."""

    def __init__(self, root, database="", contents="", *, encrypted=True):
        self.root, self.contents, self.encrypted = root, contents, encrypted
        WrappingKey.generate().write(root / "one.key", None)
        self.one = (str(root / "one.key"),)
        workspace = Workspace.create(root, passphrase=None, database=database)
        if encrypted:
            outer = Envelopes([workspace.wrapper(self.one[0])])
            self.envelope.write_bytes(new_namespace(workspace.settings.origin, outer))
        workspace.keep_contents(contents, self.one if encrypted else (), "")
        self.opened = []

    @property
    def envelope(self):
        return self.root / ".stannary" / "keys" / "contents.json"

    def before(self):
        """Return what still lies in the place of all namespaces together."""
        return [name for prefix in ("sha256/", "keys/sha256/") for name, _ in self.objects().names(prefix)]

    def reseal(self, registry=None, **more):
        return reseal(registry or self.open(), () if self.encrypted else self.one, **more)


PLACES = [("sqlite", "folder", True), ("sqlite", "folder", False), ("postgres", "bucket", True), ("postgres", "bucket", False)]


@pytest.fixture(params=PLACES, ids=lambda row: f"{row[0]}-{row[1]}-{'one key' if row[2] else 'plain'}")
def old(request, tmp_path):
    tables, place, encrypted = request.param
    database = request.getfixturevalue("postgres") if tables == "postgres" else ""
    contents = f"{request.getfixturevalue('bucket')}/{uuid.uuid4()}" if place == "bucket" else ""
    with contextlib.closing(OldBench(tmp_path, database, contents, encrypted=encrypted)) as made:
        yield made


@pytest.fixture(params=[True, False], ids=["one key", "plain"])
def local(request, tmp_path):
    with contextlib.closing(OldBench(tmp_path, encrypted=request.param)) as made:
        yield made


def test_everything_is_what_it_was_under_keys_of_its_own_and_can_be_shredded(old):
    registry, server = old.filled(), old.open()
    assert old.reads(server, "team-a/claims") == {"shared": SHARED, "own": OWN}  # a process that has it open all the while
    digests = {name: registry.show(parse(name)).digest for name in ("team-a/claims:1", "team-b/fraud:1")}
    entries, seen = registry.chain.ledger.head(), []
    assert refused(lambda: shred(registry, "team-a", "too early")) == "REG033"
    made = old.reseal(on_progress=seen.append)
    assert (made.done, made.namespaces, seen[-1].items, seen[-1].bytes) == (True, 2, made.contents, made.size)
    assert made.size >= 2 * len(SHARED) + len(OWN)
    assert made.deleted > 0
    assert old.before() == []
    assert not old.envelope.exists()
    assert not is_resealing(registry.chain.workspace)
    assert registry.chain.ledger.head() == entries
    for here in (registry, server, old.open()):
        assert {name: here.show(parse(name)).digest for name in digests} == digests
        assert old.reads(here, "team-a/claims") == {"shared": SHARED, "own": OWN}
        assert old.reads(here, "team-b/fraud") == {"shared": SHARED}
    assert not old.reseal().done
    # What is pushed from now on comes under those keys, by the process that was open before, too.
    server.push(old.model("c", more=b"later"), parse_model("team-a/claims"))
    sweep(server)
    assert old.reads(old.open(), "team-a/claims:2") == {"more": b"later"}
    key = old.key("team-a").read_bytes()
    shred(server, "team-a", "the customer left")
    assert [name for name, _ in old.objects().names("namespaces/team-a/")] == []
    assert refused(lambda: old.reads(old.open(), "team-a/claims:1")) == "REG013"
    assert old.reads(old.open(), "team-b/fraud") == {"shared": SHARED}
    assert key not in [path.read_bytes() for path in (old.root / ".stannary").rglob("*") if path.is_file()]


def test_what_is_pushed_meanwhile_is_pushed_again_and_nothing_of_it_is_half_there(local, monkeypatch):
    registry, other = local.filled(), local.open()
    contents, key = other._begun("team-a")
    contents.put(SHARED_DIGEST, len(SHARED), [SHARED])
    local.reseal(registry)
    monkeypatch.setattr(other, "_begun", lambda _: (contents, key))  # it began before
    with pytest.raises(InputError, match="resealed while it was pushed to"):
        other.push(local.model("late", shared=SHARED), parse_model("team-a/late"))
    monkeypatch.undo()
    other.push(local.model("late", shared=SHARED), parse_model("team-a/late"))
    assert local.reads(local.open(), "team-a/late") == {"shared": SHARED}


def test_what_comes_while_contents_are_put_again_is_put_before_the_change(local):
    registry, other = local.filled(), local.open()
    pushed = []

    def meanwhile(progress):
        if progress.items == progress.items_total and not pushed:  # everything was put, and nothing is changed over yet
            pushed.append(other.push(local.model("late", shared=SHARED, late=b"just now"), parse_model("team-c/late")))

    assert local.reseal(registry, on_progress=meanwhile).namespaces == 3
    assert pushed
    assert local.before() == []
    assert local.reads(local.open(), "team-c/late") == {"shared": SHARED, "late": b"just now"}


def test_a_backup_from_before_has_nothing_of_it_once_it_is_brought_up_to_date(local):
    registry = local.filled()
    write_backup(registry, local.root / "backup")
    local.reseal(registry)
    made = write_backup(local.open(), local.root / "backup")
    folder = FolderObjects(local.root / "backup" / "blobs")
    assert [name for prefix in ("sha256/", "keys/") for name, _ in folder.names(prefix)] == []
    root = local.elsewhere("new")
    restore(local.open(root), local.root / "backup", root=made.root)
    assert local.reads(local.open(root), "team-a/claims") == {"shared": SHARED, "own": OWN}


def test_the_key_of_before_opens_nothing_of_now(tmp_path):
    with contextlib.closing(OldBench(tmp_path)) as old:
        registry = old.filled()
        envelope = old.envelope.read_bytes()
        headers = {name: old.objects().head(name).size for name in old.before() if name.startswith("keys/")}
        copies = {name: b"".join(old.objects().read(name, 0, size)) for name, size in headers.items()}
        old.reseal(registry)
        # Somebody kept the envelope, the wrapping key and every header, and puts them beside the messages of now.
        place = FolderObjects(next((tmp_path / ".stannary" / "blobs" / "namespaces" / "team-a").iterdir()))
        stolen = FolderObjects(tmp_path / "stolen")
        for name, content in copies.items():
            stolen.replace(name, content)
        from stannary.crypto.envelope import namespace_key

        outer = Envelopes([registry.chain.workspace.wrapper(old.one[0])])
        key = namespace_key(registry.chain.workspace.settings.origin, envelope, outer)
        assert place.head(blob_name(SHARED_DIGEST))
        for headers_at in (stolen, None):
            blobs = EncryptedBlobs(place, Envelopes([key]), headers_at)
            with pytest.raises(StannaryError):
                list(blobs.read(SHARED_DIGEST))


def test_a_content_that_is_not_what_it_should_be_changes_nothing(local):
    registry = local.filled()
    path = local.root / ".stannary" / "blobs" / blob_name(SHARED_DIGEST)
    kept = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(StannaryError):
        local.reseal(registry)
    assert not Workspace(local.root / ".stannary").settings.namespace_keys
    path.unlink()
    with pytest.raises(InputError, match="the store has no blob"):
        local.reseal(registry)
    path.write_bytes(kept)
    assert local.reads(local.open(), "team-a/claims") == {"shared": SHARED, "own": OWN}
    assert local.reseal(registry).done
    assert local.reads(local.open(), "team-b/fraud") == {"shared": SHARED}


def test_which_keys_wrap_is_said_once(tmp_path):
    with contextlib.closing(OldBench(tmp_path, encrypted=False)) as plain:
        registry = plain.filled()
        with pytest.raises(UsageError, match="no key is named"):
            reseal(registry)
        with pytest.raises(UsageError, match="not encrypted") as caught:
            turn_contents(registry.chain.workspace, plain.one)
        assert "reseal --wrapping-key" in caught.value.help
        WrappingKey.generate().write(tmp_path / "three.key", None)
        broken_off(plain, "before")
        for more in ({"wrapping_keys": (str(tmp_path / "three.key"),)}, {"namespace_keys": str(tmp_path / "elsewhere")}):
            with pytest.raises(UsageError, match="was begun with") as caught:
                reseal(registry, **more)
            assert caught.value.code == "WSP010"
        assert reseal(registry).done
    (tmp_path / "other").mkdir()
    with contextlib.closing(OldBench(tmp_path / "other")) as old:
        registry = old.filled()
        with pytest.raises(UsageError, match="go on wrapping"):
            reseal(registry, (str(tmp_path / "three.key"),))
        with pytest.raises(UsageError, match="before namespaces had keys") as caught:
            renew_namespace(registry.chain.workspace, "team-a")
        assert "registry reseal" in caught.value.help
        broken_off(old, "before")
        with pytest.raises(UsageError, match="just getting a key") as caught:
            turn_contents(registry.chain.workspace, (str(tmp_path / "three.key"),))
        assert reseal(registry, namespace_keys="").done
        turn_contents(Workspace(old.root / ".stannary"), (str(tmp_path / "three.key"),))
        (old.root / "one.key").unlink()
        assert old.reads(old.open(), "team-a/claims") == {"shared": SHARED, "own": OWN}


# Killed

CHILD = """
import os, signal, sys
from pathlib import Path
from stannary.app import open_registry
from stannary.evidence import contents, resealing
from stannary.evidence.workspace import Workspace
from stannary.registry.resealing import reseal

point = sys.argv[2]

def dies(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def dies_after(real):
    def call(*given, **more):
        real(*given, **more)
        dies()
    return call

if point == "before":
    resealing.Resealing.switch = dies
elif point == "after":
    resealing.Resealing.switch = dies_after(resealing.Resealing.switch)
elif point == "deleted":
    resealing.forget_envelope = dies
elif point == "forgotten":
    resealing.forget_envelope = dies_after(resealing.forget_envelope)
elif point == "headers":
    from stannary.store.blobs.folder import FolderObjects
    real, count = FolderObjects.delete, [0]
    def delete(self, name):
        count[0] += 1
        if count[0] == 2:
            dies()
        return real(self, name)
    FolderObjects.delete = delete
registry = open_registry(Workspace(Path(sys.argv[1]) / ".stannary", passphrase=lambda: None), actor="ann")
sys.stdout.write("begins\\n")
sys.stdout.flush()
reseal(registry, tuple(sys.argv[3:]))
"""


def child(bench, point):
    keys = () if bench.encrypted else bench.one
    return subprocess.Popen([sys.executable, "-c", CHILD, str(bench.root), point, *keys], stdout=subprocess.PIPE, text=True)


def broken_off(bench, point):
    with child(bench, point) as process:
        assert process.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize("point", ["before", "after", "headers", "deleted", "forgotten"])
def test_killed_at_a_step_it_goes_on_there(local, point):
    local.filled()
    broken_off(local, point)
    registry = local.open()
    assert is_resealing(registry.chain.workspace)
    assert local.reads(registry, "team-a/claims") == {"shared": SHARED, "own": OWN}
    assert local.reads(registry, "team-b/fraud") == {"shared": SHARED}
    registry.push(local.model("more", more=b"more of it"), parse_model("team-a/more"))
    made = local.reseal(registry)
    assert made.done
    assert bool(made.contents) is (point == "before")
    assert (local.before(), local.envelope.exists(), is_resealing(registry.chain.workspace)) == ([], False, False)
    for here in (registry, local.open()):
        assert local.reads(here, "team-a/claims") == {"shared": SHARED, "own": OWN}
        assert local.reads(here, "team-a/more") == {"more": b"more of it"}
    shred(registry, "team-a", "the customer left")
    assert local.reads(local.open(), "team-b/fraud") == {"shared": SHARED}


def test_killed_at_any_moment_again_and_again_everything_is_readable_and_it_ends(tmp_path):
    """Each round has the same workspace in another state of being resealed; what is written is not written again."""
    random_ = random.Random(20261127)
    made = tmp_path / "made"
    made.mkdir()
    with contextlib.closing(OldBench(made)) as old:
        registry = old.open()
        files = {f"part{number}": bytes([number]) * (40_000 + number) for number in range(30)}
        registry.push(old.model("a", **files), parse_model("team-a/parts"))
        registry.push(old.model("b", **files), parse_model("team-b/parts"))
        killed = 0
        for _ in range(ROUNDS):
            process = child(old, "never")
            assert process.stdout.readline() == "begins\n"
            # The first three while there is surely something left to do, however fast the machine is.
            time.sleep(random_.uniform(0.0, 0.25 if killed >= 3 else 0.02))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
            process.stdout.close()
            here = old.open()
            for name in ("team-a/parts", "team-b/parts"):
                assert old.reads(here, name) == files
            if process.returncode == 0:
                break
        assert killed >= 3
        old.reseal()
        assert (old.before(), old.envelope.exists()) == ([], False)
        for name in ("team-a/parts", "team-b/parts"):
            assert old.reads(old.open(), name) == files
        unfinished = Path(made / ".stannary" / "blobs" / ".unfinished")
        assert not unfinished.exists() or not list(unfinished.iterdir())
