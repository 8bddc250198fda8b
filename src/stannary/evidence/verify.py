"""From an envelope to evidence: the only place that makes a `Verified`.

1. a signature of a trusted key holds on the envelope, whose payload is an in-toto statement;
2. the statement is well formed, and of a kind that is known;
3. the predicate has the shape of that kind;
4. the subject is the one that was asked for, when one was;
5. what it claims about time is possible: nothing is issued after it was recorded.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from stannary.core.errors import InputError, IntegrityError
from stannary.core.evidence import Check, Evidence, Resource, Verified, seal
from stannary.core.model import Digest
from stannary.crypto import dsse
from stannary.crypto.interface import Verifier
from stannary.evidence.predicates.table import decoded, kind_of_type
from stannary.evidence.statement import InToto, about, decode, subject_of

__all__ = ["Trusted", "verify_envelope"]

# Clocks of the machines that sign and that record differ by this much at most.
_SKEW = timedelta(minutes=5)
_NEVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

# Who is trusted: a key, and the name it stands for.
Trusted = Mapping[str, tuple[Verifier, str]]


def verify_envelope(
    envelope: dsse.Envelope,
    trusted: Trusted,
    *,
    subject: Digest | None = None,
    recorded: datetime | None = None,
    index: int | None = None,
) -> Verified[Evidence]:
    """Return the evidence in an envelope. Raises IntegrityError or InputError.

    Args:
        envelope: what was signed.
        trusted: key ids → (key, identity); a signature of another key counts for nothing.
        subject: the artifact that it has to be about; needed when it is about several.
        recorded: when the ledger took it, if it did.
        index: where the ledger holds it.
    """
    # 1.
    payload, key = dsse.verify(envelope, [key for key, _ in trusted.values()])
    # 2. and 3.
    statement = decode(payload)
    name = dsse.id_of(envelope)
    # 4.
    if subject is None:
        resource, subject = subject_of(statement)
    elif (found := about(statement, subject)) is not None:
        resource = found
    else:
        msg = f"is about {', '.join(_digests(statement)) or 'nothing that is known here'}, not about {subject}"
        raise IntegrityError(msg, where=str(name), code="EVD003")
    evidence = _project(name, statement, (resource, subject), recorded)
    # 5.
    if recorded is not None and evidence.issued > recorded + _SKEW:
        msg = f"says it was issued on {evidence.issued:%Y-%m-%d %H:%M:%S}, after it was recorded ({recorded:%Y-%m-%d %H:%M:%S})"
        raise IntegrityError(msg, where=str(evidence.id), code="EVD004")
    return seal(evidence, keyid=key.keyid, identity=trusted[key.keyid][1], index=index)


def _digests(statement: InToto) -> list[str]:
    """Name the first of its subjects, for a message."""
    rows = (f"{name}:{value}" for resource in statement.subject for name, value in resource.digest.items())
    return list(itertools.islice(rows, 3))


def _project(name: Digest, statement: InToto, subject: tuple[Resource, Digest], recorded: datetime | None) -> Evidence:
    kind = kind_of_type(statement.predicate_type)
    if kind is None:
        msg = f"is of a type that is not known here: {statement.predicate_type[:120]!r}"
        raise InputError(msg, where=str(name), code="EVD005", help="`stannary evidence kinds` lists those that are")
    fields: dict[str, Any] = kind.project(decoded(kind, statement.predicate, str(name)))
    resource, digest = subject
    issued = fields.pop("issued", None) or recorded or _NEVER
    fields.setdefault("check", Check(id=kind.name, version=""))
    return Evidence(
        id=name,
        subject=digest,
        subject_name=resource.name,
        kind=kind.name,
        predicate_type=statement.predicate_type,
        issued=issued,
        recorded=recorded,
        predicate=statement.predicate,
        **fields,
    )
