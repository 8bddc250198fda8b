"""Records of the ledger and receipts for them: pure, so that anybody can verify one offline.

A record is the canonical JSON of `{"schema": "stannary.entry/1", "type", "time", "id", "body"}` with, where
they apply, `subject` (a digest) and `kind`. It is the leaf as it stands. C2SP's tiles hold entries of up to
65,535 bytes; of a longer record the leaf has `detached` (the SHA-256 and the size of the body) for `body`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import TYPE_CHECKING

import msgspec

from stannary.core.canonical import canonical_json
from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.core.model import Json
from stannary.crypto.merkle import leaf_hash, verify_inclusion
from stannary.crypto.note import Checkpoint, VerifierKey, open_checkpoint, parse_note
from stannary.crypto.proof_file import decode_proof
from stannary.store.ledger_store import Plain

if TYPE_CHECKING:
    from stannary.evidence.ledger.log_keys import LogKeys

__all__ = [
    "LARGEST_LEAF",
    "LARGEST_RECORD",
    "Entry",
    "Header",
    "Receipt",
    "all_say",
    "asked_for",
    "checked",
    "entry",
    "header_of",
    "leaf_of",
    "rejoin",
    "timestamp",
    "verify",
]

SCHEMA = "stannary.entry/1"
_BODY = b'{"body":'
LARGEST_LEAF = 65_535  # the length of an entry in a C2SP bundle is a uint16
LARGEST_RECORD = 1 << 26
_TYPE = re.compile(r"[a-z][a-z0-9-]{0,39}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_COLUMNS = re.compile(rf"{_TYPE.pattern}\n(?:{_TYPE.pattern})?\n(?:{_DIGEST.pattern})?\n{_DIGEST.pattern}\n{_TIME.pattern}")


class Detached(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in a leaf for a body that is too large for it."""

    sha256: str
    size: int


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record without its body read: what the columns are made of."""

    schema: str
    type: str
    time: str
    id: str
    subject: str = ""
    kind: str = ""
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    detached: Detached | msgspec.UnsetType = msgspec.UNSET

    @property
    def columns(self) -> tuple[str, str, str, str, str]:
        """Return what an entry can be found by."""
        return self.type, self.kind, self.subject, self.id, self.time


class Entry(msgspec.Struct, frozen=True):
    """An entry of a ledger, proven to be under its signed head."""

    index: int
    type: str
    time: datetime
    id: str
    subject: str
    kind: str
    record: bytes

    @property
    def body(self) -> Json:
        """Return the envelope or event."""
        found: Json = msgspec.json.decode(self.record)["body"]
        return found


class Receipt(msgspec.Struct, frozen=True):
    """What shows offline that a record is in the log: with the record and the log's public key nothing else is needed."""

    index: int
    leaf: str  # hex
    size: int
    root: str  # hex
    proof: tuple[str, ...]  # hex, from the leaf upwards
    checkpoint: str  # a signed note

    @classmethod
    def of_proof(cls, text: str, record: bytes) -> Receipt:
        """Return the receipt that a `.tlog-proof` file is for a record. Nothing is verified. Raises IntegrityError."""
        index, proof, note = decode_proof(text)
        checkpoint = Checkpoint.parse(parse_note(note).text)
        leaf = leaf_hash(leaf_of(record)[0]).hex()
        return cls(index, leaf, checkpoint.size, checkpoint.root.hex(), tuple(item.hex() for item in proof), note)


_decoder = msgspec.json.Decoder(Header)
_THERE = msgspec.Raw(b"{}")  # for the body of a record whose header alone is asked for


class Made(bytes):
    """A record that `entry` made: its header and its body are known, and it is canonical because it was written so."""

    header: Header
    body: Json


def entry(type_: str, body: Json, *, time: datetime, subject: str = "", id_: str = "", kind: str = "") -> bytes:
    """Make a record. `id_` is the digest of the body when it is not given. Raises UsageError."""
    if not id_:
        id_ = f"sha256:{hashlib.sha256(canonical_json(body)).hexdigest()}"
    columns = {"type": type_, "time": timestamp(time), "id": str(id_)}
    columns |= {name: str(value) for name, value in (("subject", subject), ("kind", kind)) if value}
    content = Made(canonical_json({"schema": SCHEMA, "body": body, **columns}))
    content.header = Header(
        SCHEMA, type_, columns["time"], columns["id"], columns.get("subject", ""), columns.get("kind", ""), _THERE
    )
    content.body = body if isinstance(body, dict) else msgspec.to_builtins(body)
    if problem := _problem(content.header):
        raise _no_record(problem)
    return content


def timestamp(time: datetime) -> str:
    """Return RFC 3339 in UTC with microseconds: of one length, so that texts sort as times do. Raises UsageError without a zone."""
    if time.tzinfo is None:
        msg = "a time without a zone is not a time"
        raise UsageError(msg, code="LED012", help="use datetime.now(UTC)")
    utc = time if time.tzinfo is UTC else time.astimezone(UTC)
    return f"{utc.isoformat(timespec='microseconds')[:26]}Z"


def asked_for(found: list[Entry], given: Sequence[tuple[str, str]]) -> list[Entry]:
    """Return the entries that an index of the store led to. Raises IntegrityError when it led to what was not asked for."""
    for item in found:
        if any(getattr(item, name) != value for name, value in given):
            msg = f"the index of the store leads to entry {item.index}, which is not what was asked for"
            raise IntegrityError(msg, code="LED010", help="`stannary ledger audit --deep` says what else it does")
    return found


def header_of(record: bytes) -> Header:
    """Read a record or a leaf as far as the columns go. Raises InputError."""
    try:
        found = _decoder.decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _no_record(str(error)) from error
    problem = _problem(found)
    if problem:
        raise _no_record(problem)
    return found


def all_say(rows: Sequence[Plain]) -> bool:
    """Tell whether the records of rows, which are under a signed head, have their columns; False also when one has to be parsed.

    A record is canonical, so it ends with its columns in the order of their names: no parsing, in audits of millions.
    A quote in a column could spell the start of the next one, so there is none.
    """
    if not rows:
        return True
    _, types, kinds, subjects, ids, times, records = zip(*rows, strict=True)
    try:
        texts = ["".join(column) for column in (types, kinds, subjects, ids, times)]
    except TypeError:  # something that is no text
        return False
    if any('"' in text or "\\" in text for text in texts):
        return False
    tails = [
        f',"id":"{id_}","kind":"{kind}","schema":"{SCHEMA}","subject":"{subject}","time":"{time}","type":"{type_}"}}'
        if kind and subject
        else _tail(type_, kind, subject, id_, time)
        for type_, kind, subject, id_, time in zip(types, kinds, subjects, ids, times, strict=True)
    ]
    return all(map(bytes.endswith, records, map(str.encode, tails))) and all(map(bytes.startswith, records, repeat(_BODY)))


def _tail(type_: str, kind: str, subject: str, id_: str, time: str) -> str:
    kind_ = f',"kind":"{kind}"' if kind else ""
    subject_ = f',"subject":"{subject}"' if subject else ""
    return f',"id":"{id_}"{kind_},"schema":"{SCHEMA}"{subject_},"time":"{time}","type":"{type_}"}}'


def _canonical_body(record: bytes) -> object:
    """Return the body of a record. Raises ValueError when that is not canonical JSON."""
    value = msgspec.json.decode(record)
    if canonical_json(value) != record:
        msg = "it is not canonical JSON"
        raise ValueError(msg)
    return value["body"]


def checked(record: bytes) -> Header:
    """Return the header of a record that is whole and canonical. Raises InputError."""
    if len(record) > LARGEST_RECORD:
        msg = f"it has {len(record):,} bytes, and at most {LARGEST_RECORD:,} are taken"
        raise _no_record(msg)
    header = record.header if isinstance(record, Made) else header_of(record)
    if header.body is msgspec.UNSET:
        msg = "it has no body"
        raise _no_record(msg)
    try:
        body = record.body if isinstance(record, Made) else _canonical_body(record)
        datetime.fromisoformat(header.time)
    except (ValueError, RecursionError) as error:
        raise _no_record(str(error)) from error
    if not isinstance(body, dict):
        msg = "its body is not an object"
        raise _no_record(msg)
    if "payloadType" in body and "payload" in body:
        from stannary.crypto import dsse

        if str(dsse.id_of(msgspec.convert(body, dsse.Envelope))) != header.id:
            msg = "its id is not the one of the envelope it holds"
            raise _no_record(msg)
    return header


def leaf_of(record: bytes) -> tuple[bytes, bytes]:
    """Return the leaf for a canonical record, and the body when it is not in it. Raises InputError for what is no record."""
    if len(record) <= LARGEST_LEAF:
        return record, b""
    try:
        value = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _no_record(str(error)) from error
    if "body" not in value:
        msg = "it has no body"
        raise _no_record(msg)
    body = bytes(value.pop("body"))
    leaf = {name: msgspec.json.decode(raw) for name, raw in value.items()}
    leaf["detached"] = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
    return canonical_json(leaf), body


def rejoin(leaf: bytes, body: bytes | None) -> bytes:
    """Return the record of a leaf with `detached`. Raises IntegrityError when the body is not the one it names."""
    value = msgspec.json.decode(leaf)
    wanted = value.pop("detached")
    if body is None or len(body) != wanted["size"] or hashlib.sha256(body).hexdigest() != wanted["sha256"]:
        msg = f"the body {wanted['sha256'][:16]} of a large entry is missing or was changed"
        raise IntegrityError(msg, code="LED013", help="restore the ledger from a backup")
    value["body"] = msgspec.json.decode(body)
    return canonical_json(value)


def verify(record: bytes, receipt: Receipt, key: VerifierKey | LogKeys, origin: str | None = None) -> Checkpoint:
    """Return the checkpoint under which the record is in the log of `key`. Needs no ledger. Raises IntegrityError.

    1. the checkpoint is signed by the log (of several keys, by the one whose turn it was), and is of that log;
    2. it says the size and the root that the receipt says;
    3. the record hashes to the leaf of the receipt;
    4. the proof leads from that leaf to the root.
    """
    # 1.
    opened = (
        open_checkpoint(receipt.checkpoint, key, origin) if isinstance(key, VerifierKey) else key.open(receipt.checkpoint, origin)
    )
    checkpoint = opened[0]
    # 2.
    if (checkpoint.size, checkpoint.root.hex()) != (receipt.size, receipt.root):
        msg = "the receipt and its checkpoint name different heads"
        raise IntegrityError(msg, code="LED005", help="ask the log for a new receipt")
    # 3.
    leaf = leaf_hash(leaf_of(record)[0])
    if leaf.hex() != receipt.leaf:
        msg = f"the record is not the one of the receipt (entry {receipt.index})"
        raise IntegrityError(msg, code="LED007", help="the record was changed, or the receipt is of another one")
    # 4.
    try:
        proof = [bytes.fromhex(item) for item in receipt.proof]
    except ValueError as error:
        msg = "the proof is not made of hashes in hex"
        raise IntegrityError(msg, code="LED005", help="ask the log for a new receipt") from error
    verify_inclusion(leaf, receipt.index, checkpoint.size, proof, checkpoint.root)
    return checkpoint


def _problem(header: Header) -> str:
    """Return why a header is not one, or nothing."""
    apart = header.body is msgspec.UNSET
    if header.schema == SCHEMA and apart != (header.detached is msgspec.UNSET) and _COLUMNS.fullmatch("\n".join(header.columns)):
        return ""
    if header.schema != SCHEMA:
        return f"its schema is {header.schema[:40]!r}, not {SCHEMA!r}"
    if not _TYPE.fullmatch(header.type) or (header.kind and not _TYPE.fullmatch(header.kind)):
        return "its type and kind are words of lower-case letters, digits and -"
    if not _DIGEST.fullmatch(header.id) or (header.subject and not _DIGEST.fullmatch(header.subject)):
        return "its id and subject are digests, sha256:HEX"
    if not _TIME.fullmatch(header.time):
        return "its time is not YYYY-MM-DDTHH:MM:SS.ffffffZ"
    return "it has neither a body nor its digest, or both"


def _no_record(why: str) -> InputError:
    return InputError(f"is not a record of a ledger: {why}", where="record", code="LED012", help="make records with ledger.entry()")
