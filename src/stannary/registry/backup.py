"""Backup and restore: the ledger as files that anybody can verify, and every content that a version names.

    DIR/
        backup.json     what it is of: the log, its size and root, how many contents
        ledger/         the log as C2SP tiles with its entries and the signed checkpoint
        blobs/          contents by their digest, encrypted for the same keys when those of the workspace are

The root in `backup.json` is that of the signed checkpoint. A restore makes the log again from its entries, which has
to end in that root; takes from it which versions there are; and lets no content in that is not what its name says.
What cannot be had again is the keys (`.stannary/keys`): they are not in a backup.

A backup that is brought up to date is at every moment a whole one, the old or the new, and so it stays when that is broken off:
the entries and contents that are new come first, then the checkpoint, then `backup.json`, and what was shredded goes last.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from stannary.core.errors import BackendError, InputError, IntegrityError, UsageError
from stannary.core.model import Digest
from stannary.evidence.contents import contents_at
from stannary.evidence.ledger import Ledger
from stannary.evidence.ledger.replay import follow_into
from stannary.evidence.ledger.tiles import publish
from stannary.evidence.resealing import clear_shared
from stannary.evidence.workspace import Workspace
from stannary.registry.live import Live, live_digests
from stannary.registry.manifest import decode
from stannary.registry.names import DEFAULT, Name
from stannary.registry.registry import Registry
from stannary.registry.shredded import clear_shredded, finish_all
from stannary.registry.transfer import inline_manifest, manifest_content
from stannary.store.blobs.folder import FolderObjects
from stannary.store.blobs.interface import Blobs
from stannary.store.blobs.namespaced import NamespacedBlobs
from stannary.store.disk_room import naming, no_room
from stannary.store.file_lock import held

__all__ = ["Backup", "follow", "read_backup", "restore", "write_backup"]

SCHEMA = "stannary.backup/1"
_LEAST_NOTED = 16  # digits: what `registry backup` printed before it printed all 64
_EVERYTHING = Name(DEFAULT, "*")


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is of."""

    schema: str = SCHEMA
    origin: str
    entries: int
    root: str
    blobs: int
    size: int
    unopened: tuple[str, ...] = ()  # namespaces whose keys are gone, so that nothing of them was brought back


def write_backup(registry: Registry, destination: str | Path) -> Backup:
    """Write a backup, or bring one up to date. Raises IntegrityError for a content that is not what its digest says.

    A folder without `backup.json` is none yet. What was interrupted goes on where it was; two that write there take turns.
    """
    registry.allowed("backup", _EVERYTHING)
    folder = Path(destination)
    try:
        return _write(registry, folder)
    except OSError as error:
        msg = f"cannot be written: {error.strerror or error}"
        first = "make room; " if no_room(error) else ""
        raise BackendError(
            msg, where=str(error.filename or folder), code="REG009", help=f"{first}it goes on there when it is called again"
        ) from error


def _write(registry: Registry, folder: Path) -> Backup:
    # The lock is there from the start: by it an interrupted backup is known as one.
    lock, scratch = folder / "backup.lock", folder / "backup.json.new"
    ours = any(path.exists() for path in (folder / "backup.json", lock, scratch))
    if folder.exists() and not ours and any(folder.iterdir()):
        msg = "is a folder with other things in it"
        raise UsageError(msg, where=str(folder), code="REG008", help="name one that is not there yet, or an older backup")
    folder.mkdir(parents=True, exist_ok=True)
    with held(lock):
        ledger = registry.chain.ledger
        head = ledger.export_tiles(folder / "ledger", head=False)
        with registry.reading() as connection:  # as of this head, or a later one
            wanted = live_digests(connection)
        target = contents_at(registry.chain.workspace, folder / "blobs")
        count, total = _copy(ledger, registry.blobs, target, wanted)
        made = Backup(origin=head.origin, entries=head.size, root=head.root.hex(), blobs=count, size=total)
        with naming(scratch), scratch.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        publish(folder / "ledger")
        scratch.replace(folder / "backup.json")
        clear_shredded(ledger, target)
        if registry.blobs.separate:  # what an older backup had of all namespaces together would outlive the shredding of one
            clear_shared(FolderObjects(folder / "blobs"))
    return made


def read_backup(source: str | Path) -> Backup:
    """Return what a backup says it is of. Raises InputError."""
    path = Path(source) / "backup.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Backup)
    except FileNotFoundError as error:
        msg = "is no backup: there is no backup.json in it"
        raise InputError(msg, where=str(source), code="REG030") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"cannot be read: {error}"
        raise InputError(msg, where=str(path), code="REG030") from error
    if found.schema != SCHEMA:
        msg = f"is of a version that is not known here: {found.schema[:60]!r}"
        raise InputError(msg, where=str(path), code="REG030", help="use a newer stannary")
    return found


def restore(registry: Registry, source: str | Path, *, root: str = "") -> Backup:
    """Bring a backup into a registry whose ledger has nothing that the backup has not.

    Args:
        registry: of a workspace with the keys of the log.
        source: the folder.
        root: the root that was noted when the backup was written, 16 digits of it at least: without it an older backup passes
            for the last one.

    Raises:
        IntegrityError: the log is not the one that was signed, or a content is not what a version names.
    """
    folder = Path(source)
    told = read_backup(folder)
    ledger = registry.chain.ledger
    if told.origin != ledger.head().origin:
        msg = f"is of the log {told.origin!r}, and this workspace has {ledger.head().origin!r}"
        raise UsageError(msg, where=str(folder), code="REG031", help="restore it where its keys and workspace.json are")
    noted = root.strip().lower()
    if root and len(noted) < _LEAST_NOTED:
        msg = f"is too short to tell one backup from another: {len(noted)} digits"
        raise UsageError(msg, where="--root", code="REG032", help="name the root as `registry backup` printed it")
    if not told.root.startswith(noted):
        msg = f"ends in the root {told.root}, not in {noted[:64]}"
        raise IntegrityError(msg, where=str(folder), code="REG032", help="it is not the backup that you noted")
    ledger.follow(folder / "ledger")
    return _brought(registry, folder, told)


def follow(workspace: Workspace, source: str | Path, open_copy: Callable[[], Registry]) -> Backup:
    """Bring a read replica up to a backup: its ledger, tables and contents. The log's private key is not needed.

    Args:
        workspace: of the replica: `workspace.json`, `trust.json` and `keys/ledger.pub` of the original.
        source: the folder of the backup.
        open_copy: opens the registry of the replica for reading, when its ledger is there.

    Raises what `restore` raises; what the replica had before it keeps.
    """
    folder = Path(source)
    told = read_backup(folder)
    if told.origin != workspace.settings.origin:
        msg = f"is of the log {told.origin!r}, and this replica follows {workspace.settings.origin!r}"
        raise UsageError(msg, where=str(folder), code="REG031", help="take workspace.json and keys/ledger.pub from the original")
    follow_into(workspace.ledger_address, folder / "ledger", workspace.log_keys, workspace.head_path)
    copy = open_copy()
    try:
        return _brought(copy, folder, told)
    finally:
        copy.close()


def _brought(registry: Registry, folder: Path, told: Backup) -> Backup:
    """Bring the contents of a backup into a registry that has its ledger.

    A namespace whose key is gone is left out and named: it was shredded since the backup was made, or its key has to be put back.
    """
    ledger = registry.chain.ledger
    head = ledger.head()
    # Its checkpoint is put in its place before `backup.json` is: who was killed between the two left the contents of the later one.
    if head.size < told.entries or ledger.root_at(told.entries).hex() != told.root:
        msg = f"says {told.entries} entries and root {told.root[:16]}; its log has {head.size} and {head.root.hex()[:16]}"
        raise IntegrityError(msg, where=str(folder / "backup.json"), code="REG032", help="its log was written to after it")
    told = msgspec.structs.replace(told, entries=head.size, root=head.root.hex())
    finish_all(registry)  # what was shredded where the backup is from is shredded here
    with registry.reading() as connection:
        wanted = live_digests(connection)
    gone = {row.namespace for row in wanted if registry.blobs.separate and not registry.blobs.key_of(row.namespace)}
    source = contents_at(registry.chain.workspace, folder / "blobs")
    count, total = _copy(ledger, source, registry.blobs, [row for row in wanted if row.namespace not in gone])
    return msgspec.structs.replace(told, blobs=count, size=total, unopened=tuple(sorted(gone)))


def _copy(ledger: Ledger, source: NamespacedBlobs, target: NamespacedBlobs, wanted: list[Live]) -> tuple[int, int]:
    """Copy the contents of versions that are not there yet, each manifest last; return how many there are, and their bytes."""
    seen: set[tuple[str, Digest]] = set()
    total = 0
    for namespace, rows in itertools.groupby(wanted, lambda row: row.namespace):
        place = namespace if source.separate else ""
        here, there = source.of(namespace), target.of(namespace)
        for row in rows:
            manifest = Digest.parse(row.manifest)
            content = manifest_content(here, ledger, row.manifest, row.entry)
            for file in decode(content, row.digest, row.manifest).files:
                found = Digest(file.sha256)
                if (place, found) not in seen:
                    _put(there, found, file.size, partial(here.read, found))
                    seen.add((place, found))
                    total += file.size
            if (place, manifest) not in seen and not inline_manifest(ledger, row.entry):
                _put(there, manifest, len(content), partial(iter, (content,)))
                seen.add((place, manifest))
                total += len(content)
    return len(seen), total


def _put(there: Blobs, digest: Digest, size: int, read: Callable[[], Iterator[bytes]]) -> None:
    """Put a content into a copy. What lies there under a key that its namespace no longer has opens for nobody: it is made anew."""
    try:
        there.put(digest, size, read())
    except UsageError as error:
        if error.code != "ENC012":
            raise
        there.delete(digest)
        there.put(digest, size, read())
