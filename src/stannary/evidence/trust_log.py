"""Changes of trust: logged first, then in force."""

from __future__ import annotations

from collections.abc import Sequence

from stannary.core.model import Json
from stannary.crypto.keys import PublicKey
from stannary.evidence.ledger import entry
from stannary.evidence.trust import TrustedKey, write_trust
from stannary.evidence.workspace import Workspace

__all__ = ["grant", "log_event", "withdraw"]


def grant(workspace: Workspace, identity: str, key: PublicKey) -> None:
    """Trust a key as an identity. Raises UsageError."""
    changed = workspace.trust.with_key(identity, key)
    _logged(workspace, "added", [changed.keys[-1]])
    write_trust(workspace.trust_path, changed)


def withdraw(workspace: Workspace, name: str) -> Sequence[TrustedKey]:
    """Trust an identity or a key no longer, and return what that took out. Raises UsageError."""
    changed, out = workspace.trust.without(name)
    _logged(workspace, "removed", out)
    write_trust(workspace.trust_path, changed)
    return out


def log_event(workspace: Workspace, action: str, *events: dict[str, Json]) -> None:
    """Log changes of trust: entries of type `trust` and kind `trust-ACTION`, with the key that made them."""
    now, by = workspace.clock(), workspace.signer.public.keyid
    records = [entry("trust", {"action": action, **event, "by": by}, time=now, kind=f"trust-{action}") for event in events]
    with workspace.ledger(write=True) as ledger:
        ledger.append(records)


def _logged(workspace: Workspace, action: str, rows: Sequence[TrustedKey]) -> None:
    log_event(workspace, action, *({"identity": row.identity, "keyid": row.keyid} for row in rows))
