"""Appending: many callers, one writer, one signed checkpoint for all who waited.

Callers queue what they bring. Whoever gets the lock commits for everybody in the queue: while one batch goes
to the disk the next one gathers, so that the more there is to write the less each write costs. A caller is
answered after the checkpoint that covers its records is durable, and never before.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from stannary.core.errors import BackendError, IntegrityError, StannaryError, UsageError
from stannary.crypto.interface import Signer
from stannary.crypto.merkle import EMPTY_ROOT, TILE_HEIGHT, TILE_WIDTH, Frontier, inclusion_proofs, leaf_hash
from stannary.crypto.note import Checkpoint, Note, parse_note, sign_note
from stannary.evidence.ledger.entry import Receipt
from stannary.evidence.ledger.log_keys import HANDOVER, LogKeys, named_in
from stannary.evidence.ledger.tree import Signed, Tree
from stannary.store.head_file import HeadFile
from stannary.store.ledger_store import LedgerStore, Row

__all__ = ["Prepared", "Sequencer", "forgotten", "remembered"]

_LARGEST_BATCH = 8192
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)  # seconds between looks for the key that a log was handed over to
_HANDOVER = f'"type":"{HANDOVER}"}}'.encode()  # what such a record, canonical JSON, ends with


class Prepared(msgspec.Struct, frozen=True):
    """A record that was checked: its leaf and hash, its columns, its body when that is not in the leaf."""

    leaf: bytes
    hash: bytes
    columns: tuple[str, str, str, str, str]
    body: bytes = b""
    body_digest: str = ""


class _Request:
    __slots__ = ("done", "error", "receipts", "records")

    def __init__(self, records: Sequence[Prepared]) -> None:
        self.records = records
        self.receipts: list[Receipt] = []
        self.error: StannaryError | None = None
        self.done = False


class _State(msgspec.Struct):
    """The right edge of the tree in memory, valid while no other connection wrote."""

    changed: int
    frontier: Frontier
    edge: list[list[bytes]]  # the last, partial tile of each level
    cosigned: bool  # whether a witness has signed the head: then it is kept when the next one comes
    slot: int  # of the head file: the one to write next
    root: bytes


class Sequencer:
    """The writing side of a ledger."""

    def __init__(self, store: LedgerStore, keys: LogKeys, signer: Signer | None, head: HeadFile) -> None:
        self._store = store
        self._keys = keys
        self._key = keys.current
        self._signer = signer
        self._head = head
        self._tree = Tree(store, keys)
        self._state: _State | None = None
        self._queue: list[_Request] = []
        self._queue_lock = threading.Lock()
        self._turn = threading.Lock()
        self._is_watched = False
        self.last: Signed | None = None  # the head that was signed and committed here last

    def begin(self) -> None:
        """Sign the empty tree, unless there is a head. Raises IntegrityError when entries or a remembered head say there was."""
        with self._store.sequencer():
            if self._store.head():
                return
            if self._store.span() != (0, 0):
                msg = "the signed head of the ledger is missing"
                raise IntegrityError(msg, code="LED004", help="restore the ledger from a backup")
            seen = remembered(self._head, self._keys)
            if seen:
                self._tree.remember(seen[0])
            note = str(self._signed(self._tree.head))
            # The remembered head is there before the ledger is: a ledger without one has lost it.
            self._head.begin(note)
            self._store.put_checkpoint(0, note)

    def append(self, records: Sequence[Prepared]) -> list[Receipt]:
        """Append, durably, and return a receipt for each record."""
        request = _Request(records)
        with self._queue_lock:
            self._queue.append(request)
        with self._turn:
            while not request.done:
                self._commit(self._take())
        if request.error is not None:
            raise request.error
        return request.receipts

    def edge(self, head: Checkpoint) -> list[list[bytes]] | None:
        """Return the last, partial tile of each level under a head that was signed here, when no other connection wrote since."""
        state = self._state
        if state is None or (state.frontier.size, state.root) != (head.size, head.root) or not self._store.is_alone(state.changed):
            return None
        return state.edge

    def take_up(self, keys: LogKeys, signer: Signer) -> None:
        """Go on with the keys of a log that was handed over. Nothing is half written: the hand-over waited for the same lock."""
        self._keys, self._key, self._signer, self._tree.keys = keys, keys.current, signer, keys
        self.last = None

    def watch(self, renew: Callable[[], bool]) -> None:
        """Call `renew` when the log turns out to have another key."""
        self._tree.renew, self._is_watched = renew, True

    @property
    def signer(self) -> Signer:
        """Return the key. Raises UsageError for a copy."""
        return self._own()

    def sign(self, text: str) -> Note:
        """Return a text of the log's own, signed with its key."""
        return sign_note(text, self._key.name, self._own())

    def put_checkpoint(self, checkpoint: Checkpoint, note: str) -> None:
        """Keep a checkpoint of this log with more signatures on it. Raises IntegrityError when it is not of this tree."""
        with self._turn, self._store.sequencer():
            self._state = None
            self._tree.refresh()
            self._tree.remember(checkpoint)
            self._store.put_checkpoint(checkpoint.size, note)

    def follow(self, records: Iterator[Prepared], checkpoint: Checkpoint, note: str) -> None:
        """Bring in what another copy of this log has: `records` from this one's end to that checkpoint, all or nothing.

        Raises IntegrityError when they do not lead to the checkpoint's root: it is not a continuation of this log, then.
        """
        with self._turn, self._store.sequencer() as after:
            is_new = not self._store.head()
            state = self._nothing() if is_new else self._current()
            self._state = None
            frontier, edge, first = state.frontier.copy(), [list(row) for row in state.edge], state.frontier.size
            while chunk := list(itertools.islice(records, _LARGEST_BATCH)):
                nodes, start = frontier.nodes(), frontier.size
                for record in chunk:
                    for level, index, value in frontier.append(record.hash):
                        nodes[level, index] = value
                rows = (Row(start + i, *record.columns, record.leaf) for i, record in enumerate(chunk))
                self._store.add(rows, [(record.body_digest, record.body) for record in chunk if record.body_digest])
                self._write_tiles(start, frontier.size, nodes, edge)
            if (frontier.size, frontier.root()) != (checkpoint.size, checkpoint.root):
                msg = f"the {frontier.size - first:,} entries do not lead to the signed head of {checkpoint.size:,} entries"
                raise IntegrityError(msg, code="LED002", help="keep both logs: they show that one of them was rewritten")
            if not state.cosigned:
                self._store.drop_checkpoint(first)
            if is_new:
                self._head.begin(note)
            self._store.put_checkpoint(frontier.size, note)
            after.append(lambda: self._head.write(note, state.slot))

    def _nothing(self) -> _State:
        """Return the state of a ledger that has never had anything. Raises IntegrityError when something says it had."""
        if self._store.span() != (0, 0) or remembered(self._head, self._keys):
            msg = "the signed head of the ledger is missing"
            raise IntegrityError(msg, code="LED004", help="restore the ledger from a backup")
        return _State(0, Frontier(), [], cosigned=True, slot=0, root=EMPTY_ROOT)

    def _signed(self, head: Checkpoint) -> Note:
        return sign_note(head.text, self._key.name, self._own(), self._key.kind)

    def _own(self) -> Signer:
        if self._signer is None:
            msg = "the ledger is a copy: it takes what its log has signed, and signs nothing"
            raise UsageError(msg, code="LED016", help="append where the key of the log is")
        return self._signer

    def _take(self) -> list[_Request]:
        with self._queue_lock:
            count, total = 0, 0
            while count < len(self._queue) and (not count or total + len(self._queue[count].records) <= _LARGEST_BATCH):
                total += len(self._queue[count].records)
                count += 1
            batch, self._queue = self._queue[:count], self._queue[count:]
        return batch

    def _commit(self, batch: list[_Request]) -> None:
        try:
            receipts = self._write([record for request in batch for record in request.records])
        except BaseException as error:  # whoever waits has to be told: then it goes on, or up
            self._state = None
            failure = error if isinstance(error, StannaryError) else _interrupted(error)
            for request in batch:
                request.error, request.done = failure, True
            if not isinstance(error, Exception):
                raise
            return
        start = 0
        for request in batch:
            request.receipts = receipts[start : start + len(request.records)]
            start += len(request.records)
            request.done = True

    def _write(self, records: list[Prepared]) -> list[Receipt]:
        """Write one batch; when the log was handed over, with the new key, which is written down a moment after the log has it."""
        for pause in _PAUSES if self._is_watched else ():
            try:
                return self._written(records)
            except IntegrityError as error:
                if error.code != "LED027":
                    raise
                if not self._tree.renew():  # outside of the store's lock, which whoever hands it over may want
                    time.sleep(pause)
        return self._written(records)

    def _written(self, records: list[Prepared]) -> list[Receipt]:
        """Write one batch.

        1. the state in memory is the one on disk, or it is read and proven again;
        2. the leaves extend the tree; its head is signed;
        3. entries, tiles and checkpoint go into one transaction;
        4. after it is durable the head is remembered, and receipts are made.
        """
        with self._store.sequencer() as after:
            state = self._current()  # 1.
            state, receipts = self._extend(state, records, after)
        self._state = state
        return receipts()

    def hand_over(self, make: Callable[[Checkpoint], Prepared], new: Signer) -> Receipt:
        """Append the entry that `make` returns for the head, under a checkpoint that the new key signs too: its old key's last."""
        with self._turn:
            with self._store.sequencer() as after:
                state = self._current()
                self._state = None
                head = Checkpoint(self._key.name, state.frontier.size, state.frontier.root())
                _, receipts = self._extend(state, [make(head)], after, new)
            return receipts()[0]

    def _extend(
        self, state: _State, records: list[Prepared], after: list[Callable[[], None]], also: Signer | None = None
    ) -> tuple[_State, Callable[[], list[Receipt]]]:
        """Write what records add; return the state that it leads to, and what makes the receipts, which can wait for the commit."""
        first, frontier, edge = state.frontier.size, state.frontier.copy(), [list(row) for row in state.edge]
        nodes = frontier.nodes()
        for record in records:  # 2.
            for level, index, value in frontier.append(record.hash):
                nodes[level, index] = value
        head = Checkpoint(self._key.name, frontier.size, frontier.root())
        signed = self._signed(head)
        if also is not None:
            signed = Note(signed.text, (*signed.signatures, *sign_note(head.text, self._key.name, also).signatures))
        note = str(signed)
        rows = (Row(first + i, *record.columns, record.leaf) for i, record in enumerate(records))
        self._store.add(rows, [(record.body_digest, record.body) for record in records if record.body_digest])  # 3.
        self._write_tiles(first, frontier.size, nodes, edge)
        if not state.cosigned:
            self._store.drop_checkpoint(first)
        self._store.put_checkpoint(frontier.size, note)
        after.append(lambda: self._committed(Signed(note, head, (first, state.root)), state.slot))  # 4.

        def receipts() -> list[Receipt]:
            root = head.root.hex()
            proofs = inclusion_proofs(first, frontier.size, nodes)
            return [
                Receipt(first + i, record.hash.hex(), frontier.size, root, tuple([item.hex() for item in proof]), note)
                for i, (record, proof) in enumerate(zip(records, proofs, strict=True))
            ]

        return _State(state.changed, frontier, edge, cosigned=False, slot=1 - state.slot, root=head.root), receipts

    def _committed(self, signed: Signed, slot: int) -> None:
        self.last = signed
        self._head.write(signed.note, slot)

    def _write_tiles(self, first: int, size: int, nodes: dict[tuple[int, int], bytes], edge: list[list[bytes]]) -> None:
        """Write what the leaves from `first` to `size` add to the tiles, and bring `edge` up to it."""
        level = 0
        while size >> TILE_HEIGHT * level:
            start, end = first >> TILE_HEIGHT * level, size >> TILE_HEIGHT * level
            if level == len(edge):
                edge.append([])
            row, written = edge[level], start
            for index in range(start, end):
                row.append(nodes[TILE_HEIGHT * level, index])
                if len(row) == TILE_WIDTH:
                    self._store.put_tile(level, index >> TILE_HEIGHT, b"".join(row))
                    row.clear()
                    written = index + 1
            if row and written < end:
                if level:
                    self._store.put_tile(level, end >> TILE_HEIGHT, b"".join(row))
                else:
                    self._store.add_tail((index, nodes[0, index]) for index in range(written, end))
            level += 1

    def _current(self) -> _State:
        changed = self._store.changed()
        if self._state is None or self._state.changed != changed:
            self._tree.refresh()
            seen = remembered(self._head, self._keys)
            if not seen:
                raise forgotten(self._head)
            self._tree.remember(seen[0])
            self._not_handed_over()
            cosigned = len(parse_note(self._tree.note).signatures) > 1
            tree = self._tree
            self._state = _State(changed, tree.frontier(), tree.edge(), cosigned, 1 - seen[1], tree.head.root)
        return self._state

    def _not_handed_over(self) -> None:
        """Raise IntegrityError when the last entry hands the log over to another key than this one: that one has to go on."""
        size = self._tree.head.size
        for row in self._store.rows(size - 1, size) if size and self._signer is not None else ():
            if row.record.endswith(_HANDOVER) and self._tree.leaf(row.idx) == leaf_hash(row.record):
                new = named_in(row.record, self._key.name)[1]
                if new != self._key:
                    msg = f"the log was handed over to key {new.id.hex()}, and this is key {self._key.id.hex()}"
                    hint = "`stannary ledger rotate` finishes what was broken off; elsewhere `stannary ledger keys --adopt FILE`"
                    raise IntegrityError(msg, code="LED027", help=hint)


def remembered(file: HeadFile, keys: LogKeys) -> tuple[Checkpoint, int] | None:
    """Return the newest head that is remembered, and its slot; None when there is no file. Raises IntegrityError."""
    slots = file.read()
    if not slots:
        return None
    found: list[tuple[Checkpoint, int]] = []
    problem: IntegrityError | None = None
    for slot, note in enumerate(slots):
        try:
            found.append((keys.open(note, proven=True)[0], slot))
        except IntegrityError as error:  # the one that was being written when the power went; never both
            problem = error
    if not found and problem is not None:
        problem.where = str(file.path)
        raise problem
    return max(found, key=lambda item: item[0].size)


def forgotten(file: HeadFile) -> IntegrityError:
    """Return the error for a ledger whose remembered head is not there."""
    msg = "the remembered head of the ledger is missing: whether it was rolled back cannot be told"
    return IntegrityError(
        msg,
        where=str(file.path),
        code="LED009",
        help="put it back; or verify the ledger --since a checkpoint you kept, and --accept it",
    )


def _interrupted(error: BaseException) -> StannaryError:
    msg = f"the append was broken off: {type(error).__name__}: {error}"
    failure = BackendError(msg, code="LED020", help="look whether the entry is there before you append it again")
    failure.__cause__ = error
    return failure
