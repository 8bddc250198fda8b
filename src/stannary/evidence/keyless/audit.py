"""Who signed with the authority: every entry of its signature logs, held against what the ledger says was issued.

Whoever has the keys of the authority and not those of the ledger can issue and log; it then stands in the log of
signatures and not in the ledger. That is what this finds, and why verifiers want a signature to be logged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container
from datetime import datetime

import msgspec

from stannary.core.errors import IntegrityError, StannaryError
from stannary.core.strict_json import strict_json
from stannary.crypto.certificates import der_of, parse_pem
from stannary.evidence.keyless.authority import Authority
from stannary.evidence.oms.bundle import decoded
from stannary.evidence.sigstore.identity import owner_of

__all__ = ["Audit", "LoggedSignature", "audit"]


class LoggedSignature(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a signature log: by whom, with which certificate (SHA-256), on what (SHA-256 of the statement).

    `time` is when the certificate was issued; `issued` tells whether the ledger knows that it was.
    """

    log: int
    index: int
    time: datetime
    identity: str
    issuer: str
    certificate: str
    payload: str
    issued: bool


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """All entries, and certificates that were issued and with which nothing was logged: a signing that was interrupted."""

    signatures: tuple[LoggedSignature, ...]
    unused: tuple[str, ...]

    @property
    def strange(self) -> tuple[LoggedSignature, ...]:
        """Return the signatures with certificates that the ledger does not know."""
        return tuple(row for row in self.signatures if not row.issued)


def audit(authority: Authority) -> Audit:
    """Read the logs and the ledger, each proven under its signed head. Raises IntegrityError for what cannot be read."""
    issued = _issued(authority)
    rows: list[LoggedSignature] = []
    for generation in authority.settings.log:
        with authority.signature_log(number=generation.number) as log:
            bodies = log.bodies()
        rows += [_row(body, (generation.number, index), issued) for index, body in enumerate(bodies)]
    used = {row.certificate for row in rows}
    return Audit(signatures=tuple(rows), unused=tuple(name for name in issued if name not in used))


def _issued(authority: Authority) -> dict[str, None]:
    with authority.workspace.ledger() as ledger:
        entries = ledger.find(type="trust", complete=True)
    bodies = [item.body for item in entries if item.kind == "trust-issued"]
    return dict.fromkeys(str(body.get("certificate")) for body in bodies if isinstance(body, dict))


def _row(body: bytes, place: tuple[int, int], issued: Container[str]) -> LoggedSignature:
    log, index = place
    try:
        spec = strict_json(body)["spec"]
        (certificate,) = parse_pem(decoded(spec["signatures"][0]["verifier"], "certificate"), f"entry {index}")
        payload = str(spec["payloadHash"]["value"])
        owner = owner_of(certificate)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, StannaryError) as error:
        msg = f"holds an entry that is not one of a signature: {str(error)[:120]}"
        raise IntegrityError(
            msg, where=f"log-{log}, entry {index}", code="TRU017", help="the key of this log signed it: replace it"
        ) from error
    name = hashlib.sha256(der_of(certificate)).hexdigest()
    return LoggedSignature(
        log=log,
        index=index,
        time=certificate.not_valid_before_utc,
        identity=owner.names[0],
        issuer=owner.issuer,
        certificate=name,
        payload=payload,
        issued=name in issued,
    )
