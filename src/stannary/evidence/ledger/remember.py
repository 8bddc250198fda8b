"""Where the head of a ledger is remembered, and what it means when the ledger is not there."""

from __future__ import annotations

from pathlib import Path

from stannary.core.errors import IntegrityError, UsageError
from stannary.evidence.ledger.log_keys import LogKeys
from stannary.evidence.ledger.sequencer import remembered
from stannary.store.head_file import HeadFile
from stannary.store.ledger_store import is_url

__all__ = ["head_file_of", "require_file", "require_none"]


def head_file_of(address: str | Path, head: str | Path | None) -> HeadFile:
    """Return the file that remembers the head of a ledger: PATH.head by default. Raises UsageError."""
    if head is None and is_url(address):
        msg = "a ledger in a database needs a file here that remembers its head"
        raise UsageError(msg, code="LED018", help="give `head`, or open it through a workspace")
    return HeadFile(head or f"{address}.head")


def require_file(path: Path, head: HeadFile, keys: LogKeys) -> None:
    """Raise when there is no ledger to read: IntegrityError when one is remembered, else UsageError."""
    if path.exists() and path.stat().st_size:
        return
    msg = "there is no ledger"
    error = UsageError(
        msg, where=str(path), code="LED018", help="`stannary init` makes a workspace; the first entry makes its ledger"
    )
    require_none(error, head, keys)
    raise error


def require_none(missing: UsageError, head: HeadFile, keys: LogKeys) -> None:
    """Raise IntegrityError for a ledger that is not there, when one is remembered."""
    seen = remembered(head, keys)
    if seen is not None:
        msg = f"the ledger is gone: it had {seen[0].size} entries"
        raise IntegrityError(
            msg, where=missing.where, code="LED003", help="restore it from a backup, then verify it --since a checkpoint"
        ) from missing
