"""Aliases: where they are, and how they move."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from stannary.core.errors import UsageError
from stannary.registry import promotion, queries
from stannary.registry.model import Promotion, Protection
from stannary.report.registry import PromotionDocument, VersionDocument, promotion_document
from stannary.server.operations import Call, Operation, Reply
from stannary.server.problems import Refused
from stannary.server.sent import MOST_POLICY, PolicyName, Reason, evaluating, policy_sent
from stannary.server.sight import seen_decision

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["OPERATIONS"]

_ALIAS = "/models/{namespace}/{name}/aliases/{alias}"


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The version that an alias is to be at."""

    number: Annotated[int, msgspec.Meta(ge=1, le=999_999_999)]


class NewProtection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What has to hold before an alias moves: a shipped policy by its name, a policy in YAML, or a module in Rego.

    `name`: what decisions call a module in Rego; a policy in YAML says its own.
    """

    policy: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_POLICY)]
    name: PolicyName = ""
    separate: bool = False


class ProtectionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What has to hold before an alias moves. `frozen` says why it does not move at all."""

    name: str
    alias: str
    policy: Any
    separate: bool
    frozen: str
    entry: int | None

    @classmethod
    def of(cls, found: Protection) -> ProtectionDocument:
        """Return the document of a protection."""
        return cls(
            name=str(found.name), alias=found.alias, policy=found.policy, separate=found.separate, frozen=found.frozen,
            entry=found.entry,
        )  # fmt: skip


def _resolve(call: Call) -> Reply:
    reference = call.reference(alias=call.path["alias"])
    found = call.store.resolve(reference)
    return Reply(body=VersionDocument(version=found), headers={"etag": f'"{found.entry}-{found.number}"'})


def _promote(call: Call) -> Reply:
    alias = call.path["alias"]
    call.reference(alias=alias)
    return _told(call, promotion.promote(call.store, call.name, call.body.number, alias, _unchanged(call)))


def _rollback(call: Call) -> Reply:
    alias = call.path["alias"]
    call.reference(alias=alias)
    return _told(call, promotion.rollback(call.store, call.name, alias, _unchanged(call)))


def _remove(call: Call) -> None:
    promotion.remove(call.store, call.name, call.reference(alias=call.path["alias"]).alias, _unchanged(call))


def _protection(call: Call) -> ProtectionDocument:
    return ProtectionDocument.of(call.store.protection(*call.ruled()))


def _protect(call: Call) -> ProtectionDocument:
    name, alias = call.ruled()
    policy = policy_sent(call.body.policy, call.body.name)
    with evaluating(call, call.body.policy):
        promotion.protect(call.store, name, alias, policy, separate=call.body.separate)
    return _protection(call)


def _freeze(call: Call) -> None:
    promotion.freeze(call.store, *call.ruled(any_alias=True), call.body.reason)


def _thaw(call: Call) -> None:
    promotion.freeze(call.store, *call.ruled(any_alias=True), "lifted", lifted=True)


def _told(call: Call, found: Promotion) -> Reply:
    """Answer 200 when the alias moved, and 409 with the same document when it was denied: the reasons are what is asked for."""
    call.place.metrics.event("promotion", "allow" if found.moved else "deny")
    found = msgspec.structs.replace(found, decision=seen_decision(call.store, found.decision))
    return Reply(body=promotion_document(found), status=200 if found.moved else 409)


def _unchanged(call: Call) -> Callable[[Connection], None] | None:
    """Return what holds `If-Match` against where the alias is.

    It is asked under the lock, so that of two who saw the same one is refused, and by who may move it: for others it would tell.
    """
    wanted = call.headers.get("if-match")
    if wanted is None:
        return None
    tags = [tag.strip() for tag in wanted.split(",")]
    reference = call.reference(alias=call.path["alias"])

    def check(connection: Connection) -> None:
        try:
            at = queries.version(connection, reference)
        except UsageError:
            at = None
        if at is None or not {"*", f'"{at.entry}-{at.number}"'}.intersection(tags):
            raise Refused(412, "It changed meanwhile", "the alias is elsewhere than If-Match says", code="API008")

    return check


_VERIFIES = (404, 409)
OPERATIONS = (
    Operation(
        id="resolveAlias",
        method="GET",
        path=_ALIAS,
        run=_resolve,
        tag="aliases",
        reply=VersionDocument,
        errors=_VERIFIES,
        quick=True,
        summary="The version that an alias is at, held against the ledger.",
    ),
    Operation(
        id="promote",
        method="PUT",
        path=_ALIAS,
        run=_promote,
        tag="aliases",
        body=Target,
        reply=PromotionDocument,
        errors=(404, 409, 412),
        summary="Move an alias to a version, if its policy allows it; 409 with the reasons if not.",
    ),
    Operation(
        id="removeAlias",
        method="DELETE",
        path=_ALIAS,
        run=_remove,
        tag="aliases",
        status=204,
        errors=(*_VERIFIES, 412),
        summary="Take an alias away.",
    ),
    Operation(
        id="rollback",
        method="POST",
        path=f"{_ALIAS}/rollback",
        run=_rollback,
        tag="aliases",
        reply=PromotionDocument,
        errors=(*_VERIFIES, 412),
        summary="Move an alias back to the last version that satisfies its policy now.",
    ),
    Operation(
        id="getProtection",
        method="GET",
        path=f"{_ALIAS}/protection",
        run=_protection,
        tag="aliases",
        reply=ProtectionDocument,
        summary="What has to hold before the alias moves; of the name `*`, in a namespace that says nothing else of a name.",
    ),
    Operation(
        id="protect",
        method="PUT",
        path=f"{_ALIAS}/protection",
        run=_protect,
        tag="aliases",
        body=NewProtection,
        reply=ProtectionDocument,
        summary="Say by which policy the alias moves; of the name `*`, every one of the namespace without a policy of its own.",
    ),
    Operation(
        id="freeze",
        method="PUT",
        path=f"{_ALIAS}/freeze",
        run=_freeze,
        tag="aliases",
        body=Reason,
        status=204,
        summary="Keep the alias where it is; `*` for every alias, and the name `*` for every one of the namespace.",
    ),
    Operation(
        id="thaw",
        method="DELETE",
        path=f"{_ALIAS}/freeze",
        run=_thaw,
        tag="aliases",
        status=204,
        summary="Let the alias move again.",
    ),
)
