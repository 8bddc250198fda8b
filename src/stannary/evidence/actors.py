"""The entries of a ledger by who stands in them: who did what a registry or an account tells of, who signed a statement.

The index beside the ledger is a projection: it follows the log from the checkpoint it has seen, and is made again when the log is
no continuation of that. It leads to entries; what is shown is read and proven from the ledger, and compared. That it leaves
nothing out rests on the file: `stannary ledger audit` does not read it, and who deletes it loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.evidence.chain import Chain
from stannary.evidence.ledger import Entry
from stannary.store.actor_db import ActorStore
from stannary.store.file_lock import held

__all__ = ["Asked", "Found", "actor_of", "find_entries"]

_BATCH = 10_000
_AT_ONCE = 200_000  # entries that are taken in for one question: a log that is new to the index is taken in by several
_EXAMINED = 2_000  # entries of somebody that are read for one page
_KEY = "key:"
_STATED = ("evidence", "decision")


class Asked(NamedTuple):
    """What is asked for; what is empty is not. `since` and `until`: from then on, and before then."""

    actor: str = ""
    type: str = ""
    kind: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None


class Found(NamedTuple):
    """Entries, the newest first. `before`: where older ones go on, or 0. `unread`: entries that the index has not taken in yet."""

    entries: list[Entry]
    before: int = 0
    unread: int = 0


class _Signature(msgspec.Struct, frozen=True):
    keyid: str = ""


class _Body(msgspec.Struct, frozen=True):
    actor: str = ""
    signatures: tuple[_Signature, ...] = ()


class _Record(msgspec.Struct, frozen=True):
    body: _Body = _Body()


_decoder = msgspec.json.Decoder(_Record)


def find_entries(chain: Chain, asked: Asked, most: int, *, before: int | None = None) -> Found:
    """Return the last entries below an index for which all holds, `most` at most. Raises IntegrityError when the log was changed.

    Of somebody's entries only so many are examined for one answer: it can be shorter and still go on at `before`.
    """
    ledger = chain.ledger
    if not asked.actor:
        rows = ledger.last(
            most + 1, before=before, since=asked.since, until=asked.until, type=asked.type, kind=asked.kind, subject=asked.subject
        )
        return Found(rows[:most], rows[most - 1].index if len(rows) > most else 0)
    start = ledger.head().size if before is None else before
    with held(chain.workspace.root / "actors.lock"):  # brought up to date by one at a time, over all processes
        indexes, unread = _indexed(chain, asked.actor, start)
    found: list[Entry] = []
    for at, index in enumerate(indexes):
        row = ledger.read(index)
        if _is(chain, row, asked):
            found.append(row)
        if len(found) == most:
            return Found(found, index if at + 1 < len(indexes) or len(indexes) == _EXAMINED else 0, unread)
    return Found(found, indexes[-1] if len(indexes) == _EXAMINED else 0, unread)


def actor_of(chain: Chain, row: Entry) -> str:
    """Return who stands in an entry: who did it, or who signed it by what is trusted now; empty for nobody."""
    body = row.body
    if row.type in _STATED:
        held = chain.stated(row.id)
        return held.identity if held is not None else ""
    return str(body.get("actor", "")) if isinstance(body, dict) else ""


def _is(chain: Chain, row: Entry, asked: Asked) -> bool:
    if any(wanted and getattr(row, name) != wanted for name, wanted in (("type", asked.type), ("kind", asked.kind))):
        return False
    if asked.subject and row.subject != asked.subject:
        return False
    if (asked.since is not None and row.time < asked.since) or (asked.until is not None and row.time >= asked.until):
        return False
    name = actor_of(chain, row)
    return asked.actor in (name, name.partition(":")[2])


def _indexed(chain: Chain, actor: str, before: int) -> tuple[list[int], int]:
    if len(actor) > 300:  # noqa: PLR2004 - no name is that long
        msg = "is too long for a name"
        raise UsageError(msg, where="actor", code="API002", help="user:NAME, service:NAME, or the identity of a key")
    keys = [_KEY + row.keyid for row in chain.workspace.trust.keys if row.identity == actor]
    store = ActorStore(chain.workspace.root / "actors.db")
    try:
        unread = _follow(chain, store)
        return store.last([actor, *keys], before, _EXAMINED), unread
    finally:
        store.close()


def _follow(chain: Chain, store: ActorStore) -> int:
    """Take in what came since; return how many entries are left to take in."""
    ledger, note = chain.ledger, store.meta("checkpoint")
    seen = int(store.meta("size") or 0)
    try:
        if note:
            ledger.verify_since(note)
    except (IntegrityError, InputError):
        store.clear()  # another log, or one that was rolled back
        seen = 0
    size, note = ledger.head().size, ledger.head_note()
    end = min(size, seen + _AT_ONCE)
    for start in range(seen, end, _BATCH):
        upto = min(start + _BATCH, end)
        rows = [(name, row.index) for row in ledger.entries(start, upto) for name in _indexed_as(row)]
        store.add(rows, {"size": str(upto)} | ({"checkpoint": note} if upto == size else {}))
    return size - end


def _indexed_as(row: Entry) -> Sequence[str]:
    """Return by what an entry is found: its actor, or the keys it says it was signed with. Who those are may change."""
    try:
        body = _decoder.decode(row.record).body
    except msgspec.ValidationError:
        return ()
    if row.type in _STATED:
        return [_KEY + signature.keyid for signature in body.signatures if signature.keyid]
    return [body.actor] if body.actor else []
