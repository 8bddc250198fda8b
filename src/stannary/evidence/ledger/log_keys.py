"""The keys of a log: the one that signs now, those before it, and the hand-overs that lead from one to the next.

A hand-over is an entry of the log (type `log-key`): a note that the old key and the new one both signed, which names both,
how many entries the old key has signed for, and their root. The checkpoint right after that entry is signed by both keys too.
Entry and proof together are verified offline, by whoever trusts either key:

1. the record is one, and the note in it is of this log;
2. both keys that it names have signed it;
3. it is the entry right after those that the old key signed for, under a checkpoint of just so many, signed by both keys;
4. before it stands the tree whose root it names.

From then on each key counts for its own stretch alone. What the old key signs for more entries is refused, and so is what the
new one signs for fewer. Of a key that was handed over because it was stolen nothing counts by itself: what it signed has to be
proven to be the beginning of the log as it is now.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto.interface import Signer, Verifier
from stannary.crypto.merkle import EMPTY_ROOT, leaf_hash, node_hash, verify_inclusion
from stannary.crypto.note import Checkpoint, Note, VerifierKey, open_checkpoint, parse_note, sign_note, verify_note
from stannary.crypto.proof_file import decode_proof
from stannary.evidence.ledger.entry import checked, entry

__all__ = ["HANDOVER", "Handover", "LogKeys", "Retired", "handover_record", "named_in", "read_handovers"]

HANDOVER = "log-key"  # the type of the entry
_SCHEMA = "stannary.log-key/1"
_RETIRED, _COMPROMISED = "retired", "compromised"
_FILE_SCHEMA = "stannary.ledger-keys/1"
_MOST = 1000
_MOST_BYTES = 16 << 20


class Handover(msgspec.Struct, frozen=True):
    """An entry that hands a log over, and the `.tlog-proof` of it under the checkpoint that both keys signed."""

    record: str
    proof: str


class Retired(msgspec.Struct, frozen=True):
    """A key that a log was handed over from, and the sizes of the checkpoints that it signed."""

    key: VerifierKey
    first: int
    last: int
    compromised: bool


class LogKeys(msgspec.Struct, frozen=True):
    """The keys of one log, verified. `first` is the size of the first checkpoint that the current key signed."""

    current: VerifierKey
    first: int = 0
    retired: tuple[Retired, ...] = ()
    handovers: tuple[Handover, ...] = ()

    @classmethod
    def of(cls, origin: str, verifier: Verifier | LogKeys) -> LogKeys:
        """Return the keys of a log that has one, or those that were verified before."""
        return verifier if isinstance(verifier, LogKeys) else cls(VerifierKey.of(origin, verifier))

    @classmethod
    def following(cls, trusted: VerifierKey, handovers: Sequence[Handover]) -> LogKeys:
        """Return the keys of the log of a trusted key, which is one of those in the chain of hand-overs. Raises IntegrityError."""
        if not handovers:
            return cls(trusted)
        retired: list[Retired] = []
        expected: VerifierKey | None = None
        first = 0
        for item in handovers:
            old, new, size, compromised = _verified(item, trusted.name)
            if (expected is not None and old != expected) or size < first:
                msg = f"the hand-over after {size} entries does not begin where the one before it ends"
                raise _broken(msg)
            retired.append(Retired(old, first, size + 1, compromised))
            expected, first = new, size + 1
        if expected is None or len({item.key for item in retired} | {expected}) != len(retired) + 1:
            msg = "a key comes twice"
            raise _broken(msg)
        if trusted not in (expected, *(item.key for item in retired)):
            msg = f"none of them is from or to the key that is trusted, {trusted.id.hex()}"
            raise _broken(msg)
        return cls(expected, first, tuple(retired), tuple(handovers))

    @property
    def name(self) -> str:
        """Return the name of the log."""
        return self.current.name

    @property
    def all(self) -> tuple[VerifierKey, ...]:
        """Return every key, the oldest first."""
        return (*(item.key for item in self.retired), self.current)

    def open(self, content: str | bytes, origin: str | None = None, *, proven: bool = False) -> tuple[Checkpoint, Note]:
        """Return a checkpoint of the log, signed by the key whose turn it was. Raises IntegrityError.

        `proven`: it is held against the log as it is now afterwards; without that a stolen key's word is not taken.
        """
        if not self.retired:
            return open_checkpoint(content, self.current, origin)
        note = parse_note(content)
        held = verify_note(note, self.all)
        if not held:
            open_checkpoint(content, self.current, origin)  # which says why not
        checkpoint, _ = open_checkpoint(content, held[-1], self.name if origin is None else origin)
        if held[-1] == self.current:
            if checkpoint.size < self.first:
                raise _out_of_turn(self.current, checkpoint.size, f"it signs from {self.first} entries on")
            return checkpoint, note
        turn = next(item for item in self.retired if item.key == held[-1])
        if not turn.first <= checkpoint.size <= turn.last:
            raise _out_of_turn(turn.key, checkpoint.size, f"it signed from {turn.first} to {turn.last}, and was handed over then")
        if turn.compromised and not proven:
            msg = f"the checkpoint of {checkpoint.size} entries is signed with key {turn.key.id.hex()} alone, which was stolen"
            raise IntegrityError(
                msg, code="LED028", help="have it proven anew (`stannary ledger prove`), or verify it --since where the log is"
            )
        return checkpoint, note

    def open_head(self, content: str | bytes) -> Checkpoint:
        """Return the head: a checkpoint that the current key signed. Raises IntegrityError."""
        if self.retired:
            checkpoint, note = self.open(content, proven=True)
            if not verify_note(note, [self.current]):
                msg = f"the ledger was rolled back: it was handed over after {self.first - 1} entries, and has {checkpoint.size}"
                raise IntegrityError(
                    msg, code="LED003", help="restore the newer file; entries that were acknowledged are gone from this one"
                )
            return checkpoint
        return open_checkpoint(content, self.current)[0]

    def as_of(self, size: int) -> LogKeys:
        """Return the keys that the log had when it was of that size: by them a copy that was not brought up since is read."""
        at = next((n for n, item in enumerate(self.retired) if size <= item.last), None)
        if at is None:
            return self
        return LogKeys(self.retired[at].key, self.retired[at].first, self.retired[:at], self.handovers[:at])

    def is_cosigned(self, content: str) -> bool:
        """Tell whether anybody but the log itself has put a signature on a checkpoint."""
        own = {(key.name, key.id) for key in self.all}
        return any((line.name, line.id) not in own for line in parse_note(content).signatures)

    def document(self) -> dict[str, object]:
        """Return what is written for others, and in the workspace."""
        rows: list[tuple[VerifierKey, int, int | None, str]] = [
            (item.key, item.first, item.last, _COMPROMISED if item.compromised else _RETIRED) for item in self.retired
        ]
        rows.append((self.current, self.first, None, "current"))
        return {
            "schema": _FILE_SCHEMA,
            "origin": self.name,
            "keys": [{"key": str(key), "first": first, "last": last, "state": state} for key, first, last, state in rows],
            "handovers": [msgspec.structs.asdict(item) for item in self.handovers],
        }


def handover_record(head: Checkpoint, old: Signer, new: Signer, time: datetime, *, compromised: bool) -> bytes:
    """Return the entry by which a log of that head is handed over. Raises UsageError when the keys are one."""
    keys = VerifierKey.of(head.origin, old.public), VerifierKey.of(head.origin, new.public)
    if keys[0] == keys[1]:
        msg = "the new key is the old one"
        raise UsageError(msg, where=keys[0].id.hex(), code="KEY010", help="`stannary keys generate --algorithm ed25519` makes one")
    reason = _COMPROMISED if compromised else _RETIRED
    size, root = head.text.split("\n")[1:3]
    text = "".join(f"{line}\n" for line in (_SCHEMA, head.origin, *keys, size, root, reason))
    lines = [line for signer in (old, new) for line in sign_note(text, head.origin, signer).signatures]
    return entry(HANDOVER, {"note": str(Note(text, tuple(lines)))}, time=time)


def named_in(record: bytes, origin: str) -> tuple[VerifierKey, VerifierKey, Checkpoint, bool]:
    """Return (old key, new key, head before, whether the old one was stolen) of the entry of a hand-over. Raises IntegrityError.

    Both keys have signed it; that it is in the log is not said.
    """
    try:
        header = checked(record)
        note = parse_note(str(msgspec.json.decode(record)["body"]["note"]))
        schema, named, old_, new_, size, root, reason = note.text.removesuffix("\n").split("\n")
        old, new = VerifierKey.parse(old_), VerifierKey.parse(new_)
    except (InputError, UsageError, KeyError, TypeError, ValueError) as error:
        msg = "its record is not one"
        raise _broken(msg) from error
    if (header.type, schema, named, old.name, new.name) != (HANDOVER, _SCHEMA, origin, origin, origin):
        msg = "it is of another log, or of a later version"
        raise _broken(msg)
    head = Checkpoint.parse(f"{origin}\n{size}\n{root}\n")
    if reason not in (_RETIRED, _COMPROMISED) or old == new or len(verify_note(note, [old, new])) != len({old, new}):
        msg = "not both keys have signed it"
        raise _broken(msg)
    return old, new, head, reason == _COMPROMISED


def read_handovers(path: str | Path) -> tuple[Handover, ...]:
    """Read the hand-overs in a file that `stannary ledger keys` wrote; nothing is verified. Raises UsageError or InputError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        found = msgspec.json.decode(content, type=_File)
    except FileNotFoundError:
        msg = "there is no such file of keys"
        raise UsageError(msg, where=str(path), code="LED018", help="`stannary ledger keys --format json` writes one") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"is no file of a log's keys: {error}"
        raise InputError(msg, where=str(path), code="LED027", help="`stannary ledger keys --format json` writes one") from error
    if found.schema != _FILE_SCHEMA or len(content) > _MOST_BYTES or len(found.handovers) > _MOST:
        msg = f"is no file of a log's keys: its schema is {found.schema[:40]!r}"
        raise InputError(msg, where=str(path), code="LED027", help="`stannary ledger keys --format json` writes one")
    return found.handovers


class _File(msgspec.Struct, frozen=True):
    schema: str
    handovers: tuple[Handover, ...]


def _verified(item: Handover, origin: str) -> tuple[VerifierKey, VerifierKey, int, bool]:
    """Return (old key, new key, how many entries were before it, whether the old one was stolen). Raises IntegrityError."""
    record = item.record.encode()
    old, new, head, compromised = named_in(record, origin)  # 1. and 2.
    index, proof, content = decode_proof(item.proof)  # 3.
    checkpoint, note = open_checkpoint(content, old, origin)
    if len(verify_note(note, [old, new])) != len({old, new}):
        msg = "the checkpoint after it is not signed by both keys"
        raise _broken(msg)
    if (index, checkpoint.size) != (head.size, head.size + 1):
        msg = f"it says that it comes after {head.size} entries, and is entry {index} of {checkpoint.size}"
        raise _broken(msg)
    verify_inclusion(leaf_hash(record), index, checkpoint.size, proof, checkpoint.root)
    root = proof[0] if proof else EMPTY_ROOT  # 4. the path of the last leaf is what the tree before it consists of
    for left in proof[1:]:
        root = node_hash(left, root)
    if root != head.root:
        msg = f"before it stands another tree of {head.size} entries than it says"
        raise _broken(msg)
    return old, new, head.size, compromised


def _broken(why: str) -> IntegrityError:
    msg = f"the hand-over of the log to another key does not hold: {why}"
    return IntegrityError(msg, code="LED027", help="ask whoever runs the log for its keys, and compare them by another way")


def _out_of_turn(key: VerifierKey, size: int, why: str) -> IntegrityError:
    msg = f"the checkpoint of {size} entries is signed with key {key.id.hex()}, which was not its turn: {why}"
    return IntegrityError(msg, code="LED027", help="keep it: it shows that somebody else has the key, or that the log was forked")
