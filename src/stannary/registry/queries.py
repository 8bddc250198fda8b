"""Questions to the tables of the registry; each answer is as true as the tables, see `trusted.py` for more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stannary.core.errors import UsageError
from stannary.core.model import Json
from stannary.registry.model import Alias, Model, Move, Version
from stannary.registry.names import Name, Reference
from stannary.store import tables as t
from stannary.store.prepared import Prepared

__all__ = [
    "Chosen",
    "FreezeRow",
    "ModelRow",
    "ProtectionRow",
    "alias_of",
    "aliases",
    "find_alias",
    "find_model",
    "freeze_of",
    "freezes",
    "kind_of",
    "model_row",
    "models",
    "moves",
    "names_with",
    "numbers_of",
    "placed",
    "protected_aliases",
    "protections",
    "rule_of",
    "version",
    "versions",
    "versions_like",
    "versions_with",
]

_VERSION = (
    sa.select(t.version, t.model.c.namespace, t.model.c.name, t.model.c.kind, t.quarantine.c.reason.label("quarantined"),
              t.hold.c.reason.label("held"))
    .join_from(t.version, t.model, t.version.c.model == t.model.c.id)
    .outerjoin(t.quarantine, t.quarantine.c.digest == t.version.c.digest)
    .outerjoin(t.hold, (t.hold.c.model == t.version.c.model) & (t.hold.c.number == t.version.c.number))
)  # fmt: skip

# What is asked often is built once: putting a statement together costs more than running it.
_NAMED = (t.model.c.namespace == sa.bindparam("namespace")) & (t.model.c.name == sa.bindparam("name"))
_OF_MODEL = t.version.c.model == sa.bindparam("model")
_MODEL_ROW = Prepared(sa.select(t.model.c.id, t.model.c.latest, t.model.c.kind).where(_NAMED))
_VERSION_AT = Prepared(_VERSION.where(_OF_MODEL, t.version.c.number == sa.bindparam("number")))
_VERSION_LAST = Prepared(_VERSION.where(_OF_MODEL, ~t.version.c.dropped).order_by(t.version.c.number.desc()).limit(1))
_NUMBERS = Prepared(
    sa.select(t.version.c.number)
    .where(_OF_MODEL, t.version.c.digest == sa.bindparam("digest"), ~t.version.c.dropped)
    .order_by(t.version.c.number)
)
_ALIAS_ROW = Prepared(sa.select(t.alias).join_from(t.alias, t.model).where(_NAMED, t.alias.c.alias == sa.bindparam("alias")))
_ALIASES_AT = Prepared(
    sa.select(t.alias.c.alias)
    .where(t.alias.c.model == sa.bindparam("model"), t.alias.c.number == sa.bindparam("number"))
    .order_by(t.alias.c.alias)
)
_PLACED = Prepared(
    sa.select(t.alias_move.c.number)
    .join_from(t.alias_move, t.model, t.alias_move.c.model == t.model.c.id)
    .where(_NAMED, t.alias_move.c.alias == sa.bindparam("alias"))
    .group_by(t.alias_move.c.number)
    .order_by(sa.func.max(t.alias_move.c.entry).desc())
)
_RULE = Prepared(
    sa.select(t.protection.c.name, t.protection.c.rule, t.protection.c.entry).where(
        t.protection.c.namespace == sa.bindparam("namespace"),
        t.protection.c.name.in_((sa.bindparam("name"), "*")),
        t.protection.c.alias == sa.bindparam("alias"),
    )
)
_FREEZE = Prepared(
    sa.select(t.frozen.c.reason)
    .where(
        t.frozen.c.namespace == sa.bindparam("namespace"),
        t.frozen.c.name.in_((sa.bindparam("name"), "*")),
        t.frozen.c.alias.in_((sa.bindparam("alias"), "*")),
    )
    .limit(1)
)


class ProtectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was said about an alias; the name `*` means every model of the namespace."""

    name: Name
    alias: str
    policy: str
    separate: bool
    entry: int


class FreezeRow(msgspec.Struct, frozen=True, kw_only=True):
    """An alias that stays where it is; `*` for all of a model, the name `*` for all models of the namespace."""

    name: Name
    alias: str
    reason: str
    actor: str
    entry: int


class ModelRow(NamedTuple):
    """What a name stands for: its row, its latest number, model or dataset."""

    id: int
    latest: int
    kind: str


def find_model(connection: Connection, name: Name) -> ModelRow | None:
    """Return the row of a model; None when nothing was pushed to it."""
    row = _MODEL_ROW.first(connection, namespace=name.namespace, name=name.name)
    return None if row is None else ModelRow(*row)


def model_row(connection: Connection, name: Name) -> ModelRow:
    """Return the row of a model. Raises UsageError when there is none."""
    row = find_model(connection, name)
    if row is None:
        import difflib

        known = [str(Name(*found)) for found in connection.execute(sa.select(t.model.c.namespace, t.model.c.name))]
        near = difflib.get_close_matches(str(name), known, 1)
        msg = "there is no such model or dataset in the registry"
        help_ = f"did you mean {near[0]}?" if near else "`stannary registry list` shows what there is"
        raise UsageError(msg, where=str(name), code="REG010", help=help_)
    return row


class Chosen(NamedTuple):
    """Which models are meant. `within`: those in these places (namespace, model; `*` for every one); None: wherever they are."""

    kind: str = ""
    prefix: str = ""
    text: str = ""  # stands in `namespace/name`
    within: Sequence[tuple[str, str]] | None = None


_ALL = Chosen()
_ANY = "*"
_AT_ONCE = 500
_DIGITS = re.compile(r"[0-9a-f]{6,64}")  # of a digest, enough to mean one


def models(connection: Connection, chosen: Chosen = _ALL, *, after: Name | None = None, limit: int = 10_000) -> list[Model]:
    """Return models in the order of their names; `after` and `limit` page through them."""
    counted = sa.select(sa.func.count()).where(t.version.c.model == t.model.c.id, ~t.version.c.dropped)
    query = (
        sa.select(t.model, counted.scalar_subquery().label("versions"))
        .where(*_terms(chosen))
        .order_by(t.model.c.namespace, t.model.c.name)
        .limit(limit)
    )
    if after is not None:
        query = query.where(sa.tuple_(t.model.c.namespace, t.model.c.name) > (after.namespace, after.name))
    rows = list(connection.execute(query))
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


def _terms(chosen: Chosen) -> list[sa.ColumnElement[bool]]:
    c = t.model.c
    terms = [c.kind == chosen.kind] if chosen.kind else []
    if chosen.prefix:
        terms.append(c.name.startswith(chosen.prefix, autoescape=True))
    if chosen.text:
        terms.append((c.namespace + "/" + c.name).contains(chosen.text, autoescape=True))
    if chosen.within is not None and (_ANY, _ANY) not in chosen.within:
        places = [
            sa.and_(*(column == part for column, part in ((c.namespace, namespace), (c.name, name)) if part != _ANY))
            for namespace, name in chosen.within
        ]
        terms.append(sa.or_(sa.false(), *places))
    return terms


def version(connection: Connection, reference: Reference) -> Version:
    """Return the version that a reference names, dropped or quarantined ones too. Raises UsageError when there is none.

    A name alone means its latest version that was not dropped.
    """
    model, latest, _ = model_row(connection, reference.name)
    number = reference.number
    if reference.alias:
        number = alias_of(connection, reference).number
    row = _VERSION_AT.first(connection, model=model, number=number) if number else _VERSION_LAST.first(connection, model=model)
    if row is None:
        msg = "there is no such version" if number else "every version of it was deleted"
        raise UsageError(
            msg, where=str(reference), code="REG010", help=f"the latest was {latest}; stannary registry list {reference.name}"
        )
    return _version(row, tuple(found.alias for found in _ALIASES_AT.rows(connection, model=model, number=row.number)))


def versions(connection: Connection, name: Name, *, before: int | None = None, limit: int = 10_000) -> list[Version]:
    """Return the versions of a model, the newest first; `before` and `limit` page through them."""
    model = model_row(connection, name).id
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


def versions_like(
    connection: Connection, text: str, chosen: Chosen = _ALL, *, before: int | None = None, limit: int = 100
) -> list[Version]:
    """Return the versions whose digest begins so, whose note has the text in it, or that somebody of that name pushed.

    The last one that was pushed is the first; `before` (the entry of the last one that was returned) and `limit` page.
    """
    c, lower = t.version.c, text.lower()
    terms = [sa.func.lower(c.note).contains(lower, autoescape=True), c.creator.in_((text, f"user:{text}", f"service:{text}"))]
    digits = lower.removeprefix("sha256:")
    if _DIGITS.fullmatch(digits):
        terms.append((c.digest >= f"sha256:{digits}") & (c.digest < f"sha256:{digits}g"))
    query = _VERSION.where(sa.or_(*terms), *_terms(chosen)).order_by(c.entry.desc()).limit(limit)
    rows = connection.execute(query if before is None else query.where(c.entry < before))
    return [version(connection, Reference(Name(row.namespace, row.name), row.number)) for row in rows]


def names_with(connection: Connection, digests: Sequence[str]) -> dict[str, set[Name]]:
    """Return under which names artifacts were registered, those that were dropped too; nothing for one that never was."""
    found: dict[str, set[Name]] = {}
    for start in range(0, len(digests), _AT_ONCE):
        chosen = t.version.c.digest.in_(digests[start : start + _AT_ONCE])
        query = sa.select(t.version.c.digest, t.model.c.namespace, t.model.c.name).join_from(t.version, t.model).where(chosen)
        for row in connection.execute(query.distinct()):
            found.setdefault(row.digest, set()).add(Name(row.namespace, row.name))
    return found


def kind_of(connection: Connection, name: Name) -> str:
    """Return what a name stands for, or an empty text when nothing was pushed to it."""
    row = find_model(connection, name)
    return row.kind if row else ""


def numbers_of(connection: Connection, model: ModelRow, digest: str) -> list[int]:
    """Return the numbers under which an artifact stands in a model and was not dropped."""
    return [row.number for row in _NUMBERS.rows(connection, model=model.id, digest=digest)]


def find_alias(connection: Connection, reference: Reference) -> Alias | None:
    """Return where an alias is; None when there is no such alias."""
    row = _ALIAS_ROW.first(connection, namespace=reference.name.namespace, name=reference.name.name, alias=reference.alias)
    return None if row is None else _alias(row)


def alias_of(connection: Connection, reference: Reference) -> Alias:
    """Return where an alias is. Raises UsageError when there is no such alias."""
    found = find_alias(connection, reference)
    if found is None:
        msg = "there is no such alias"
        known = ", ".join(item.alias for item in aliases(connection, reference.name)) or "none yet"
        raise UsageError(
            msg,
            where=str(reference),
            code="REG011",
            help=f"there is {known}; stannary registry promote {reference.name}:N {reference.alias}",
        )
    return found


def aliases(connection: Connection, name: Name) -> list[Alias]:
    """Return the aliases of a model."""
    model = model_row(connection, name).id
    rows = connection.execute(sa.select(t.alias).where(t.alias.c.model == model).order_by(t.alias.c.alias))
    return [_alias(row) for row in rows]


def moves(connection: Connection, name: Name, alias: str = "") -> list[Move]:
    """Return what happened to the aliases of a model, or to one, the newest first."""
    model = model_row(connection, name).id
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


def placed(connection: Connection, name: Name, alias: str) -> list[int]:
    """Return the versions that an alias was at (0: at none), each once, the one it came to last first."""
    rows = _PLACED.rows(connection, namespace=name.namespace, name=name.name, alias=alias)
    return [row.number for row in rows]


def rule_of(connection: Connection, name: Name, alias: str) -> tuple[dict[str, Json], int] | None:
    """Return the protection that holds for an alias and its entry: the model's own before that of its namespace."""
    rows = {row.name: row for row in _RULE.rows(connection, namespace=name.namespace, name=name.name, alias=alias)}
    found = rows.get(name.name) or rows.get("*")
    return None if found is None else (found.rule, found.entry)


def protected_aliases(connection: Connection, name: Name) -> list[str]:
    """Return the aliases for which it was said what has to hold, for a model or for every one of its namespace."""
    c = t.protection.c
    chosen = (c.namespace == name.namespace) & c.name.in_((name.name, _ANY))
    return list(connection.execute(sa.select(c.alias).where(chosen).distinct().order_by(c.alias)).scalars())


def protections(connection: Connection) -> list[ProtectionRow]:
    """Return everything that was said of what has to hold before aliases move."""
    c = t.protection.c
    return [
        ProtectionRow(
            name=Name(row.namespace, row.name), alias=row.alias, policy=str((row.rule.get("policy") or {}).get("name", "")),
            separate=bool(row.rule.get("separate", False)), entry=row.entry,
        )
        for row in connection.execute(sa.select(t.protection).order_by(c.namespace, c.name, c.alias))
    ]  # fmt: skip


def freezes(connection: Connection) -> list[FreezeRow]:
    """Return every alias that has to stay where it is."""
    c = t.frozen.c
    return [
        FreezeRow(name=Name(row.namespace, row.name), alias=row.alias, reason=row.reason, actor=row.actor, entry=row.entry)
        for row in connection.execute(sa.select(t.frozen).order_by(c.namespace, c.name, c.alias))
    ]


def freeze_of(connection: Connection, name: Name, alias: str) -> str:
    """Return why an alias must stay where it is; an empty text when it need not."""
    found = _FREEZE.first(connection, namespace=name.namespace, name=name.name, alias=alias)
    return "" if found is None else str(found.reason)


def _alias(row: Any) -> Alias:  # noqa: ANN401 - a row of either kind
    return Alias(alias=row.alias, number=row.number, moved=row.moved, actor=row.actor, decision=row.decision, entry=row.entry)


def _version(row: Any, names: tuple[str, ...]) -> Version:  # noqa: ANN401 - a row of either kind
    return Version(
        name=Name(row.namespace, row.name), kind=row.kind, number=row.number, digest=row.digest, manifest=row.manifest,
        size=row.size, files=row.files, creator=row.creator, created=row.created, note=row.note, info=row.info, entry=row.entry,
        aliases=names, dropped=row.dropped, quarantined=row.quarantined or "", held=row.held or "",
    )  # fmt: skip
