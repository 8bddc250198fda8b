"""Signed notes, checkpoints of a log, and the cosignatures of its witnesses.

https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-cosignature (v1).
Ed25519 as the keys of a log and of a witness; ECDSA (type 2) as the logs of Sigstore have it: such a key is named by
the hash of its SubjectPublicKeyInfo. A verifier key is written `name+hash+base64`. Parsing is strict: a note has one
spelling. Signatures of unknown keys are ignored; one that claims a known key and does not hold spoils the note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto.interface import Signer, Verifier
from stannary.crypto.keys import PublicKey

__all__ = [
    "COSIGNATURE",
    "ECDSA",
    "ED25519",
    "Checkpoint",
    "Note",
    "NoteSignature",
    "VerifierKey",
    "check_name",
    "cosign",
    "cosigned_at",
    "open_checkpoint",
    "parse_note",
    "sign_note",
    "signature_lines",
    "verify_note",
]

ED25519, ECDSA, COSIGNATURE = 1, 2, 4  # the signature types that are used here
_DASH = "\N{EM DASH}"
_LARGEST, _MOST_SIGNATURES = 1 << 20, 128
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")  # but not the newline
_NOTE, _CHECKPOINT = "note", "checkpoint"
# SubjectPublicKeyInfo of an Ed25519 key is this and the 32 bytes (RFC 8410).
_SPKI = bytes.fromhex("302a300506032b6570032100")
_PRIME = 2**255 - 19
# y of the points of small order, whose "signatures" anybody can make (those of order 8 have two).
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER = frozenset({0, 1, _PRIME - 1, _ORDER_8, _PRIME - _ORDER_8})
_COSIGNATURE_SIZE, _SIGNATURE_SIZE, _KEY_SIZE, _HASH_SIZE = 72, 64, 32, 32


class VerifierKey(msgspec.Struct, frozen=True):
    """The public key of a log (type 1 or 2) or of a witness (type 4), and the name it signs under."""

    name: str
    kind: int
    public: bytes  # the 32 bytes of an Ed25519 key, the SubjectPublicKeyInfo of another

    @classmethod
    def of(cls, name: str, key: Verifier, kind: int = ED25519) -> VerifierKey:
        """Name a key. Raises UsageError for one that is not Ed25519."""
        if key.algorithm != "ed25519" or not key.spki.startswith(_SPKI):
            msg = f"a log and its witnesses sign with Ed25519, and this key is {key.algorithm}"
            raise UsageError(msg, code="KEY006", help="`stannary keys generate --algorithm ed25519` makes one")
        return _named(name, kind, key.spki)

    @classmethod
    def of_log(cls, name: str, key: Verifier) -> VerifierKey:
        """Name the key of a log that may be one of Sigstore's: Ed25519 or ECDSA."""
        return cls.of(name, key) if key.algorithm == "ed25519" else cls(check_name(name), ECDSA, key.spki)

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read `name+hash+base64` of an Ed25519 key. Raises InputError."""
        name, _, rest = text.strip().partition("+")
        claimed, _, encoded = rest.partition("+")
        content = _base64(encoded) or b"\0"
        kind, public = content[0], content[1:]
        if not name or kind not in (ED25519, COSIGNATURE) or len(public) != _KEY_SIZE:
            raise _bad_key(text, "it is not name+hash+base64 of an Ed25519 key")
        found = cls(check_name(name), kind, _sound(public))
        if claimed != found.id.hex():
            raise _bad_key(text, f"its hash is {found.id.hex()}")
        return found

    @property
    def spki(self) -> bytes:
        """Return the SubjectPublicKeyInfo."""
        return self.public if self.kind == ECDSA else _SPKI + self.public

    @property
    def id(self) -> bytes:
        """Return the four bytes that signatures name the key by."""
        return _id_of(self)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_text64(bytes([self.kind]) + self.public)}"

    def verify(self, signature: bytes, text: str) -> None:
        """Return when the signature is this key's on the text of a note. Raises IntegrityError."""
        message = text.encode()
        if self.kind == COSIGNATURE:
            if len(signature) != _COSIGNATURE_SIZE:
                raise _spoiled(self.name)
            message = _cosigned(int.from_bytes(signature[:8], "big"), text)
            signature = signature[8:]
        try:
            PublicKey.of_der(self.spki).verify(signature, message)
        except IntegrityError as error:
            raise _spoiled(self.name) from error


# A log signs with the same key again and again: what its name and its bytes come to is worked out once.
@lru_cache(maxsize=256)
def _named(name: str, kind: int, spki: bytes) -> VerifierKey:
    return VerifierKey(check_name(name), kind, _sound(spki[len(_SPKI) :]))


@lru_cache(maxsize=256)
def _id_of(key: VerifierKey) -> bytes:
    if key.kind == ECDSA:
        return hashlib.sha256(key.public).digest()[:4]
    return hashlib.sha256(key.name.encode() + b"\n" + bytes([key.kind]) + key.public).digest()[:4]


class NoteSignature(msgspec.Struct, frozen=True):
    """One signature line: the name and the id of the key, and the bytes."""

    name: str
    id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH} {self.name} {_text64(self.id + self.signature)}\n"


class Note(msgspec.Struct, frozen=True):
    """A text (it ends with a newline) and its signatures, none of them verified."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"


class Checkpoint(msgspec.Struct, frozen=True):
    """The head of a log: its name, the number of entries, the root hash."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read the text of a note. Raises IntegrityError."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or "" in lines:  # noqa: PLR2004 - three lines and the end of the last
            raise _malformed(_CHECKPOINT, "it has not three lines: origin, size, root")
        origin, size, root, *extensions = lines
        if not (size.isascii() and size.isdigit()) or (size[0] == "0" and size != "0") or len(size) > 18:  # noqa: PLR2004 - 2^63
            raise _malformed(_CHECKPOINT, f"{size[:40]!r} is not a tree size")
        decoded = _base64(root)
        if decoded is None or len(decoded) != _HASH_SIZE:
            raise _malformed(_CHECKPOINT, "the root is not a hash in base64")
        return cls(origin, int(size), decoded, tuple(extensions))

    @property
    def text(self) -> str:
        """Return what is signed."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, _text64(self.root), *self.extensions))


def check_name(name: str) -> str:
    """Return a name that a key or a log may have. Raises UsageError."""
    if not 0 < len(name.encode()) <= 255 or "+" in name or any(char.isspace() or ord(char) < 0x20 for char in name):  # noqa: PLR2004
        msg = f"{name[:80]!r} cannot name a log or a witness"
        raise UsageError(msg, code="LED012", help="use a name such as example.com/team/log: no spaces, no +")
    return name


def parse_note(content: str | bytes) -> Note:
    """Read a signed note, strictly. Nothing is verified. Raises IntegrityError."""
    try:
        text = content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError:
        raise _malformed(_NOTE, "it is not UTF-8") from None
    if len(text) > _LARGEST or _CONTROL.search(text):
        raise _malformed(_NOTE, "it is too long or holds control characters")
    body, blank, tail = text.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise _malformed(_NOTE, "it has no signatures")
    return Note(body + "\n", signature_lines(tail))


def signature_lines(text: str) -> tuple[NoteSignature, ...]:
    """Read signature lines alone, as a witness answers. Raises IntegrityError."""
    lines = text.split("\n")
    if lines.pop() or not 0 < len(lines) <= _MOST_SIGNATURES:
        raise _malformed(_NOTE, "its signature lines do not end, or are too many")
    found = []
    for line in lines:
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        blob = _base64(encoded)
        if dash != _DASH or not name or "+" in name or any(map(str.isspace, name)) or blob is None or len(blob) <= 4:  # noqa: PLR2004
            raise _malformed(_NOTE, "a signature line is not `\N{EM DASH} name base64`")
        found.append(NoteSignature(name, blob[:4], blob[4:]))
    return tuple(found)


def sign_note(text: str, name: str, signer: Signer, kind: int = ED25519) -> Note:
    """Return a note with one signature, of the type of a log's key."""
    key = VerifierKey.of_log(name, signer.public) if kind == ECDSA else VerifierKey.of(name, signer.public)
    return Note(text, (NoteSignature(name, key.id, signer.sign(text.encode())),))


def verify_note(note: Note, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Return those of `keys` that signed. Raises IntegrityError when a signature of one of them does not hold.

    1. a line is a key's when name and id are; lines of other keys are ignored;
    2. each key signs once: a second line under it would be the start of an argument about which one counts;
    3. its signature holds.
    """
    found: list[VerifierKey] = []
    for key in dict.fromkeys(keys):
        lines = [line for line in note.signatures if line.name == key.name and line.id == key.id]  # 1.
        if len(lines) > 1:  # 2.
            raise _malformed(_NOTE, f"{key.name} signs it twice")
        if lines:
            key.verify(lines[0].signature, note.text)  # 3.
            found.append(key)
    return tuple(found)


def open_checkpoint(content: str | bytes, key: VerifierKey, origin: str | None = None) -> tuple[Checkpoint, Note]:
    """Return a checkpoint that `key` signed for the log `origin` (the key's name by default). Raises IntegrityError."""
    note = parse_note(content)
    if not verify_note(note, [key]):
        names = ", ".join(sorted({line.name for line in note.signatures}))
        msg = f"the checkpoint is not signed by {key.name} with key {key.id.hex()} (signed by: {names})"
        raise IntegrityError(msg, code="LED004", help="check which log it is of, and whose key you trust")
    checkpoint = Checkpoint.parse(note.text)
    wanted = key.name if origin is None else origin
    if checkpoint.origin != wanted:
        msg = f"the checkpoint is of the log {checkpoint.origin[:80]!r}, not of {wanted!r}"
        raise IntegrityError(msg, code="LED011", help="compare checkpoints of one log only")
    return checkpoint, note


def cosign(note: Note, name: str, signer: Signer, at: int) -> NoteSignature:
    """Return a witness's signature on the text of a checkpoint at a time (POSIX seconds)."""
    key = VerifierKey.of(name, signer.public, COSIGNATURE)
    Checkpoint.parse(note.text)
    return NoteSignature(name, key.id, at.to_bytes(8, "big") + signer.sign(_cosigned(at, note.text)))


def cosigned_at(note: Note, keys: Sequence[VerifierKey]) -> dict[str, int]:
    """Return which witnesses cosigned, and when (POSIX seconds). Raises IntegrityError as `verify_note` does."""
    held = [key for key in verify_note(note, keys) if key.kind == COSIGNATURE]
    lines = {(line.name, line.id): line for line in note.signatures}
    return {key.name: int.from_bytes(lines[key.name, key.id].signature[:8], "big") for key in held}


def _cosigned(at: int, text: str) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _base64(text: str) -> bytes | None:
    """Return the bytes of standard, padded, canonical base64."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if _text64(content) == text else None


def _text64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _sound(public: bytes) -> bytes:
    """Return a public key that is canonical and not of small order: under such a key anybody can sign. Raises InputError."""
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)
    if y >= _PRIME or y in _SMALL_ORDER:
        msg = "the Ed25519 key is not canonical, or of small order: anybody can sign under it"
        raise InputError(msg, code="KEY009", help="ask for the real key")
    return public


def _bad_key(text: str, why: str) -> InputError:
    msg = f"{text.strip()[:80]!r} is not a verifier key: {why}"
    return InputError(msg, code="KEY001", help="`stannary ledger head` prints the key of a log")


def _malformed(what: str, why: str) -> IntegrityError:
    return IntegrityError(f"the {what} is malformed: {why}", code="LED005", help="get it again from where it was kept")


def _spoiled(name: str) -> IntegrityError:
    msg = f"a signature that claims to be of {name} does not hold"
    return IntegrityError(msg, code="LED004", help="the text was changed after it was signed: get it again from where it was kept")
