"""Aliases and stages: both are the registry's aliases, and both move by its decision."""

from __future__ import annotations

from stannary.core.errors import UsageError
from stannary.registry import promotion
from stannary.registry.names import Name, Reference
from stannary.server.mlflow.errors import denied
from stannary.server.mlflow.words import STAGES
from stannary.server.operations import Call

__all__ = ["promoted", "transitioned"]


def promoted(call: Call, name: Name, number: int, alias: str) -> None:
    """Move an alias, or raise what denies it, with the reasons of its policy."""
    found = promotion.promote(call.store, name, number, alias)
    call.place.metrics.event("promotion", "allow" if found.moved else "deny")
    if found.moved:
        return
    reasons = [reason for reason in found.decision.reasons if not reason.ok]
    told = "; ".join(f"{row.rule}: {row.message}{f' - {row.help}' if row.help else ''}" for row in reasons)
    stays = f"stays at version {found.before}" if found.before else "stays unset"
    message = f"{name}@{alias} {stays}: the policy {found.decision.policy_name} denies version {number}: {told}"
    raise denied(message)


def transitioned(call: Call, name: Name, number: int, stage: str) -> None:
    """Put a version into a stage: the alias of that name moves. `Archived` and `None` take the aliases of stages away."""
    by_lower = {key.lower(): alias for key, alias in STAGES.items()}
    alias = by_lower.get(stage.lower())
    if alias is not None:
        promoted(call, name, number, alias)
        return
    if stage.lower() not in ("archived", "none"):
        msg = f"is no stage: {stage[:40]!r}"
        raise UsageError(msg, where="stage", code="API002", help="Production, Staging, Archived or None")
    version = call.store.show(Reference(name, number))
    for placed in sorted(set(STAGES.values()) & set(version.aliases)):
        promotion.remove(call.store, name, placed)
