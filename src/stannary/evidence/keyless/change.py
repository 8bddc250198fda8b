"""Revocation: entries of the ledger, what follows from them, and the list for verifiers who do not have the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from stannary.core.errors import InputError, UsageError
from stannary.evidence.keyless.authority import Authority
from stannary.evidence.sigstore.revocation import Revocation, RevocationList, Revocations, sign_list
from stannary.evidence.trust_log import log_event
from stannary.evidence.workspace import Workspace

__all__ = ["export_list", "reinstate", "revocations_of", "revoke"]

_REVOKED, _REINSTATED = "revoked", "reinstated"


def revoke(workspace: Workspace, row: Revocation) -> None:
    """Log that something counts no longer. Raises UsageError when it is revoked already, in the same way."""
    if row in revocations_of(workspace).rows:
        msg = f"the {row.what} {row.value[:80]} is revoked already"
        raise UsageError(msg, code="TRU015", help="`stannary trust show` lists what is")
    log_event(workspace, _REVOKED, {"revocation": msgspec.to_builtins(row)})


def reinstate(workspace: Workspace, row: Revocation) -> None:
    """Log that something that was revoked counts again. Raises UsageError when it was not."""
    if not any(_same(row, other) for other in revocations_of(workspace).rows):
        msg = f"the {row.what} {row.value[:80]} is not revoked"
        raise UsageError(msg, code="TRU015", help="`stannary trust show` lists what is")
    log_event(workspace, _REINSTATED, {"revocation": msgspec.to_builtins(row)})


def revocations_of(workspace: Workspace) -> Revocations:
    """Return what the ledger says is revoked now: every entry is read, and proven under the signed head.

    Raises IntegrityError, or InputError for an entry that cannot be read: what is not understood revokes nothing, and
    so nothing may be called not revoked.
    """
    rows: list[Revocation] = []
    with workspace.ledger() as ledger:
        entries = ledger.find(type="trust", complete=True)
    for item in entries:
        if item.kind not in (f"trust-{_REVOKED}", f"trust-{_REINSTATED}"):
            continue
        row = _row(item.body, item.index)
        if item.kind == f"trust-{_REVOKED}":
            rows.append(row)
        else:
            rows = [other for other in rows if not _same(row, other)]
    return Revocations(rows)


def export_list(authority: Authority, days: int) -> bytes:
    """Return the list of what is revoked, signed with the key of the signature log, for `days` from now."""
    workspace = authority.workspace
    rows = revocations_of(workspace).rows
    with workspace.ledger() as ledger:
        number = ledger.head().size
    now = workspace.clock()
    name = authority.log_name(authority.current("log"))
    found = RevocationList(log=name, number=number, issued=now, until=now + timedelta(days=days), revoked=rows)
    return sign_list(found, authority.key("log"))


def _row(body: Any, index: int) -> Revocation:  # noqa: ANN401 - JSON
    try:
        return msgspec.convert(body["revocation"], Revocation)
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        msg = f"holds a revocation that is not understood: {error}"
        raise InputError(msg, where=f"entry {index}", code="TRU016", help="use a newer stannary") from error


def _same(one: Revocation, other: Revocation) -> bool:
    return (one.what, one.value, one.issuer) == (other.what, other.value, other.issuer)
