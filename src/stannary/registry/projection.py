"""From events to rows: the tables of the registry are what the ledger's events make of them, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stannary.core.errors import IntegrityError
from stannary.evidence.ledger import Entry, Ledger
from stannary.evidence.ledger.entry import timestamp
from stannary.registry import events
from stannary.registry.events import Dropped, Event, Frozen, Held, Labelled, Moved, Protected, Quarantined, Registered, Shredded
from stannary.registry.names import Name
from stannary.store import tables as t
from stannary.store.prepared import Prepared

__all__ = ["apply", "catch_up", "clear", "is_behind", "mark", "model_id"]

_BATCH = 20_000  # entries that are read at once
_MANY = 2_000  # entries: to read so many costs what it does to begin to look for those that count
_GAP = 8  # entries that are read along rather than the next ones apart
_NAMED = (t.model.c.namespace == sa.bindparam("namespace")) & (t.model.c.name == sa.bindparam("name"))
_MODEL = Prepared(sa.select(t.model.c.id, t.model.c.latest).where(_NAMED))
_LATEST = Prepared(sa.update(t.model).where(t.model.c.id == sa.bindparam("model")).values(latest=sa.bindparam("number")))
_SEEN = Prepared(sa.select(t.applied.c.size, t.applied.c.root).where(t.applied.c.origin == sa.bindparam("log")))
_MARK = Prepared(
    sa.update(t.applied)
    .where(t.applied.c.origin == sa.bindparam("log"))
    .values(size=sa.bindparam("entries"), root=sa.bindparam("head"))
)
_NEW = Prepared(
    sa.insert(t.model)
    .values({name: sa.bindparam(name) for name in ("namespace", "name", "kind", "created", "latest")})
    .returning(t.model.c.id)
)
_INSERT = {table: Prepared(sa.insert(table)) for table in (t.version, t.alias_move)}
_PROJECTED = (t.label, t.hold, t.quarantine, t.frozen, t.protection, t.alias_move, t.alias, t.version, t.model, t.applied)


def is_behind(connection: Connection, ledger: Ledger) -> bool:
    """Tell whether the ledger has entries that are not in the tables yet."""
    head = ledger.head()
    return _seen(connection, head.origin)[0] != head.size


def catch_up(connection: Connection, ledger: Ledger) -> int:
    """Bring the tables up to the head of the ledger, and return how many events that took.

    When the log that they were made from is none that leads to this head, they are made again from the start.
    """
    head = ledger.head()
    seen, root = _seen(connection, head.origin)
    if seen == head.size and root == head.root.hex():
        return 0
    if not _leads_here(ledger, seen, root):
        clear(connection)
        seen = 0
    count = 0
    for row in _events_since(ledger, seen, head.size):
        apply(connection, events.read(row), row)
        count += 1
    mark(connection, head.origin, head.size, head.root.hex())
    return count


def clear(connection: Connection) -> None:
    """Forget everything that was made from the ledger."""
    for table in _PROJECTED:
        connection.execute(sa.delete(table))


def mark(connection: Connection, origin: str, size: int, root: str) -> None:
    """Note up to which entry of which log the tables are; `root` is that of the log then, in hex."""
    if not _MARK.change(connection, log=origin, entries=size, head=root):
        connection.execute(sa.delete(t.applied))
        connection.execute(sa.insert(t.applied).values(origin=origin, size=size, root=root))


def apply(connection: Connection, event: Event, row: Entry | tuple[int, datetime]) -> None:
    """Write what an event changes; `row` is its entry, or its index and time."""
    index, time = (row.index, row.time) if isinstance(row, Entry) else row
    when = timestamp(time)
    match event:
        case Registered():
            _registered(connection, event, index, when)
        case Moved():
            _moved(connection, event, index, when)
        case Protected():
            rule = msgspec.to_builtins(event)
            _replace(connection, t.protection, _place(event.name, event.alias), {"rule": rule, "entry": index})
        case Frozen():
            values = {"reason": event.reason, "actor": event.actor, "entry": index}
            _set_or_lift(connection, t.frozen, _place(event.name, event.alias), values, lifted=event.lifted)
        case Quarantined():
            values = {"reason": event.reason, "actor": event.actor, "since": when, "entry": index}
            _set_or_lift(connection, t.quarantine, {"digest": event.digest}, values, lifted=event.lifted)
        case Held():
            key = {"model": model_id(connection, event.name), "number": event.number}
            values = {"reason": event.reason, "actor": event.actor, "entry": index}
            _set_or_lift(connection, t.hold, key, values, lifted=event.lifted)
        case Labelled():
            _labelled(connection, event, index, when)
        case Shredded():
            pass  # events of their own drop its versions, one each
        case Dropped():
            chosen = (t.version.c.model == model_id(connection, event.name)) & (t.version.c.number == event.number)
            connection.execute(sa.update(t.version).where(chosen).values(dropped=True))


def model_id(connection: Connection, name: Name) -> int:
    """Return the row of a model. Raises IntegrityError when there is none: an event about it cannot be, then."""
    found = _MODEL.first(connection, namespace=name.namespace, name=name.name)
    if found is None:
        msg = "the ledger tells of a model before it was registered"
        raise IntegrityError(msg, where=str(name), code="REG004", help="stannary ledger audit")
    return int(found.id)


def _registered(connection: Connection, event: Registered, index: int, when: str) -> None:
    place = {"namespace": event.name.namespace, "name": event.name.name}
    row = _MODEL.first(connection, **place)
    if row is None:
        identifier = int(_NEW.first(connection, **place, kind=event.kind, created=when, latest=event.number).id)
    else:
        identifier = row.id
        if event.number <= row.latest:
            msg = f"the ledger registers version {event.number} twice"
            raise IntegrityError(msg, where=str(event.name), code="REG004", help="stannary ledger audit")
        _LATEST.change(connection, model=identifier, number=event.number)
    values = {
        "model": identifier, "number": event.number, "digest": event.digest, "manifest": event.manifest, "size": event.size,
        "files": event.files, "creator": event.actor, "created": when, "note": event.note, "info": event.info, "dropped": False,
        "entry": index,
    }  # fmt: skip
    _INSERT[t.version].change(connection, **values)


def _labelled(connection: Connection, event: Labelled, index: int, when: str) -> None:
    place = {"namespace": event.name.namespace, "name": event.name.name}
    row = _MODEL.first(connection, **place)
    model = int(_NEW.first(connection, **place, kind=event.kind, created=when, latest=0).id) if row is None else row.id
    if event.gone:
        connection.execute(sa.delete(t.label).where(t.label.c.model == model))
        return
    key = {"model": model, "number": event.number}
    before = connection.execute(sa.select(t.label.c.note, t.label.c.tags).where(_is(t.label, key))).first()
    note, tags = before if before is not None else (None, {})
    tags = {**tags, **event.tags, **dict.fromkeys(event.untag)}
    values = {"note": note if event.note is None else event.note, "tags": tags, "changed": when, "entry": index}
    _replace(connection, t.label, key, values)


def _moved(connection: Connection, event: Moved, index: int, when: str) -> None:
    model = model_id(connection, event.name)
    shared = {"actor": event.actor, "moved": when, "decision": event.decision}
    move = {"entry": index, "model": model, "alias": event.alias, "number": event.number, "reason": event.reason}
    _INSERT[t.alias_move].change(connection, **move, **shared)
    key = {"model": model, "alias": event.alias}
    values = {"number": event.number, "entry": index, **shared}
    _set_or_lift(connection, t.alias, key, values, lifted=not event.number)


def _set_or_lift(connection: Connection, table: sa.Table, key: dict[str, Any], values: dict[str, Any], *, lifted: bool) -> None:
    if lifted:
        connection.execute(sa.delete(table).where(_is(table, key)))
    else:
        _replace(connection, table, key, values)


def _replace(connection: Connection, table: sa.Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    change, add = _change_of(table, tuple(key), tuple(values))
    if not change.change(connection, **{f"of_{name}": value for name, value in key.items()}, **values):
        add.change(connection, **key, **values)


@cache
def _change_of(table: sa.Table, key: tuple[str, ...], values: tuple[str, ...]) -> tuple[Prepared, Prepared]:
    """Return the statements that change a row and add it, built once."""
    chosen = sa.and_(*(table.c[name] == sa.bindparam(f"of_{name}") for name in key))
    add: dict[str, sa.BindParameter[Any]] = {name: sa.bindparam(name) for name in (*key, *values)}
    change = sa.update(table).where(chosen).values({name: sa.bindparam(name) for name in values})
    return Prepared(change), Prepared(sa.insert(table).values(add))


def _is(table: sa.Table, key: dict[str, Any]) -> sa.ColumnElement[bool]:
    return sa.and_(*(table.c[name] == value for name, value in key.items()))


def _place(name: Name, alias: str) -> dict[str, str]:
    return {"namespace": name.namespace, "name": name.name, "alias": alias}


def _events_since(ledger: Ledger, seen: int, size: int) -> Iterator[Entry]:
    """Yield the entries that are events of the registry, from `seen` up to `size`.

    Few are read, all of them. Of many, most are about something else: which are not is known from the proven records, or from what
    was signed of them, and only those are read and proven, with what lies between them where that is little.
    """
    spans = [(seen, size)]
    if size - seen > _MANY:
        spans = []
        for index in ledger.indexes(type=events.TYPE, start=seen):
            if index >= size:
                break
            if spans and index - spans[-1][1] < _GAP and index - spans[-1][0] < _BATCH:
                spans[-1] = (spans[-1][0], index + 1)
            else:
                spans.append((index, index + 1))
    for first, end in spans:
        for start in range(first, end, _BATCH):
            yield from (row for row in ledger.entries(start, min(start + _BATCH, end)) if row.type == events.TYPE)


def _seen(connection: Connection, origin: str) -> tuple[int, str]:
    row = _SEEN.first(connection, log=origin)
    return (row.size, row.root) if row is not None else (0, "")


def _leads_here(ledger: Ledger, seen: int, root: str) -> bool:
    """Tell whether the tables were made from a log whose continuation this one is."""
    if not seen:
        return not root
    return seen <= ledger.head().size and ledger.root_at(seen).hex() == root
