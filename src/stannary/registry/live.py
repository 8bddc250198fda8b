"""What is there, namespace by namespace: the versions that were not dropped, whose contents are kept."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stannary.registry import queries
from stannary.registry.model import Version
from stannary.registry.names import Name
from stannary.store import tables as t

__all__ = ["Live", "in_namespace", "is_used", "live_digests"]

_EVERY = 1_000_000_000


def is_used(connection: Connection, namespace: str) -> bool:
    """Tell whether a namespace has a version that was not dropped."""
    chosen = (
        sa.select(t.version.c.number).join_from(t.version, t.model).where(t.model.c.namespace == namespace, ~t.version.c.dropped)
    )
    return connection.execute(chosen.limit(1)).first() is not None


def in_namespace(connection: Connection, namespace: str) -> list[Version]:
    """Return the versions of a namespace that were not dropped."""
    names = connection.execute(sa.select(t.model.c.name).where(t.model.c.namespace == namespace).order_by(t.model.c.name))
    found = [queries.versions(connection, Name(namespace, name), limit=_EVERY) for name in names.scalars()]
    return [item for rows in found for item in rows if not item.dropped]


class Live(NamedTuple):
    """A version that was not dropped: where it is, what it is, and the entry that says so."""

    namespace: str
    digest: str
    manifest: str
    entry: int


def live_digests(connection: Connection) -> list[Live]:
    """Return what of each namespace was not dropped; of versions that are the same, the last."""
    c, namespace = t.version.c, t.model.c.namespace
    rows = connection.execute(
        sa.select(namespace, c.digest, c.manifest, sa.func.max(c.entry).label("entry"))
        .join_from(t.version, t.model)
        .where(~c.dropped)
        .group_by(namespace, c.digest, c.manifest)
        .order_by(namespace, c.digest, c.manifest)
    )
    return [Live(*row) for row in rows]
