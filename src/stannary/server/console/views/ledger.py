"""The ledger: its newest entries, found by id, subject or kind; one entry with its proof. For auditors."""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.core.errors import PolicyDenied
from stannary.evidence.ledger import Entry, Receipt
from stannary.registry import events
from stannary.registry.names import Name
from stannary.server.console.page import Page, Shown
from stannary.server.console.views.asked import WHOLE, digest_in, number_in
from stannary.server.operations import Call

__all__ = ["PAGES"]

_PAGE = 50


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry without its body."""

    index: int
    type: str
    kind: str
    time: str
    id: str
    subject: str

    @classmethod
    def of(cls, row: Entry) -> EntryRow:
        """Return the row of an entry."""
        return cls(index=row.index, type=row.type, kind=row.kind, time=row.time.isoformat(), id=row.id, subject=row.subject)


class LedgerPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, the newest first; `before` is where older ones go on, or 0."""

    schema: str = "stannary.console.ledger/1"
    size: int
    root: str
    entries: tuple[EntryRow, ...]
    asked: dict[str, str]
    before: int


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
    asked = {name: call.query.get(name, "").strip()[:128] for name in ("id", "subject", "kind", "type")}
    before = number_in(call, "before", head.size) or head.size
    if asked["id"]:
        found = ledger.newest(str(digest_in(asked["id"])))
        rows, more = ([found] if found is not None else []), False
    else:
        wanted = {name: asked[name] for name in ("subject", "kind", "type")}
        if wanted["subject"]:
            wanted["subject"] = str(digest_in(wanted["subject"]))
        rows = ledger.last(_PAGE + 1, before=before, **wanted)
        rows, more = rows[:_PAGE], len(rows) > _PAGE
    data = LedgerPage(
        size=head.size, root=head.root.hex(), entries=tuple(map(EntryRow.of, rows)), asked=asked,
        before=rows[-1].index if more and rows else 0,
    )  # fmt: skip
    return Shown(template="ledger.html", title="Ledger", data=data)


def _entry(call: Call) -> Shown:
    ledger, index = call.store.chain.ledger, int(call.path["index"])
    row = ledger.read(index) if call.store.may("audit", WHOLE) else _own(call, index)
    data = EntryPage(entry=EntryRow.of(row), body=row.body, receipt=ledger.prove(index), verify=f"stannary ledger prove {index}")
    return Shown(template="entry.html", title=f"Entry {index}", data=data)


def _own(call: Call, index: int) -> Entry:
    """Return an entry about a model that the caller may read; who may not audit sees no other, nor whether there is one."""
    ledger = call.store.chain.ledger
    row = ledger.read(index) if index < ledger.head().size else None
    name = getattr(events.read(row), "name", None) if row is not None and row.type == events.TYPE else None
    if row is None or not isinstance(name, Name):
        call.store.allowed("audit", WHOLE)
        msg = "may not read the ledger"
        raise PolicyDenied(msg, where=call.principal.id, code="ACC002")
    call.store.allowed("read", name)
    return row


PAGES = (
    Page(id="ledger", path="/ledger", run=_ledger),
    Page(id="entry", path="/ledger/{index:int}", run=_entry),
)
