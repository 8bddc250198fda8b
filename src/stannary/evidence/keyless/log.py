"""The log of signatures: an RFC 6962 tree of Rekor entries, kept and proven as the ledger is.

It is a log of its own and not the ledger, because verifiers of Sigstore hash the entry as Rekor writes it. Its key
is on P-256 and signs heads as well as promises, which is what these verifiers expect of Rekor 1.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from stannary.core.errors import IntegrityError
from stannary.crypto.interface import Signer, Verifier
from stannary.crypto.merkle import leaf_hash
from stannary.crypto.note import VerifierKey
from stannary.evidence.ledger.entry import Receipt, timestamp
from stannary.evidence.ledger.log_keys import LogKeys
from stannary.evidence.ledger.sequencer import Prepared, Sequencer, forgotten, remembered
from stannary.evidence.ledger.tree import Tree
from stannary.evidence.sigstore.entry import promised
from stannary.store.head_file import HeadFile
from stannary.store.ledger_db import SqliteStore
from stannary.store.ledger_store import LedgerStore

__all__ = ["Logged", "SignatureLog", "log_id"]

_FORMAT = "stannary.signature-log/1"


class Logged(NamedTuple):
    """An entry that is in the log: the proof, the log's name, its promise and the second it was taken in."""

    body: bytes
    kind: tuple[str, str]
    receipt: Receipt
    log: bytes
    integrated: int
    promise: bytes


class SignatureLog:
    """A log in a file. It is made when there is none and a signer is given."""

    def __init__(self, path: str | Path, origin: str, verifier: Verifier, signer: Signer | None = None) -> None:
        """Open it. Raises UsageError, BackendError, or IntegrityError when it was tampered with or rolled back."""
        self.key = VerifierKey.of_log(origin, verifier)
        self._keys = LogKeys(self.key)
        self.id = log_id(verifier)
        self._signer = signer
        self._open: list[LedgerStore] = []
        head = HeadFile(f"{path}.head")
        try:
            if signer is not None:
                self._open.append(SqliteStore(path, create={"origin": origin, "format": _FORMAT}, write=True))
                self._sequencer = Sequencer(self._open[0], self._keys, signer, head)
                self._sequencer.begin()
            self._store: LedgerStore = SqliteStore(path)
            self._open.append(self._store)
            self._tree = Tree(self._store, self._keys)
            seen = head.as_now()
            with self._store.snapshot():
                self._tree.refresh()
                self._remember(seen)
        except BaseException:
            self.close()
            raise

    def append(self, body: bytes, kind: tuple[str, str], now: datetime) -> Logged:
        """Take an entry (canonical JSON of Rekor's `kind` and `version`), durably, and return the proof that it is in."""
        assert self._signer is not None  # noqa: S101 - only an authority that signs appends
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        columns = ("signature", kind[0], "", digest, timestamp(now))
        receipt = self._sequencer.append([Prepared(body, leaf_hash(body), columns)])[0]
        integrated = int(now.timestamp())
        promise = self._signer.sign(promised(body, receipt.index, integrated, self.id))
        return Logged(body, kind, receipt, self.id, integrated, promise)

    def bodies(self) -> list[bytes]:
        """Return every entry, each of them the leaf under the signed head. Raises IntegrityError."""
        with self._store.snapshot():
            head = self._tree.refresh()
            rows = list(self._store.rows(0, head.size))
            changed = [i for i, row in enumerate(rows) if row.idx != i or leaf_hash(row.record) != self._tree.leaf(i)]
        if changed:
            msg = f"entry {changed[0]} of the signature log was changed: it is not the one under the signed head"
            raise IntegrityError(msg, where=self._store.where, code="LED007", help="restore it from a backup")
        return [row.record for row in rows]

    def _remember(self, head: HeadFile) -> None:
        """Hold the log to the head that was seen last. Raises IntegrityError when nothing says which that was."""
        seen = remembered(head, self._keys)
        if seen is None:
            raise forgotten(head)
        self._tree.remember(seen[0])

    def close(self) -> None:
        """Let go of the file."""
        for store in self._open:
            store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def log_id(key: Verifier) -> bytes:
    """Return what entries name the log by: the hash of its key, as Rekor has it."""
    return hashlib.sha256(key.spki).digest()
