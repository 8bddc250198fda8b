"""Answers that are held against the ledger: a row that somebody edited, or put back, leads nowhere.

The tables are found by a key that anybody with access to the database can change. So what is to be *used* is
looked up there and then shown from the log: the row's entry is under the signed head, says the same, and is the
newest about its alias.
"""

from __future__ import annotations

from sqlalchemy.engine import Connection

from stannary.core.errors import IntegrityError, PolicyDenied, UsageError
from stannary.evidence.ledger import Ledger
from stannary.registry import events, queries
from stannary.registry.events import Dropped, Moved, Quarantined, Registered
from stannary.registry.model import Version
from stannary.registry.names import Name, Reference

__all__ = ["Trusted"]

_MOST = 4096


class Trusted:
    """Resolves references, and remembers what it has shown for as long as no event of a registry follows."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._size = 0
        self._known: dict[Reference, Version] = {}
        self._registered: dict[int, tuple[Name, int, str, str]] = {}  # by entry, which never changes

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
        says = (version.name, version.number, version.digest, version.manifest)
        if self._registered.get(version.entry) != says:
            event = events.read(self._ledger.read(version.entry))
            if not isinstance(event, Registered) or (event.name, event.number, event.digest, event.manifest) != says:
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
        if self._known and events.TYPE in self._ledger.types(self._size):
            self._known.clear()
        self._size = size


def _tampered(what: str, why: str) -> IntegrityError:
    return IntegrityError(why, where=what, code="REG006", help="stannary registry rebuild; stannary ledger audit")
