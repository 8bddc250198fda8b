"""Namespaces: the key of one is destroyed, and with it what it opens."""

from __future__ import annotations

import msgspec

from stannary.core.errors import UsageError
from stannary.registry.names import parse_model
from stannary.registry.shredding import plan_shredding, shred
from stannary.report.registry import ShreddingDocument
from stannary.server.operations import Call, Operation
from stannary.server.sent import Text

__all__ = ["OPERATIONS"]


class ToShred(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, and the name of the namespace once more: nothing brings back what this destroys."""

    reason: Text
    confirm: Text
    dry_run: bool = False


def _shred(call: Call) -> ShreddingDocument:
    namespace = parse_model(f"{call.path['namespace']}/x").namespace
    found = plan_shredding(call.store, namespace)
    if call.body.confirm != namespace:
        msg = f"is not the name of the namespace that is to be shredded: {call.body.confirm[:80]!r}"
        raise UsageError(msg, where="confirm", code="REG035", help="send the name of the namespace there")
    if not call.body.dry_run:
        found = shred(call.store, namespace, call.body.reason)
    return ShreddingDocument.of(found, dry_run=call.body.dry_run)


OPERATIONS = (
    Operation(
        id="shredNamespace",
        method="POST",
        path="/namespaces/{namespace}/shred",
        run=_shred,
        tag="contents",
        body=ToShred,
        reply=ShreddingDocument,
        errors=(404, 409),
        summary="Destroy the key of a namespace: its contents cannot be read again, wherever they were copied to.",
    ),
)
