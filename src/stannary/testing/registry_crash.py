"""A registry whose writers are killed, again and again: what was acknowledged has to be there, and nothing half of anything.

`crash_rounds` starts writers that push, approve, promote, roll back and back up, and say what was acknowledged; kills them
with SIGKILL at a random moment; opens the registry as the next process does, and looks:

1. every version that was acknowledged resolves, and its contents are what they were;
2. every move that was acknowledged is in the log with its decision, and no alias is where an older move put it;
3. every move in the log has the signed decision that allowed it before it, about the same artifact;
4. the tables are what the log makes of them;
5. after a sweep there is no content that no version names, and nothing unfinished;
6. in the end the log is audited, and a backup of it is restored elsewhere, to the same versions and aliases.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stannary.app import open_registry
from stannary.core.errors import BackendError, PolicyDenied, UsageError
from stannary.core.evidence import Resource
from stannary.core.model import Digest
from stannary.evidence.workspace import Workspace
from stannary.policy.model import Policy, Requirement
from stannary.registry import events, promotion, queries
from stannary.registry.backup import read_backup, restore, write_backup
from stannary.registry.events import Moved, Registered
from stannary.registry.names import DEFAULT, Name, Reference
from stannary.registry.projection import clear, is_behind
from stannary.registry.registry import Registry
from stannary.registry.retention import sweep
from stannary.registry.transfer import inline_manifest

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

__all__ = ["Outcome", "crash_rounds", "main"]

NAMES = (Name("default", "claims"), Name("team", "fraud"))
ALIAS = "production"
_POLICY = Policy(name="approved", require=(Requirement(kind="statement", check="approval", approvals=1),))
_NEVER = 10**6
_SWEEP = 8


class Acknowledged(msgspec.Struct, omit_defaults=True):
    """What a writer says when a call has returned."""

    what: str  # push, move, deny, backup
    name: str = ""
    number: int = 0
    digest: str = ""
    decision: str = ""
    entries: int = 0


class Outcome(msgspec.Struct):
    """What happened. `problems` says in words what should not have; it is empty when everything holds."""

    rounds: int = 0
    killed: int = 0
    disturbed: int = 0
    failed: int = 0
    pushed: int = 0
    moved: int = 0
    denied: int = 0
    backups: int = 0
    ahead: int = 0  # times the log was ahead of the tables: killed between the two
    swept: int = 0
    versions: int = 0
    problems: list[str] = []


def crash_rounds(
    folder: Path, rounds: int, *, seed: int = 0, url: str = "", disturb: Callable[[], object] | None = None
) -> Outcome:
    """Kill writers `rounds` times; the workspace is made in `folder`, with its ledger and tables in a database if one is named.

    In every fifth round `disturb` is called while they work. In every third there are two writers.
    """
    outcome, choice = Outcome(rounds=rounds), random.Random(seed)  # noqa: S311 - moments, no secrets
    registry = open_registry(Workspace.create(folder, passphrase=None, database=url))
    for name in NAMES:
        promotion.protect(registry, name, ALIAS, _POLICY)
    _close(registry)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    last: dict[str, int] = {}
    for number in range(rounds):
        writers = []
        for twin in range(2 if number % 3 == 2 else 1):  # noqa: PLR2004 - the last of three
            said = folder / f"said-{number}-{twin}"
            said.touch()
            process = context.Process(target=main, args=(folder, said, seed + 31 * number + twin), daemon=True)
            process.start()
            writers.append((process, said))
        _wait_and_kill(writers, choice, disturb if number % 5 == 1 else None, outcome)
        found = [item for _, said in writers for item in _said(said)]
        registry = _opened(folder)
        _inspect(registry, found, last, outcome)
        if (number + 1) % _SWEEP == 0 or number == rounds - 1:
            _swept(registry, folder, outcome)
        _close(registry)
    _settle(folder, outcome)
    return outcome


def _wait_and_kill(
    writers: list[tuple[ForkServerProcess, Path]], choice: random.Random, disturb: Callable[[], object] | None, outcome: Outcome
) -> None:
    """Kill after the first acknowledgement and a while, or at any moment from the start on."""
    until = time.monotonic() + 100
    if disturb is not None or choice.random() < 0.7:  # noqa: PLR2004 - mostly at work, sometimes while it opens
        while not all(said.stat().st_size for _, said in writers) and time.monotonic() < until:
            time.sleep(0.002)
    if disturb is not None:
        time.sleep(choice.uniform(0, 0.1))
        disturb()
        outcome.disturbed += 1
    time.sleep(choice.uniform(0, 0.25))
    for process, _ in writers:
        process.kill()
    for process, _ in writers:
        process.join()
        if process.exitcode is not None and process.exitcode >= 0:
            outcome.problems.append(f"a writer ended by itself with {process.exitcode}")
        outcome.killed += process.exitcode == -signal.SIGKILL
        process.close()


def _said(path: Path) -> list[Acknowledged]:
    lines = path.read_bytes().split(b"\n")[:-1]  # the last one is not whole, or empty
    path.unlink()
    return [msgspec.json.decode(line, type=Acknowledged) for line in lines]


def _opened(folder: Path) -> Registry:
    return open_registry(Workspace(folder / ".stannary", passphrase=lambda: None))


def _close(registry: Registry) -> None:
    registry.close()
    registry.chain.ledger.close()


def _inspect(registry: Registry, found: list[Acknowledged], last: dict[str, int], outcome: Outcome) -> None:
    """Hold a registry against what was acknowledged, and against itself."""
    with registry.database.reading() as connection:
        outcome.ahead += is_behind(connection, registry.chain.ledger)
    start = last.get("", 0)
    last[""] = registry.chain.ledger.head().size
    moves: dict[str, Moved] = {}
    previous = None
    for row in registry.chain.ledger.entries(max(0, start - 1)):
        event = events.read(row) if row.type == events.TYPE and row.index >= start else None
        if isinstance(event, Moved):
            moves[event.decision] = event
            last[str(event.name)] = row.index
            if previous is None or (previous.id, previous.subject, previous.kind) != (event.decision, event.digest, "vsa"):
                outcome.problems.append(f"entry {row.index} moves an alias without its decision")
            elif not _allows(registry, event):
                outcome.problems.append(f"entry {row.index} moves an alias by a decision that does not allow it")
        elif isinstance(event, Registered):
            _whole(registry, Reference(event.name, event.number), event.digest, outcome)
        previous = row
    _kept(registry, found, moves, outcome)
    with registry.reading() as connection:
        for name in NAMES:
            placed = queries.aliases(connection, name) if queries.kind_of(connection, name) else []
            at = {item.alias: item.entry for item in placed}.get(ALIAS)
            if at != last.get(str(name)):
                outcome.problems.append(f"{name}@{ALIAS} is there by entry {at}, and the log moved it in {last.get(str(name))}")
            elif at is not None:
                registry.resolve(Reference(name, alias=ALIAS))


def _allows(registry: Registry, event: Moved) -> bool:
    known = registry.chain.about(Digest.parse(event.digest)).evidence
    return any(str(item.value.id) == event.decision and item.value.outcome == "passed" for item in known)


def _kept(registry: Registry, found: list[Acknowledged], moves: dict[str, Moved], outcome: Outcome) -> None:
    ids = {row.id for row in registry.chain.ledger.find(type="decision")}
    for item in found:
        if item.what == "push":
            namespace, _, name = item.name.rpartition("/")
            _whole(registry, Reference(Name(namespace, name), item.number), item.digest, outcome)
            outcome.pushed += 1
        elif item.what == "move":
            outcome.moved += 1
            event = moves.get(item.decision)
            if event is None or (event.number, event.digest) != (item.number, item.digest):
                outcome.problems.append(f"a move to {item.name}:{item.number} was acknowledged and is not in the log")
        elif item.what == "deny":
            outcome.denied += 1
            if item.decision not in ids or item.decision in moves:
                outcome.problems.append(f"a denial of {item.name}:{item.number} was acknowledged and is not in the log")
        elif item.what == "failed":
            outcome.failed += 1
        elif item.what == "backup":
            outcome.backups += 1
            if item.entries > read_backup(Path(item.name)).entries:
                outcome.problems.append("a backup that was acknowledged was replaced by an older one")


def _whole(registry: Registry, reference: Reference, digest: str, outcome: Outcome) -> None:
    """Read every content of a version: a blob store verifies what it reads."""
    version = registry.resolve(reference)
    if version.digest != digest:
        outcome.problems.append(f"{reference} is {version.digest}, and was {digest}")
    for file in registry.manifest(version).files:
        if sum(len(chunk) for chunk in registry.contents(version.name.namespace).read(Digest(file.sha256))) != file.size:
            outcome.problems.append(f"{reference} has a file of another size: {file.path}")


def _swept(registry: Registry, folder: Path, outcome: Outcome) -> None:
    outcome.swept += sweep(registry, grace=timedelta(seconds=-1)).deleted
    used = set()
    with registry.reading() as connection:
        for name in NAMES:
            for version in queries.versions(connection, name) if queries.kind_of(connection, name) else []:
                used |= {Digest(file.sha256) for file in registry.manifest(version).files}
                if not inline_manifest(registry.chain.ledger, version.entry):
                    used.add(Digest.parse(version.manifest))
    there = {digest for digest, _, _ in registry.contents(DEFAULT).digests()}
    if there != used:
        outcome.problems.append(f"after a sweep there are {len(there - used)} contents too many and {len(used - there)} too few")
    left = [item.name for item in (folder / ".stannary" / "blobs" / ".unfinished").iterdir()]
    if left:
        outcome.problems.append(f"{len(left)} contents are unfinished and nobody's")


def _settle(folder: Path, outcome: Outcome) -> None:
    """Make the tables again, audit the log, and restore a backup elsewhere: everything is the same each time."""
    registry = _opened(folder)
    before = _state(registry)
    outcome.versions = sum(len(versions) for versions, _, _ in before)
    with registry.database.writing() as connection:
        clear(connection)
    if _state(registry) != before:
        outcome.problems.append("the tables are not what the log makes of them")
    outcome.problems += [item.message for item in registry.chain.ledger.audit(deep=True).deviations]
    made = write_backup(registry, folder / "backup")
    new = folder / "elsewhere" / ".stannary"
    shutil.copytree(folder / ".stannary" / "keys", new / "keys")
    shutil.copy(folder / ".stannary" / "trust.json", new / "trust.json")
    told = msgspec.json.decode((folder / ".stannary" / "workspace.json").read_bytes())
    told.pop("database", None)
    (new / "workspace.json").write_bytes(msgspec.json.encode(told))
    other = open_registry(Workspace(new, passphrase=lambda: None))
    restore(other, folder / "backup", root=made.root)
    if _state(other) != before:
        outcome.problems.append("what was restored from the backup is not what was backed up")
    _close(other)
    _close(registry)


def _state(registry: Registry) -> list[tuple[list[object], list[object], list[object]]]:
    with registry.reading() as connection:
        return [
            (
                list(queries.versions(connection, name)),
                list(queries.aliases(connection, name)),
                list(queries.moves(connection, name)),
            )
            for name in NAMES
            if queries.kind_of(connection, name)
        ]


def main(folder: Path, said: Path, seed: int) -> None:
    """Push, approve, promote, roll back and back up until killed, and write down each answer when it is there."""
    choice = random.Random(seed)  # noqa: S311 - contents of a test
    registry = _opened(folder)
    with said.open("ab", buffering=0) as file:
        for _ in range(_NEVER):
            try:
                answer = _one(registry, choice, folder, said.name)
            except BackendError as error:  # the database is away
                answer = Acknowledged("failed", name=error.message)
            file.write(msgspec.json.encode(answer) + b"\n")


def _one(registry: Registry, choice: random.Random, folder: Path, scratch: str) -> Acknowledged:
    name = choice.choice(NAMES)
    what = choice.choices(("push", "promote", "rollback", "backup"), (4, 5, 2, 1))[0]
    with registry.reading() as connection:
        count = queries.model_row(connection, name).latest if queries.kind_of(connection, name) else 0
    if what == "backup":
        made = write_backup(registry, folder / f"backup{scratch.rpartition('-')[2]}")
        return Acknowledged("backup", name=str(folder / f"backup{scratch.rpartition('-')[2]}"), entries=made.entries)
    if what == "push" or not count:
        version = registry.push(_artifact(choice, folder / f"work-{scratch}"), name)
        if choice.random() < 0.6:  # noqa: PLR2004 - the others are denied
            _approve(registry, version.digest, str(name))
        return Acknowledged("push", f"{name.namespace}/{name.name}", version.number, version.digest)
    try:
        if what == "promote":
            found = promotion.promote(registry, name, choice.randint(max(1, count - 5), count), ALIAS)
        else:
            found = promotion.rollback(registry, name, ALIAS)
    except (UsageError, PolicyDenied):  # nothing to go back to
        return Acknowledged("none")
    digest = registry.show(Reference(name, found.number)).digest
    return Acknowledged("move" if found.moved else "deny", str(name), found.number, digest, found.evidence)


def _approve(registry: Registry, digest: str, name: str) -> None:
    predicate = {
        "topic": "approval", "statement": "looked at", "author": "me", "decision": "approve",
        "finishedOn": registry.chain.workspace.clock().isoformat(),
    }  # fmt: skip
    registry.chain.state(Resource(name=name, digest={"sha256": Digest.parse(digest).hex}), "statement", predicate)


def _artifact(choice: random.Random, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "weights.bin").write_bytes(choice.randbytes(choice.choice((10, 5_000, 3_000_000))))
    (folder / "config.json").write_bytes(b'{"layers":%d}' % choice.randint(1, 3))
    return folder
