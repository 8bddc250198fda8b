"""Read a log that was exported as files (`tiles.py`), to bring it into a ledger: a backup, or a log that is followed.

Only the entries are read. The hashes are made again from them, and what counts is whether their root is the one
under the signed checkpoint; so nothing in the folder has to be trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto.merkle import TILE_HEIGHT, TILE_WIDTH, leaf_hash, tile_path
from stannary.crypto.note import Checkpoint
from stannary.evidence.ledger.entry import checked, header_of, rejoin
from stannary.evidence.ledger.log_keys import LogKeys
from stannary.evidence.ledger.sequencer import Prepared, Sequencer
from stannary.store.head_file import HeadFile
from stannary.store.ledger_store import open_store

__all__ = ["bring_in", "exported_head", "exported_records", "follow_into"]


def bring_in(sequencer: Sequencer, folder: Path, keys: LogKeys, size: int) -> str:
    """Append what an exported log has beyond `size` entries, and return the note of its head.

    Raises UsageError when it has fewer, InputError or IntegrityError for what is no continuation.
    """
    head, note = exported_head(folder, keys)
    if head.size < size:
        msg = f"the exported log has {head.size:,} entries, and this one has {size:,} already"
        raise UsageError(msg, where=str(folder), code="LED018", help="there is nothing to take from it")
    if head.size > size:
        sequencer.follow(exported_records(folder, size, head.size), head, note)
    return note


def follow_into(address: str | Path, folder: Path, keys: LogKeys, head: Path) -> Checkpoint:
    """Bring a copy of a log up to its export, or make one, without the log's private key. Returns the head.

    `head` is the file that remembers the copy's head. Raises what `bring_in` raises; then the copy is what it was.
    """
    meta = {"origin": keys.name, "format": "stannary.ledger/1"}
    store = open_store(address, keys.name, lock=Path(f"{head}.lock"), create=meta, write=True)
    try:
        note = store.head()
        size = keys.open(note, proven=True)[0].size if note else 0
        # A copy from before a hand-over has a head by the key of that time. What it is brought to, the current key has signed.
        before = keys.as_of(size) if note else keys
        return keys.open_head(bring_in(Sequencer(store, before, None, HeadFile(head)), folder, keys, size))
    finally:
        store.close()


def exported_head(folder: Path, keys: LogKeys) -> tuple[Checkpoint, str]:
    """Return the head of an exported log and its note. Raises InputError when there is none, IntegrityError for another log's."""
    note = _read(folder / "checkpoint").decode("utf-8", "replace")
    return keys.open_head(note), note


def exported_records(folder: Path, start: int, end: int) -> Iterator[Prepared]:
    """Yield the records from `start` to `end` of an exported log. Raises InputError or IntegrityError for what is none."""
    for n in range(start >> TILE_HEIGHT, (end + TILE_WIDTH - 1) >> TILE_HEIGHT):
        first = n << TILE_HEIGHT
        for offset, leaf in enumerate(_bundle(folder, n, min(TILE_WIDTH, end - first))):
            if first + offset >= start:
                yield _prepared(folder, leaf)


def _bundle(folder: Path, n: int, width: int) -> list[bytes]:
    """Return the leaves of a bundle. A full one will do where a part was asked for."""
    full = folder / tile_path("entries", n)
    path = full if full.exists() else folder / tile_path("entries", n, width)
    content, at = _read(path), 0
    leaves: list[bytes] = []
    while at < len(content) and len(leaves) < width:
        length = int.from_bytes(content[at : at + 2])
        leaves.append(content[at + 2 : at + 2 + length])
        at += 2 + length
    if len(leaves) != width or at > len(content):
        msg = f"is cut short: it holds {len(leaves)} of {width} entries"
        raise InputError(msg, where=str(path), code="LED021", help="take the export again")
    return leaves


def _prepared(folder: Path, leaf: bytes) -> Prepared:
    header = header_of(leaf)
    if not header.detached:
        checked(leaf)
        return Prepared(leaf, leaf_hash(leaf), header.columns)
    body = _read(folder / "body" / "sha256" / header.detached.sha256)
    checked(rejoin(leaf, body))
    return Prepared(leaf, leaf_hash(leaf), header.columns, body, header.detached.sha256)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        msg = "is missing from the exported log"
        raise IntegrityError(msg, where=str(path), code="LED021", help="take the export again") from error
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(path), code="LED021") from error
