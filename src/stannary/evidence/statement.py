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
from stannary.core.strict_json import strict_json
from stannary.formats.tree import dir_hash

__all__ = [
    "MOST_BYTES",
    "STATEMENT",
    "InToto",
    "about",
    "decode",
    "encode",
    "filed_about",
    "subject_of",
    "subject_of_resource",
    "subject_resource",
]

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

    1. it is JSON of the statement's shape, of version 1, not larger than anything sensible, and says nothing twice: of two keys
       alike one program would take the first, and another the second;
    2. every subject has a digest, and digests are hex.
    """
    # 1.
    if len(payload) > MOST_BYTES:
        msg = f"is larger than {MOST_BYTES:,} bytes"
        raise InputError(msg, where=where, code="EVD001")
    try:
        found = msgspec.convert(strict_json(payload), InToto)
    except (ValueError, RecursionError) as error:
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
    """Return the subject and the digest we key on: `dirHash1`, else `sha256`. Raises InputError when it is none, or several."""
    found: dict[Digest, Resource] = {}
    for algorithm in _KEYS:
        for resource in statement.subject:
            if len(resource.digest.get(algorithm, "")) == _HEX_DIGITS:
                found.setdefault(subject_of_resource(resource), resource)
    if len(found) == 1:
        return next((resource, digest) for digest, resource in found.items())
    if found:
        msg = f"is about {len(found):,} artifacts, and it is not said for which of them it is to count"
        hint = "stannary attest TARGET --bundle FILE, for each artifact that is there"
        raise InputError(msg, where="statement", code="EVD018", help=hint)
    msg = "no subject has a dirHash1 or sha256 digest"
    raise InputError(msg, where="statement", code="EVD001")


def about(statement: InToto, subject: Digest) -> Resource | None:
    """Return the subject of a statement that is the artifact with a digest, None when there is none.

    A single file is meant by its SHA-256 too, when it has the name that the statement says: both are what its digest is made of.
    """
    for resource in statement.subject:
        if any(len(resource.digest.get(name, "")) == _HEX_DIGITS for name in _KEYS) and subject_of_resource(resource) == subject:
            return resource
        content, name = resource.digest.get("sha256", "").lower(), resource.name.rpartition("/")[2]
        if "dirHash1" not in resource.digest and len(content) == _HEX_DIGITS and name and dir_hash([(name, content)]) == subject:
            return resource
    return None


def subject_of_resource(resource: Resource) -> Digest:
    """Return the digest we key on. Raises InputError."""
    for algorithm in _KEYS:
        value = resource.digest.get(algorithm, "")
        if len(value) == _HEX_DIGITS:
            return Digest(value.lower())
    msg = f"{resource.name or 'a resource'} has no dirHash1 or sha256 digest"
    raise InputError(msg, where="statement", code="EVD001")


def filed_about(statement: InToto, subject: str) -> Digest:
    """Return the artifact that a statement is filed under, which has to be one of its subjects. Raises InputError."""
    digest = Digest.parse(subject)
    if about(statement, digest) is None:
        msg = f"is filed under {digest}, which it is not about"
        raise InputError(msg, where="statement", code="EVD008", help="stannary ledger audit")
    return digest


def _is_hex(text: str) -> bool:
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return len(text) >= 32  # noqa: PLR2004 - hex digits: nothing shorter than MD5 is a digest
