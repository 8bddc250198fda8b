"""The registry killed before and after each write of a push, a promotion, a rollback and a backup, and not at random moments.

After each kill a process that opens the workspace finds the operation done or not done, and nothing between; then it is done again.
`test_registry_crash.py` kills at random moments, with two writers at once and a database that restarts.
"""

import contextlib
import itertools
import json
import os
import shutil
from datetime import timedelta
from functools import partial

import pytest

from stannary.app import open_registry
from stannary.core.errors import InputError
from stannary.core.evidence import Resource
from stannary.core.model import Digest
from stannary.evidence.workspace import Workspace
from stannary.policy.model import Policy, Requirement
from stannary.registry import promotion, queries
from stannary.registry.backup import read_backup, restore, write_backup
from stannary.registry.names import Name
from stannary.registry.retention import sweep
from stannary.testing.kill_points import TRACES, count_steps, killed_at

CLAIMS, ALIAS = Name("default", "claims"), "production"
REVIEWED = Policy(name="reviewed", require=(Requirement(kind="statement", check="approval", approvals=1),))
POINTS = 20 if os.environ.get("CI") else 8  # of each operation, evenly


@contextlib.contextmanager
def opened(root):
    registry = open_registry(Workspace(root / ".stannary", passphrase=lambda: None))
    try:
        yield registry
    finally:
        registry.close()
        registry.chain.ledger.close()


def push(root, content=None):
    """Push a version of two files, and approve it."""
    folder = root / "model"
    folder.mkdir(exist_ok=True)
    (folder / "weights.bin").write_bytes(content or os.urandom(200_000))
    (folder / "config.json").write_bytes(b"{}")
    with opened(root) as registry:
        registry.push(folder, CLAIMS)


def approve(root):
    with opened(root) as registry:
        version = registry.versions(CLAIMS)[0]
        said = {
            "topic": "approval", "statement": "looked at", "author": "me", "decision": "approve",
            "finishedOn": registry.chain.workspace.clock().isoformat(),
        }  # fmt: skip
        digest = {"sha256": Digest.parse(version.digest).hex}
        registry.chain.state(Resource(name=str(CLAIMS), digest=digest), "statement", said)


def promote(root):
    """Move the alias to whichever of the two last versions it is not at."""
    with opened(root) as registry:
        newest = registry.versions(CLAIMS)[0].number
        assert promotion.promote(registry, CLAIMS, newest - (place_of(registry) == newest), ALIAS).moved


def roll_back(root):
    with opened(root) as registry:
        assert promotion.rollback(registry, CLAIMS, ALIAS).moved


def back_up(root):
    with opened(root) as registry:
        write_backup(registry, root / "backup")


def place_of(registry):
    with registry.reading() as connection:
        return {row.alias: row.number for row in queries.aliases(connection, CLAIMS)}.get(ALIAS)


def state_of(registry):
    """Return versions, where the alias is, and every move."""
    with registry.reading() as connection:
        found = list(queries.versions(connection, CLAIMS)), list(queries.moves(connection, CLAIMS))
    return [(row.number, row.digest) for row in found[0]], place_of(registry), [row.number for row in found[1]]


def whole(root):
    """Hold a workspace against itself, and return its state."""
    with opened(root) as registry:
        found = state_of(registry)
        used = set()
        for version in registry.versions(CLAIMS):
            for file in registry.manifest(version).files:
                assert sum(len(part) for part in registry.contents("default").read(Digest(file.sha256))) == file.size
                used.add(Digest(file.sha256))
        sweep(registry, grace=timedelta(seconds=-1))
        assert {digest for digest, _, _ in registry.contents("default").digests()} == used
        assert not list((root / ".stannary" / "blobs" / ".unfinished").iterdir())
        moved = [row for row in registry.chain.ledger.find(type="registry") if row.kind == "alias"]
        allowed = list(registry.chain.ledger.find(type="decision"))
        assert len(allowed) >= len(moved)
        assert registry.chain.ledger.audit().ok
        return found


@pytest.fixture(params=["sqlite", "postgres"])
def root(tmp_path, request):
    url = request.getfixturevalue("postgres") if request.param == "postgres" else ""
    Workspace.create(tmp_path, passphrase=None, database=url)
    with opened(tmp_path) as registry:
        promotion.protect(registry, CLAIMS, ALIAS, REVIEWED)
    for _ in range(2):
        push(tmp_path)
        approve(tmp_path)
        promote(tmp_path)
    return tmp_path


def killed(operation, before=lambda: None, names=TRACES, points=POINTS):
    """Yield after each kill of an operation, evenly over its steps."""
    before()
    steps = count_steps(operation, names)
    assert steps > points
    every = max(1, steps // points)
    rounds = killed_at(operation, range(1 + every // 2, steps + 1, every), names)
    while True:
        before()
        try:
            yield next(rounds)
        except StopIteration:
            return


def test_a_push_is_a_version_with_all_its_contents_or_none(root):
    outcomes = set()
    known = whole(root)
    for step in killed(partial(push, root)):
        found = whole(root)
        assert found[0][-len(known[0]) :] == known[0], step
        assert len(found[0]) - len(known[0]) in (0, 1, 2), step  # the first one: the operation was counted once
        outcomes.add(len(found[0]) - len(known[0]))
        known = found
        push(root)
        known = whole(root)
        assert known[0][0][0] == found[0][0][0] + 1
    assert {0, 1} <= outcomes


@pytest.mark.parametrize("move", [promote, roll_back])
def test_an_alias_is_where_it_was_or_where_it_was_moved_to(root, move):
    outcomes = set()

    def before():
        if move is roll_back:
            with opened(root) as registry:
                assert promotion.promote(registry, CLAIMS, 2 if place_of(registry) == 1 else 1, ALIAS).moved
        before.known = whole(root)

    for step in killed(partial(move, root), before):
        found = whole(root)
        assert found[0] == before.known[0], step
        moved = len(found[2]) - len(before.known[2])
        assert moved in (0, 1), step
        assert (found[1] != before.known[1]) == bool(moved), step
        outcomes.add(moved)
    assert outcomes == {0, 1}


def elsewhere(root, number):
    """Return a workspace with the keys of another one, and nothing else."""
    new = root / f"elsewhere-{number}" / ".stannary"
    shutil.copytree(root / ".stannary" / "keys", new / "keys")
    for name in ("trust.json", "workspace.json"):
        shutil.copy(root / ".stannary" / name, new / name)
    settings = (new / "workspace.json").read_text()
    if '"database"' in settings:
        told = json.loads(settings)
        told.pop("database")
        (new / "workspace.json").write_text(json.dumps(told))
    return new.parent


def test_a_backup_that_is_brought_up_to_date_is_the_old_or_the_new_one(root):
    """What was acknowledged is restored whenever the next one is killed; and that goes on where it was."""
    back_up(root)
    ends = set()

    def before():
        push(root, os.urandom(5000))
        before.known = whole(root)
        before.told = read_backup(root / "backup")

    # Evenly, and around the end: before and after the checkpoint is put in its place, and after `backup.json` is.
    for step in itertools.chain(
        killed(partial(back_up, root), before), killed(partial(back_up, root), before, {"publish", "clear_shredded"}, 3)
    ):
        told = read_backup(root / "backup")
        assert told.entries >= before.told.entries, step
        with opened(elsewhere(root, step)) as other:
            made = restore(other, root / "backup", root=told.root)
            found = state_of(other)
        assert made.entries >= before.told.entries
        assert found[0] in (before.known[0], before.known[0][1:]), step
        ends.add(found[0] == before.known[0])
        shutil.rmtree(root / f"elsewhere-{step}")
        back_up(root)
        assert read_backup(root / "backup").entries > told.entries or found[0] == before.known[0]
    assert ends == {False, True}


def test_a_first_backup_is_none_or_whole(root):
    known, seen = whole(root), set()

    def before():
        shutil.rmtree(root / "backup", ignore_errors=True)

    for step in killed(partial(back_up, root), before):
        try:
            told = read_backup(root / "backup")
        except InputError:
            seen.add("none")
        else:
            with opened(elsewhere(root, step)) as other:
                restore(other, root / "backup", root=told.root)
                assert state_of(other) == known
            shutil.rmtree(root / f"elsewhere-{step}")
            seen.add("whole")
        back_up(root)
        assert read_backup(root / "backup").entries
    assert "none" in seen
