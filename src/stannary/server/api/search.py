"""Searching: models, versions and evidence by what one knows of them; entries of the ledger by who, what and when."""

from __future__ import annotations

import msgspec

from stannary.evidence.actors import Asked, actor_of, find_entries
from stannary.registry.names import DEFAULT, Name
from stannary.server.operations import Call, Operation, Parameter
from stannary.server.searching import GROUPS, Hits, found_in
from stannary.server.sent import time_sent

__all__ = ["OPERATIONS"]

_EVERYTHING = Name(DEFAULT, "*")
_MOST = 10**15


class FoundEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the ledger without its body. `actor`: who did it, or signed it."""

    index: int
    type: str
    kind: str
    time: str
    id: str
    subject: str
    actor: str


class FoundEntries(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, the newest first. `before`: where older ones go on, or None. `unread`: entries no search by actor knows of yet."""

    schema: str = "stannary.found-entries/1"
    size: int
    entries: tuple[FoundEntry, ...]
    before: int | None
    unread: int


def _search(call: Call) -> Hits:
    query = call.query
    return found_in(call.store, query["q"], group=query["group"], after=query["after"], limit=query["limit"])


def _entries(call: Call) -> FoundEntries:
    call.store.allowed("audit", _EVERYTHING)
    chain, query = call.store.chain, call.query
    asked = Asked(
        actor=query["actor"].strip(), type=query["type"], kind=query["kind"], subject=query["subject"],
        since=time_sent("since", query["since"]), until=time_sent("until", query["until"], is_end=True),
    )  # fmt: skip
    found = find_entries(chain, asked, query["limit"], before=query["before"])
    rows = tuple(
        FoundEntry(
            index=row.index, type=row.type, kind=row.kind, time=row.time.isoformat(), id=row.id, subject=row.subject,
            actor=actor_of(chain, row),
        )
        for row in found.entries
    )  # fmt: skip
    return FoundEntries(size=chain.ledger.head().size, entries=rows, before=found.before or None, unread=found.unread)


OPERATIONS = (
    Operation(
        id="search",
        method="GET",
        path="/search",
        run=_search,
        tag="search",
        reply=Hits,
        summary="Models, versions and evidence that a text finds, as far as the caller may see them.",
        query=(
            Parameter("q", str, "A part of a name or a note, who pushed, a kind of evidence, NAME:3, the start of a digest.", ""),
            Parameter("group", str, f"One of {', '.join(GROUPS)}; all of them without.", ""),
            Parameter("after", str, "The `next` of that group on the page before.", ""),
            Parameter("limit", int, "How many of each group at most.", 20, 1, 200),
        ),
    ),
    Operation(
        id="findEntries",
        method="GET",
        path="/ledger/search",
        run=_entries,
        tag="ledger",
        reply=FoundEntries,
        summary="Entries of the log by who stands in them, what they are and when they came, the newest first.",
        query=(
            Parameter("actor", str, "Who did it or signed it: `user:ann`, `ann`, the identity of a key.", ""),
            Parameter("type", str, "The type of the entry: `evidence`, `decision`, `registry`, `access`.", ""),
            Parameter("kind", str, "The kind: `model-scan`, `alias`, `grant`.", ""),
            Parameter("subject", str, "The digest that it is about.", ""),
            Parameter("since", str, "From then on: a day, or a time with a zone.", ""),
            Parameter("until", str, "Up to then; of a day, to its end.", ""),
            Parameter("before", int, "Only entries of a smaller index.", None, 0, _MOST),
            Parameter("limit", int, "How many at most.", 50, 1, 500),
        ),
    ),
)
