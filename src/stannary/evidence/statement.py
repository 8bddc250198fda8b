"""In-toto statements, version 1: subjects, a predicate type, a predicate.

The subject of ours is one artifact: `dirHash1` (names and contents; the key everywhere) and, for a single
file, its `sha256` beside it. https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from stannary.core.canonical import canonical_json
from stannary.core.errors import InputError
from stannary.core.evidence import Resource
from stannary.core.model import Digest, Json

__all__ = ["MOST_BYTES", "STATEMENT", "InToto", "decode", "encode", "subject_of", "subject_of_resource", "subject_resource"]

STATEMENT = "https://in-toto.io/Statement/v1"
MOST_BYTES = 64 << 20  # a bill of materials of a large repository has a few megabytes
_MOST_SUBJECTS = 10_000
_KEYS = ("dirHash1", "sha256")
_HEX_DIGITS = 64


class InToto(msgspec.Struct, frozen=True, kw_only=True, rename={"type": "_type", "predicate_type": "predicateType"}):
    """A statement."""

    type: str
    subject: tuple[Resource, ...]
    predicate_type: str
    predicate: dict[str, Json] = {}


def encode(subject: Sequence[Resource], predicate_type: str, predicate: Mapping[str, Json] | msgspec.Struct) -> bytes:
    """Return the canonical JSON of a statement. Raises ValueError for numbers that have no canonical form."""
    built = msgspec.to_builtins(predicate)
    return canonical_json(
        {
            "_type": STATEMENT,
            "subject": [msgspec.to_builtins(resource) for resource in subject],
            "predicateType": predicate_type,
            "predicate": built,
        }
    )


def decode(payload: bytes, where: str = "statement") -> InToto:
    """Read a statement. Raises InputError.

    1. it is JSON of the statement's shape, of version 1, and not larger than anything sensible;
    2. every subject has a digest, and digests are hex.
    """
    # 1.
    if len(payload) > MOST_BYTES:
        msg = f"is larger than {MOST_BYTES:,} bytes"
        raise InputError(msg, where=where, code="EVD001")
    try:
        found = msgspec.json.decode(payload, type=InToto)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"is not an in-toto statement: {error}"
        raise InputError(msg, where=where, code="EVD001") from error
    if found.type != STATEMENT:
        msg = f"is a statement of type {found.type[:80]!r}; {STATEMENT} is read"
        raise InputError(msg, where=where, code="EVD001")
    # 2.
    if not 0 < len(found.subject) <= _MOST_SUBJECTS:
        msg = f"has {len(found.subject):,} subjects; from 1 to {_MOST_SUBJECTS:,} are read"
        raise InputError(msg, where=where, code="EVD001")
    for resource in found.subject:
        if not resource.digest or not all(_is_hex(value) for value in resource.digest.values()):
            msg = f"the subject {resource.name[:80]!r} has no digest in hex"
            raise InputError(msg, where=where, code="EVD001")
    return found


def subject_resource(digest: Digest, name: str, sha256: str | None = None) -> Resource:
    """Return the subject of an artifact of ours; `sha256` is the content's digest when it is a single file."""
    digests = {"dirHash1": digest.hex}
    if sha256 is not None:
        digests["sha256"] = sha256
    return Resource(name=name, digest=digests)


def subject_of(statement: InToto) -> tuple[Resource, Digest]:
    """Return the first subject that has a digest we key on: `dirHash1`, else `sha256`. Raises InputError."""
    for algorithm in _KEYS:
        for resource in statement.subject:
            if len(resource.digest.get(algorithm, "")) == _HEX_DIGITS:
                return resource, subject_of_resource(resource)
    msg = "no subject has a dirHash1 or sha256 digest"
    raise InputError(msg, where="statement", code="EVD001")


def subject_of_resource(resource: Resource) -> Digest:
    """Return the digest we key on. Raises InputError."""
    for algorithm in _KEYS:
        value = resource.digest.get(algorithm, "")
        if len(value) == _HEX_DIGITS:
            return Digest(value.lower())
    msg = f"{resource.name or 'a resource'} has no dirHash1 or sha256 digest"
    raise InputError(msg, where="statement", code="EVD001")


def _is_hex(text: str) -> bool:
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return len(text) >= 32  # noqa: PLR2004 - hex digits: nothing shorter than MD5 is a digest
