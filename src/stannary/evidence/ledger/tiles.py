"""Export as static files: what a web server needs to publish the log, and any tlog-tiles client to read it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stannary.core.errors import IntegrityError, UsageError
from stannary.crypto.merkle import TILE_HEIGHT, TILE_WIDTH, leaf_hash, tile_path
from stannary.crypto.note import Checkpoint
from stannary.evidence.ledger.tree import Tree
from stannary.store.disk_room import naming
from stannary.store.ledger_store import LedgerStore

__all__ = ["export", "publish"]

_SCRATCH = ".tile-"
_HEAD, _NEXT = "checkpoint", "checkpoint.new"


def export(store: LedgerStore, tree: Tree, folder: Path, *, head: bool = True) -> Checkpoint:
    """Write tiles, entry bundles and, last, the checkpoint: a reader never sees a head whose tiles are not there.

    Without `head` the checkpoint is only laid beside: whoever has more to write before it calls `publish` then.

    What the checkpoint rests on is on the disk before it is. Full tiles and bundles that are there already are compared, not
    written again: they never change. A body that is too large for its leaf is written as `body/sha256/HEX`. What an export that was
    killed has left half written is removed. Raises IntegrityError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _ours(folder)
    with _alone(folder):
        for path in folder.rglob(f"{_SCRATCH}*"):
            path.unlink()
        changed: set[Path] = set()
        size, level = tree.head.size, 0
        while size >> TILE_HEIGHT * level:
            full, partial = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
            for n in range(full + (1 if partial else 0)):
                width = TILE_WIDTH if n < full else partial
                changed |= _write(folder, tile_path(level, n, width), b"".join(tree.hashes(level, n)))
                if level == 0:
                    changed |= _bundle(store, tree, folder, n, width)
            level += 1
        for item in changed:
            _flush(item)
        for item in _write(folder, _HEAD if head else _NEXT, tree.note.encode(), replace=True):
            _flush(item)
    return tree.head


def publish(folder: Path) -> None:
    """Put the checkpoint that was laid beside in its place: from now on the exported log ends there."""
    (folder / _NEXT).replace(folder / _HEAD)
    _flush(folder)


def _ours(folder: Path) -> None:
    """Refuse a folder that holds anything else: tiles in it would change what it is, a model for one. Raises UsageError."""
    known = {_HEAD, _NEXT, "tile", "body"}
    odd = sorted(path.name for path in folder.iterdir() if path.name not in known and not path.name.startswith((_SCRATCH, ".")))
    if odd and not (folder / _HEAD).is_file():
        msg = f"holds other things ({odd[0][:60]}), and no export of a log"
        raise UsageError(msg, where=str(folder), code="LED030", help="name a new or empty folder")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other export write there meanwhile; the system lets go when the process ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bundle(store: LedgerStore, tree: Tree, folder: Path, n: int, width: int) -> set[Path]:
    from stannary.evidence.ledger.entry import header_of

    changed: set[Path] = set()
    start, leaves, parts = n << TILE_HEIGHT, tree.hashes(0, n), []
    rows = list(store.rows(start, start + width))
    if [leaf_hash(row.record) for row in rows] != leaves:
        msg = f"entries {start} to {start + width - 1} are not the ones under the signed head"
        raise IntegrityError(msg, code="LED007", help="`stannary ledger audit` says which; restore it from a backup")
    for row in rows:
        parts.append(len(row.record).to_bytes(2) + row.record)
        detached = header_of(row.record).detached
        if detached:
            changed |= _write(folder, f"body/sha256/{detached.sha256}", store.body(detached.sha256) or b"")
    return changed | _write(folder, tile_path("entries", n, width), b"".join(parts))


def _write(root: Path, name: str, content: bytes, *, replace: bool = False) -> set[Path]:
    """Write a file as a whole, unless it is there; return the folders that changed. Raises IntegrityError when it is another."""
    path = root / name
    if path.exists() and not replace:
        if path.read_bytes() != content:
            msg = "was published with another content than the log has"
            raise IntegrityError(msg, where=str(path), code="LED002", help="keep the file: it shows that the log was rewritten")
        return set()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=_SCRATCH)
    try:
        with naming(path), os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # the next export takes away what cannot be now
            Path(scratch).unlink(missing_ok=True)
        raise
    return {item for item in path.parents if item == root or root in item.parents}
