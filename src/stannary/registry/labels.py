"""What is said of models and versions: a description, tags; and names that are taken, given up or changed.

Labels are no evidence: no policy goes by them. They stand in the ledger all the same, with who said them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stannary.core.errors import InputError, UsageError
from stannary.core.model import Digest
from stannary.registry import queries
from stannary.registry.events import Dropped, Event, Labelled, Registered
from stannary.registry.model import Version
from stannary.registry.names import Name, Reference
from stannary.registry.registry import Registry
from stannary.registry.transfer import inline_manifest
from stannary.store import tables as t

__all__ = ["Label", "exists", "forget", "label", "labels_of", "labels_of_models", "rename", "take"]

_LONGEST = {"key": 250, "value": 8000, "note": 16_000}
_MOST = 500


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a model or version. `note` None: nothing but what was said when it was pushed; a tag None: taken away."""

    note: str | None
    tags: dict[str, str | None]
    changed: str


def labels_of(connection: Connection, name: Name) -> dict[int, Label]:
    """Return what is said of a model (0) and of its versions, by number."""
    found = queries.find_model(connection, name)
    return _labels(connection, [found.id]).get(found.id, {}) if found else {}


def labels_of_models(connection: Connection, names: Sequence[Name]) -> dict[Name, dict[int, Label]]:
    """Return the same for many models."""
    found: dict[Name, dict[int, Label]] = {}
    for start in range(0, len(names), _MOST):
        chosen = names[start : start + _MOST]
        c = t.model.c
        rows = connection.execute(
            sa.select(c.id, c.namespace, c.name).where(sa.tuple_(c.namespace, c.name).in_([(n.namespace, n.name) for n in chosen]))
        )
        known = {row.id: Name(row.namespace, row.name) for row in rows}
        labels = _labels(connection, list(known))
        found |= {name: labels.get(model, {}) for model, name in known.items()}
    return found


def _labels(connection: Connection, models: Sequence[int]) -> dict[int, dict[int, Label]]:
    found: dict[int, dict[int, Label]] = {}
    for row in connection.execute(sa.select(t.label).where(t.label.c.model.in_(models))):
        found.setdefault(row.model, {})[row.number] = Label(note=row.note, tags=row.tags, changed=row.changed)
    return found


def exists(connection: Connection, name: Name) -> bool:
    """Tell whether a name is taken: it has a version that was not deleted, or was taken before its first one."""
    model = queries.find_model(connection, name)
    if model is None:
        return False
    live = sa.select(t.version.c.number).where(t.version.c.model == model.id, ~t.version.c.dropped).limit(1)
    return connection.execute(live).first() is not None or 0 in labels_of(connection, name)


def take(registry: Registry, name: Name, *, note: str = "", tags: Mapping[str, str] | None = None) -> bool:
    """Take a name for a model before its first version; False when it is taken. Raises UsageError for what is too long."""
    registry.allowed("push", name)
    event = Labelled(actor=registry.actor, name=name, note=note, tags=dict(tags or {}))
    _require_short(event)
    with registry.writing() as connection:
        if exists(connection, name):
            return False
        registry.commit(connection, [event])
        return True


def label(
    registry: Registry, name: Name, number: int = 0, *, note: str | None = None, tags: Mapping[str, str] | None = None,
    untag: Sequence[str] = (),
) -> None:  # fmt: skip
    """Describe a model (0) or one of its versions. Raises UsageError when there is none, or for what is too long."""
    registry.allowed("push", name)
    event = Labelled(actor=registry.actor, name=name, number=number, note=note, tags=dict(tags or {}), untag=tuple(untag))
    _require_short(event)
    with registry.writing() as connection:
        if number:
            found = queries.version(connection, Reference(name, number))
            if found.dropped:
                msg = "was deleted"
                raise UsageError(msg, where=str(found), code="REG013", help="there is nothing left to describe")
        elif not exists(connection, name):
            queries.model_row(connection, name)
            msg = "was deleted"
            raise UsageError(msg, where=str(name), code="REG010", help="push a version under that name")
        registry.commit(connection, [event])


def forget(registry: Registry, name: Name, reason: str) -> None:
    """Delete every version of a name and what is said of it, all or nothing. Raises UsageError when one is in service or kept."""
    registry.allowed("delete", name)
    with registry.writing() as connection:
        live = _movable(registry, connection, name)
        if not live and not exists(connection, name):
            queries.model_row(connection, name)
            msg = "was deleted"
            raise UsageError(msg, where=str(name), code="REG010", help="it is gone already")
        events: list[Event] = [_dropped(registry, version, reason) for version in live]
        registry.commit(connection, [*events, Labelled(actor=registry.actor, name=name, gone=True)])


def rename(registry: Registry, name: Name, new: Name) -> None:
    """Register everything that has a name under another one that is free, with the same numbers, and give the first name up.

    What the ledger says of the old name stays. An alias is no part of it: it moves by the policy of its own name, so that one with
    an alias is refused, as is one with a version that is held or quarantined. Raises UsageError.
    """
    registry.allowed("delete", name)
    registry.allowed("push", new)
    brought = _brought(registry, name, new)
    with registry.writing() as connection:
        model = queries.model_row(connection, name)
        if exists(connection, new) or queries.find_model(connection, new):
            msg = "is the name of another model, or was"
            raise UsageError(msg, where=str(new), code="REG027", help="take a name that nobody has had")
        live, said = _movable(registry, connection, name), labels_of(connection, name)
        for version in live:
            if brought is not None and version.number not in brought:
                msg = "was pushed while its name was changed"
                raise InputError(msg, where=str(version), code="REG005", help="do it again")
            registry.refuse_lost(new.namespace, (brought or {}).get(version.number, ()))
        events: list[Event] = [_again(registry, version, new) for version in reversed(live)]
        numbers = {0, *(version.number for version in live)}
        events += [
            Labelled(
                actor=registry.actor, name=new, number=number, kind=model.kind, note=row.note,
                tags={key: value for key, value in row.tags.items() if value is not None},
                untag=tuple(key for key, value in row.tags.items() if value is None),
            )
            for number, row in sorted(said.items())
            if number in numbers
        ]  # fmt: skip
        if not events:
            msg = "has no version that was not deleted"
            raise UsageError(msg, where=str(name), code="REG010", help="there is nothing to rename")
        events += [_dropped(registry, version, f"renamed to {new}") for version in live]
        registry.commit(connection, [*events, Labelled(actor=registry.actor, name=name, gone=True)])


def _brought(registry: Registry, name: Name, new: Name) -> dict[int, tuple[Digest, ...]] | None:
    """Have the contents of a name in the namespace of another, by number; None when they are there as it is."""
    if not registry.blobs.separate or name.namespace == new.namespace:
        return None
    with registry.reading() as connection:
        live = [version for version in queries.versions(connection, name) if not version.dropped]
    return {version.number: registry.bring(version, new.namespace) for version in live}


def _movable(registry: Registry, connection: Connection, name: Name) -> list[Version]:
    """Return the versions of a name that were not deleted, the newest first. Raises UsageError when one has to stay."""
    live = [version for version in queries.versions(connection, name) if not version.dropped]
    for version in live:
        if version.aliases or version.held or version.quarantined:
            why = f"is in service as {', '.join(version.aliases)}" if version.aliases else "is held or quarantined"
            raise UsageError(why, where=str(version), code="REG018", help="it stays as it is; take its aliases away first")
        registry.trusted.refuse_held(version)
    return live


def _again(registry: Registry, version: Version, new: Name) -> Registered:
    before = version.info.get("pushed_by")
    pushed = sorted({version.creator, *(str(who) for who in (before if isinstance(before, list) else ()))})
    return Registered(
        actor=registry.actor, name=new, kind=version.kind, number=version.number, digest=version.digest, manifest=version.manifest,
        size=version.size, files=version.files, note=version.note,
        info={**version.info, "renamed_from": str(version), "pushed_by": pushed},
        inline=inline_manifest(registry.chain.ledger, version.entry),
    )  # fmt: skip


def _dropped(registry: Registry, version: Version, reason: str) -> Dropped:
    return Dropped(actor=registry.actor, name=version.name, number=version.number, digest=version.digest, reason=reason)


def _require_short(event: Labelled) -> None:
    texts = [("key", key) for key in (*event.tags, *event.untag)]
    texts += [*(("value", value) for value in event.tags.values()), ("note", event.note or "")]
    for what, text in texts:
        if len(text) > _LONGEST[what] or (what == "key" and not text):
            msg = f"a {what} has {len(text)} characters" if text else "a key is empty"
            raise UsageError(msg, where=str(event.name), code="REG028", help=f"{_LONGEST[what]:,} at most")
