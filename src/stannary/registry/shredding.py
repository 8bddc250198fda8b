"""Crypto-shredding: the key of a namespace is destroyed, and with it all that it opens, wherever that was copied to.

1. Contents are encrypted, each namespace under a key of its own; else there is nothing to destroy that others do not need.
2. No version of the namespace is in service, held or quarantined: what retention keeps, shredding keeps.
3. The event is logged, and with it that every version of the namespace is deleted.
4. The key is destroyed, under the same lock: whoever pushes meanwhile is told to push again.
5. What it opened is deleted. That is for the room it takes; it was unreadable before.

Another namespace that has the same contents has them under its own key, and reads them as before.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stannary.core.errors import UsageError
from stannary.registry.events import Dropped, Shredded
from stannary.registry.live import in_namespace
from stannary.registry.model import Version
from stannary.registry.names import Name
from stannary.registry.registry import Registry
from stannary.registry.shredded import is_shredded

__all__ = ["Shredding", "plan_shredding", "shred", "why_kept"]

_SHOWN = 5
_HELP = (
    "take aliases away (stannary registry rollback NAME@ALIAS --remove), lift holds and quarantines: what is kept is not shredded"
)


class Shredding(msgspec.Struct, frozen=True, kw_only=True):
    """What a shredding destroys: a namespace's key, its versions; `deleted` objects and the bytes they took, once it is done."""

    namespace: str
    key: str
    versions: int
    deleted: int = 0
    freed: int = 0


def plan_shredding(registry: Registry, namespace: str) -> Shredding:
    """Return what `shred` would destroy. Raises what `shred` raises before it does anything."""
    registry.allowed("shred", Name(namespace, "*"))
    key = _key(registry, namespace)
    with registry.reading() as connection:
        live = in_namespace(connection, namespace)
    _refuse_kept(namespace, live)
    return Shredding(namespace=namespace, key=key, versions=len(live))


def shred(registry: Registry, namespace: str, reason: str) -> Shredding:
    """Destroy the key of a namespace, and delete its versions and contents. There is no way back.

    Raises:
        UsageError: contents are not encrypted by namespace, there is no key, or a version is in service, held or quarantined.
        PolicyDenied: the actor may not.
        BackendError: the key could not be destroyed. It is logged by then; called again, it goes on there.
    """
    registry.allowed("shred", Name(namespace, "*"))
    with registry.writing() as connection:
        key = _key(registry, namespace)
        live = in_namespace(connection, namespace)
        _refuse_kept(namespace, live)
        for version in live:
            registry.trusted.refuse_held(version)
        if not is_shredded(registry.chain.ledger, namespace, key):  # else it was broken off behind this
            event = Shredded(actor=registry.actor, namespace=namespace, key=key, reason=reason, versions=len(live))
            gone = [
                Dropped(actor=registry.actor, name=row.name, number=row.number, digest=row.digest, reason=f"shredded: {reason}")
                for row in live
            ]
            registry.commit(connection, [event, *gone])
        registry.blobs.destroy(namespace, key)
    deleted, freed = registry.blobs.clear(namespace, key)
    return Shredding(namespace=namespace, key=key, versions=len(live), deleted=deleted, freed=freed)


def _key(registry: Registry, namespace: str) -> str:
    if not registry.blobs.separate:
        msg = "its contents have no key of its own: they are not encrypted, or all of them by one key of an older workspace"
        help_ = "where the contents are: `stannary registry reseal` gives each a key of its own; `retain --sweep` only deletes"
        raise UsageError(msg, where=namespace, code="REG033", help=help_)
    key = registry.blobs.key_of(namespace)
    if not key:
        msg = "has no key: nothing was pushed to it, or it was shredded"
        raise UsageError(msg, where=namespace, code="REG034", help="`stannary registry list` shows what there is")
    return key


def _refuse_kept(namespace: str, live: Sequence[Version]) -> None:
    """Refuse when a version has to be kept, and say of each why."""
    kept = [(version, why) for version in live if (why := why_kept(version))]
    if kept:
        shown = "; ".join(f"{version} {why}" for version, why in kept[:_SHOWN])
        more = f"; and {len(kept) - _SHOWN:,} more" if len(kept) > _SHOWN else ""
        msg = f"has {len(kept):,} version{'s' if len(kept) != 1 else ''} to be kept: {shown}{more}"
        raise UsageError(msg, where=namespace, code="REG018", help=_HELP)


def why_kept(version: Version) -> str:
    """Return what keeps a version from being shredded, an empty text when nothing does."""
    if version.held:
        return f"is held: {version.held}"
    if version.quarantined:
        return f"is quarantined: {version.quarantined}"
    return f"is in service as {', '.join(version.aliases)}" if version.aliases else ""
