"""What counts no longer: identities, certificates and keys that were revoked, from when on, and why.

A revocation without a time counts from the beginning: everything that was signed with it is refused. With a time,
what was logged before stands. The list is written for offline verifiers as a DSSE envelope, signed with the key of a
log of the trusted root: who trusts that for the time of a signature trusts it for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from stannary.core.errors import InputError, IntegrityError
from stannary.crypto import dsse
from stannary.crypto.interface import Signer
from stannary.evidence.sigstore.trusted_root import TrustedRoot

if TYPE_CHECKING:
    from stannary.evidence.sigstore.verify import SignatureFacts

__all__ = ["LIST_TYPE", "Revocation", "RevocationList", "Revocations", "open_list", "sign_list"]

LIST_TYPE = "application/vnd.stannary.revocations+json"


class Revocation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that counts no longer.

    `value` is an identity (then `issuer` says whose; empty: of any provider), the SHA-256 of a certificate (DER) or of
    a key (SubjectPublicKeyInfo), in hex.
    """

    what: Literal["identity", "certificate", "key"]
    value: str
    issuer: str = ""
    since: datetime | None = None
    reason: str = ""

    def hits(self, facts: SignatureFacts) -> bool:
        """Tell whether a signature is meant. One that was made at the very time is."""
        if self.since is not None and facts.time < self.since:
            return False
        if self.what == "identity":
            return self.value in facts.owner.names and self.issuer in ("", facts.owner.issuer)
        return self.value == (facts.fingerprint if self.what == "certificate" else facts.key.keyid)


class RevocationList(msgspec.Struct, frozen=True, kw_only=True):
    """The list as it is signed. `number` rises: an older list than one that was seen is a step back."""

    schema: Literal["stannary.revocations/1"] = "stannary.revocations/1"
    log: str
    number: int
    issued: datetime
    until: datetime
    revoked: tuple[Revocation, ...]


class Revocations:
    """All that is known to be revoked."""

    def __init__(self, rows: Sequence[Revocation] = ()) -> None:
        self.rows = tuple(rows)

    def check(self, facts: SignatureFacts) -> None:
        """Return when a signature is not hit. Raises IntegrityError."""
        for row in self.rows:
            if row.hits(facts):
                since = f" from {row.since:%Y-%m-%d %H:%M} UTC on" if row.since else ""
                why = f": {row.reason[:200]}" if row.reason else ""
                msg = f"the {row.what} {row.value[:80]} was revoked{since}{why}"
                raise IntegrityError(msg, code="SIG040", help="have it signed again by somebody who is trusted")


def sign_list(found: RevocationList, signer: Signer) -> bytes:
    """Return the list as a file."""
    return dsse.encode(dsse.sign(msgspec.json.encode(found), signer, LIST_TYPE)) + b"\n"


def open_list(content: bytes, root: TrustedRoot, now: datetime, where: str = "revocations") -> RevocationList:
    """Return a list that a log of the trusted root signed. Raises IntegrityError or InputError.

    1. it is an envelope with one, signed by a log that counted when it was issued;
    2. it has not run out: whoever withholds newer ones gains that much time, and no more.
    """
    # 1.
    keys = [log.key for log in root.logs if log.key is not None]
    payload, key = dsse.verify(dsse.decode(content, where), keys, LIST_TYPE)
    try:
        found = msgspec.json.decode(payload, type=RevocationList)
    except msgspec.MsgspecError as error:
        msg = f"is no list of revocations: {error}"
        raise InputError(msg, where=where, code="SIG041") from error
    holders = [log for log in root.logs if log.key is not None and log.key.keyid == key.keyid]
    if not any(log.period.holds(found.issued) for log in holders):
        msg = "was signed by a log that did not count then"
        raise IntegrityError(msg, where=where, code="SIG042")
    # 2.
    if now > found.until:
        msg = f"ran out on {found.until:%Y-%m-%d %H:%M} UTC"
        raise IntegrityError(msg, where=where, code="SIG045", help="get a new one: `stannary trust revocations` writes it")
    return found
