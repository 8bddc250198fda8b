"""What follows from a shredding that stands in the ledger: the key is destroyed, and what it opened is deleted.

The event comes first. So a process that dies behind it, a replica that hears of it by a backup, and a copy of a key that
somebody puts back, all come to the same: whoever writes next finds a key that the ledger says is destroyed, and destroys it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stannary.registry import events
from stannary.registry.events import Shredded

if TYPE_CHECKING:
    from stannary.evidence.ledger import Ledger
    from stannary.registry.registry import Registry
    from stannary.store.blobs.namespaced import NamespacedBlobs

__all__ = ["clear_shredded", "finish", "finish_all", "is_shredded"]


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
