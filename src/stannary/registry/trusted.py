"""Answers that are held against the ledger: a row that somebody edited, or put back, leads nowhere.

The tables are found by a key that anybody with access to the database can change. So what is to be *used* is
looked up there and then shown from the log: the row's entry is under the signed head, says the same, and is the
newest about its alias.
"""

from __future__ import annotations

import msgspec
from sqlalchemy.engine import Connection

from stannary.core.errors import IntegrityError, PolicyDenied, UsageError
from stannary.core.model import Json
from stannary.evidence.ledger import Ledger
from stannary.registry import events, queries
from stannary.registry.events import Dropped, Event, Frozen, Held, Moved, Protected, Quarantined, Registered
from stannary.registry.model import Version
from stannary.registry.names import Name, Reference

__all__ = ["Trusted"]

_MOST = 4096
_FEW = 64  # entries: to read so many costs less than to look the rules up again
_RULES = frozenset({"protection", "freeze"})  # kinds of events by which an alias moves, or does not
_Said = tuple[Name, int, str, str, str, dict[str, Json]]  # of a version, by its event


class Trusted:
    """Resolves references, and remembers what it has shown for as long as no event of a registry follows."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._size = 0
        self._known: dict[Reference, Version] = {}
        self._registered: dict[int, _Said] = {}  # by entry, which never changes
        self._rules: dict[str, tuple[int, Event] | None] = {}

    def resolve(self, connection: Connection, reference: Reference) -> Version:
        """Return the version that a reference means. Raises UsageError, PolicyDenied or IntegrityError."""
        with self._ledger.reading():
            return self._resolved(connection, reference)

    def _resolved(self, connection: Connection, reference: Reference) -> Version:
        self._forget_what_changed()
        known = self._known.get(reference)
        if known is not None:
            return known
        # 1. what the tables say
        version = queries.version(connection, reference)
        # 2. the alias is there because of its newest event
        if reference.alias:
            self._alias_holds(connection, reference, version)
        # 3. the version is the artifact that was registered, and was not deleted
        self._version_holds(version)
        # 4. nobody has quarantined it
        self.refuse_quarantined(version.digest, str(reference))
        if len(self._known) > _MOST:
            self._known.clear()
        self._known[reference] = version
        return version

    def refuse_quarantined(self, digest: str, what: str) -> None:
        """Raise PolicyDenied when the ledger says that a digest is quarantined."""
        probe = events.about(Quarantined(actor="", digest=digest, reason=""))
        row = self._ledger.newest(probe)
        event = events.read(row) if row else None
        if row and isinstance(event, Quarantined) and not event.lifted:
            msg = f"is quarantined since {row.time:%Y-%m-%d %H:%M}: {event.reason}"
            raise PolicyDenied(
                msg, where=what, code="REG020", help=f"stannary registry rollback; stannary registry quarantine {digest} --lift"
            )

    def rule_holds(self, name: Name, alias: str, said: tuple[dict[str, Json], int] | None) -> None:
        """Raise IntegrityError when what a table says of how an alias moves is not what the ledger says."""
        found: tuple[object, int] | None = None
        what = f"{name}@{alias}"
        for place in (name, Name(name.namespace, "*")):
            newest = self._rule(events.about(Protected(actor="", name=place, alias=alias, policy={})))
            if newest is not None:
                found = msgspec.to_builtins(newest[1]), newest[0]
                break
        if found != said:
            msg = "moves by another policy in the table than in the ledger"
            raise _tampered(what, msg)

    def freeze_holds(self, name: Name, alias: str) -> None:
        """Raise IntegrityError when the ledger freezes an alias that no table has frozen."""
        what = f"{name}@{alias}"
        for place in (name, Name(name.namespace, "*")):
            for which in (alias, "*"):
                newest = self._rule(events.about(Frozen(actor="", name=place, alias=which, reason="")))
                if newest is not None and isinstance(newest[1], Frozen) and not newest[1].lifted:
                    raise _tampered(what, "is frozen in the ledger, and in no table")

    def _rule(self, about: str) -> tuple[int, Event] | None:
        """Return the newest event about a policy or a freeze, and its entry: remembered until one of either kind follows."""
        self._forget_what_changed()
        if about not in self._rules:
            if len(self._rules) > _MOST:
                self._rules.clear()
            row = self._ledger.newest(about)
            self._rules[about] = None if row is None else (row.index, events.read(row))
        return self._rules[about]

    def refuse_held(self, version: Version) -> None:
        """Raise IntegrityError when the ledger holds a version that no table has held."""
        row = self._ledger.newest(events.about(Held(actor="", name=version.name, number=version.number, reason="")))
        event = events.read(row) if row else None
        if isinstance(event, Held) and not event.lifted and not version.held:
            raise _tampered(str(version), "is held in the ledger, and in no table")

    def _alias_holds(self, connection: Connection, reference: Reference, version: Version) -> None:
        row = queries.alias_of(connection, reference)
        probe = events.about(Moved(actor="", name=reference.name, alias=reference.alias, number=0))
        newest = self._ledger.newest(probe)
        event = events.read(newest) if newest else None
        says = (event.number, event.digest) if isinstance(event, Moved) else (0, "")
        if not newest or newest.index != row.entry or says != (version.number, version.digest):
            msg = "the table has the alias elsewhere than the ledger"
            raise _tampered(str(reference), msg)

    def _version_holds(self, version: Version) -> None:
        says = (version.name, version.number, version.digest, version.manifest, version.creator, version.info)
        if self._registered.get(version.entry) != says:
            event = events.read(self._ledger.read(version.entry))
            if not isinstance(event, Registered) or _says(event) != says:
                raise _tampered(str(version), "the table has another artifact than the ledger")
            if len(self._registered) > _MOST:
                self._registered.clear()
            self._registered[version.entry] = says
        dropped = events.about(Dropped(actor="", name=version.name, number=version.number, digest="", reason=""))
        if version.dropped or self._ledger.newest(dropped) is not None:
            msg = "was deleted"
            raise UsageError(msg, where=str(version), code="REG013", help=f"stannary registry list {version.name}")

    def _forget_what_changed(self) -> None:
        size = self._ledger.head().size
        if size == self._size:
            return
        if (self._known or self._rules) and events.TYPE in self._ledger.types(self._size):
            self._known.clear()
            few = size - self._size <= _FEW
            if not few or any(row.kind in _RULES for row in self._ledger.entries(self._size, size) if row.type == events.TYPE):
                self._rules.clear()
        self._size = size


def _says(event: Registered) -> _Said:
    return event.name, event.number, event.digest, event.manifest, event.actor, event.info


def _tampered(what: str, why: str) -> IntegrityError:
    return IntegrityError(why, where=what, code="REG006", help="stannary registry rebuild; stannary ledger audit")
