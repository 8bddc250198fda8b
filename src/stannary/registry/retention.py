"""What is kept: quarantine, legal holds, the deletion of versions, and the sweep of contents that nothing names.

Deleting a version takes its name away, by an event in the ledger. Its contents go with the next `sweep`, unless
another version has the same files; a file is never younger than an hour when it is swept, so that a push that is
under way does not lose what it has stored.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from sqlalchemy.engine import Connection

from stannary.core.errors import UsageError
from stannary.core.model import Digest
from stannary.registry import queries
from stannary.registry.events import Dropped, Held, Quarantined
from stannary.registry.live import live_digests
from stannary.registry.model import Version
from stannary.registry.names import DEFAULT, Name, Reference
from stannary.registry.registry import Registry
from stannary.registry.shredded import finish_all
from stannary.registry.transfer import live_files
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.interface import Blobs

__all__ = ["Swept", "delete", "hold", "plan", "quarantine", "retain", "sweep"]

_GRACE = timedelta(hours=1)


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep deleted, or would: contents and their bytes; `kept` are those in use."""

    deleted: int
    freed: int
    kept: int
    young: int


def quarantine(registry: Registry, digest: str, reason: str, *, lifted: bool = False) -> list[Version]:
    """Make a digest unresolvable under every name, or lift that; return the versions that are this artifact."""
    registry.allowed("quarantine", Name(DEFAULT, "*"))
    with registry.writing() as connection:
        registry.commit(connection, [Quarantined(actor=registry.actor, digest=digest, reason=reason, lifted=lifted)])
        return queries.versions_with(connection, digest)


def hold(registry: Registry, name: Name, number: int, reason: str, *, lifted: bool = False) -> None:
    """Keep a version from being deleted (legal hold), or lift that. Raises UsageError when there is no such version."""
    registry.allowed("hold", name)
    with registry.writing() as connection:
        version = queries.version(connection, Reference(name, number))
        if version.dropped:
            msg = "was deleted"
            raise UsageError(msg, where=str(version), code="REG013", help="there is nothing left to hold")
        registry.commit(connection, [Held(actor=registry.actor, name=name, number=version.number, reason=reason, lifted=lifted)])


def plan(registry: Registry, name: Name, *, keep: int, older_than: timedelta) -> list[Version]:
    """Return the versions that retention would delete: older, not in service, held or quarantined."""
    registry.allowed("read", name)
    with registry.reading() as connection:
        return _chosen(queries.versions(connection, name), keep, registry.chain.workspace.clock() - older_than)


def retain(registry: Registry, name: Name, *, keep: int, older_than: timedelta, reason: str) -> list[Version]:
    """Delete what `plan` names, as of now, and return it. Their numbers are never given again."""
    registry.allowed("delete", name)
    with registry.writing() as connection:
        chosen = _chosen(queries.versions(connection, name), keep, registry.chain.workspace.clock() - older_than)
        for version in chosen:
            registry.trusted.refuse_held(version)
        events = [
            Dropped(actor=registry.actor, name=name, number=version.number, digest=version.digest, reason=reason)
            for version in chosen
        ]
        if events:
            registry.commit(connection, events)
        return chosen


def delete(registry: Registry, name: Name, number: int, reason: str) -> Version:
    """Delete one version. Raises UsageError when it is in service, held or quarantined, or was deleted."""
    registry.allowed("delete", name)
    with registry.writing() as connection:
        version = queries.version(connection, Reference(name, number))
        why = ""
        if version.dropped:
            why = "was deleted"
        elif version.aliases:
            why = f"is in service as {', '.join(version.aliases)}"
        elif version.held or version.quarantined:
            why = f"is held: {version.held}" if version.held else f"is quarantined: {version.quarantined}"
        if why:
            raise UsageError(why, where=str(version), code="REG013" if version.dropped else "REG018", help="it stays as it is")
        registry.trusted.refuse_held(version)
        event = Dropped(actor=registry.actor, name=name, number=version.number, digest=version.digest, reason=reason)
        registry.commit(connection, [event])
        return version


def sweep(registry: Registry, *, dry_run: bool = False, grace: timedelta = _GRACE) -> Swept:
    """Delete contents that no version names and that are older than `grace`.

    Raises IntegrityError for a manifest that cannot be read: what a version consists of is not known then, and nothing is deleted.
    """
    registry.allowed("sweep", Name(DEFAULT, "*"))
    with registry.writing() as connection:
        before = registry.chain.workspace.clock() - grace
        used = _used(registry, connection)
        found = Swept(deleted=0, freed=0, kept=0, young=0)
        for namespace, blobs in registry.blobs.opened():
            found = _sweep(blobs, used.get(namespace, set()), before, found, dry_run=dry_run)
        if not dry_run:
            finish_all(registry)
        return found


def _used(registry: Registry, connection: Connection) -> dict[str, set[Digest]]:
    """Return the contents that versions name, by namespace where those are apart. Raises where one cannot be known."""
    used: dict[str, set[Digest]] = {}
    for row in live_digests(connection):
        place = used.setdefault(row.namespace if registry.blobs.separate else "", set())
        place.add(Digest.parse(row.manifest))
        place.update(Digest(file.sha256) for file in live_files(registry.blobs.of(row.namespace), registry.chain.ledger, row))
    return used


def _sweep(blobs: Blobs, used: set[Digest], before: datetime, found: Swept, *, dry_run: bool) -> Swept:
    deleted, freed, kept, young = found.deleted, found.freed, found.kept, found.young
    for content, size, modified in blobs.digests():
        if content in used:
            kept += 1
        elif modified > before:
            young += 1
        else:
            deleted, freed = deleted + 1, freed + size
            if not dry_run:
                blobs.delete(content)
    if not dry_run and isinstance(blobs, EncryptedBlobs):
        blobs.tidy(before)
    return Swept(deleted=deleted, freed=freed, kept=kept, young=young)


def _chosen(versions: list[Version], keep: int, before: datetime) -> list[Version]:
    live = [version for version in versions if not version.dropped]
    return [
        version
        for version in live[keep:]
        if not (version.aliases or version.held or version.quarantined) and datetime.fromisoformat(version.created) < before
    ]
