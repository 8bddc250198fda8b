"""The ledger: its newest entries, found by id, subject, kind, actor or time; one entry with its proof. For auditors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from stannary.core.errors import PolicyDenied
from stannary.evidence.actors import Asked, Found, actor_of, find_entries
from stannary.evidence.chain import Chain
from stannary.evidence.ledger import Entry, Receipt
from stannary.registry import events
from stannary.registry.names import Name
from stannary.server.console.page import Page, Shown
from stannary.server.console.views.asked import WHOLE, digest_in, number_in
from stannary.server.console.views.days import DAYS, Days, days_of, midnights
from stannary.server.operations import Call
from stannary.server.sent import time_sent
from stannary.server.sight import reads_in

__all__ = ["PAGES"]

_PAGE = 50
_LONGEST = 300
_INSTANT = timedelta(microseconds=1)
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)  # no log is older
_FIELDS = ("id", "subject", "kind", "type", "actor", "since", "until")


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry without its body. `who` did or signed it, by what is trusted now; empty for nobody."""

    index: int
    type: str
    kind: str
    time: str
    id: str
    subject: str
    who: str

    @classmethod
    def of(cls, chain: Chain, row: Entry) -> EntryRow:
        """Return the row of an entry."""
        return cls(
            index=row.index, type=row.type, kind=row.kind, time=row.time.isoformat(), id=row.id, subject=row.subject,
            who=actor_of(chain, row),
        )  # fmt: skip


class LedgerPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, the newest first; `before` is where older ones go on, or 0.

    `activity`: entries by day and kind, of the days up to `until` or today; None where something else is searched for.
    """

    schema: str = "stannary.console.ledger/1"
    size: int
    root: str
    entries: tuple[EntryRow, ...]
    asked: dict[str, str]
    before: int
    activity: Days | None
    unread: int = 0  # entries that a search by actor does not know of yet


class EntryPage(msgspec.Struct, frozen=True, kw_only=True):
    """An entry, and the proof that it is under the signed head."""

    schema: str = "stannary.console.entry/1"
    entry: EntryRow
    body: Any
    receipt: Receipt
    verify: str


def _ledger(call: Call) -> Shown:
    call.store.allowed("audit", WHOLE)
    ledger, head = call.store.chain.ledger, call.store.chain.ledger.head()
    asked = {name: call.query.get(name, "").strip()[:_LONGEST] for name in _FIELDS}
    before = number_in(call, "before", head.size) or head.size
    if asked["id"]:
        row = ledger.newest(str(digest_in(asked["id"])))
        found = Found([row] if row is not None else [])
    else:
        found = find_entries(call.store.chain, _asked(asked), _PAGE, before=before)
    data = LedgerPage(
        size=head.size, root=head.root.hex(), entries=tuple(EntryRow.of(call.store.chain, row) for row in found.entries),
        asked=asked, before=found.before, unread=found.unread, activity=_activity(call, asked),
    )  # fmt: skip
    return Shown(template="ledger.html", title="Ledger", data=data)


def _activity(call: Call, asked: dict[str, str]) -> Days | None:
    """Return what happened on the last days that are asked for. A search for something else, or an older page, has none."""
    if any(asked[name] for name in _FIELDS if name not in ("since", "until")) or "before" in call.query:
        return None
    since, until = time_sent("since", asked["since"]), time_sent("until", asked["until"], is_end=True)
    now = call.store.chain.workspace.clock()
    last = now if until is None else min(now, max(until - _INSTANT, _FIRST))
    count = DAYS if since is None else min(DAYS, max(1, (last.date() - since.date()).days + 1))
    starts = midnights(last.astimezone(UTC).date(), count)
    return days_of(starts, call.store.chain.ledger.tally(starts))


def _asked(asked: dict[str, str]) -> Asked:
    return Asked(
        actor=asked["actor"], type=asked["type"], kind=asked["kind"],
        subject=str(digest_in(asked["subject"])) if asked["subject"] else "",
        since=time_sent("since", asked["since"]), until=time_sent("until", asked["until"], is_end=True),
    )  # fmt: skip


def _entry(call: Call) -> Shown:
    ledger, index = call.store.chain.ledger, int(call.path["index"])
    row = ledger.read(index) if call.store.may("audit", WHOLE) else _own(call, index)
    data = EntryPage(
        entry=EntryRow.of(call.store.chain, row),
        body=row.body,
        receipt=ledger.prove(index),
        verify=f"stannary ledger prove {index}",
    )
    return Shown(template="entry.html", title=f"Entry {index}", data=data)


def _own(call: Call, index: int) -> Entry:
    """Return an entry about a model that the caller may read, or that a namespace they read in was shredded.

    Who may not audit sees no other, nor whether there is one.
    """
    ledger = call.store.chain.ledger
    row = ledger.read(index) if index < ledger.head().size else None
    event = events.read(row) if row is not None and row.type == events.TYPE else None
    name = Name(event.namespace, "*") if isinstance(event, events.Shredded) else getattr(event, "name", None)
    if row is None or not isinstance(name, Name) or not reads_in(call.store, name):
        call.store.allowed("audit", WHOLE)
        msg = "may not read the ledger"
        raise PolicyDenied(msg, where=call.principal.id, code="ACC002")
    return row


PAGES = (
    Page(id="ledger", path="/ledger", run=_ledger),
    Page(id="entry", path="/ledger/{index:int}", run=_entry),
)
