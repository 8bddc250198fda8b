"""Sigstore bundles on one file: with a message signature, or an in-toto statement that has the file as a subject.

Statements on models (OpenSSF Model Signing) are `evidence/oms/`'s, whatever the version of their bundle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from stannary.core.errors import IntegrityError, UsageError
from stannary.crypto import dsse
from stannary.evidence.oms import bundle as oms
from stannary.evidence.oms.manifest import is_model_statement
from stannary.evidence.sigstore.bundle import Envelope, SigstoreBundle, parse_bundle
from stannary.evidence.sigstore.method import SigstoreTrust
from stannary.evidence.sigstore.verify import SignatureFacts, verify_bundle

__all__ = ["FileVerification", "is_on_a_model", "verify_file"]

_CHUNK = 1 << 20
_ALGORITHMS = frozenset({"sha256", "sha384", "sha512"})


class FileVerification(NamedTuple):
    """A file that is what was signed; `predicate` is what was stated about it, empty for a bare signature."""

    facts: SignatureFacts
    size: int
    sha256: str
    predicate: str


def is_on_a_model(content: bytes, where: str) -> bool:
    """Tell whether a bundle, not verified yet, is of a statement on a model. Raises IntegrityError for what is no bundle."""
    found = parse_bundle(content, where)
    return isinstance(found.content, Envelope) and is_model_statement(found.content.payload)


def verify_file(path: str, content: bytes, trust: SigstoreTrust, where: str) -> FileVerification:
    """Return when a file is what somebody trusted signed. Raises IntegrityError, or UsageError when it cannot be read."""
    bundle = parse_bundle(content, where)
    digest = _hasher(path)
    facts = verify_bundle(bundle, trust.root, trust.wanted, file=digest, revoked=trust.revoked)
    predicate = ""
    if isinstance(bundle.content, Envelope):
        predicate = _check_subject(bundle, Path(path).name, digest)
    return FileVerification(facts, Path(path).stat().st_size, digest("sha256").hex(), predicate)


def _check_subject(bundle: SigstoreBundle, name: str, digest: Callable[[str], bytes]) -> str:
    """Return the type of the predicate when the file is a subject of the statement. Raises IntegrityError."""
    envelope = bundle.content
    assert isinstance(envelope, Envelope)  # noqa: S101 - the caller looked
    if envelope.payload_type != dsse.IN_TOTO:
        msg = f"signs {envelope.payload_type[:80]!r}, which says nothing about a file"
        raise IntegrityError(msg, code="SIG002")
    try:
        statement = oms.strict_json(envelope.payload)
        subjects: list[dict[str, Any]] = list(statement["subject"])
        predicate = str(statement["predicateType"])
        rows = [(item.get("name", ""), dict(item["digest"])) for item in subjects]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = "is no in-toto statement"
        raise IntegrityError(msg, code="SIG009") from error
    for _, digests in rows:
        known = {algorithm: value for algorithm, value in digests.items() if algorithm in _ALGORITHMS}
        if known and all(digest(algorithm).hex() == value for algorithm, value in known.items()):
            return predicate
    msg = f"{name} is no subject of the statement: its digest is none of the {len(rows)} there"
    raise IntegrityError(msg, code="SIG005", help="get the file again from where it was signed")


def _hasher(path: str) -> Callable[[str], bytes]:
    @cache
    def digest(algorithm: str) -> bytes:
        if algorithm not in _ALGORITHMS:
            msg = f"a digest by {algorithm[:40]!r} is not known here"
            raise IntegrityError(msg, code="SIG036")
        hasher = hashlib.new(algorithm)
        try:
            with Path(path).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    hasher.update(chunk)
        except OSError as error:
            msg = f"cannot be read: {error.strerror}"
            raise UsageError(msg, where=path, code="SIG015", help="this signature is on a single file; name that") from error
        return hasher.digest()

    return digest
