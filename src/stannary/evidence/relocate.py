"""Take the ledger of a workspace elsewhere: from its file into a database, from one database into another, or back.

The entries go by an export, and are hashed again where they arrive: what is there then has the root that was signed. The
workspace names the new place last; until then the old one is the ledger, and it is never deleted.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from stannary.core.errors import IntegrityError, UsageError
from stannary.crypto.note import Checkpoint
from stannary.evidence.database import reach, url_of
from stannary.evidence.ledger import Ledger
from stannary.evidence.workspace import Workspace
from stannary.store.file_lock import held

__all__ = ["relocate"]

_HELP = "the ledger is used where it was; audit that, and take it to an empty database"


def relocate(workspace: Workspace, database: str) -> Checkpoint:
    """Copy the ledger to `database` (a URL or `env:NAME`; nothing for the file in the workspace), and use it there from now on.

    Nobody may append meanwhile: what is appended to the old place after the copy was made stays there, and the remembered head
    then tells. A copy that was interrupted is taken up. Raises UsageError, BackendError, or IntegrityError.
    """
    if database:
        reach(database)
    address = url_of(database) if database else workspace.ledger_path
    if address == workspace.ledger_address:
        msg = "the ledger is there already"
        raise UsageError(msg, where=str(workspace.root), code="WSP007", help="`stannary ledger head` shows its state")
    origin, signer, keys = workspace.settings.origin, workspace.log_signer, workspace.log_keys
    with contextlib.ExitStack() as stack:
        stack.enter_context(held(f"{workspace.head_path}.moving"))
        old = stack.enter_context(workspace.ledger())
        name = stack.enter_context(tempfile.TemporaryDirectory(dir=workspace.root))
        # What is at the new place already is proven by the copy that continues it, and not by a head remembered of it.
        with Ledger.open(address, signer, origin=origin, verifier=keys, head=Path(name) / "head", accept=True) as new:
            _copy(old, new, Path(name) / "log")
            workspace.relocate(database)
            return new.head()


def _copy(old: Ledger, new: Ledger, folder: Path) -> None:
    while new.head() != old.head():
        old.export_tiles(folder)
        new.follow(folder)
    for note in old.kept():
        new.keep(note)
    report = new.audit(deep=True)
    if not report.ok:
        first = report.deviations[0]
        msg = f"did not arrive as it was: {first.message}"
        raise IntegrityError(msg, where=new.where, code=first.code, help=_HELP)
