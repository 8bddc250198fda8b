"""Witnessing: one stannary signs what it saw of another's log, and nobody can be shown two histories.

A log that only its owner watches shows that nothing was changed since somebody last looked. It does not show
that everybody is shown the same log: for that, others who keep their own memory of it cosign its heads.
A witness here remembers what it saw in a ledger of its own, so its memory is as hard to edit as the log.

https://c2sp.org/tlog-witness: requests and answers are the bodies of its `add-checkpoint`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from stannary.core.errors import IntegrityError, StannaryError, UsageError, named_by_caller
from stannary.core.model import Json
from stannary.crypto.interface import Signer
from stannary.crypto.merkle import EMPTY_ROOT, verify_consistency
from stannary.crypto.note import COSIGNATURE, Checkpoint, VerifierKey, cosign, cosigned_at, parse_note, verify_note
from stannary.evidence.ledger.entry import Entry, entry
from stannary.evidence.ledger.ledger import Ledger
from stannary.evidence.ledger.log_keys import LogKeys
from stannary.store.file_lock import held
from stannary.store.ledger_store import is_url

__all__ = ["Quorum", "Request", "Stale", "Witness", "keys_of", "read_key", "read_keys", "request_for"]

_MOST_HASHES = 63
_LARGEST_LIST = 1 << 20  # bytes of a file of verifier keys
_FUTURE = timedelta(minutes=5)


class Request(msgspec.Struct, frozen=True):
    """What a log asks a witness to sign: its checkpoint, and the proof that it continues the one of `old` entries."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: str

    @classmethod
    def parse(cls, text: str) -> Request:
        """Read the body of `add-checkpoint`. Raises IntegrityError."""
        head, blank, checkpoint = text.partition("\n\n")
        first, *lines = head.split("\n")
        word, _, number = first.partition(" ")
        try:
            proof = tuple(base64.b64decode(line, validate=True) for line in lines)
        except (binascii.Error, ValueError):
            proof = None
        numeric = number.isascii() and number.isdigit() and str(int(number)) == number
        if word != "old" or not numeric or not blank or proof is None or len(proof) > _MOST_HASHES:
            msg = "the request is malformed: it is not `old SIZE`, hashes, an empty line and a checkpoint"
            raise IntegrityError(msg, code="LED005", help="`stannary ledger witness request` writes one")
        return cls(int(number), proof, checkpoint)

    def __str__(self) -> str:
        return "\n".join([f"old {self.old}", *(base64.b64encode(item).decode() for item in self.proof), "", self.checkpoint])


class Quorum(msgspec.Struct, frozen=True):
    """How many of which witnesses have to have signed a head, and how old their signatures may be."""

    witnesses: tuple[VerifierKey, ...]
    needed: int
    max_age: timedelta | None = None

    def require(self, content: str, log: VerifierKey | LogKeys, now: datetime) -> Checkpoint:
        """Return the checkpoint when enough witnesses signed it. Raises IntegrityError.

        1. the log signed it;
        2. what claims to be of a witness holds;
        3. witnesses are counted by key, so that one under two names is one; none from the future counts, none too old;
        4. there are enough.
        """
        checkpoint, note = keys_of(log).open(content, proven=True)  # 1.
        times = cosigned_at(note, self.witnesses)  # 2.
        fresh: set[bytes] = set()
        for key in self.witnesses:  # 3.
            at = times.get(key.name)
            if at is None or key.kind != COSIGNATURE or at > (now + _FUTURE).timestamp():
                continue
            if self.max_age is None or at >= (now - self.max_age).timestamp():
                fresh.add(key.public)
        if len(fresh) < self.needed:  # 4.
            within = "" if self.max_age is None else f" within {self.max_age}"
            have = f"{len(fresh)} of {len(self.witnesses)} witnesses have signed the head of {checkpoint.size} entries{within}"
            msg = f"{have}; {self.needed} are needed"
            raise IntegrityError(msg, code="LED014", help="`stannary ledger witness request` asks for their signatures")
        return checkpoint


class Witness:
    """A witness: its name and key, and the ledger in which it remembers.

    In a file it remembers under a lock. In a database, where two machines can be one witness, it says what it saw before, and its
    place in that one ledger decides: what somebody else remembered first makes it stale, and then nothing is signed.
    """

    def __init__(
        self, name: str, signer: Signer, ledger: Ledger, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.key = VerifierKey.of(name, signer.public, COSIGNATURE)
        self._signer = signer
        self._ledger = ledger
        self._shared = threading.Lock() if is_url(ledger.where) else None  # for the threads of a server; machines need none
        self._clock = clock

    def seen(self, log: VerifierKey | LogKeys) -> Checkpoint:
        """Return the last head of a log that was cosigned: of no entries when there is none.

        Raises IntegrityError for a log of this name with another key, unless a hand-over leads from that to this.
        """
        return self._seen(keys_of(log))

    def _seen(self, keys: LogKeys, before: int | None = None) -> Checkpoint:
        """Return the same, or what was so `before` an entry of the witness's ledger."""
        found = self._ledger.find(type="witness", subject=_subject(keys.name), complete=True)
        if not found:  # as it was remembered before keys were followed
            found = [item for item in self._ledger.find(type="witness", complete=True) if _body(item).get("origin") == keys.name]
        last: Mapping[str, Json] | None = None
        for item in found if before is None else [item for item in found if item.index < before]:
            body = _body(item)
            if _follows(body, last):  # those that came too late were never signed
                last = body
        if last is None:
            return Checkpoint(keys.name, 0, EMPTY_ROOT)
        known = str(last.get("key"))
        if known not in [str(key) for key in keys.all]:
            msg = (
                f"{keys.name} was cosigned under another key, and nothing shows that this one, {keys.current.id.hex()}, follows it"
            )
            raise IntegrityError(msg, where=known[:200], code="LED027", help="give --keys FILE, as the log's owner writes it")
        return keys.open(str(last["checkpoint"]), proven=True)[0]

    def sign(self, request: str | Request, log: VerifierKey | LogKeys) -> str:
        """Return the cosignature line for a request of a log, after remembering it.

        1. the log signed the checkpoint;
        2. it is not behind the last one that was seen;
        3. the proof starts there, and shows that it continues it;
        4. it is remembered, durably, before it is signed, and nobody else remembered another one meanwhile.

        Raises IntegrityError; Stale (a UsageError, LED021) for a request from another size than the last one seen.
        """
        keys = keys_of(log)
        asked = Request.parse(request) if isinstance(request, str) else request
        checkpoint, note = keys.open_head(asked.checkpoint), parse_note(asked.checkpoint)  # 1.
        with self._shared or held(f"{self._ledger.head_path}.witness"):
            seen = self._seen(keys)
            if checkpoint.size < seen.size:  # 2.
                msg = f"{keys.name} was rolled back: {seen.size} entries were seen, and this head has {checkpoint.size}"
                raise IntegrityError(msg, code="LED003", help="keep both heads: they are proof that the log lost entries")
            if asked.old != seen.size:  # 3.
                raise Stale(asked.old, seen.size, keys.name)
            verify_consistency(seen.size, checkpoint.size, seen.root, checkpoint.root, asked.proof)
            now = self._clock()
            if checkpoint != seen:  # 4.
                body: dict[str, Json] = {
                    "origin": keys.name, "size": checkpoint.size, "root": checkpoint.root.hex(), "old": seen.size,
                    "oldRoot": seen.root.hex(), "key": str(verify_note(note, keys.all)[-1]), "checkpoint": asked.checkpoint,
                }  # fmt: skip
                (receipt,) = self._ledger.append([entry("witness", body, time=now, subject=_subject(keys.name))])
                if self._shared is not None and (first := self._seen(keys, receipt.index)) not in (seen, checkpoint):
                    raise Stale(asked.old, first.size, keys.name)
            return str(cosign(note, self.key.name, self._signer, int(now.timestamp())))


class Stale(UsageError):
    """A request that starts from another size than the last head that the witness has seen."""

    def __init__(self, old: int, seen: int, log: str) -> None:
        self.seen = seen
        msg = f"the request starts from {old} entries, and the last head seen has {seen}"
        super().__init__(msg, where=log, code="LED021", help=f"`stannary ledger witness request --old {seen}`")


def request_for(ledger: Ledger, old: int = 0) -> Request:
    """Return what a log sends to a witness that last saw `old` entries."""
    with ledger.reading():
        return Request(old, tuple(ledger.consistency(old)), ledger.head_note())


def read_keys(given: Sequence[str]) -> list[VerifierKey]:
    """Return verifier keys, each given as its text or as a file with one on each line. Raises UsageError, or a group of them."""
    found: list[VerifierKey] = []
    problems: list[StannaryError] = []
    for item in given:
        try:
            with named_by_caller():
                keys = [VerifierKey.parse(line) for line in _lines(item) if line.strip() and not line.startswith("#")]
            if not keys:  # nobody would be asked for, and a head without any cosignature would pass
                raise _no_key(item, "holds no verifier key")
            found += keys
        except StannaryError as error:
            problems.append(error)
    if problems:
        msg = "verifier keys"
        raise ExceptionGroup(msg, problems)
    return found


def read_key(given: str) -> VerifierKey:
    """Return the one verifier key of a log, given as its text or as a file. Raises UsageError, or a group of them."""
    keys = read_keys([given])
    if len(keys) > 1:
        raise _no_key(given, f"holds {len(keys)} verifier keys, and one is asked for")
    return keys[0]


def _lines(item: str) -> list[str]:
    if item.count("+") > 1 and not Path(item).exists():
        return [item]
    try:
        with Path(item).open("rb") as file:
            return file.read(_LARGEST_LIST).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        raise _no_key(item, "is neither a verifier key nor a file of them") from None


def _no_key(item: str, why: str) -> UsageError:
    return UsageError(why, where=item[:80], code="LED018", help="`stannary ledger head` prints the key of a log")


def keys_of(log: VerifierKey | LogKeys) -> LogKeys:
    """Return the keys of a log that may have had one only."""
    return LogKeys(log) if isinstance(log, VerifierKey) else log


def _follows(body: Mapping[str, Json], last: Mapping[str, Json] | None) -> bool:
    """Tell whether what is remembered was proven to continue what was remembered last: what came between makes it void."""
    if "oldRoot" not in body:  # remembered under a lock, by a version that knew no other way
        return True
    size, root = (0, EMPTY_ROOT.hex()) if last is None else (last.get("size"), last.get("root") or _root_of(last))
    return (body.get("old"), body.get("oldRoot")) == (size, root)


def _root_of(body: Mapping[str, Json]) -> str:
    return Checkpoint.parse(parse_note(str(body.get("checkpoint"))).text).root.hex()


def _body(item: Entry) -> Mapping[str, Json]:
    body = item.body
    if not isinstance(body, Mapping):
        msg = "an entry of type witness is not one"
        raise IntegrityError(msg, code="LED012", help="use a ledger that only the witness writes")
    return body


def _subject(name: str) -> str:
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
