"""A backup proves itself: what was changed in it is not restored."""

import json
import random
import shutil
from datetime import timedelta

import pytest
from tests.unit.registry.conftest import Bench

from stannary.app import open_registry
from stannary.core.errors import InputError, IntegrityError, StannaryError, UsageError
from stannary.core.model import Digest
from stannary.evidence.ledger import entry
from stannary.evidence.workspace import Workspace
from stannary.policy.model import Policy, Requirement
from stannary.registry import promotion, transfer
from stannary.registry.backup import follow, restore, write_backup
from stannary.registry.names import Name, parse
from stannary.registry.retention import retain

CLAIMS = Name("default", "claims")
APPROVED = Policy(name="approved", require=(Requirement(kind="statement", check="approval", approvals=1),))


@pytest.fixture(params=["inline", "stored"])
def manifests(request, monkeypatch):
    """Small manifests stand in the ledger, large ones among the contents."""
    if request.param == "stored":
        monkeypatch.setattr(transfer, "INLINE", 0)
    return 1 if request.param == "stored" else 0


@pytest.fixture
def full(local, manifests):
    registry = local.opened[0]
    promotion.protect(registry, CLAIMS, "production", APPROVED)
    for number in range(3):
        local.say(local.push(bytes([number]) * 5000))
        promotion.promote(registry, CLAIMS, number + 1, "production")
    registry.chain.ledger.append([entry("note", {"text": "x" * 70_000}, time=local.clock())])  # its body lies apart
    return local


def elsewhere(bench, tmp_path, name="new"):
    """Return a workspace with the keys of another and nothing else of it."""
    folder = tmp_path / name / ".stannary"
    shutil.copytree(bench.root / ".stannary" / "keys", folder / "keys")
    for file in ("workspace.json", "trust.json"):
        shutil.copy(bench.root / ".stannary" / file, folder / file)
    made = Bench(tmp_path / name)
    made.open()
    return made


def test_what_is_restored_is_what_was_there(full, tmp_path):
    made = write_backup(full.opened[0], tmp_path / "backup")
    new = elsewhere(full, tmp_path)
    found = restore(new.opened[0], tmp_path / "backup", root=made.root)
    assert (found.blobs, found.size) == (made.blobs, made.size)
    registry = new.opened[0]
    assert registry.versions(CLAIMS) == full.opened[0].versions(CLAIMS)
    assert registry.resolve(parse("claims@production")).number == 3
    assert registry.chain.ledger.head() == full.opened[0].chain.ledger.head()
    for number in (1, 2, 3):
        registry.pull(parse(f"claims:{number}"), tmp_path / f"out{number}")
    assert promotion.rollback(registry, CLAIMS, "production").number == 2
    assert not registry.chain.ledger.audit().deviations
    new.close()


def test_a_second_backup_brings_the_first_up_to_date(full, tmp_path):
    first = write_backup(full.opened[0], tmp_path / "backup")
    full.say(full.push(b"new"))
    second = write_backup(full.opened[0], tmp_path / "backup")
    assert second.entries > first.entries
    new = elsewhere(full, tmp_path)
    assert restore(new.opened[0], tmp_path / "backup").entries == second.entries
    assert new.opened[0].show(parse("claims:4")).number == 4
    # and a restore brings an older copy up to date
    full.push(b"newer")
    write_backup(full.opened[0], tmp_path / "backup")
    restore(new.opened[0], tmp_path / "backup")
    assert new.opened[0].show(parse("claims:5")).number == 5
    new.close()


def test_what_was_deleted_is_not_in_the_backup(full, manifests, tmp_path):
    full.offset = timedelta(days=2)
    retain(full.opened[0], CLAIMS, keep=2, older_than=timedelta(days=1), reason="old")
    made = write_backup(full.opened[0], tmp_path / "backup")
    assert made.blobs == 3 + 2 * manifests  # two weights, one shared config, two manifests


def test_an_older_backup_does_not_pass_for_the_one_whose_root_was_noted(full, tmp_path):
    write_backup(full.opened[0], tmp_path / "old")
    full.push(b"new")
    noted = write_backup(full.opened[0], tmp_path / "backup").root
    new = elsewhere(full, tmp_path)
    with pytest.raises(IntegrityError, match="ends in the root"):
        restore(new.opened[0], tmp_path / "old", root=noted)
    new.close()


def test_a_root_that_was_noted_in_part_is_the_root(full, tmp_path):
    noted = write_backup(full.opened[0], tmp_path / "backup").root
    new = elsewhere(full, tmp_path)
    for wrong, code in ((noted[:15], "too short"), ("0" * 16, "not the backup|not in"), (noted + "0", "not in")):
        with pytest.raises((UsageError, IntegrityError), match=code):
            restore(new.opened[0], tmp_path / "backup", root=wrong)
    assert restore(new.opened[0], tmp_path / "backup", root=noted[:16].upper()).root == noted


def test_a_workspace_that_has_more_is_not_set_back(full, tmp_path):
    write_backup(full.opened[0], tmp_path / "backup")
    full.push(b"new")
    with pytest.raises(UsageError, match="already"):
        restore(full.opened[0], tmp_path / "backup")


def test_a_workspace_of_another_log_takes_nothing(full, tmp_path):
    write_backup(full.opened[0], tmp_path / "backup")
    (tmp_path / "other").mkdir()
    other = Bench(tmp_path / "other")
    registry = other.open()
    with pytest.raises(UsageError, match="is of the log"):
        restore(registry, tmp_path / "backup")
    told = json.loads((tmp_path / "backup" / "backup.json").read_text())
    told["origin"] = registry.chain.ledger.head().origin
    (tmp_path / "backup" / "backup.json").write_text(json.dumps(told))
    with pytest.raises(IntegrityError):
        restore(registry, tmp_path / "backup")
    assert registry.chain.ledger.head().size == 0
    other.close()


def test_a_folder_with_other_things_is_not_written_into(full, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mine").write_text("mine")
    with pytest.raises(UsageError, match="other things"):
        write_backup(full.opened[0], tmp_path / "home")
    with pytest.raises(InputError, match="is no backup"):
        restore(full.opened[0], tmp_path / "home")


def test_whatever_is_changed_in_a_backup_is_refused(full, tmp_path):
    """Every file in it: a bit flipped somewhere, cut short, taken away."""
    write_backup(full.opened[0], tmp_path / "backup")
    chance = random.Random(7)
    files = sorted(path for path in (tmp_path / "backup").rglob("*") if path.is_file() and path.name != "backup.lock")
    used = [path for path in files if "tile" not in path.parts or "entries" in path.parts]
    assert len(used) >= 7
    refused = 0
    for number, path in enumerate(used):
        content = path.read_bytes()
        at = chance.randrange(len(content))
        for name, changed in {
            "flipped": content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :],
            "short": content[:-1],
            "gone": None,
        }.items():
            shutil.copytree(tmp_path / "backup", tmp_path / "changed")
            victim = tmp_path / "changed" / path.relative_to(tmp_path / "backup")
            victim.unlink()
            if changed is not None:
                victim.write_bytes(changed)
            new = elsewhere(full, tmp_path, f"{number}{name}")
            try:
                restore(new.opened[0], tmp_path / "changed")
            except (StannaryError, ExceptionGroup):
                refused += 1
            else:
                # Only what says nothing of the content may be changed unseen: a blank in backup.json, say.
                assert victim.name == "backup.json", f"{path} {name}"
                assert new.opened[0].versions(CLAIMS) == full.opened[0].versions(CLAIMS)
            new.close()
            shutil.rmtree(tmp_path / "changed")
            shutil.rmtree(tmp_path / f"{number}{name}")
    assert refused >= 3 * len(used) - 3


def replica_of(bench, tmp_path):
    """Return a workspace with the public parts of another."""
    folder = tmp_path / "replica" / ".stannary"
    (folder / "keys").mkdir(parents=True)
    for file in ("workspace.json", "trust.json", "keys/ledger.pub"):
        shutil.copy(bench.root / ".stannary" / file, folder / file)
    return folder


def test_a_replica_follows_without_a_private_key_and_changes_nothing(full, tmp_path):
    write_backup(full.opened[0], tmp_path / "backup")
    workspace = Workspace(replica_of(full, tmp_path))
    follow(workspace, tmp_path / "backup", lambda: open_registry(workspace, write=False))
    copy = open_registry(workspace, write=False)
    assert copy.resolve(parse("claims@production")).number == 3
    copy.pull(parse("claims:2"), tmp_path / "out")
    with pytest.raises(UsageError):
        promotion.freeze(copy, CLAIMS, "*", "not here")
    assert copy.chain.about(Digest.parse(copy.show(parse("claims:1")).digest)).evidence

    full.say(full.push(b"new"))
    promotion.promote(full.opened[0], CLAIMS, 4, "production")
    write_backup(full.opened[0], tmp_path / "backup")
    follow(workspace, tmp_path / "backup", lambda: open_registry(workspace, write=False))
    assert copy.resolve(parse("claims@production")).number == 4
    with pytest.raises(UsageError, match="read"):
        workspace_ledger_appends(workspace)
    with pytest.raises(UsageError, match="it is a read replica") as caught:
        open_registry(workspace)  # to write
    assert caught.value.code == "WSP011"
    (workspace.root / "keys" / "ledger.pem").touch()  # with one of its keys it is none, and which one lacks is said
    with pytest.raises(UsageError) as caught:
        _ = Workspace(workspace.root).signer
    assert caught.value.code == "KEY007"
    copy.close()


def workspace_ledger_appends(workspace):
    with workspace.ledger() as ledger:
        ledger.append([entry("note", {"x": 1}, time=workspace.clock())])


def test_a_replica_does_not_follow_a_history_that_was_rewritten(full, tmp_path):
    write_backup(full.opened[0], tmp_path / "backup")
    workspace = Workspace(replica_of(full, tmp_path))
    follow(workspace, tmp_path / "backup", lambda: open_registry(workspace, write=False))
    # Whoever has the keys writes another history, as long as the first and one entry longer.
    other = elsewhere(full, tmp_path, "other")
    forged = other.opened[0]
    while forged.chain.ledger.head().size <= full.opened[0].chain.ledger.head().size:
        forged.chain.ledger.append([entry("note", {"n": forged.chain.ledger.head().size}, time=other.clock())])
    write_backup(forged, tmp_path / "forged")
    with pytest.raises(IntegrityError, match="do not lead"):
        follow(workspace, tmp_path / "forged", lambda: open_registry(workspace, write=False))
    assert open_registry(workspace, write=False).resolve(parse("claims@production")).number == 3
    other.close()
