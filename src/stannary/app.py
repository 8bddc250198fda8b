"""The composition root: what is named becomes something on this disk, and is scanned.

The only place that chooses concrete sources and scratch folders. The command line and the server
call it; it holds no logic of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from stannary.core.errors import InputError, StannaryError, UsageError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from stannary.access.access import Access
    from stannary.checks.static.result import ScanResult
    from stannary.checks.static.scan import ScanOptions, Target
    from stannary.core.evidence import Resource
    from stannary.evidence.chain import Recorded
    from stannary.evidence.product import Stated
    from stannary.evidence.workspace import Workspace
    from stannary.registry.registry import Allowed, Registry
    from stannary.report.bom.inventory import Inventory
    from stannary.run.jail import Level
    from stannary.store.blobs.interface import Blobs
    from stannary.store.database import Database

__all__ = [
    "Bom",
    "bom_subject",
    "check_names",
    "is_address",
    "located",
    "open_access",
    "open_blobs",
    "open_database",
    "open_registry",
    "owner_of",
    "record_bom",
    "record_scan",
    "scan",
    "state_scan",
    "take_bom",
]

_ADDRESS = re.compile(r"(hf|https?|s3|mlflow|oci|registry):", re.IGNORECASE)


def scan(names: Sequence[str], options: ScanOptions, *, offline: bool = False, stdin: BinaryIO | None = None) -> ScanResult:
    """Scan what is named: paths, addresses, `-` for stdin.

    Raises UsageError, BackendError or a group of everything that could not be had; then nothing is scanned.
    """
    from stannary.checks.static.scan import scan_paths  # a server starts without the scanner

    with located(names, offline=offline, stdin=stdin) as targets:
        return scan_paths(targets, options)


@contextmanager
def located(names: Sequence[str], *, offline: bool = False, stdin: BinaryIO | None = None) -> Iterator[list[Target]]:
    """Make every name a target on this disk. What was fetched or spooled is gone when the block ends."""
    with ExitStack() as stack:
        found: list[Target] = []
        problems: list[StannaryError] = []
        for name in names:
            try:
                found.append(_locate(name, stack, offline, stdin))
            except StannaryError as error:
                problems.append(error)
        if problems:
            msg = "targets"
            raise ExceptionGroup(msg, problems)
        yield found


def record_scan(result: ScanResult, workspace: Workspace, started: datetime, finished: datetime) -> list[Recorded]:
    """Sign and log what a scan found, one statement a target. Raises InputError for a target that has no digest; then none is."""
    from stannary.evidence.chain import Chain

    stated = state_scan(result, started, finished)
    chain = Chain(workspace, write=True)
    return [chain.state(one.subject, one.kind, one.predicate) for one in stated]


def state_scan(result: ScanResult, started: datetime, finished: datetime) -> list[Stated]:
    """Return what a scan found as statements that nobody has signed. Raises InputError for a target that has no digest."""
    import msgspec

    from stannary.core.model import Digest
    from stannary.evidence.from_scan import model_scans
    from stannary.evidence.product import Stated
    from stannary.evidence.statement import subject_resource

    stated = model_scans(msgspec.to_builtins(result), finished, started)
    hint = "its errors are in the report; --no-digest and --record exclude each other"
    problems = [
        InputError("has no digest, so nothing can be stated about it", where=target.path, code="EVD011", help=hint)
        for target in stated
        if target.digest is None
    ]
    if problems:
        msg = "targets"
        raise ExceptionGroup(msg, problems)
    return [
        Stated(
            subject_resource(Digest.parse(target.digest), target.name, target.sha256),
            "model-scan",
            msgspec.to_builtins(target.predicate),
        )
        for target in stated
        if target.digest is not None
    ]


class Bom(NamedTuple):
    """An inventory, and what of the ledger did not verify."""

    inventory: Inventory
    refused: tuple[StannaryError, ...]


def take_bom(
    target: str, workspace: Workspace | None, *, name: str = "", offline: bool = False, jobs: int = 0, jail: Level | None = None
) -> Bom:
    """Take the inventory of a target, with what the workspace's ledger holds about it; `name` is what to call it."""
    from stannary.report.bom.build import digest_of, gather, inventory_of

    with located([target], offline=offline) as targets:
        gathered = gather(targets[0].path, jobs=jobs, jail=jail)
        refused: tuple[StannaryError, ...] = ()
        evidence: tuple[Any, ...] = ()
        if workspace is not None and workspace.has_ledger:
            from stannary.evidence.chain import Chain

            evidence, refused = Chain(workspace).about(digest_of(gathered))
        return Bom(inventory_of(gathered, source=targets[0].source, evidence=evidence, name=name), refused)


def record_bom(made: Bom, kind: str, document: dict[str, Any], workspace: Workspace) -> Recorded:
    """Sign a bill of materials and log it, as a statement about the artifact."""
    from stannary.evidence.chain import Chain

    return Chain(workspace, write=True).state(bom_subject(made), kind, document)


def bom_subject(made: Bom) -> Resource:
    """Return the artifact that a bill of materials is about, as the subject of a statement."""
    from stannary.evidence.statement import subject_resource

    inventory = made.inventory
    single = inventory.files[0].sha256 if inventory.is_file else None
    return subject_resource(inventory.digest, inventory.given_name, single)


def is_address(name: str) -> bool:
    """Tell whether a name is fetched: a scheme we know, and no file of that name."""
    return _ADDRESS.match(name) is not None and not os.path.exists(name)


def check_names(names: Sequence[str]) -> None:
    """Raise a group of UsageError for the names that cannot be targets; what is fetched is not asked for."""
    problems = [problem for name in names if name != "-" and not is_address(name) and (problem := _unusable(name)) is not None]
    if problems:
        msg = "targets"
        raise ExceptionGroup(msg, problems)


def _unusable(name: str) -> UsageError | None:
    if not name:
        msg = "the name of a target is empty"
        return UsageError(msg, where="TARGET", code="USE010", help="is a variable of the shell not set? `.` is the current folder")
    if os.path.lexists(name):
        return None
    hint = "a TARGET is a file, a folder, or an address such as hf://org/model"
    msg = "there is no such file or folder"
    if "://" in name:
        hint = "there are hf://, https://, s3://, mlflow: and oci:// addresses"
        msg = "is not an address that can be fetched"
    return UsageError(msg, where=name, code="USE010", help=hint)


def _locate(name: str, stack: ExitStack, offline: bool, stdin: BinaryIO | None) -> Target:  # noqa: FBT001 - private, passed on
    from stannary.checks.static.scan import Target

    if name == "-":
        return _spool(stack, stdin)
    if is_address(name):
        if name.lower().startswith("registry:"):
            return _from_registry(name, stack)
        from stannary.store.sources import resolve

        resolved = resolve(name, offline=offline, dest=_scratch(stack))
        return Target(path=str(resolved.path), display=resolved.display, source=dict(resolved.source))
    problem = _unusable(name)
    if problem is not None:
        raise problem
    return Target(path=name)


def _from_registry(name: str, stack: ExitStack) -> Target:
    from stannary.checks.static.scan import Target
    from stannary.evidence.workspace import Workspace
    from stannary.registry.names import parse

    version, path = open_registry(Workspace.find(), write=False).pull(parse(name), _scratch(stack) / "artifact")
    return Target(path=str(path), display=name, source={"registry": str(version), "digest": version.digest})


def _spool(stack: ExitStack, stdin: BinaryIO | None) -> Target:
    from stannary.checks.static.scan import Target

    if stdin is None or stdin.isatty():
        msg = "there is nothing to read on stdin"
        raise UsageError(msg, where="-", code="USE011", help="pipe the content in: stannary scan - < model.pkl")
    import shutil

    path = _scratch(stack) / "stdin"
    with path.open("wb") as file:
        shutil.copyfileobj(stdin, file, 1 << 20)
    return Target(path=str(path), display="stdin", source={"stdin": True})


def _scratch(stack: ExitStack) -> Path:
    from pathlib import Path  # 9 ms with what it imports, that a scan of what is on this disk does not pay

    from stannary.run import scratch

    folder = scratch.make()
    stack.callback(scratch.remove, folder)
    return Path(folder)


def open_registry(workspace: Workspace, *, write: bool = True, actor: str = "", allowed: Allowed | None = None) -> Registry:
    """Open the registry of a workspace. To read it, no key of the workspace is needed.

    Args:
        workspace: where its ledger and its contents are.
        write: whether something is to be changed.
        actor: who acts; the owner of the workspace's key by default.
        allowed: says what the actor may; everything by default.

    Raises UsageError or BackendError.
    """
    from stannary import __version__
    from stannary.evidence.chain import Chain
    from stannary.registry.registry import Registry

    name = actor or (owner_of(workspace) if write else "reader")
    chain = Chain(workspace, write=write)
    database = open_database(workspace)
    more = {"allowed": allowed} if allowed else {}
    return Registry(chain, database, open_blobs(workspace), actor=name, tool=__version__, **more)


def open_access(workspace: Workspace, registry: Registry | None = None) -> Access:
    """Open the accounts and grants of a workspace, with a registry's tables and ledger where there is one. Raises BackendError."""
    from stannary.access.access import Access
    from stannary.core.model import Json
    from stannary.evidence.chain import Chain
    from stannary.evidence.ledger import entry

    ledger = (registry.chain if registry else Chain(workspace, write=True)).ledger

    def journal(kind: str, body: dict[str, Json]) -> None:
        ledger.append([entry("access", body, time=workspace.clock(), kind=kind)])

    database = registry.database if registry else open_database(workspace)
    return Access(database, journal, clock=workspace.clock, offline=workspace.offline)


def open_database(workspace: Workspace) -> Database:
    """Return the tables of a workspace: beside its ledger, in PostgreSQL where that is, in a schema of the workspace's own."""
    import hashlib

    from stannary.store.database import Database

    if not workspace.settings.database:
        return Database(workspace.root / "registry.db")
    own = hashlib.sha256(workspace.settings.origin.encode()).hexdigest()[:16]
    return Database(str(workspace.ledger_address), f"stannary_tables_{own}")


def open_blobs(workspace: Workspace) -> Blobs:
    """Return where the contents of a workspace's registry are."""
    from stannary.evidence.contents import open_contents

    return open_contents(workspace)


def owner_of(workspace: Workspace) -> str:
    """Return whose workspace it is: the identity of its signing key."""
    key = workspace.signer.public.keyid
    return next((row.identity for row in workspace.trust.keys if row.keyid == key), key[:16])
