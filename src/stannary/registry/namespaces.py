"""The namespaces of a registry: what is in each, what keeps it from being shredded, and whether its key is there.

Rights are not looked at here: whoever asks shows of it what may be seen.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stannary.registry import queries
from stannary.registry.model import Version
from stannary.registry.names import Name, Reference
from stannary.store import tables as t

__all__ = ["Filled", "KeyState", "Namespace", "kept_in", "key_state", "models_in", "namespaces"]

# `own`: a key of its own is there. `shared`: contents are not encrypted, or by one key for all. `shredded`: its key was
# destroyed, as the ledger says. `empty`: it has nothing to read, and no key. `lost`: its key is gone and nothing says why.
KeyState: TypeAlias = Literal["own", "shared", "shredded", "empty", "lost"]


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace: how many models and datasets, versions that are not deleted, and the bytes of those."""

    name: str
    models: int
    versions: int
    size: int


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """A model or dataset of a namespace with versions that are not deleted: how many, and their bytes."""

    name: Name
    kind: str
    versions: int
    size: int


_LIVE = sa.case((t.version.c.dropped, 0), else_=1)
_BYTES = sa.case((t.version.c.dropped, 0), else_=t.version.c.size)


def namespaces(connection: Connection, only: str = "") -> list[Namespace]:
    """Return the namespaces that something was ever pushed to, by name, or the one that is named."""
    query = (
        sa.select(
            t.model.c.namespace,
            sa.func.count(t.model.c.id.distinct()).label("models"),
            sa.func.coalesce(sa.func.sum(_LIVE), 0).label("versions"),
            sa.func.coalesce(sa.func.sum(_BYTES), 0).label("size"),
        )
        .join_from(t.model, t.version)
        .group_by(t.model.c.namespace)
        .order_by(t.model.c.namespace)
    )
    query = query.where(t.model.c.namespace == only) if only else query
    return [
        Namespace(name=row.namespace, models=row.models, versions=int(row.versions), size=int(row.size))
        for row in connection.execute(query)
    ]


def models_in(connection: Connection, namespace: str, most: int) -> list[Filled]:
    """Return the models of a namespace that have versions which are not deleted, by name, `most` at most."""
    query = (
        sa.select(t.model.c.name, t.model.c.kind, sa.func.count().label("versions"), sa.func.sum(t.version.c.size).label("size"))
        .join_from(t.model, t.version)
        .where(t.model.c.namespace == namespace, ~t.version.c.dropped)
        .group_by(t.model.c.name, t.model.c.kind)
        .order_by(t.model.c.name)
        .limit(most)
    )
    return [
        Filled(name=Name(namespace, row.name), kind=row.kind, versions=row.versions, size=int(row.size))
        for row in connection.execute(query)
    ]


def kept_in(connection: Connection, namespace: str, most: int) -> list[Version]:
    """Return the versions of a namespace that are in service, held or quarantined, `most` at most."""
    c = t.version.c
    terms = (
        sa.exists().where(t.alias.c.model == c.model, t.alias.c.number == c.number),
        sa.exists().where(t.hold.c.model == c.model, t.hold.c.number == c.number),
        sa.exists().where(t.quarantine.c.digest == c.digest),
    )
    query = (
        sa.select(t.model.c.name, c.number)
        .join_from(t.version, t.model)
        .where(t.model.c.namespace == namespace, ~c.dropped, sa.or_(*terms))
        .order_by(t.model.c.name, c.number)
        .limit(most)
    )
    return [queries.version(connection, Reference(Name(namespace, row.name), row.number)) for row in connection.execute(query)]


def key_state(found: Namespace, *, separate: bool, has_key: bool, was_shredded: bool) -> KeyState:
    """Return how it stands with the key of a namespace."""
    if not separate:
        return "shared"
    if has_key:
        return "own"
    if found.versions:
        return "lost"
    return "shredded" if was_shredded else "empty"
