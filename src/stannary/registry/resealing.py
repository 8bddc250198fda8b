"""Each namespace gets a key, and contents, of its own, in a registry that has one key for everything or none.

1. Every content of a version that was not dropped is put again under the namespace's key: read as it was, held against its
   digest, encrypted anew. Digests, manifests, signatures and the ledger stay as they are, and so does what everybody reads.
2. Under the writer's lock what came meanwhile is put as well; then the settings are changed.
   A push that began before is told to push again.
3. What was there before is deleted. From then on a namespace can be shredded.

Killed anywhere, it goes on there when it is called again: a content that is there is not written twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from sqlalchemy.engine import Connection

from stannary.core.model import Digest
from stannary.evidence.resealing import Resealing, begin_resealing, resealing_alone
from stannary.registry.live import live_digests
from stannary.registry.registry import Registry
from stannary.registry.transfer import inline_manifest, live_files, manifest_content
from stannary.run.progress import OnProgress, Tracker

__all__ = ["Resealed", "reseal"]


class Resealed(msgspec.Struct, frozen=True, kw_only=True):
    """What a resealing did. `contents` and `size` (bytes, plain) are of all namespaces together, those there already as well.

    `deleted`: contents of before; `done` False: there was nothing to do.
    """

    done: bool = True
    namespaces: int = 0
    contents: int = 0
    size: int = 0
    deleted: int = 0


class _Item(NamedTuple):
    namespace: str
    digest: Digest
    size: int


def reseal(
    registry: Registry, wrapping_keys: tuple[str, ...] = (), namespace_keys: str = "", on_progress: OnProgress | None = None
) -> Resealed:
    """Give each namespace a key of its own, or go on with that.

    Args:
        registry: of a workspace; nothing keeps others from using it meanwhile.
        wrapping_keys: what wraps the keys of namespaces, where the contents are not encrypted yet.
        namespace_keys: where the keys of namespaces come, as `stannary init` takes it.
        on_progress: is told how far it is.

    Raises:
        UsageError: other keys are named than those in use, or it was begun with.
        IntegrityError: a content is not what its digest says, or cannot be opened: nothing was changed.
        BackendError: there is no room for the contents a second time. Called again, it goes on.
    """
    workspace = registry.chain.workspace
    with resealing_alone(workspace):
        begun = begin_resealing(workspace, wrapping_keys, namespace_keys)
        if begun is None:
            return Resealed(done=False)
        try:
            return _finished(registry, begun, on_progress)
        finally:
            begun.close()


def _finished(registry: Registry, begun: Resealing, on_progress: OnProgress | None) -> Resealed:
    if begun.switched:  # it died while what was before was deleted
        return Resealed(deleted=begun.finish())
    with registry.reading() as connection:
        items = list(_items(registry, connection))
    tracker = Tracker(on_progress, len(items), sum(item.size for item in items))
    _put(registry, begun, items, tracker)
    tracker.finish()
    there = set(items)
    with registry.writing() as connection:
        items = list(_items(registry, connection))
        _put(registry, begun, [item for item in items if item not in there], Tracker(None, 0, 0))
        begun.switch()
    return Resealed(
        namespaces=len({item.namespace for item in items}),
        contents=len(items),
        size=sum(item.size for item in items),
        deleted=begun.finish(),
    )


def _items(registry: Registry, connection: Connection) -> Iterator[_Item]:
    """Yield what has to be there, each content once a namespace."""
    ledger, seen = registry.chain.ledger, set()
    for row in live_digests(connection):
        here = registry.blobs.of(row.namespace)
        found = [_Item(row.namespace, Digest(file.sha256), file.size) for file in live_files(here, ledger, row)]
        if not inline_manifest(ledger, row.entry):
            content = manifest_content(here, ledger, row.manifest, row.entry)
            found.append(_Item(row.namespace, Digest.parse(row.manifest), len(content)))
        for item in found:
            if (item.namespace, item.digest) not in seen:
                seen.add((item.namespace, item.digest))
                yield item


def _put(registry: Registry, begun: Resealing, items: list[_Item], tracker: Tracker) -> None:
    """Put contents under the keys of their namespaces: once this has returned, each of them is there, and opens."""
    for item in items:
        there = begun.target.of(item.namespace, begin=True)
        there.put(item.digest, item.size, registry.blobs.of(item.namespace).read(item.digest))
        tracker.advance(1, item.size, str(item.digest))
