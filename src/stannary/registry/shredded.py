"""What follows from a shredding that stands in the ledger: the key is destroyed, and what it opened is deleted.

The event comes first. So a process that dies behind it, a replica that hears of it by a backup, and a copy of a key that
somebody puts back, all come to the same: whoever writes next finds a key that the ledger says is destroyed, and destroys it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from stannary.registry import events
from stannary.registry.events import Shredded

if TYPE_CHECKING:
    from stannary.evidence.ledger import Ledger
    from stannary.registry.model import Version
    from stannary.registry.registry import Registry
    from stannary.store.blobs.namespaced import NamespacedBlobs

__all__ = ["PastShredding", "clear_shredded", "finish", "finish_all", "is_shredded", "shredding_of", "shreddings"]

_AT_ONCE = 100


class PastShredding(msgspec.Struct, frozen=True, kw_only=True):
    """A shredding that stands in the ledger: of which namespace and key, when (RFC 3339), by whom and why, in which entry."""

    namespace: str
    key: str
    versions: int
    reason: str
    actor: str
    when: str
    entry: int


def is_shredded(ledger: Ledger, namespace: str, key: str) -> bool:
    """Tell whether the ledger says that a key of a namespace is destroyed."""
    return bool(key) and ledger.newest(events.about(Shredded(actor="", namespace=namespace, key=key, reason=""))) is not None


def finish(registry: Registry, namespace: str) -> bool:
    """Destroy the key of a namespace if the ledger says that it is; True when that was to be done."""
    key = registry.blobs.key_of(namespace)
    return is_shredded(registry.chain.ledger, namespace, key) and registry.blobs.destroy(namespace, key)


def finish_all(registry: Registry) -> None:
    """Destroy every key that the ledger says is destroyed, and delete what such keys opened."""
    for namespace in registry.blobs.namespaces():
        finish(registry, namespace)
    clear_shredded(registry.chain.ledger, registry.blobs)


def clear_shredded(ledger: Ledger, blobs: NamespacedBlobs) -> None:
    """Delete what was encrypted under keys that the ledger says are destroyed. What another key opened stays, key or not."""
    for namespace, key in blobs.kept():
        if is_shredded(ledger, namespace, key):
            blobs.clear(namespace, key)


def shreddings(ledger: Ledger, *, since: int = 0) -> Iterator[PastShredding]:
    """Yield every shredding that the ledger tells of from an entry on, the newest first; none in between is left out."""
    before: int | None = None
    while True:
        rows = ledger.last(_AT_ONCE, before=before, kind="shred")
        for row in rows:
            if row.index < since:
                return
            event = events.read(row) if row.type == events.TYPE else None
            if isinstance(event, Shredded):
                yield PastShredding(
                    namespace=event.namespace, key=event.key, versions=event.versions, reason=event.reason, actor=event.actor,
                    when=row.time.isoformat(), entry=row.index,
                )  # fmt: skip
        if len(rows) < _AT_ONCE:
            return
        before = rows[-1].index


def shredding_of(version: Version, told: Iterable[PastShredding]) -> PastShredding | None:
    """Return by which shredding a version became unreadable: the first one of its namespace after it was registered.

    That may be a version which was deleted before: what it was lay under that key, too.
    """
    after = [row for row in told if row.namespace == version.name.namespace and row.entry > version.entry]
    return min(after, key=lambda row: row.entry) if after and version.dropped else None
