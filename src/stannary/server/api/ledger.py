"""The ledger: its head, proofs, entries; for auditors, and for anybody who follows it."""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.core.errors import UsageError
from stannary.registry.names import DEFAULT, Name
from stannary.server.operations import Call, Operation, Parameter

__all__ = ["OPERATIONS"]

_EVERYTHING = Name(DEFAULT, "*")


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry, proven to be under the head."""

    index: int
    type: str
    kind: str
    time: str
    id: str
    subject: str
    body: Any


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """Entries from `start`; `next` is where to go on, None at the end. `size` is that of the log."""

    size: int
    entries: tuple[EntryRow, ...]
    next: int | None


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What shows offline that an entry is in the log: with the record and the log's key nothing else is needed."""

    index: int
    leaf: str
    size: int
    root: str
    proof: tuple[str, ...]
    checkpoint: str
    record: str


class Consistency(msgspec.Struct, frozen=True, kw_only=True):
    """The proof that the log of `old` entries is the beginning of that of `new`: hashes in hex."""

    old: int
    new: int
    proof: tuple[str, ...]


def _head(call: Call) -> str:
    return call.store.chain.ledger.head_note()


def _entries(call: Call) -> Entries:
    call.store.allowed("audit", _EVERYTHING)
    ledger, start = call.store.chain.ledger, call.query["start"]
    size = ledger.head().size
    end = min(size, start + call.query["limit"])
    rows = tuple(
        EntryRow(
            index=row.index, type=row.type, kind=row.kind, time=row.time.isoformat(), id=row.id, subject=row.subject, body=row.body
        )
        for row in (ledger.entries(start, end) if start < size else ())
    )
    return Entries(size=size, entries=rows, next=end if end < size else None)


def _prove(call: Call) -> Proof:
    call.store.allowed("audit", _EVERYTHING)
    index, ledger = _number(call.path["index"]), call.store.chain.ledger
    receipt = ledger.prove(index)
    return Proof(**msgspec.structs.asdict(receipt), record=ledger.read(index).record.decode())


def _consistency(call: Call) -> Consistency:
    ledger = call.store.chain.ledger
    new = call.query["new"] if call.query["new"] is not None else ledger.head().size
    proof = ledger.consistency(call.query["old"], new)
    return Consistency(old=call.query["old"], new=new, proof=tuple(item.hex() for item in proof))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):  # noqa: PLR2004 - what a log can have
        msg = f"is no index: {text[:40]!r}"
        raise UsageError(msg, where="index", code="API002", help="entries are counted from 0")
    return int(text)


_MOST = 10**15
OPERATIONS = (
    Operation(
        id="getHead",
        method="GET",
        path="/ledger/head",
        run=_head,
        tag="ledger",
        reply=str,
        media_type="text/plain; charset=utf-8",
        summary="The signed head of the log (C2SP checkpoint).",
    ),
    Operation(
        id="listEntries",
        method="GET",
        path="/ledger/entries",
        run=_entries,
        tag="ledger",
        reply=Entries,
        summary="Entries of the log, each proven to be under its head.",
        query=(
            Parameter("start", int, "The first index.", 0, 0, _MOST),
            Parameter("limit", int, "How many at most.", 100, 1, 1000),
        ),
    ),
    Operation(
        id="proveEntry",
        method="GET",
        path="/ledger/entries/{index}/proof",
        run=_prove,
        tag="ledger",
        reply=Proof,
        errors=(404,),
        summary="A proof that an entry is in the log, to be verified offline.",
    ),
    Operation(
        id="proveConsistency",
        method="GET",
        path="/ledger/consistency",
        run=_consistency,
        tag="ledger",
        reply=Consistency,
        errors=(404,),
        summary="A proof that an older log is the beginning of this one.",
        query=(
            Parameter("old", int, "The size it had.", 0, 0, _MOST),
            Parameter("new", int, "A size it has had since.", None, 0, _MOST),
        ),
    ),
)
