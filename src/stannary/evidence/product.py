"""What a background job came to: statements that are not signed yet. Whoever keeps them signs and logs each one once.

A job may be run more than once. Its product is written down the first time, so that the statements have the same ids
however often they are kept; what the ledger has already is left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec

from stannary.core.errors import InputError
from stannary.core.evidence import Resource
from stannary.core.model import Json
from stannary.crypto import dsse
from stannary.evidence.chain import Chain
from stannary.evidence.predicates.table import KINDS, decoded
from stannary.evidence.statement import encode

__all__ = ["Product", "Stated", "keeper_of", "read_product"]


class Stated(msgspec.Struct, frozen=True):
    """A statement about a subject, not signed; the predicate is that of the kind, as JSON."""

    subject: Resource
    kind: str
    predicate: dict[str, Json]


class Product(msgspec.Struct, frozen=True):
    """Statements, and in short what they say, for whoever looks at the job."""

    statements: tuple[Stated, ...]
    summary: dict[str, Json] = {}

    def encoded(self) -> bytes:
        """Return it as bytes."""
        return msgspec.json.encode(self)


def read_product(value: bytes) -> Product:
    """Return what was encoded. Raises InputError."""
    try:
        return msgspec.json.decode(value, type=Product)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"is not what a job comes to: {error}"
        raise InputError(msg, where="job", code="EVD012") from error


def keeper_of(chain: Chain) -> Callable[[Sequence[bytes]], list[tuple[str, ...]]]:
    """Return what keeps products in a chain: values in, the ids of their evidence out. To be called by one at a time.

    It raises InputError for what is no product, and whatever the ledger and the key raise; then nothing was kept.
    """

    def keep(values: Sequence[bytes]) -> list[tuple[str, ...]]:
        new: dict[str, bytes] = {}
        found = []
        for value in values:
            payloads = {_id_of(payload): payload for payload in map(_payload, read_product(value).statements)}
            new |= {name: payload for name, payload in payloads.items() if chain.ledger.newest(name) is None}
            found.append(tuple(payloads))
        if new:
            chain.log([dsse.sign(payload, chain.workspace.signer) for payload in new.values()])
        return found

    return keep


def _payload(stated: Stated) -> bytes:
    row = KINDS.get(stated.kind)
    if row is None:
        msg = f"is a kind of evidence that is not known here: {stated.kind[:80]!r}"
        raise InputError(msg, where="job", code="EVD005")
    decoded(row, stated.predicate, f"{stated.kind} predicate")
    try:
        return encode([stated.subject], row.predicate_type, stated.predicate)
    except ValueError as error:
        raise InputError(str(error), where=f"{stated.kind} predicate", code="EVD002") from error


def _id_of(payload: bytes) -> str:
    return f"sha256:{hashlib.sha256(dsse.pae(dsse.IN_TOTO, payload)).hexdigest()}"
