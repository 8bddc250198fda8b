"""What is done here: promote, roll back, quarantine, freeze. Each has a page that says what will happen, and a form."""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.core.errors import UsageError
from stannary.core.evidence import Decision, Reason
from stannary.core.model import Digest
from stannary.evidence.gate import judge
from stannary.policy.library import SHIPPED
from stannary.registry import promotion
from stannary.registry.model import Promotion, Version
from stannary.registry.names import Name
from stannary.registry.promotion import policy_of
from stannary.registry.retention import quarantine
from stannary.report.registry import promotion_document
from stannary.server.console.page import Go, Page, Shown
from stannary.server.console.views.asked import MODEL, VERSION, WHOLE, may_see
from stannary.server.operations import Call
from stannary.server.sent import evaluating, is_rego, policy_sent
from stannary.server.sight import seen_decision

__all__ = ["PAGES"]

_CONFLICT = 409
_LONGEST = 2000
_BEFORE = 5  # versions that an alias was at, which are shown


class GatePage(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says about a version now; nothing is recorded. `target`: what commands call the version."""

    schema: str = "stannary.console.gate/1"
    version: Version
    alias: str
    policy: str
    shipped: tuple[str, ...]
    verdict: str
    policy_name: str
    reasons: tuple[Reason, ...]
    promote: bool
    frozen: str
    target: str


class ActionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be done to a model, a version or an alias; `lifted`: it is done already, and would be taken back.

    `at`: the version that the alias is at, 0 for none; `before`: those that it was at, the last first. `frozen`: why it stays where
    it is. `service`: where the artifact is in service, of what the caller may read.
    """

    schema: str = "stannary.console.action/1"
    action: str
    name: Name
    number: int = 0
    alias: str = ""
    digest: str = ""
    lifted: bool = False
    reason: str = ""
    at: int = 0
    before: tuple[int, ...] = ()
    frozen: str = ""
    service: tuple[str, ...] = ()


def _gate(call: Call) -> Shown:
    store, found = call.store, _version(call)
    alias, policy = _alias(call, call.query.get("alias") or "production"), call.query.get("policy", "")
    if is_rego(policy):  # a program: not for everybody who may look
        action = next((item for item in ("push", "approve") if store.may(item, call.name)), "promote")
        store.allowed(action, call.name, alias)
    rule = policy_sent(policy) if policy else policy_of(store.protection(call.name, alias))
    with evaluating(call, policy):
        decision = judge(store.chain, store.subject(found), rule).decision
    return _gated(call, "gate.html", found, alias, policy, decision)


def _promote_page(call: Call) -> Shown:
    store, found = call.store, _version(call)
    alias = _alias(call, call.query.get("alias") or "production")
    store.allowed("promote", call.name, alias)
    decision = judge(store.chain, store.subject(found), policy_of(store.protection(call.name, alias))).decision
    return _gated(call, "promote.html", found, alias, "", decision)


def _gated(call: Call, template: str, found: Version, alias: str, policy: str, decision: Decision) -> Shown:
    decision = seen_decision(call.store, decision)
    data = GatePage(
        version=found, alias=alias, policy=policy, shipped=SHIPPED, verdict=decision.verdict, policy_name=decision.policy_name,
        reasons=decision.reasons, promote=call.store.may("promote", call.name, alias),
        frozen=call.store.protection(call.name, alias).frozen, target=f"registry:{found}",
    )  # fmt: skip
    return Shown(template=template, title=f"{found} and the gate", data=data)


def _promote(call: Call) -> Shown:
    alias = _alias(call, call.body.get("alias", ""))
    return _moved(call, promotion.promote(call.store, call.name, call.number(), alias))


def _rollback_page(call: Call) -> Shown:
    alias = _alias(call, call.query.get("alias", ""))
    call.store.allowed("rollback", call.name, alias)
    numbers = [move.number for move in call.store.moves(call.name) if move.alias == alias]
    at = numbers[0] if numbers else 0
    before = tuple(dict.fromkeys(number for number in numbers if number not in (0, at)))[:_BEFORE]
    frozen = call.store.protection(call.name, alias).frozen
    title = f"Roll back {call.name}@{alias}"
    return _asked(title, ActionPage(action="rollback", name=call.name, alias=alias, at=at, before=before, frozen=frozen))


def _rollback(call: Call) -> Shown:
    alias = _alias(call, call.body.get("alias", ""))
    return _moved(call, promotion.rollback(call.store, call.name, alias))


def _moved(call: Call, found: Promotion) -> Shown:
    call.place.metrics.event("promotion", "allow" if found.moved else "deny")
    told = msgspec.structs.replace(found, decision=seen_decision(call.store, found.decision))
    data: dict[str, Any] = {"place": call.name, "result": promotion_document(told)}
    return Shown(template="moved.html", title=f"{found.name}@{found.alias}", data=data, status=200 if found.moved else _CONFLICT)


def _freeze_page(call: Call) -> Shown:
    alias = _alias(call, call.query.get("alias", ""))
    call.store.allowed("freeze", call.name, alias)
    frozen = call.store.protection(call.name, alias).frozen
    title = f"{'Lift the freeze of' if frozen else 'Freeze'} {call.name}@{alias}"
    return _asked(title, ActionPage(action="freeze", name=call.name, alias=alias, lifted=bool(frozen), reason=frozen))


def _freeze(call: Call) -> Go:
    alias, lifted = _alias(call, call.body.get("alias", "")), call.body.get("lift") == "yes"
    promotion.freeze(call.store, call.name, alias, "lifted" if lifted else _reason(call), lifted=lifted)
    return Go(f"/models/{call.name.namespace}/{call.name.name}/versions")


def _quarantine_page(call: Call) -> Shown:
    found = _version(call)
    call.store.allowed("quarantine", WHOLE)
    data = ActionPage(
        action="quarantine", name=call.name, number=found.number, digest=found.digest, lifted=bool(found.quarantined),
        reason=found.quarantined,
        service=tuple(f"{item.name}@{alias}" for item in may_see(call, Digest.parse(found.digest)) for alias in item.aliases),
    )  # fmt: skip
    return _asked(f"{'Lift the quarantine of' if found.quarantined else 'Quarantine'} {found}", data)


def _quarantine(call: Call) -> Go:
    found, lifted = _version(call), call.body.get("lift") == "yes"
    quarantine(call.store, found.digest, "lifted" if lifted else _reason(call), lifted=lifted)
    return Go(f"/models/{call.name.namespace}/{call.name.name}/versions/{found.number}")


def _asked(title: str, data: ActionPage) -> Shown:
    return Shown(template="action.html", title=title, data=data)


def _version(call: Call) -> Version:
    return call.store.show(call.reference(call.number()))


def _alias(call: Call, text: str) -> str:
    if not text:
        msg = "which alias is meant?"
        raise UsageError(msg, where="alias", code="API002", help="?alias=production")
    return call.reference(alias=text).alias


def _reason(call: Call) -> str:
    text: str = call.body.get("reason", "").strip()
    if not 0 < len(text) <= _LONGEST:
        msg = f"say why, in {_LONGEST:,} characters at most"
        raise UsageError(msg, where="reason", code="API002", help="go back and fill it in")
    return text


def _pair(name: str, path: str, page: Any, done: Any) -> tuple[Page, Page]:  # noqa: ANN401 - two views
    return Page(id=name, path=path, run=page), Page(id=f"do.{name}", path=path, run=done, method="POST")


PAGES = (
    Page(id="gate", path=f"{VERSION}/gate", run=_gate),
    *_pair("promote", f"{VERSION}/promote", _promote_page, _promote),
    *_pair("quarantine", f"{VERSION}/quarantine", _quarantine_page, _quarantine),
    *_pair("rollback", f"{MODEL}/rollback", _rollback_page, _rollback),
    *_pair("freeze", f"{MODEL}/freeze", _freeze_page, _freeze),
)
