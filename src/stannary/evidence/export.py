"""Evidence for others: envelopes, receipts and keys in files, to be verified without us."""

from __future__ import annotations

from pathlib import Path

import msgspec

from stannary.core.errors import UsageError
from stannary.core.model import Digest
from stannary.evidence.chain import Chain

__all__ = ["export_evidence"]


def export_evidence(chain: Chain, folder: Path, subject: Digest | None = None) -> int:
    """Write ID.dsse.json and ID.receipt.json of each statement, and the keys; return how many there are.

    A receipt holds the record's place in the log, the proof and a signed checkpoint; `log.vkey` verifies it, with
    `log.keys.json` where the log was handed over to another key.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / "log.vkey").is_file():  # statements in it would change what it is, a model for one
        msg = "holds other things, and no exported evidence"
        raise UsageError(msg, where=str(folder), code="EVD019", help="name a new or empty folder")
    entries = chain.ledger.find(subject=str(subject)) if subject is not None else chain.ledger.find()
    count = 0
    for row in entries:
        if row.type not in ("evidence", "decision"):
            continue
        stem = row.id.removeprefix("sha256:")
        (folder / f"{stem}.dsse.json").write_bytes(msgspec.json.encode(row.body))
        (folder / f"{stem}.record.json").write_bytes(row.record)
        (folder / f"{stem}.receipt.json").write_bytes(msgspec.json.encode(chain.ledger.prove(row.index)))
        count += 1
    keys = folder / "keys"
    keys.mkdir(exist_ok=True)
    for key in chain.workspace.trust.keys:
        (keys / f"{key.keyid}.pem").write_text(key.pem, encoding="utf-8")
    if chain.ledger.keys.retired:
        (folder / "log.keys.json").write_bytes(msgspec.json.encode(chain.ledger.keys.document()))
    (folder / "log.pub").write_bytes(chain.workspace.log_key.pem())
    (folder / "log.vkey").write_text(str(chain.ledger.key) + "\n", encoding="utf-8")
    return count
