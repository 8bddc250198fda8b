"""Sigstore bundles of versions 0.1, 0.2 and 0.3: a certificate, what it signed, and where that was logged.

Protobuf JSON, read strictly: fields that the format does not have are refused, numbers are decimal strings or
integers, base64 has one form. What is read here is not verified.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import msgspec

from stannary.core.errors import IntegrityError
from stannary.crypto.certificates import parse_der
from stannary.evidence.oms.bundle import MOST_BYTES, decoded, strict_json

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["Envelope", "LogEntry", "Message", "Proof", "SigstoreBundle", "parse_bundle", "unfold"]

_VERSIONS = {
    "application/vnd.dev.sigstore.bundle+json;version=0.1": "0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2": "0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.3": "0.3",
    "application/vnd.dev.sigstore.bundle.v0.3+json": "0.3",
}
_NUMBER = re.compile(r"0|[1-9]\d{0,18}")
_MOST_ENTRIES = _MOST_TIME_STAMPS = 32
_LAST_SECOND = 253_402_300_799  # of the year 9999


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    pass


class _LogId(_Strict, frozen=True):
    key_id: str


class _Kind(_Strict, frozen=True):
    kind: str
    version: str


class _Promise(_Strict, frozen=True):
    signed_entry_timestamp: str


class _Checkpoint(_Strict, frozen=True):
    envelope: str


class _Proof(_Strict, frozen=True):
    root_hash: str
    tree_size: str | int
    checkpoint: _Checkpoint
    log_index: str | int = 0
    hashes: tuple[str, ...] = ()


class _Entry(_Strict, frozen=True):
    log_id: _LogId
    kind_version: _Kind
    canonicalized_body: str
    inclusion_proof: _Proof | None = None
    inclusion_promise: _Promise | None = None
    log_index: str | int = 0
    integrated_time: str | int = 0


class _Stamp(_Strict, frozen=True):
    signed_timestamp: str


class _Stamps(_Strict, frozen=True):
    rfc3161_timestamps: tuple[_Stamp, ...] = ()


class _Certificate(_Strict, frozen=True):
    raw_bytes: str


class _Chain(_Strict, frozen=True):
    certificates: tuple[_Certificate, ...] = ()


class _Material(_Strict, frozen=True):
    certificate: _Certificate | None = None
    x509_certificate_chain: _Chain | None = None
    tlog_entries: tuple[_Entry, ...] = ()
    timestamp_verification_data: _Stamps | None = None


class _Digest(_Strict, frozen=True):
    algorithm: str
    digest: str


class _Message(_Strict, frozen=True):
    signature: str
    message_digest: _Digest | None = None


class _Signature(_Strict, frozen=True):
    sig: str
    keyid: str | None = ""


class _Envelope(_Strict, frozen=True):
    payload: str
    payload_type: str
    signatures: tuple[_Signature, ...]


class _Bundle(_Strict, frozen=True):
    media_type: str
    verification_material: _Material
    message_signature: _Message | None = None
    dsse_envelope: _Envelope | None = None


class Proof(NamedTuple):
    """Where an entry is in a log, and what leads from it to a signed head."""

    position: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


class LogEntry(NamedTuple):
    """What a log took: `promise` is the log's word with a time, `proof` that it was kept."""

    log: bytes
    position: int
    kind: str
    version: str
    body: bytes
    integrated: int
    promise: bytes | None
    proof: Proof

    @property
    def time(self) -> datetime:
        """Return when it was taken, by the promise."""
        return datetime.fromtimestamp(self.integrated, UTC)


class Envelope(NamedTuple):
    """A DSSE envelope."""

    payload_type: str
    payload: bytes
    signature: bytes


class Message(NamedTuple):
    """A signature on a file, with the digest that the bundle says it has, if it says one."""

    signature: bytes
    digest: tuple[str, bytes] | None


class SigstoreBundle(NamedTuple):
    """The whole, none of it verified."""

    version: str
    leaf: x509.Certificate
    content: Envelope | Message
    entries: tuple[LogEntry, ...]
    time_stamps: tuple[bytes, ...]

    @property
    def signature(self) -> bytes:
        """Return the bytes of the signature."""
        return self.content.signature


def parse_bundle(content: bytes, where: str = "signature") -> SigstoreBundle:
    """Read a bundle. Raises IntegrityError."""
    if len(content) > MOST_BYTES:
        _refuse(f"is larger than any signature ({MOST_BYTES:,} bytes)", where)
    try:
        value = strict_json(content)
    except (ValueError, RecursionError) as error:
        _refuse(f"is not JSON: {str(error)[:200]}", where)
    return unfold(value, where)


def unfold(value: Any, where: str = "signature") -> SigstoreBundle:  # noqa: ANN401 - a JSON value
    """Read a bundle that is JSON already. Raises IntegrityError.

    1. it has the fields of a bundle and no others, and a version that is known;
    2. it has one certificate of a signer, in the place of its version;
    3. it signs one thing: a file or an envelope, with one signature;
    4. each log entry has a proof with a checkpoint, and in version 0.1 a promise.
    """
    # 1.
    try:
        found = msgspec.convert(value, _Bundle)
    except (msgspec.ValidationError, RecursionError) as error:
        _refuse(f"is not a Sigstore bundle: {str(error)[:200]}", where)
    version = _VERSIONS.get(found.media_type)
    if version is None:
        _refuse(f"is a bundle of type {found.media_type[:80]!r}, which is not known here", where)
    # 2.
    material = found.verification_material
    leaf = _leaf(material, version, where)
    # 3.
    content = _content(found, where)
    # 4.
    stamps = material.timestamp_verification_data
    rows = stamps.rfc3161_timestamps if stamps else ()
    if len(material.tlog_entries) > _MOST_ENTRIES or len(rows) > _MOST_TIME_STAMPS:
        _refuse("has more log entries or time stamps than are read", where)
    if len({row.signed_timestamp for row in rows}) != len(rows):
        _refuse("has the same time stamp twice", where)
    entries = tuple(_entry(row, version, where) for row in material.tlog_entries)
    return SigstoreBundle(version, leaf, content, entries, tuple(decoded(row.signed_timestamp, "time stamp") for row in rows))


def _leaf(material: _Material, version: str, where: str) -> x509.Certificate:
    chain = material.x509_certificate_chain
    if (material.certificate is None) == (chain is None):
        _refuse("has no certificate of a signer, or more than one place for it", where)
    if material.certificate is not None:
        if version != "0.3":
            _refuse(f"has its certificate where version {version} has none", where)
        return parse_der(decoded(material.certificate.raw_bytes, "certificate"), "certificate")
    if version == "0.3" or chain is None or not chain.certificates:
        _refuse(f"has no certificate where version {version} has it", where)
    # The others are helpers at best, and whoever made the bundle chose them: the trusted root has what is needed.
    return parse_der(decoded(chain.certificates[0].raw_bytes, "certificate"), "certificate")


def _content(found: _Bundle, where: str) -> Envelope | Message:
    envelope, message = found.dsse_envelope, found.message_signature
    if (envelope is None) == (message is None):
        _refuse("signs neither a file nor an envelope, or both", where)
    if message is not None:
        digest = message.message_digest
        said = (digest.algorithm, decoded(digest.digest, "digest")) if digest else None
        return Message(_signature(message.signature, where), said)
    assert envelope is not None  # noqa: S101 - one of the two is there
    if len(envelope.signatures) != 1:
        _refuse(f"has {len(envelope.signatures)} signatures; a Sigstore bundle has one", where)
    payload = decoded(envelope.payload, "payload")
    return Envelope(envelope.payload_type, payload, _signature(envelope.signatures[0].sig, where))


def _signature(text: str, where: str) -> bytes:
    content = decoded(text, "signature")
    if not content:
        _refuse("has an empty signature", where)
    return content


def _entry(row: _Entry, version: str, where: str) -> LogEntry:
    proof = row.inclusion_proof
    if proof is None:
        _refuse("has a log entry without an inclusion proof", where)
    promise = decoded(row.inclusion_promise.signed_entry_timestamp, "promise") if row.inclusion_promise else None
    if version == "0.1" and not promise:
        _refuse("is of version 0.1 and has no inclusion promise", where)
    integrated = _number(row.integrated_time, where)
    if integrated > _LAST_SECOND:
        _refuse("has a log entry of no time", where)
    return LogEntry(
        decoded(row.log_id.key_id, "log id"),
        _number(row.log_index, where),
        row.kind_version.kind,
        row.kind_version.version,
        decoded(row.canonicalized_body, "entry of the log"),
        integrated,
        promise or None,
        Proof(
            _number(proof.log_index, where),
            _number(proof.tree_size, where),
            decoded(proof.root_hash, "root hash"),
            tuple(decoded(item, "hash of a proof") for item in proof.hashes),
            proof.checkpoint.envelope,
        ),
    )


def _number(value: str | int, where: str) -> int:
    text = str(value)
    if _NUMBER.fullmatch(text) is None or int(text) >= 1 << 62:
        _refuse(f"has {text[:40]!r} where a number belongs", where)
    return int(text)


def _refuse(message: str, where: str) -> NoReturn:
    raise IntegrityError(
        message, where=where, code="SIG030", help="is this a Sigstore bundle? `stannary sign --keyless` writes one"
    )
