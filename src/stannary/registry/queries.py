"""Questions to the tables of the registry; each answer is as true as the tables, see `trusted.py` for more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from stannary.core.errors import UsageError
from stannary.core.model import Json
from stannary.registry.model import Alias, Model, Move, Version
from stannary.registry.names import Name, Reference
from stannary.store import tables as t

__all__ = [
    "alias_of",
    "aliases",
    "freeze_of",
    "kind_of",
    "live_digests",
    "model_row",
    "models",
    "moves",
    "numbers_of",
    "rule_of",
    "version",
    "versions",
    "versions_with",
]

_VERSION = (
    sa.select(t.version, t.model.c.namespace, t.model.c.name, t.model.c.kind, t.quarantine.c.reason.label("quarantined"),
              t.hold.c.reason.label("held"))
    .join_from(t.version, t.model, t.version.c.model == t.model.c.id)
    .outerjoin(t.quarantine, t.quarantine.c.digest == t.version.c.digest)
    .outerjoin(t.hold, (t.hold.c.model == t.version.c.model) & (t.hold.c.number == t.version.c.number))
)  # fmt: skip


class _ModelRow(NamedTuple):
    id: int
    latest: int


def model_row(connection: Connection, name: Name) -> _ModelRow:
    """Return the id and the latest number of a model. Raises UsageError when there is none."""
    row = connection.execute(sa.select(t.model.c.id, t.model.c.latest).where(_named(name))).first()
    if row is None:
        import difflib

        known = [str(Name(*found)) for found in connection.execute(sa.select(t.model.c.namespace, t.model.c.name))]
        near = difflib.get_close_matches(str(name), known, 1)
        msg = "there is no such model or dataset in the registry"
        help_ = f"did you mean {near[0]}?" if near else "`stannary registry list` shows what there is"
        raise UsageError(msg, where=str(name), code="REG010", help=help_)
    return _ModelRow(row.id, row.latest)


def models(
    connection: Connection, *, after: Name | None = None, limit: int = 10_000, kind: str = "", prefix: str = ""
) -> list[Model]:
    """Return models in the order of their names; `after` and `limit` page through them, `prefix` narrows."""
    counted = sa.select(t.version.c.model, sa.func.count().label("versions")).where(~t.version.c.dropped)
    per_model = counted.group_by(t.version.c.model).subquery()
    chosen = (
        sa.select(t.model, sa.func.coalesce(per_model.c.versions, 0).label("versions"))
        .outerjoin_from(t.model, per_model, per_model.c.model == t.model.c.id)
        .order_by(t.model.c.namespace, t.model.c.name)
        .limit(limit)
    )
    if after is not None:
        chosen = chosen.where(sa.tuple_(t.model.c.namespace, t.model.c.name) > (after.namespace, after.name))
    if kind:
        chosen = chosen.where(t.model.c.kind == kind)
    if prefix:
        chosen = chosen.where(t.model.c.name.startswith(prefix, autoescape=True))
    rows = list(connection.execute(chosen))
    placed: dict[int, dict[str, int]] = {}
    for row in connection.execute(sa.select(t.alias).where(t.alias.c.model.in_([row.id for row in rows]))):
        placed.setdefault(row.model, {})[row.alias] = row.number
    return [
        Model(
            name=Name(row.namespace, row.name), kind=row.kind, created=row.created, latest=row.latest, versions=row.versions,
            aliases=placed.get(row.id, {}),
        )
        for row in rows
    ]  # fmt: skip


def version(connection: Connection, reference: Reference) -> Version:
    """Return the version that a reference names, dropped or quarantined ones too. Raises UsageError when there is none.

    A name alone means its latest version that was not dropped.
    """
    model, latest = model_row(connection, reference.name)
    number = reference.number
    if reference.alias:
        number = alias_of(connection, reference).number
    chosen = _VERSION.where(t.version.c.model == model)
    chosen = chosen.where(t.version.c.number == number) if number else chosen.where(~t.version.c.dropped)
    row = connection.execute(chosen.order_by(t.version.c.number.desc()).limit(1)).first()
    if row is None:
        msg = "there is no such version" if number else "every version of it was deleted"
        raise UsageError(
            msg, where=str(reference), code="REG010", help=f"the latest was {latest}; stannary registry list {reference.name}"
        )
    names = connection.execute(sa.select(t.alias.c.alias).where(t.alias.c.model == model, t.alias.c.number == row.number))
    return _version(row, tuple(sorted(names.scalars())))


def versions(connection: Connection, name: Name, *, before: int | None = None, limit: int = 10_000) -> list[Version]:
    """Return the versions of a model, the newest first; `before` and `limit` page through them."""
    model, _ = model_row(connection, name)
    placed: dict[int, list[str]] = {}
    for row in connection.execute(sa.select(t.alias).where(t.alias.c.model == model)):
        placed.setdefault(row.number, []).append(row.alias)
    chosen = _VERSION.where(t.version.c.model == model).order_by(t.version.c.number.desc()).limit(limit)
    if before is not None:
        chosen = chosen.where(t.version.c.number < before)
    return [_version(row, tuple(sorted(placed.get(row.number, ())))) for row in connection.execute(chosen)]


def versions_with(connection: Connection, digest: str) -> list[Version]:
    """Return every version that is this artifact, whatever it is called."""
    rows = connection.execute(_VERSION.where(t.version.c.digest == digest).order_by(t.version.c.entry))
    return [version(connection, Reference(Name(row.namespace, row.name), row.number)) for row in rows]


def kind_of(connection: Connection, name: Name) -> str:
    """Return what a name stands for, or an empty text when nothing was pushed to it."""
    return str(connection.execute(sa.select(t.model.c.kind).where(_named(name))).scalar() or "")


def numbers_of(connection: Connection, name: Name, digest: str) -> list[int]:
    """Return the numbers under which an artifact stands in a model and was not dropped."""
    model = connection.execute(sa.select(t.model.c.id).where(_named(name))).scalar()
    same = (t.version.c.model == model) & (t.version.c.digest == digest) & ~t.version.c.dropped
    return list(connection.execute(sa.select(t.version.c.number).where(same).order_by(t.version.c.number)).scalars())


def alias_of(connection: Connection, reference: Reference) -> Alias:
    """Return where an alias is. Raises UsageError when there is no such alias."""
    found = {item.alias: item for item in aliases(connection, reference.name)}
    if reference.alias not in found:
        msg = "there is no such alias"
        known = ", ".join(sorted(found)) or "none yet"
        raise UsageError(
            msg,
            where=str(reference),
            code="REG011",
            help=f"there is {known}; stannary registry promote {reference.name}:N {reference.alias}",
        )
    return found[reference.alias]


def aliases(connection: Connection, name: Name) -> list[Alias]:
    """Return the aliases of a model."""
    model, _ = model_row(connection, name)
    rows = connection.execute(sa.select(t.alias).where(t.alias.c.model == model).order_by(t.alias.c.alias))
    return [
        Alias(alias=row.alias, number=row.number, moved=row.moved, actor=row.actor, decision=row.decision, entry=row.entry)
        for row in rows
    ]


def moves(connection: Connection, name: Name, alias: str = "") -> list[Move]:
    """Return what happened to the aliases of a model, or to one, the newest first."""
    model, _ = model_row(connection, name)
    chosen = sa.select(t.alias_move).where(t.alias_move.c.model == model).order_by(t.alias_move.c.entry.desc())
    if alias:
        chosen = chosen.where(t.alias_move.c.alias == alias)
    return [
        Move(
            alias=row.alias, number=row.number, reason=row.reason, moved=row.moved, actor=row.actor, decision=row.decision,
            entry=row.entry,
        )
        for row in connection.execute(chosen)
    ]  # fmt: skip


def rule_of(connection: Connection, name: Name, alias: str) -> tuple[dict[str, Json], int] | None:
    """Return the protection that holds for an alias and its entry: the model's own before that of its namespace."""
    for held_by in (name.name, "*"):
        found = connection.execute(
            sa.select(t.protection.c.rule, t.protection.c.entry).where(
                t.protection.c.namespace == name.namespace, t.protection.c.name == held_by, t.protection.c.alias == alias
            )
        ).first()
        if found is not None:
            return msgspec.to_builtins(found.rule), found.entry
    return None


def freeze_of(connection: Connection, name: Name, alias: str) -> str:
    """Return why an alias must stay where it is; an empty text when it need not."""
    where = (t.frozen.c.namespace == name.namespace) & t.frozen.c.name.in_([name.name, "*"])
    where &= t.frozen.c.alias.in_([alias, "*"])
    return str(connection.execute(sa.select(t.frozen.c.reason).where(where).limit(1)).scalar() or "")


def live_digests(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield the digest and the manifest of every version that was not dropped."""
    for row in connection.execute(sa.select(t.version.c.digest, t.version.c.manifest).where(~t.version.c.dropped).distinct()):
        yield row.digest, row.manifest


def _named(name: Name) -> sa.ColumnElement[bool]:
    return (t.model.c.namespace == name.namespace) & (t.model.c.name == name.name)


def _version(row: Row[*tuple[Any, ...]], names: tuple[str, ...]) -> Version:
    return Version(
        name=Name(row.namespace, row.name), kind=row.kind, number=row.number, digest=row.digest, manifest=row.manifest,
        size=row.size, files=row.files, creator=row.creator, created=row.created, note=row.note, info=row.info, entry=row.entry,
        aliases=names, dropped=row.dropped, quarantined=row.quarantined or "", held=row.held or "",
    )  # fmt: skip
