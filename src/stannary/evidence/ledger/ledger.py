"""The ledger: one append-only log for evidence, decisions, registry events, grants and responses.

Whatever is read is proven under the signed head first. Every method that finds something wrong raises
IntegrityError with a code and what to do; only `audit` goes on, and reports all of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

import msgspec

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto.interface import Signer, Verifier
from stannary.crypto.merkle import consistency_proof, inclusion_proof, leaf_hash, root_of, verify_inclusion
from stannary.crypto.note import Checkpoint, Note, VerifierKey, parse_note, verify_note
from stannary.crypto.proof_file import encode_proof
from stannary.evidence.ledger.entry import Entry, Receipt, checked, header_of, leaf_of
from stannary.evidence.ledger.finding import Finding
from stannary.evidence.ledger.log_keys import HANDOVER, Handover, LogKeys, handover_record
from stannary.evidence.ledger.remember import head_file_of, require_file, require_none
from stannary.evidence.ledger.sequencer import Prepared, Sequencer, forgotten, remembered
from stannary.evidence.ledger.tree import Tree, gone
from stannary.store.head_file import HeadFile
from stannary.store.ledger_store import LedgerStore, is_url, open_store, retried

if TYPE_CHECKING:
    from stannary.evidence.ledger.audit import Report

__all__ = ["Ledger", "Renewal"]

# Returns the keys of the log as they are now, and what opens the current one.
Renewal: TypeAlias = Callable[[], tuple[LogKeys, Callable[[], Signer]]]

_SKEW = timedelta(minutes=5)


class Ledger(Finding):
    """A log in a file or a database. Made by `Ledger.open`; to be used by any number of threads and processes at once."""

    def __init__(
        self,
        stores: Sequence[LedgerStore],
        keys: LogKeys,
        head: HeadFile,
        sequencer: Sequencer | None,
        clock: Callable[[], datetime],
    ) -> None:
        self.key = keys.current
        self.keys = keys
        self._store = stores[-1]
        self._stores = stores
        self._head_file = head
        self._sequencer = sequencer
        self._clock = clock
        self._tree = Tree(self._store, keys)
        if sequencer is not None:
            self._tree.own, self._tree.at_hand = lambda: sequencer.last, sequencer.edge
        self._census = None
        self._starts = {}
        self._latest = (0, b"", None)
        self._renewal: Renewal | None = None

    @classmethod
    def open(
        cls,
        address: str | Path,
        signer: Signer | None,
        *,
        origin: str,
        verifier: Verifier | LogKeys,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        head: str | Path | None = None,
        accept: bool = False,
    ) -> Ledger:
        """Open a ledger, or make it when there is none and `signer` is given. Without a signer it is read-only.

        `address` is a file, or the URL of a PostgreSQL database. `origin` names the log, `verifier` is its public key (Ed25519),
        or its keys when it was handed over. `head` is the file that remembers the last signed head, PATH.head by default; on
        another disk it shows more. When that file is lost, `accept` takes the head as it is: for somebody who has verified it
        since a kept checkpoint.
        Raises UsageError, BackendError, or IntegrityError when the store was rolled back or is not that log.
        """
        keys = LogKeys.of(origin, verifier)
        head_file = head_file_of(address, head)
        if signer is not None and VerifierKey.of(origin, signer.public) != keys.current:
            msg = "the signer has another key than the log"
            raise UsageError(msg, where=str(head_file.path), code="KEY010", help="open the ledger with its own key")
        if signer is None and not is_url(address):
            require_file(Path(address), head_file, keys)
        lock = Path(f"{head_file.path}.lock")
        meta = {"origin": origin, "format": "stannary.ledger/1"} if signer is not None else None
        sequencer = None
        opened: list[LedgerStore] = []
        try:
            if signer is not None:
                opened.append(open_store(address, origin, lock=lock, create=meta, write=True))
                sequencer = Sequencer(opened[0], keys, signer, head_file)
                sequencer.begin()
            opened.append(open_store(address, origin, lock=lock))
            ledger = cls(opened, keys, head_file, sequencer, clock)
            ledger.recall(accept=accept)
        except BaseException as error:
            for item in opened:
                item.close()
            if isinstance(error, UsageError) and error.code == "LED018":
                require_none(error, head_file, keys)
            raise
        return ledger

    def follow_keys(self, renewal: Renewal) -> None:
        """Go on when the log is handed over to another key while it is open here: `renewal` returns its keys as they are now."""
        self._renewal = renewal
        self._tree.renew = self._renewed
        if self._sequencer is not None:
            self._sequencer.watch(self._renewed)

    def _renewed(self) -> bool:
        """Take up the keys, if they are others and go on from those that are known. Tells whether they were."""
        if self._renewal is None:
            return False
        keys, signer = self._renewal()
        if keys == self.keys or keys.all[: len(self.keys.all)] != self.keys.all:
            return False
        if self._sequencer is not None:
            self._sequencer.take_up(keys, signer())
        self.keys, self.key, self._tree.keys = keys, keys.current, keys
        return True

    @property
    def where(self) -> str:
        """Return where it is: a path, or the address of the database without its password."""
        return self._store.where

    @property
    def head_path(self) -> Path:
        """Return the file that remembers the head."""
        return self._head_file.path

    # Appending

    def append(self, records: Sequence[bytes]) -> list[Receipt]:
        """Append records (made by `entry`) and return a receipt for each, when they and a signed checkpoint over them are on disk.

        The columns to search by are read from the record itself. Calls from several threads share a transaction.
        Raises UsageError when the ledger is read-only, InputError for what is not a record (then nothing is appended),
        IntegrityError when the ledger was tampered with.
        """
        sequencer, now = self._writing(), self._clock()
        prepared = [self._prepare(record, now) for record in records]
        if any(item.columns[0] == HANDOVER for item in prepared):
            msg = f"an entry of type {HANDOVER} hands the log over to another key, and is made by that alone"
            raise InputError(msg, where="record", code="LED027", help="`stannary ledger rotate`")
        receipts = sequencer.append(prepared) if prepared else []
        if receipts and receipts[-1].index + 1 == receipts[-1].size:
            time = datetime.fromisoformat(prepared[-1].columns[4])
            self._latest = (receipts[-1].size, bytes.fromhex(receipts[-1].root), time)
        return receipts

    def _prepare(self, record: bytes, now: datetime) -> Prepared:
        header = checked(record)
        if abs(datetime.fromisoformat(header.time) - now) > _SKEW:
            msg = f"its time is {header.time}, and now it is {now.isoformat()}: a record has the time at which it is appended"
            raise InputError(msg, where="record", code="LED017", help="keep other times in the body")
        leaf, body = leaf_of(record)
        detached = header_of(leaf).detached if body else msgspec.UNSET
        digest = "" if detached is msgspec.UNSET else detached.sha256
        return Prepared(leaf, leaf_hash(leaf), header.columns, body, digest)

    def add_cosignature(self, content: str | bytes, witnesses: Iterable[VerifierKey]) -> Checkpoint:
        """Keep a checkpoint of this log with the cosignatures of witnesses on it. Raises IntegrityError when one does not hold."""
        sequencer = self._writing()
        checkpoint, note = self.keys.open(content, proven=True)
        known = verify_note(note, witnesses)
        if not known:
            msg = "none of the witnesses has signed this checkpoint"
            raise IntegrityError(msg, code="LED014", help="give the verifier key of the witness that did")
        lines = {(line.name, line.id): line for line in note.signatures}
        kept = [lines[key.name, key.id] for key in (*self.keys.all, *known) if (key.name, key.id) in lines]
        with self.reading():
            stored = self._checkpoint(checkpoint.size)
            if stored:
                have = {(line.name, line.id) for line in kept}
                kept += [line for line in parse_note(stored).signatures if (line.name, line.id) not in have]
        sequencer.put_checkpoint(checkpoint, str(Note(note.text, tuple(kept))))
        return checkpoint

    def hand_over(self, new: Signer, *, compromised: bool = False) -> Handover:
        """Hand the log over to a new key: append the entry that says so. This ledger signs nothing any more; open it with that key.

        `compromised`: the old key was stolen, and its word alone is not to be taken. Raises UsageError when the ledger is read-only
        or the key is the one that it has.
        """
        sequencer, old, now = self._writing(), self._writing().signer, self._clock()

        def make(head: Checkpoint) -> Prepared:
            return self._prepare(handover_record(head, old, new, now, compromised=compromised), now)

        return self.handover(sequencer.hand_over(make, new).index)

    def handover(self, index: int) -> Handover:
        """Return an entry by which the log was handed over, with its proof. Raises UsageError or IntegrityError for another one."""
        receipt = self.prove(index, index + 1)
        proof = encode_proof(receipt.index, [bytes.fromhex(item) for item in receipt.proof], receipt.checkpoint)
        return Handover(self.read(index).record.decode(), proof)

    def keep(self, note: str) -> None:
        """Keep a checkpoint that another copy of this log keeps: the log's signature is verified, those of witnesses are not."""
        self._writing().put_checkpoint(self.keys.open(note, proven=True)[0], note)

    def _writing(self) -> Sequencer:
        if self._sequencer is None:
            msg = "the ledger is open for reading only"
            raise UsageError(msg, code="LED016", help="open it with its signing key")
        return self._sequencer

    # Reading

    @retried
    def head(self) -> Checkpoint:
        """Return the signed head, proven to be the one of the stored tree and to continue the last one seen."""
        with self._store.glance((), -1) as seen:
            if self._tree.bring(seen):
                return self._tree.head
        with self.reading():
            return self._tree.head

    @retried
    def head_note(self) -> str:
        """Return the signed head as it is published: a checkpoint with its signatures."""
        with self.reading():
            return self._tree.note

    @retried
    def read(self, index: int) -> Entry:
        """Return an entry. Raises UsageError when there is none of that index."""
        with self._glance(index) as seen:
            if seen is not None and seen.row is not None:
                return self._proven([seen.row])[0]
        with self.reading():
            self._within(index, self._tree.head.size)
            found = self._proven(self._store.rows(index, index + 1))
            if not found:
                raise gone(index)
            return found[0]

    @retried
    def entries(self, start: int = 0, end: int | None = None) -> list[Entry]:
        """Return the entries from `start` up to `end`, in their order."""
        with self.reading():
            size = self._tree.head.size
            end = size if end is None else min(end, size)
            found = self._proven(self._store.rows(start, end))
            if len(found) == max(0, end - start):
                return found
            raise gone(next((i for i, item in enumerate(found, start) if item.index != i), start + len(found)))

    # Proving

    @retried
    def prove(self, index: int, size: int | None = None) -> Receipt:
        """Return a receipt for an entry under the head, or under the kept (cosigned) checkpoint of `size` entries."""
        if size is None:
            with self._glance(index, entry=False) as seen:
                if seen is not None:
                    return self._receipt(index, self._tree.head, self._tree.note)
        with self.reading():
            head, note = self._tree.head, self._tree.note
            if size is not None and size != head.size:
                note = self._checkpoint(size)
                if not note:
                    msg = f"there is no signed checkpoint of {size} entries"
                    raise UsageError(msg, code="LED018", help="prove it under the head")
                head, _ = self.keys.open(note, proven=True)
            self._within(index, head.size)
            return self._receipt(index, head, note)

    def _receipt(self, index: int, head: Checkpoint, note: str) -> Receipt:
        leaf = self._tree.leaf(index)
        proof = inclusion_proof(index, head.size, self._tree.node)
        verify_inclusion(leaf, index, head.size, proof, head.root)
        return Receipt(index, leaf.hex(), head.size, head.root.hex(), tuple(item.hex() for item in proof), note)

    @retried
    def root_at(self, size: int) -> bytes:
        """Return the root that the log had when it had `size` entries. Raises UsageError for more than there are."""
        with self.reading():
            if not 0 <= size <= self._tree.head.size:
                msg = f"the log has {self._tree.head.size} entries, not {size}"
                raise UsageError(msg, code="LED018", help="give a size that the log had")
            return root_of(size, self._tree.node)

    @retried
    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the log of `old` entries is the beginning of that of `new` (all of them by default)."""
        with self.reading():
            new = self._tree.head.size if new is None else new
            if not 0 <= old <= new <= self._tree.head.size:
                msg = f"the log has {self._tree.head.size} entries; there is nothing to prove from {old} to {new}"
                raise UsageError(msg, code="LED018", help="give sizes that the log had")
            return consistency_proof(old, new, self._tree.node)

    @retried
    def verify_since(self, content: str | bytes) -> Checkpoint:
        """Return the head, when it continues a checkpoint of this log that was kept elsewhere. Raises IntegrityError."""
        old, _ = self.keys.open(content, proven=True)
        with self.reading():
            self._tree.remember(old)
            return self._tree.head

    @retried
    def cosigned(self, size: int | None = None) -> str:
        """Return the kept checkpoint of `size`, or the largest one that a witness has signed; an empty text for none."""
        if size is None:
            return next((note for note in reversed(self.kept()) if self.keys.is_cosigned(note)), "")
        with self.reading():
            return self._checkpoint(size)

    @retried
    def kept(self) -> list[str]:
        """Return every checkpoint with more than one signature, the smallest first: a witness's, or two keys' at a hand-over."""
        with self.reading():
            return [note for _, note in self._store.checkpoints() if len(parse_note(note).signatures) > 1]

    @retried
    def audit(self, *, deep: bool = False) -> Report:
        """Hash every entry and every node again, compare all columns with all records, and report every deviation.

        With `deep` the back end looks for every row in every index besides, which takes longer than all else.
        """
        from stannary.evidence.ledger.audit import audit

        with contextlib.closing(self._store.again()) as store:
            return audit(store, self.keys, self._head_file, deep=deep)

    @retried
    def export_tiles(self, folder: str | Path, *, head: bool = True) -> Checkpoint:
        """Write the log as static files in the layout of C2SP tlog-tiles, entry bundles included. Files that are there stay.

        Without `head` the checkpoint is not put in its place yet: `tiles.publish` does that.
        """
        from stannary.evidence.ledger.tiles import export

        with self.reading():
            return export(self._store, self._tree, Path(folder), head=head)

    def follow(self, folder: str | Path) -> Checkpoint:
        """Bring in the entries that an exported copy of this log has and this one has not. Returns the head.

        Raises UsageError when the ledger is read-only, InputError or IntegrityError for what is no continuation of this log;
        then nothing is taken.
        """
        from stannary.evidence.ledger.replay import bring_in

        return self.verify_since(bring_in(self._writing(), Path(folder), self.keys, self.head().size))

    # The remembered head

    @retried
    def recall(self, *, accept: bool = False) -> Checkpoint:
        """Hold the head against the remembered one. With `accept`, remember this one when none is: after `verify_since`."""
        seen = remembered(self._head_file, self.keys)  # first: a head is remembered after it was committed
        with self._store.snapshot():
            self._tree.refresh()
            if seen is not None:
                self._tree.remember(seen[0])
            elif accept:
                self._head_file.begin(self._tree.note)
            else:
                raise forgotten(self._head_file)
            return self._tree.head

    # Inside

    def _checkpoint(self, size: int) -> str:
        return next((note for have, note in self._store.checkpoints() if have == size), "")

    def _within(self, index: int, size: int) -> None:
        if not 0 <= index < size:
            msg = f"there is no entry {index}: the log has {size}"
            raise UsageError(msg, code="LED018", help="entries are counted from 0")

    def close(self) -> None:
        """Let go of the file."""
        for store in self._stores:
            store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
