"""Log entries: that a trusted log took an entry when it says so, and kept it.

The promise (Rekor's signed entry timestamp) is the log's signature on body, index and time. The proof leads from the
body to the root of a tree, whose head (a checkpoint) the log signed. Both are needed: a promise can be broken, and a
proof has no time.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import NoReturn

from stannary.core.canonical import canonical_json
from stannary.core.errors import InputError, IntegrityError, StannaryError
from stannary.crypto.keys import PublicKey
from stannary.crypto.merkle import leaf_hash, verify_inclusion
from stannary.crypto.note import Checkpoint, VerifierKey, parse_note, verify_note
from stannary.evidence.sigstore.bundle import LogEntry
from stannary.evidence.sigstore.trusted_root import Log, TrustedRoot, known

__all__ = ["promised", "verify_entry"]


def promised(body: bytes, index: int, integrated: int, log: bytes) -> bytes:
    """Return what a log signs when it promises to keep an entry."""
    said = {"body": base64.b64encode(body).decode(), "integratedTime": integrated, "logID": log.hex(), "logIndex": index}
    return canonical_json(said)


def verify_entry(entry: LogEntry, root: TrustedRoot) -> datetime | None:
    """Return when a trusted log took the entry, None when it does not say. Raises IntegrityError.

    1. a log of the trusted root is called so, and counted at that time;
    2. the promise, if there is one, is its signature;
    3. the proof leads from the entry to the root it names;
    4. the checkpoint is signed by that log, is of that log, and says the same root and size.
    """
    # 1.
    at = entry.time if entry.promise is not None and entry.integrated else None
    logs = [(log, log.key) for log in known(root.logs, entry.log, at) if log.key is not None]
    if not logs:
        when = f" at {at:%Y-%m-%d %H:%M} UTC" if at else ""
        msg = f"was logged in {entry.log.hex()[:16]}, which is no log of the trusted root{when}"
        raise IntegrityError(msg, code="SIG042", help="verify it with the trusted root of where it was signed")
    log, key = logs[0]
    # 2.
    if entry.promise is not None:
        _check_promise(entry, key)
    # 3.
    proof = entry.proof
    try:
        verify_inclusion(leaf_hash(entry.body), proof.position, proof.size, proof.hashes, proof.root)
    except IntegrityError as error:
        _unproven(error.message)
    # 4.
    _check_checkpoint(entry, log, key)
    return at


def _check_promise(entry: LogEntry, key: PublicKey) -> None:
    assert entry.promise is not None  # noqa: S101 - the caller looked
    try:
        key.verify(entry.promise, promised(entry.body, entry.position, entry.integrated, entry.log))
    except IntegrityError as error:
        msg = "the log did not promise this: its signature is not on this entry, index and time"
        raise IntegrityError(msg, code="SIG034", help="the bundle was changed: get it again from where it was signed") from error


def _check_checkpoint(entry: LogEntry, log: Log, key: PublicKey) -> None:
    try:
        note = parse_note(entry.proof.checkpoint)
        if not verify_note(note, [VerifierKey.of_log(log.host, key)]):
            names = ", ".join(sorted({line.name for line in note.signatures}))
            _unproven(f"the checkpoint is not signed by {log.host} (signed by: {names[:120]})")
        head = Checkpoint.parse(note.text)
    except (IntegrityError, InputError) as error:
        if error.code == "SIG035":
            raise
        _unproven(error.message)
    except StannaryError as error:  # a name that no log can have
        _unproven(error.message)
    if head.origin != log.host and not head.origin.startswith(f"{log.host} - "):
        _unproven(f"the checkpoint is of the log {head.origin[:80]!r}, not of {log.host!r}")
    if (head.size, head.root) != (entry.proof.size, entry.proof.root):
        _unproven("the checkpoint says another root or size than the proof")


def _unproven(why: str) -> NoReturn:
    msg = f"is not proven to be in the log: {why}"
    raise IntegrityError(msg, code="SIG035", help="the bundle was changed: get it again from where it was signed")
