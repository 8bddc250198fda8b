"""Export as static files: what a web server needs to publish the log, and any tlog-tiles client to read it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from stannary.core.errors import IntegrityError
from stannary.crypto.merkle import TILE_HEIGHT, TILE_WIDTH, leaf_hash, tile_path
from stannary.crypto.note import Checkpoint
from stannary.evidence.ledger.tree import Tree
from stannary.store.ledger_store import LedgerStore

__all__ = ["export"]


def export(store: LedgerStore, tree: Tree, folder: Path) -> Checkpoint:
    """Write tiles, entry bundles and, last, the checkpoint: a reader never sees a head whose tiles are not there.

    Full tiles and bundles that are there already are compared, not written again: they never change.
    A body that is too large for its leaf is written as `body/sha256/HEX`. Raises IntegrityError.
    """
    size, level = tree.head.size, 0
    while size >> TILE_HEIGHT * level:
        full, partial = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
        for n in range(full + (1 if partial else 0)):
            width = TILE_WIDTH if n < full else partial
            _write(folder / tile_path(level, n, width), b"".join(tree.hashes(level, n)))
            if level == 0:
                _bundle(store, tree, folder, n, width)
        level += 1
    _write(folder / "checkpoint", tree.note.encode(), replace=True)
    return tree.head


def _bundle(store: LedgerStore, tree: Tree, folder: Path, n: int, width: int) -> None:
    from stannary.evidence.ledger.entry import header_of

    start, leaves, parts = n << TILE_HEIGHT, tree.hashes(0, n), []
    rows = list(store.rows(start, start + width))
    if [leaf_hash(row.record) for row in rows] != leaves:
        msg = f"entries {start} to {start + width - 1} are not the ones under the signed head"
        raise IntegrityError(msg, code="LED007", help="`stannary ledger audit` says which; restore it from a backup")
    for row in rows:
        parts.append(len(row.record).to_bytes(2) + row.record)
        detached = header_of(row.record).detached
        if detached:
            _write(folder / "body" / "sha256" / detached.sha256, store.body(detached.sha256) or b"")
    _write(folder / tile_path("entries", n, width), b"".join(parts))


def _write(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a file as a whole, unless it is there. Raises IntegrityError when it is, and is another."""
    if path.exists() and not replace:
        if path.read_bytes() != content:
            msg = "was published with another content than the log has"
            raise IntegrityError(msg, where=str(path), code="LED002", help="keep the file: it shows that the log was rewritten")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".tile-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(scratch).chmod(0o644)
    Path(scratch).replace(path)
