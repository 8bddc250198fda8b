"""The audit: every record hashed again, every node built again, everything else held against them.

It takes nothing for granted but the public key. It does not stop at what is wrong: a report names every
deviation, where it is, and what it looks like (edited, missing, moved, columns that lie, ...). Every record is read
once; hashes, columns and the signed census are made from that one reading.
"""

from __future__ import annotations

import contextlib
import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from stannary.core.errors import InputError, IntegrityError, StannaryError, UsageError
from stannary.crypto.merkle import HASH_SIZE, TILE_HEIGHT, TILE_WIDTH, Frontier, fold, node_hash, verify_consistency
from stannary.crypto.note import Checkpoint, VerifierKey
from stannary.evidence.ledger.census import Recount
from stannary.evidence.ledger.entry import LARGEST_LEAF, all_say, header_of, rejoin
from stannary.evidence.ledger.log_keys import HANDOVER, LogKeys
from stannary.evidence.ledger.remember import require_none
from stannary.evidence.ledger.sequencer import remembered
from stannary.store.head_file import HeadFile
from stannary.store.ledger_store import LedgerStore, Plain, Row, is_url, open_store

__all__ = ["Deviation", "Report", "audit", "audit_file"]

_BLOCK = 4 * TILE_WIDTH  # entries that are read at once
_COLUMNS = ("type", "kind", "subject", "id", "time")


class Deviation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that is not as the signed head says: what, and at which entry when it is one."""

    code: str
    message: str
    index: int | None = None


class Report(msgspec.Struct, frozen=True):
    """What was audited, and every deviation: none when the ledger is what was signed."""

    origin: str
    size: int
    root: str  # hex
    entries: int
    nodes: int
    deviations: tuple[Deviation, ...]

    @property
    def ok(self) -> bool:
        """Tell whether nothing deviates."""
        return not self.deviations


def audit(store: LedgerStore, keys: LogKeys, head_file: HeadFile, *, deep: bool = False) -> Report:
    """Audit one state of a ledger, while it may go on."""
    seen = head_file.as_now()
    with store.snapshot():
        return _Audit(store, keys, Recount(head_file.path.with_suffix(".census"), keys.current)).run(seen, deep=deep)


def audit_file(address: str | Path, keys: VerifierKey | LogKeys, head: str | Path | None = None, *, deep: bool = False) -> Report:
    """Audit a ledger (a file, or the URL of a database), also one that `Ledger.open` refuses. Raises UsageError when there is none.

    `head` is the file that remembers its head, PATH.head by default. With `deep` the back end compares its indexes with
    their tables row by row as well; without, only how many rows they have.
    """
    if head is None and is_url(address):
        msg = "a ledger in a database is audited against the file here that remembers its head"
        raise UsageError(msg, code="LED018", help="give `head`")
    file = HeadFile(head or f"{address}.head")
    keys = LogKeys(keys) if isinstance(keys, VerifierKey) else keys
    try:
        try:
            store = open_store(address, keys.name, lock=file.path)
        except UsageError as error:
            require_none(error, file, keys)
            raise
        with contextlib.closing(store):
            return audit(store, keys, file, deep=deep)
    except IntegrityError as error:  # it cannot even be read to its end
        return Report(keys.name, 0, "", 0, 0, (Deviation(error.code or "LED010", error.message),))


class _Audit:
    def __init__(self, store: LedgerStore, keys: LogKeys, census: Recount) -> None:
        self.store = store
        self.keys = keys
        self.census = census
        self.found: list[Deviation] = []
        self.entries = self.nodes = 0
        self.named = {"subject": 0, "kind": 0}  # how many rows have one
        self.bodies: set[str] = set()
        self.subtrees = Frontier()  # over the roots of full tiles of level 0
        self.handovers: list[tuple[int, bytes]] = []
        self.heads: dict[int, bytes] = {}  # the roots that the records give at the sizes of checkpoints
        self.strays: dict[int, bytes] = {}  # records that are not the leaf where they stand
        self.wanted: dict[bytes, int] = {}  # leaves whose record is not where it belongs

    def say(self, code: str, message: str, index: int | None = None) -> None:
        self.found.append(Deviation(code, message, index))

    def run(self, head_file: HeadFile, *, deep: bool) -> Report:
        """Audit everything; what the back end takes long for, on a second core meanwhile."""
        with ThreadPoolExecutor(1) as beside:
            problems = beside.submit(self.store.problems, deep=True) if deep else None
            head = self._compare(head_file)
            for start in self.census.lies if not self.found else ():  # the one thing that goes by the log's word
                self.say(
                    "LED026", f"what was signed of how entries from {start} on can be found is not what the records give", start
                )
            for problem in problems.result() if problems else self.store.problems():
                self.say("LED010", f"the store is damaged: {problem[:200]}")
        return Report(self.keys.name, head.size, head.root.hex(), self.entries, self.nodes, tuple(self.found))

    def _compare(self, head_file: HeadFile) -> Checkpoint:
        """Hold all that is stored against what is signed, and return the head.

        1. checkpoints and the remembered head, signatures first;
        2. entries, in order, against the leaves of the tiles, and tiles against what they are built from;
        3. the roots against the signed ones;
        4. that there is nothing else.
        """
        checkpoints = self._checkpoints()  # 1.
        head = checkpoints[-1] if checkpoints else Checkpoint(self.keys.name, 0, self.subtrees.root())
        seen = self._remembered(head_file, head)
        sizes = {checkpoint.size for checkpoint in checkpoints} | ({seen.size} if seen else set())
        self._entries(head.size, sizes)  # 2.
        self._handed_over()
        self._strays(right=self.heads.get(head.size) == head.root)
        for size, signed in dict.fromkeys((item.size, item.root) for item in [*checkpoints, *([seen] if seen else [])]):  # 3.
            root = self.heads.get(size)
            if root is not None and root != signed:
                self.say("LED006", f"the records do not give the root that was signed for {size} entries")
        self._nothing_else(head.size)  # 4.
        return head

    def _checkpoints(self) -> list[Checkpoint]:
        found: list[Checkpoint] = []
        for size, note in self.store.checkpoints():
            try:
                checkpoint, _ = self.keys.open(note, proven=True)
            except StannaryError as error:
                self.say(error.code or "LED005", f"checkpoint of {size} entries: {error.message}")
                continue
            if checkpoint.size != size:
                self.say("LED008", f"a checkpoint of {checkpoint.size} entries stands where one of {size} belongs")
            found.append(checkpoint)
        if not found:
            self.say("LED004", "there is no signed head")
        found.sort(key=lambda item: item.size)
        if found and found[-1].size < self.keys.first:
            what = f"it was handed over after {self.keys.first - 1} entries, and has {found[-1].size}"
            self.say("LED003", f"the ledger was rolled back: {what}")
        return found

    def _remembered(self, file: HeadFile, head: Checkpoint) -> Checkpoint | None:
        try:
            seen = remembered(file, self.keys)
        except IntegrityError as error:
            self.say(error.code or "LED005", f"the remembered head: {error.message}")
            return None
        if seen is None:
            self.say("LED009", "the remembered head is missing: whether the ledger was rolled back cannot be told")
            return None
        if seen[0].size > head.size:
            self.say("LED003", f"the ledger was rolled back: it had {seen[0].size} entries, and has {head.size}")
            return None
        if seen[0].size == head.size:
            try:
                verify_consistency(head.size, head.size, seen[0].root, head.root, [])
            except IntegrityError as error:
                self.say(error.code or "LED002", error.message)
        return seen[0]

    def _entries(self, size: int, sizes: set[int]) -> None:
        """Go through the entries up to the head, a tile at a time."""
        above: list[list[bytes]] = []  # the hashes of the tile that is being built on each level from 1
        if 0 in sizes:
            self.heads[0] = self.subtrees.root()
        marks = sorted(sizes)
        for start, rows in self._tiles(size):
            width = min(TILE_WIDTH, size - start)
            leaves = self._tile(start, width, rows)
            for wanted in marks[bisect_right(marks, start) : bisect_right(marks, start + width)]:
                self.heads[wanted] = self._root(leaves[: wanted - start])
            if width < TILE_WIDTH:
                break
            root = fold(leaves)
            self.nodes += TILE_WIDTH - 1
            list(self.subtrees.append(root))
            self.census.take(start, rows, root)
            self._up(above, 0, root, start >> TILE_HEIGHT)
        for level, hashes in enumerate(above, 1):
            if hashes:
                self._same(level, size >> TILE_HEIGHT * (level + 1), hashes)

    def _tiles(self, size: int) -> Iterator[tuple[int, list[Plain]]]:
        """Yield where each tile begins, and the rows that there are of it."""
        for first in range(0, size, _BLOCK):
            end = min(first + _BLOCK, size)
            rows = self.store.block(first, end)
            for start in range(first, end, TILE_WIDTH):
                stop = min(start + TILE_WIDTH, end)
                whole = len(rows) == end - first
                yield start, rows[start - first : stop - first] if whole else [row for row in rows if start <= row[0] < stop]

    def _tile(self, start: int, width: int, rows: Sequence[Plain]) -> list[bytes]:
        """Return the hashes of the records of a tile (of a missing one, the stored leaf), compared with what is stored."""
        sha256 = hashlib.sha256
        stored = self.store.tile(0, start >> TILE_HEIGHT)
        leaves = [sha256(b"\0" + row[6]).digest() for row in rows]
        self.entries += len(rows)
        self.named["kind"] += len(rows) - [row[2] for row in rows].count("")
        self.named["subject"] += len(rows) - [row[3] for row in rows].count("")
        self.handovers += [(row[0], row[6]) for row in rows if row[1] == HANDOVER]
        if not all_say(rows):
            for row in rows:
                if not all_say((row,)):
                    self._record(Row(*row))
        if len(rows) == width and b"".join(leaves) == stored:
            return leaves
        if len(stored) != width * HASH_SIZE:
            self.say("LED006", f"tile {start >> TILE_HEIGHT} of level 0 has {len(stored) / HASH_SIZE:g} hashes, not {width}")
        present = {row[0]: leaf for row, leaf in zip(rows, leaves, strict=True)}
        found: list[bytes] = []
        for place in range(width):
            index, expected = start + place, stored[place * HASH_SIZE : (place + 1) * HASH_SIZE]
            leaf = present.get(index)
            if leaf is None:
                self.say("LED015", f"entry {index} is missing", index)
            elif leaf != expected and len(expected) == HASH_SIZE:
                self.strays[index] = leaf
            if leaf != expected:
                self.wanted[expected] = index
            found.append(leaf or expected.ljust(HASH_SIZE, b"\0"))
        return found

    def _record(self, row: Row) -> None:
        """Compare the columns of a row with its record, and its body with the digest of it."""
        try:
            header = header_of(row.record)
        except InputError as error:
            self.say("LED012", f"entry {row.idx} {error.message}", row.idx)
            return
        if header.columns != row[1:6]:
            lies = ", ".join(name for name, a, b in zip(_COLUMNS, header.columns, row[1:6], strict=True) if a != b)
            self.say("LED008", f"entry {row.idx}: the columns say something else than the record: {lies}", row.idx)
        if header.detached is msgspec.UNSET:
            return
        self.bodies.add(header.detached.sha256)
        try:
            if len(rejoin(row.record, self.store.body(header.detached.sha256))) <= LARGEST_LEAF:
                self.say("LED013", f"entry {row.idx} has its body apart, and would hold it", row.idx)
        except IntegrityError as error:
            self.say("LED013", f"entry {row.idx}: {error.message}", row.idx)

    def _handed_over(self) -> None:
        """Say which entries that hand the log over are not the ones that lead to its keys."""
        known = {(item.last - 1, hand.record.encode()) for item, hand in zip(self.keys.retired, self.keys.handovers, strict=True)}
        for index, _ in known.symmetric_difference(self.handovers):
            self.say("LED027", f"entry {index} hands the log over, and that is not known here, or is known and not there", index)

    def _strays(self, *, right: bool) -> None:
        """Say of records that are not the stored leaf where they stand which of the two it is, and whether it was moved.

        `right`: all records together give the signed root, so that it is the leaves that were changed.
        """
        for index, leaf in self.strays.items():
            if right:
                self.say("LED006", f"the stored leaf of entry {index} is not the hash of it", index)
                continue
            home = self.wanted.get(leaf)
            if home is None:
                self.say("LED007", f"entry {index} was edited: it is not the leaf that is stored for it", index)
            else:
                self.say("LED007", f"entry {home} stands in the place of entry {index}", index)

    def _root(self, leaves: list[bytes]) -> bytes:
        """Return the root over the tiles so far and some leaves of the next."""
        tail = Frontier()
        for leaf in leaves:
            list(tail.append(leaf))
        hashes = [*self.subtrees.hashes, *tail.hashes]
        found = hashes.pop()
        while hashes:
            found = node_hash(hashes.pop(), found)
        return found

    def _up(self, above: list[list[bytes]], level: int, root: bytes, n: int) -> None:
        """Add the root of tile `n` of a level to the tile above it; compare that one when it is full."""
        if level == len(above):
            above.append([])
        above[level].append(root)
        if len(above[level]) == TILE_WIDTH:
            hashes, above[level] = above[level], []
            self._same(level + 1, n >> TILE_HEIGHT, hashes)
            self.nodes += TILE_WIDTH - 1
            self._up(above, level + 1, fold(hashes), n >> TILE_HEIGHT)

    def _same(self, level: int, n: int, hashes: list[bytes]) -> None:
        if self.store.tile(level, n) != b"".join(hashes):
            self.say("LED006", f"tile {n} of level {level} is not what the records give")

    def _nothing_else(self, size: int) -> None:
        """Say what there is more of, or less, than the head asks for."""
        tiles = level = 0
        while size >> TILE_HEIGHT * level:
            full, partial = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
            tiles += full + (1 if partial and level else 0)
            level += 1
        counts = self.store.counts()
        wanted = {"entry": size, "body": len(self.bodies), "tile": tiles, "tail": size % TILE_WIDTH}
        for name, count in wanted.items():
            if counts[name] != count:
                self.say("LED015", f"there are {counts[name]} rows of {name}, and the signed head asks for {count}")
        if counts["entry"] != size or self.entries != size:
            return  # which was said; indexes are compared with a table that is whole
        if self.store.span() != (size, size):
            self.say("LED015", f"there are entries before the first or after the last of the {size} that the signed head asks for")
        table = {"entry_type": size, "entry_subject": self.named["subject"], "entry_kind": self.named["kind"]}
        for name, count in self.store.indexed().items():
            if count != table[name]:
                self.say("LED010", f"the index {name} has {count} entries, and its table {table[name]}")
