"""Crypto-shredding, the same wherever a registry is: SQLite and PostgreSQL, a folder and a bucket (moto speaks S3's protocol)."""

import contextlib
import hashlib
import shutil
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from tests.conformance.test_blobs import bucket  # noqa: F401 - a fixture

from stannary.app import open_registry
from stannary.core.errors import InputError, IntegrityError, PolicyDenied, StannaryError, UsageError
from stannary.core.model import Digest
from stannary.crypto.envelope import Envelopes
from stannary.crypto.wrapping import WrappingKey
from stannary.evidence.contents import begin_contents, contents_at, renew_namespace, turn_contents
from stannary.evidence.namespaces import SealedNamespaces
from stannary.evidence.workspace import Workspace
from stannary.policy.model import Policy, Requirement
from stannary.registry import labels, promotion
from stannary.registry import registry as registry_module
from stannary.registry.backup import follow, restore, write_backup
from stannary.registry.names import Name, parse, parse_model
from stannary.registry.retention import hold, quarantine, sweep
from stannary.registry.shredding import plan_shredding, shred
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.folder import FolderObjects
from stannary.store.blobs.interface import blob_name
from stannary.store.blobs.namespaced import Prefixed, namespace_keys
from stannary.store.blobs.s3 import S3Objects

# moto serves each connection by a thread that ends with the process
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

SHARED, OWN = b"of both " * 9000, b"of team a alone " * 5000
SHARED_DIGEST = Digest(hashlib.sha256(SHARED).hexdigest())
APPROVED = Policy(name="approved", require=(Requirement(kind="statement", check="approval", approvals=1),))


class Bench:
    """An encrypted workspace, its registry as it is opened again and again, and what lies where."""

    def __init__(self, root, database, contents):
        self.root, self.contents = root, contents
        WrappingKey.generate().write(root / "one.key", None)
        WrappingKey.generate().write(root / "two.key", None)
        workspace = Workspace.create(root, passphrase=None, database=database)
        begin_contents(workspace, contents, (str(root / "one.key"),))
        self.opened = []

    def open(self, root=None, **more):
        made = open_registry(Workspace((root or self.root) / ".stannary", passphrase=lambda: None), actor="ann", **more)
        self.opened.append(made)
        return made

    def objects(self):
        return S3Objects(self.contents) if self.contents.startswith("s3:") else FolderObjects(self.root / ".stannary" / "blobs")

    def key(self, namespace, root=None):
        return (root or self.root) / ".stannary" / "keys" / "namespaces" / f"{namespace}.json"

    def model(self, name, **files):
        folder = self.root / "models" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        return folder

    def filled(self):
        """Return a registry with two namespaces that have a content in common."""
        registry = self.open()
        registry.push(self.model("a", shared=SHARED, own=OWN), parse_model("team-a/claims"))
        registry.push(self.model("b", shared=SHARED), parse_model("team-b/fraud"))
        return registry

    def reads(self, registry, reference, name="out"):
        """Return the files of a version as they are pulled."""
        _, path = registry.pull(parse(reference), self.root / "pulled" / f"{name}-{uuid.uuid4()}")
        return {file.name: file.read_bytes() for file in path.iterdir()}

    def elsewhere(self, name):
        """Return a workspace with the keys of this one as they are now, and nothing else of it, in files."""
        folder = self.root / name / ".stannary"
        shutil.copytree(self.root / ".stannary" / "keys", folder / "keys")
        shutil.copy(self.root / ".stannary" / "trust.json", folder / "trust.json")
        workspace = Workspace(self.root / ".stannary")
        shutil.copy(workspace.root / "workspace.json", folder / "workspace.json")
        Workspace(folder).relocate("")
        Workspace(folder).keep_contents("", workspace.settings.wrapping_keys, workspace.settings.namespace_keys)
        return folder.parent

    def close(self):
        for registry in self.opened:
            registry.close()
            registry.chain.ledger.close()


@pytest.fixture(params=[("sqlite", "folder"), ("sqlite", "bucket"), ("postgres", "folder"), ("postgres", "bucket")], ids="-".join)
def bench(request, tmp_path):
    tables, place = request.param
    database = request.getfixturevalue("postgres") if tables == "postgres" else ""
    contents = f"{request.getfixturevalue('bucket')}/{uuid.uuid4()}" if place == "bucket" else ""
    with contextlib.closing(Bench(tmp_path, database, contents)) as made:
        yield made


@pytest.fixture
def local(tmp_path):
    """On SQLite and in a folder, for what no other place has a part in."""
    with contextlib.closing(Bench(tmp_path, "", "")) as made:
        yield made


def keys_of(bench):
    """Return every key that somebody with all of the workspace has."""
    registry = bench.open()
    workspace = registry.chain.workspace
    found = [workspace.wrapper(address) for address in workspace.settings.wrapping_keys]
    for namespace in registry.blobs.namespaces():
        found += registry.blobs.of(namespace)._sealing._all  # the most that an attacker could have
    return found


def now():
    return datetime.now(UTC).isoformat()


def refused(call):
    with pytest.raises(StannaryError) as raised:
        call()
    return raised.value.code


def test_what_was_shredded_cannot_be_read_and_another_namespace_can(bench):
    registry, other = bench.filled(), bench.open()
    assert bench.reads(other, "team-a/claims") == {"shared": SHARED, "own": OWN}  # its key is in memory there
    planned = plan_shredding(registry, "team-a")
    done = shred(registry, "team-a", "the customer left")
    assert (done.key, done.versions, planned.versions) == (planned.key, 1, 1)
    assert not bench.key("team-a").exists()
    assert [name for name, _ in bench.objects().names("namespaces/team-a/")] == []
    for here in (registry, other, bench.open()):
        assert refused(lambda here=here: bench.reads(here, "team-a/claims:1")) == "REG013"
        assert refused(lambda here=here: here.blobs.of("team-a")) == "WSP008"
        assert bench.reads(here, "team-b/fraud") == {"shared": SHARED}
    rows = [(row.kind, row.body["actor"]) for row in registry.chain.ledger.entries() if row.type == "registry"]
    assert rows[-2:] == [("shred", "ann"), ("drop", "ann")]
    assert registry.rebuild() == len(rows)
    assert registry.show(parse("team-a/claims:1")).dropped
    assert refused(lambda: shred(registry, "team-a", "again")) == "REG034"


def test_two_namespaces_share_no_object_and_learn_nothing_of_each_other(bench):
    """A content of both is there twice, and under keys that have nothing to do with each other."""
    registry = bench.filled()
    places = {name: [item for item, _ in bench.objects().names(f"namespaces/{name}/") if SHARED_DIGEST.hex[2:] in item]
              for name in ("team-a", "team-b")}  # fmt: skip
    assert {len(found) for found in places.values()} == {2}  # a message and a header each
    assert not {part.split("/")[2] for part in places["team-a"]} & {part.split("/")[2] for part in places["team-b"]}

    def content(name):
        size = bench.objects().head(name).size
        return b"".join(bench.objects().read(name, 0, size))

    assert {content(name) for name in places["team-a"]}.isdisjoint({content(name) for name in places["team-b"]})
    # Whoever puts it into a third is told that it was not there, as is told of a content that nobody has.
    third = registry.contents("team-c", begin=True)
    assert not third.has(SHARED_DIGEST)
    assert third.put(SHARED_DIGEST, len(SHARED), [SHARED]) is True
    # A header that is moved with its message, from one namespace to the other, opens nothing there.
    blobs = registry.blobs.of("team-b")
    for name in places["team-a"]:
        suffix = name.split("/", 3)[3]
        target = next(item for item in places["team-b"] if item.split("/", 3)[3] == suffix)
        bench.objects().replace(target, content(name))
    assert refused(lambda: b"".join(blobs.read(SHARED_DIGEST))) in ("ENC012", "ENC010")


def test_a_backup_from_before_is_unreadable_and_gives_back_the_rest(bench):
    registry = bench.filled()
    made = write_backup(registry, bench.root / "backup")
    shred(registry, "team-a", "the customer left")
    root = bench.elsewhere("new")
    found = restore(bench.open(root), bench.root / "backup", root=made.root)
    assert found.unopened == ("team-a",)
    assert bench.reads(bench.open(root), "team-b/fraud") == {"shared": SHARED}
    assert refused(lambda: bench.reads(bench.open(root), "team-a/claims")) == "WSP008"
    # The messages and headers are all there, and every key that is left in the workspace opens none of them.
    folder = FolderObjects(bench.root / "backup" / "blobs")
    place = Prefixed(folder, f"namespaces/team-a/{next(key for name, key in namespace_keys(folder) if name == 'team-a')}/")
    assert place.head(blob_name(SHARED_DIGEST))
    blobs = EncryptedBlobs(place, Envelopes(keys_of(bench)))
    assert refused(lambda: blobs.read(SHARED_DIGEST)) == "ENC012"
    assert refused(lambda: blobs.read(SHARED_DIGEST, 5, 1)) == "ENC012"
    # Brought up to date, it has none of it any more.
    again = write_backup(registry, bench.root / "backup")
    assert again.blobs < made.blobs
    assert {name for name, _ in namespace_keys(folder)} == {"team-b"}


def test_a_copy_of_the_keys_opens_it_until_the_keys_around_them_are_gone(bench):
    """What a backup that holds its own keys means, and what ends it."""
    registry = bench.filled()
    shutil.copytree(bench.root / ".stannary" / "keys", bench.root / "copy")
    write_backup(registry, bench.root / "backup")
    shred(registry, "team-a", "the customer left")
    root = bench.elsewhere("new")
    shutil.copy(bench.root / "copy" / "namespaces" / "team-a.json", bench.key("team-a", root))
    assert restore(bench.open(root), bench.root / "backup").unopened == ()
    assert bench.reads(bench.open(root), "team-a/claims") == {"shared": SHARED, "own": OWN}
    # With the wrapping keys of before destroyed, the copy opens nothing.
    turn_contents(Workspace(bench.root / ".stannary"), (str(bench.root / "two.key"),))
    (bench.root / "one.key").unlink()
    root = bench.elsewhere("newer")
    shutil.copy(bench.root / "copy" / "namespaces" / "team-a.json", bench.key("team-a", root))
    assert refused(lambda: restore(bench.open(root), bench.root / "backup")) == "ENC012"
    assert bench.reads(bench.open(), "team-b/fraud") == {"shared": SHARED}


def test_a_replica_destroys_its_key_when_it_hears_of_it(bench):
    registry = bench.filled()
    root = bench.elsewhere("replica")
    workspace = Workspace(root / ".stannary")
    write_backup(registry, bench.root / "backup")
    follow(workspace, bench.root / "backup", lambda: bench.open(root, write=False))
    replica = bench.open(root, write=False)
    assert bench.reads(replica, "team-a/claims") == {"shared": SHARED, "own": OWN}
    shred(registry, "team-a", "the customer left")
    write_backup(registry, bench.root / "backup")
    found = follow(workspace, bench.root / "backup", lambda: bench.open(root, write=False))
    assert (found.unopened, bench.key("team-a", root).exists()) == ((), False)
    assert [name for name, _ in FolderObjects(root / ".stannary" / "blobs").names("namespaces/team-a/")] == []
    for here in (replica, bench.open(root, write=False)):
        assert refused(lambda here=here: here.blobs.of("team-a")) == "WSP008"
        assert bench.reads(here, "team-b/fraud") == {"shared": SHARED}


def test_what_retention_keeps_is_not_shredded(bench):
    registry = bench.filled()
    name, head = Name("team-a", "claims"), registry.chain.ledger.head
    promotion.protect(registry, name, "staging", APPROVED)

    def is_refused(why):
        before = head()
        with pytest.raises(UsageError, match=why) as raised:
            shred(registry, "team-a", "the customer left")
        assert (raised.value.code, head()) == ("REG018", before)
        assert refused(lambda: plan_shredding(registry, "team-a")) == "REG018"
        assert bench.key("team-a").exists()

    hold(registry, name, 1, "case 4711")
    is_refused("1 version to be kept: team-a/claims:1 is held: case 4711")
    assert bench.reads(registry, "team-a/claims") == {"shared": SHARED, "own": OWN}
    hold(registry, name, 1, "", lifted=True)
    digest = registry.show(parse("team-a/claims:1")).digest
    quarantine(registry, digest, "flagged")
    is_refused("is quarantined: flagged")
    quarantine(registry, digest, "", lifted=True)
    registry.chain.state(
        registry.subject(registry.show(parse("team-a/claims:1"))),
        "statement",
        {"topic": "approval", "statement": "looked at", "author": "me", "decision": "approve", "finishedOn": now()},
    )
    assert promotion.promote(registry, name, 1, "staging").moved
    is_refused("is in service as staging")
    assert bench.reads(registry, "team-a/claims@staging") == {"shared": SHARED, "own": OWN}
    promotion.remove(registry, name, "staging")
    assert shred(registry, "team-a", "the customer left").versions == 1


def test_keys_are_turned_by_their_headers_alone(bench):
    registry = bench.filled()
    before = dict(bench.objects().names("namespaces/"))
    turn_contents(Workspace(bench.root / ".stannary"), (str(bench.root / "two.key"),))
    (bench.root / "one.key").unlink()
    assert dict(bench.objects().names("namespaces/")) == before  # nothing of it, headers neither
    for here in (registry, bench.open()):  # one that has been open since before goes on
        assert bench.reads(here, "team-a/claims") == {"shared": SHARED, "own": OWN}
    # A namespace's own key: its headers, and no message; no other namespace at all.
    assert renew_namespace(Workspace(bench.root / ".stannary"), "team-a") == 3
    after = dict(bench.objects().names("namespaces/"))
    changed = {name for name in after if "/team-a/" in name and "/keys/" in name}
    assert {name: stat for name, stat in after.items() if name not in changed} == {
        name: stat for name, stat in before.items() if name not in changed
    }
    for here in (registry, bench.open()):
        assert bench.reads(here, "team-a/claims") == {"shared": SHARED, "own": OWN}
    assert renew_namespace(Workspace(bench.root / ".stannary"), "team-a") == 0  # the one before is gone now
    assert bench.reads(bench.open(), "team-a/claims") == {"shared": SHARED, "own": OWN}
    assert len(bench.open().blobs.of("team-a")._sealing._all) == 1
    shred(registry, "team-a", "the customer left")
    assert refused(lambda: bench.open().blobs.of("team-a")) == "WSP008"
    assert bench.reads(bench.open(), "team-b/fraud") == {"shared": SHARED}


def test_a_backup_goes_on_when_a_namespace_has_a_new_key(bench, tmp_path):
    registry = bench.filled()
    write_backup(registry, tmp_path / "backup")
    renew_namespace(Workspace(bench.root / ".stannary"), "team-a")
    assert renew_namespace(Workspace(bench.root / ".stannary"), "team-a") == 0  # the one that the backup's headers are for is gone
    made = write_backup(bench.open(), tmp_path / "backup")
    kept = contents_at(Workspace(bench.root / ".stannary"), tmp_path / "backup" / "blobs")
    assert b"".join(kept.of("team-a").read(SHARED_DIGEST)) == SHARED
    kept.close()
    assert write_backup(bench.open(), tmp_path / "backup") == made


def test_a_push_that_meets_a_shredding_registers_nothing_that_cannot_be_read(bench, monkeypatch):
    registry, other = bench.filled(), bench.open()
    real = registry_module.upload

    def upload(*arguments):
        done = real(*arguments)
        monkeypatch.undo()
        shred(other, "team-a", "the customer left")
        return done

    monkeypatch.setattr(registry_module, "upload", upload)
    with pytest.raises(InputError, match="was shredded or resealed while it was pushed to"):
        registry.push(bench.model("a2", own=OWN), parse_model("team-a/claims"))
    again = registry.push(bench.model("a2", own=OWN), parse_model("team-a/claims"))
    assert again.number == 2  # a number is never given again
    assert bench.reads(other, "team-a/claims:2") == {"own": OWN}
    assert refused(lambda: bench.reads(other, "team-a/claims:1")) == "REG013"


@pytest.mark.parametrize("what", ["shred", "push", "sweep", "restore"])
def test_a_shredding_that_was_broken_off_is_finished_by_whoever_comes(bench, what, monkeypatch):
    registry = bench.filled()
    write_backup(registry, bench.root / "backup")
    kept = bench.key("team-a").read_bytes()
    monkeypatch.setattr(SealedNamespaces, "destroy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        shred(registry, "team-a", "the customer left")
    monkeypatch.undo()
    assert bench.key("team-a").exists()
    here = bench.open()
    assert refused(lambda: bench.reads(here, "team-a/claims")) in ("REG010", "REG013")  # nobody is given it any more
    if what == "shred":
        assert shred(here, "team-a", "the customer left").versions == 0
        assert [row.kind for row in here.chain.ledger.entries() if row.type == "registry"].count("shred") == 1
    elif what == "sweep":
        sweep(here)
    elif what == "push":
        here.push(bench.model("a2", own=OWN), parse_model("team-a/claims"))
        assert bench.key("team-a").read_bytes() != kept
        assert bench.reads(here, "team-a/claims") == {"own": OWN}
    else:
        write_backup(here, bench.root / "backup")
        root = bench.elsewhere("new")
        restore(bench.open(root), bench.root / "backup")
        assert not bench.key("team-a", root).exists()
        return
    if what == "push":
        return
    assert not bench.key("team-a").exists()
    # Nor does it help to put the key back: the ledger knows.
    bench.key("team-a").unlink(missing_ok=True)
    bench.key("team-a").write_bytes(kept)
    sweep(here)
    assert not bench.key("team-a").exists()
    assert bench.reads(here, "team-b/fraud") == {"shared": SHARED}


# What no place has a part in


def test_a_key_that_was_lost_is_not_made_anew(local):
    registry = local.filled()
    kept = local.key("team-a").read_bytes()
    local.key("team-a").unlink()
    for call in (
        lambda: registry.push(local.model("a2", own=b"new"), parse_model("team-a/claims")),
        lambda: local.reads(registry, "team-a/claims"),
        lambda: sweep(registry),
        lambda: write_backup(registry, local.root / "backup"),
    ):
        assert refused(call) == "WSP008"
    assert refused(lambda: shred(registry, "team-a", "x")) == "REG034"
    local.key("team-a").write_bytes(kept)
    assert local.reads(registry, "team-a/claims") == {"shared": SHARED, "own": OWN}


def test_a_key_in_the_place_of_another_s_does_not_open(local):
    registry = local.filled()
    kept = local.key("team-a").read_bytes()
    theirs = local.key("team-b").read_bytes()
    for content in (
        theirs,
        theirs.replace(b'"team-b"', b'"team-a"'),
        b"",
        b"{}",
        kept[:-9],
        b" " * (1 << 20),
    ):
        local.key("team-a").chmod(0o600)
        local.key("team-a").write_bytes(content)
        with pytest.raises(IntegrityError):
            local.reads(registry, "team-a/claims")
        assert local.reads(registry, "team-b/fraud") == {"shared": SHARED}
    local.key("team-a").write_bytes(kept)
    assert local.reads(registry, "team-a/claims") == {"shared": SHARED, "own": OWN}


@pytest.mark.parametrize("namespace", ["..", "a/b", "", "A", "a..b", ".a", "x" * 200])
def test_a_namespace_that_is_none_becomes_no_path(local, namespace):
    registry = local.filled()
    for call in (
        lambda: registry.blobs.of(namespace),
        lambda: registry.blobs.of(namespace, begin=True),
        lambda: registry.blobs.destroy(namespace, "0" * 32),
        lambda: registry.blobs.clear(namespace, "0" * 32),
    ):
        assert refused(call) == "BLB011"
    assert refused(lambda: registry.blobs.clear("team-a", "../team-b")) == "BLB011"


def test_whoever_may_not_shreds_nothing(local):
    registry = local.filled()
    asked = []

    def allowed(action, name, alias=""):
        asked.append((action, name))
        if action == "shred":
            msg = "no"
            raise PolicyDenied(msg)

    seen = registry.seen_by("eve", allowed)
    for call in (lambda: shred(seen, "team-a", "x"), lambda: plan_shredding(seen, "team-a")):
        with pytest.raises(PolicyDenied):
            call()
    assert asked == [("shred", Name("team-a", "*"))] * 2
    assert local.reads(registry, "team-a/claims") == {"shared": SHARED, "own": OWN}


def test_a_name_that_goes_to_another_namespace_takes_its_contents_along(local):
    registry = local.filled()
    labels.rename(registry, Name("team-a", "claims"), Name("team-c", "claims"))
    shred(registry, "team-a", "moved")
    assert local.reads(registry, "team-c/claims:1") == {"shared": SHARED, "own": OWN}
    assert sweep(registry, grace=-timedelta(hours=1)).deleted == 0


def test_a_registry_that_is_not_encrypted_has_nothing_to_shred(tmp_path):
    Workspace.create(tmp_path, passphrase=None)
    registry = open_registry(Workspace(tmp_path / ".stannary", passphrase=lambda: None), actor="ann")
    (tmp_path / "m").write_bytes(b"x")
    registry.push(tmp_path / "m", parse_model("team-a/m"))
    assert refused(lambda: shred(registry, "team-a", "x")) == "REG033"
    assert registry.pull(parse("team-a/m"), tmp_path / "out")
    registry.close()
    registry.chain.ledger.close()
