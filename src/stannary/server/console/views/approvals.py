"""The inbox of approvals: what waits for the person who is there, why, and the form by which they approve or decline.

An approval is a statement that somebody signs with their own key. The server's key signs decisions; it does not speak for people.
`sign.js` signs in the browser, with a key that stays there; without a script a signed envelope is pasted in. What the server
prepares is what is to be signed, but for what the person says (`unsigned`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.core.errors import InputError
from stannary.core.model import Digest, Json
from stannary.crypto import dsse
from stannary.evidence.predicates.table import KINDS
from stannary.evidence.statement import STATEMENT, about, decode
from stannary.registry.model import Version
from stannary.registry.waiting import Waiting
from stannary.server.api.approvals import approvals
from stannary.server.console.page import Go, Page, Shown
from stannary.server.console.views.asked import VERSION
from stannary.server.operations import Call

__all__ = ["PAGES"]

_PAGE = 20


class ApprovalForm(msgspec.Struct, frozen=True, kw_only=True):
    """What a form of an approval needs: the version, the statement to sign, the time of the server."""

    version: Version
    statement: dict[str, Json]
    now: str


class InboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that waits, and the form for it."""

    waiting: Waiting
    form: ApprovalForm


class InboxPage(msgspec.Struct, frozen=True, kw_only=True):
    """What waits; `next` is where to go on, or empty. A page may be short, and not the last."""

    schema: str = "stannary.console.approvals/1"
    waiting: tuple[InboxRow, ...]
    next: str


class ApprovePage(msgspec.Struct, frozen=True, kw_only=True):
    """The form of an approval of one version."""

    schema: str = "stannary.console.approve/1"
    form: ApprovalForm


def _inbox(call: Call) -> Shown:
    found = approvals(call, call.query.get("after", ""), _PAGE)
    rows = tuple(InboxRow(waiting=row, form=_form(call, row.version)) for row in found.waiting)
    return Shown(template="approvals.html", title="Approvals", data=InboxPage(waiting=rows, next=found.next))


def _approve_page(call: Call) -> Shown:
    found = _version(call)
    call.store.allowed("approve", call.name)
    return Shown(template="approve.html", title=f"Approve {found}", data=ApprovePage(form=_form(call, found)))


def _form(call: Call, version: Version) -> ApprovalForm:
    now = call.store.chain.workspace.clock().isoformat()
    return ApprovalForm(version=version, statement=_unsigned(call, version), now=now)


def _unsigned(call: Call, version: Version) -> dict[str, Json]:
    """Return the statement without what the person says: decision, statement, times."""
    subject: Any = msgspec.to_builtins(call.store.subject(version))
    predicate = {"topic": "approval", "author": call.principal.id.partition(":")[2]}
    return {"_type": STATEMENT, "subject": [subject], "predicateType": KINDS["statement"].predicate_type, "predicate": predicate}


def _approve(call: Call) -> Go:
    """Log a statement that somebody signed whom the workspace trusts; about this version, and nothing else."""
    found = _version(call)
    call.store.allowed("approve", call.name)
    envelope = dsse.decode(call.body.get("envelope", "").encode(), "envelope")
    digest = Digest.parse(found.digest)
    if about(decode(dsse.payload_of(envelope), "envelope"), digest) is None:
        msg = f"is not about {found.digest}"
        raise InputError(msg, where="envelope", code="EVD010", help=f"stannary attest registry:{found} -o approval.json")
    call.store.chain.log([envelope], subject=digest)
    if call.body.get("back") == "approvals":
        return Go("/approvals")
    return Go(f"/models/{call.name.namespace}/{call.name.name}/versions/{found.number}")


def _version(call: Call) -> Version:
    return call.store.show(call.reference(call.number()))


PAGES = (
    Page(id="approvals", path="/approvals", run=_inbox),
    Page(id="approve", path=f"{VERSION}/approve", run=_approve_page),
    Page(id="do.approve", path=f"{VERSION}/approve", run=_approve, method="POST"),
)
