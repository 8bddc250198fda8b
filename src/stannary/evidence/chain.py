"""The chain of a workspace: statements go into its ledger signed, and come out verified.

Each entry that is read is checked again: it is under the signed head of the log, its envelope carries a
signature that is trusted now, its statement is about the subject that the entry is filed under.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from stannary.core.errors import InputError, IntegrityError, StannaryError, UsageError
from stannary.core.evidence import Evidence, Resource, Verified
from stannary.core.model import Digest, Json
from stannary.crypto import dsse
from stannary.crypto.interface import Signer
from stannary.evidence.ledger import Entry, Ledger, Receipt, entry
from stannary.evidence.predicates.table import KINDS, decoded
from stannary.evidence.statement import encode
from stannary.evidence.trust import TrustFile
from stannary.evidence.verify import Trusted, verify_envelope
from stannary.evidence.workspace import Workspace
from stannary.policy.order import without_replays

__all__ = ["Chain", "Known", "Recorded", "signed_statement"]


_REMEMBERED = 200_000  # statements that were verified and are kept


class Recorded(NamedTuple):
    """A statement that is in the ledger."""

    id: Digest
    subject: Digest
    envelope: dsse.Envelope
    receipt: Receipt


class Known(NamedTuple):
    """What the ledger holds about a subject: what verifies, and why the rest does not."""

    evidence: tuple[Verified[Evidence], ...]
    refused: tuple[StannaryError, ...]


class _Seen(NamedTuple):
    """An entry that was read: its columns, and the evidence, why it is none that counts, or None for other entries."""

    type: str
    subject: str
    kind: str
    held: Verified[Evidence] | StannaryError | None


class _About(NamedTuple):
    """What entries below an index say about a subject."""

    size: int
    found: tuple[Verified[Evidence], ...]
    refused: tuple[StannaryError, ...]


class Chain:
    """A workspace's evidence."""

    def __init__(self, workspace: Workspace, *, write: bool = False) -> None:
        self.workspace = workspace
        self.ledger: Ledger = workspace.ledger(write=write)
        self._trust: TrustFile | None = None
        self._trusted: Trusted = {}
        self._seen: dict[int, _Seen] = {}
        self._abouts: dict[tuple[str, bool], _About] = {}

    def state(
        self, subject: Resource, kind: str, predicate: msgspec.Struct | dict[str, Json], signer: Signer | None = None
    ) -> Recorded:
        """Sign a statement about a subject, with the workspace's key unless another signer is given, and log it.

        Raises InputError when the predicate is none of its kind, IntegrityError when nobody here trusts the signer.
        """
        return self.log([signed_statement(subject, kind, predicate, signer or self.workspace.signer)])[0]

    def log(
        self, envelopes: Sequence[dsse.Envelope], also: Sequence[bytes] = (), *, subject: Digest | None = None
    ) -> list[Recorded]:
        """Log envelopes that somebody signed, and behind them other records, all or nothing. Raises IntegrityError or InputError.

        With `subject` they are filed under that artifact, which has to be one of theirs; without, each is about one alone.
        What nobody here trusts, or nobody understands, is not taken: it would be refused whenever it is read.
        """
        trusted = self._verifiers()
        now = self.workspace.clock()
        found = [verify_envelope(envelope, trusted, subject=subject, recorded=now).value for envelope in envelopes]
        records = [
            entry(
                "decision" if evidence.kind == "vsa" else "evidence",
                msgspec.to_builtins(envelope),
                time=now,
                subject=str(evidence.subject),
                id_=str(evidence.id),
                kind=evidence.kind,
            )
            for envelope, evidence in zip(envelopes, found, strict=True)
        ]
        receipts = self.ledger.append([*records, *also])
        return [
            Recorded(evidence.id, evidence.subject, envelope, receipt)
            for envelope, evidence, receipt in zip(envelopes, found, receipts[: len(records)], strict=True)
        ]

    def about(self, subject: Digest, *, decisions: bool = True) -> Known:
        """Return everything about one subject, oldest first; without the decisions when they are not asked for.

        What was found under an earlier head of the log is kept, for as long as trust is what it was: only what was appended
        since is looked at. An entry never changes, and the head that is read under continues the one before.
        """
        types = ("evidence", "decision") if decisions else ("evidence",)
        key = (str(subject), decisions)
        self.ledger.take_in()
        with self.ledger.reading():
            self._verifiers()
            abouts, size = self._abouts, self.ledger.head().size
            before = abouts.get(key, _About(0, (), ()))
            indexes = self.ledger.indexes(subject=key[0], type="" if decisions else "evidence", start=before.size)
            found, refused = self._held(indexes, lambda item: item.subject == key[0] and item.type in types)
        kept = _About(size, (*before.found, *found), (*before.refused, *refused))
        if abouts is not self._abouts:  # trust was changed meanwhile
            return self.about(subject, decisions=decisions)
        abouts[key] = kept
        return Known(tuple(without_replays(kept.found)), kept.refused)

    def everything(self, kind: str = "") -> Known:
        """Return everything there is, or everything of a kind, oldest first."""
        found, refused = self._held(self.ledger.indexes(kind=kind), lambda item: not kind or item.kind == kind)
        # What is logged again is no newer by it, and is told once.
        return Known(tuple(without_replays(found)), tuple(refused))

    def stated(self, id_: str) -> Verified[Evidence] | None:
        """Return what the last statement with an id says, None when there is none that counts."""
        self._verifiers()
        row = self.ledger.newest(id_)
        held = None if row is None else self._read(row.index).held
        return None if isinstance(held, StannaryError) else held

    def one(self, name: str) -> tuple[Entry, dsse.Envelope]:
        """Return the entry whose id starts with `name` (6 hex digits or more, `sha256:` before them or not).

        Raises UsageError when there is none or more than one.
        """
        wanted = name.removeprefix("sha256:").lower()
        if not re.fullmatch(r"[0-9a-f]{6,64}", wanted):
            msg = f"is no id of a statement: 6 to 64 hex digits; got {name[:80]!r}"
            raise UsageError(msg, code="EVD007", help="`stannary evidence list` shows the ids")
        found = self.ledger.beginning(f"sha256:{wanted}")
        rows = [row for row in found if row.type in ("evidence", "decision")]
        distinct = {row.id for row in rows}
        if len(distinct) != 1:
            msg = f"names {len(distinct)} statements" if distinct else "names no evidence"
            raise UsageError(msg, where=name[:80], code="EVD007", help="`stannary evidence list` shows the ids")
        return rows[-1], _envelope(rows[-1])

    def _held(
        self, indexes: Iterable[int], wanted: Callable[[_Seen], bool]
    ) -> tuple[list[Verified[Evidence]], list[StannaryError]]:
        """Return what of some entries counts, and why the rest does not."""
        self._verifiers()  # once: to look at the file for each entry would take longer than all the rest
        found: list[Verified[Evidence]] = []
        refused: list[StannaryError] = []
        for index in indexes:
            item = self._read(index)
            if item.type not in ("evidence", "decision") or not wanted(item):
                continue
            if isinstance(item.held, StannaryError):
                refused.append(item.held)
            elif item.held is not None and str(item.held.value.subject) == item.subject:
                found.append(item.held)
        return found, refused

    def _verifiers(self) -> Trusted:
        trust = self.workspace.trust
        if self._trust is not trust:
            self._trust, self._trusted, self._seen, self._abouts = trust, trust.verifiers(), {}, {}
        return self._trusted

    def _read(self, index: int) -> _Seen:
        """Return what an entry holds, or why it counts for nothing.

        An entry never changes, so what was proven and verified once is kept, for as long as trust is what it was, which whoever
        calls this looks at first (`_verifiers`).
        """
        known = self._seen.get(index)
        if known is None:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
                self._abouts.clear()
            row = self.ledger.read(index)
            known = self._seen[index] = _Seen(row.type, row.subject, row.kind, self._verified(row))
        return known

    def _verified(self, row: Entry) -> Verified[Evidence] | StannaryError | None:
        if row.type not in ("evidence", "decision"):
            return None
        try:
            about = Digest.parse(row.subject)
            item = verify_envelope(_envelope(row), self._trusted, subject=about, recorded=row.time, index=row.index)
            _filed_rightly(row, item.value)
        except (IntegrityError, InputError) as error:
            error.where = f"entry {row.index}"
            return error
        return item


def signed_statement(subject: Resource, kind: str, predicate: msgspec.Struct | dict[str, Json], signer: Signer) -> dsse.Envelope:
    """Return a statement about a subject in a signed envelope. Raises InputError when the predicate is none of its kind."""
    row = KINDS[kind]
    if not isinstance(predicate, msgspec.Struct):
        decoded(row, predicate, f"{kind} predicate")
    try:
        payload = encode([subject], row.predicate_type, predicate)
    except ValueError as error:
        raise InputError(str(error), where=f"{kind} predicate", code="EVD002") from error
    return dsse.sign(payload, signer)


def _envelope(row: Entry) -> dsse.Envelope:
    try:
        return msgspec.convert(row.body, dsse.Envelope)
    except msgspec.ValidationError as error:
        msg = f"holds no envelope: {error}"
        raise InputError(msg, where=f"entry {row.index}", code="EVD001") from error


def _filed_rightly(row: Entry, evidence: Evidence) -> None:
    """Refuse an entry that is filed under something else than what it holds."""
    if (row.id, row.subject, row.kind) != (str(evidence.id), str(evidence.subject), evidence.kind):
        msg = "is filed under another id, subject or kind than the statement it holds"
        raise IntegrityError(msg, where=f"entry {row.index}", code="EVD008", help="stannary ledger audit")
