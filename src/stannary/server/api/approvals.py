"""What waits for an approval that the caller may give. The approval itself is a signed statement: `POST /evidence`."""

from __future__ import annotations

import msgspec

from stannary.registry.names import parse
from stannary.registry.waiting import Waiting, waiting
from stannary.server.operations import Call, Operation, Parameter

__all__ = ["OPERATIONS", "ApprovalsDocument", "approvals"]


class ApprovalsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Versions that wait for an approval, by name; `next` is where to go on, or empty. A page may be short, and not the last."""

    schema: str = "stannary.approvals/1"
    waiting: tuple[Waiting, ...]
    next: str = ""


def approvals(call: Call, after: str, limit: int) -> ApprovalsDocument:
    """Return what waits for the caller."""
    found = waiting(call.store, after=parse(after).name if after else None, limit=limit)
    last = found.next
    return ApprovalsDocument(waiting=tuple(found.rows), next=f"{last.namespace}/{last.name}" if last else "")


def _list(call: Call) -> ApprovalsDocument:
    return approvals(call, call.query["after"], call.query["limit"])


OPERATIONS = (
    Operation(
        id="listApprovals",
        method="GET",
        path="/approvals",
        run=_list,
        tag="evidence",
        reply=ApprovalsDocument,
        query=(
            Parameter("limit", int, "How many at least, if so many wait.", 25, 1, 200),
            Parameter("after", str, "The `next` of the page before.", ""),
        ),
        summary="Versions that wait for an approval which the caller may give, and why.",
    ),
)
