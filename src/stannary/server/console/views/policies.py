"""Policies: those that are shipped, the one that an alias moves by, what was protected and frozen; and to say another."""

from __future__ import annotations

from typing import Any

import msgspec

from stannary.core.errors import BackendError
from stannary.policy.library import SHIPPED, shipped_text
from stannary.policy.model import Policy
from stannary.registry import promotion, queries
from stannary.registry.names import Name, parse_model
from stannary.registry.promotion import policy_of
from stannary.server.console.page import Go, Page, Shown
from stannary.server.console.views.asked import MODEL
from stannary.server.operations import Call
from stannary.server.sent import policy_sent
from stannary.server.sight import reads_in

__all__ = ["PAGES"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A requirement in words: what evidence, and what has to hold of it."""

    name: str
    kind: str
    terms: tuple[str, ...]


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """What an alias moves by now, with everything that it inherits. `entry` is where it was said, None for what is shipped.

    `rules` is empty for a policy in Rego, which stands in `policy` as it was written; `engine` is what evaluates that, empty
    where nothing can.
    """

    name: Name
    alias: str
    policy_name: str
    rules: tuple[Rule, ...]
    policy: Any
    engine: str
    separate: bool
    frozen: str
    entry: int | None
    protect: bool


class PoliciesPage(msgspec.Struct, frozen=True, kw_only=True):
    """The policies that are shipped, as they are written, and the effective one of what was asked for."""

    schema: str = "stannary.console.policies/1"
    shipped: dict[str, str]
    model: str
    alias: str
    effective: Effective | None


class ProtectionsPage(msgspec.Struct, frozen=True, kw_only=True):
    """What was said about aliases of models that one may read."""

    schema: str = "stannary.console.protections/1"
    protections: tuple[queries.ProtectionRow, ...]
    freezes: tuple[queries.FreezeRow, ...]


class ProtectPage(msgspec.Struct, frozen=True, kw_only=True):
    """What an alias moves by, and the form to say another policy."""

    schema: str = "stannary.console.protect/1"
    effective: Effective
    shipped: tuple[str, ...]


def _policies(call: Call) -> Shown:
    model, alias = call.query.get("model", "").strip()[:300], call.query.get("alias", "").strip()[:70] or "production"
    effective = _effective(call, parse_model(model), alias) if model else None
    data = PoliciesPage(shipped={name: shipped_text(name) for name in SHIPPED}, model=model, alias=alias, effective=effective)
    return Shown(template="policies.html", title="Policies", data=data)


def _effective(call: Call, name: Name, alias: str) -> Effective:
    from stannary.registry.names import parse

    alias = parse(f"{name}@{alias}").alias
    found = call.store.protection(name, alias)
    rules: tuple[Rule, ...] = ()
    engine = ""
    try:
        policy = policy_of(found)
    except BackendError:  # no engine for Rego: which the page says
        policy = None
    if isinstance(policy, Policy):
        rules = _rules(policy)
    elif policy is not None:
        engine = policy.engine.name
    return Effective(
        name=name, alias=alias, policy_name=str(found.policy.get("name", "")), rules=rules, policy=found.policy, engine=engine,
        separate=found.separate, frozen=found.frozen, entry=found.entry, protect=call.store.may("protect", name, alias),
    )  # fmt: skip


def _rules(policy: Policy) -> tuple[Rule, ...]:
    rows = []
    for need in policy.require:
        terms = [f"check {need.check}"] if need.check else []
        terms += [f"{need.approvals} approval{'s' if need.approvals > 1 else ''}"] if need.approvals else []
        terms += [f"no finding above {need.max_severity}"] if need.max_severity else []
        terms += [f"verdict {' or '.join(need.verdicts)}"] if need.verdicts else []
        terms += [f"not older than {need.max_age}"] if need.max_age else []
        terms += [f"signed by {' or '.join(need.signers)}"] if need.signers else []
        terms += [f"not signed by who signed {', '.join(need.not_by)}"] if need.not_by else []
        terms += [f"{m.metric} from {'…' if m.min is None else m.min} to {'…' if m.max is None else m.max}" for m in need.measures]
        terms += [] if need.waivable else ["cannot be waived"]
        rows.append(Rule(name=need.name, kind=need.kind, terms=tuple(terms)))
    return tuple(rows)


def _protections(call: Call) -> Shown:
    store = call.store
    with store.reading() as connection:
        rows, freezes = queries.protections(connection), queries.freezes(connection)
    data = ProtectionsPage(
        protections=tuple(row for row in rows if reads_in(store, row.name)),
        freezes=tuple(row for row in freezes if reads_in(store, row.name)),
    )
    return Shown(template="protections.html", title="Protections and freezes", data=data)


def _protect_page(call: Call) -> Shown:
    alias = call.reference(alias=call.query.get("alias") or "production").alias
    call.store.allowed("protect", call.name, alias)
    data = ProtectPage(effective=_effective(call, call.name, alias), shipped=SHIPPED)
    return Shown(template="protect.html", title=f"What {call.name}@{alias} moves by", data=data)


def _protect(call: Call) -> Go:
    alias = call.reference(alias=call.body.get("alias") or "production").alias
    promotion.protect(
        call.store, call.name, alias, policy_sent(call.body.get("policy", "").strip()), separate=call.body.get("separate") == "yes"
    )
    return Go(f"/models/{call.name.namespace}/{call.name.name}/versions")


PAGES = (
    Page(id="policies", path="/policies", run=_policies),
    Page(id="protections", path="/protections", run=_protections),
    Page(id="protect", path=f"{MODEL}/protect", run=_protect_page),
    Page(id="do.protect", path=f"{MODEL}/protect", run=_protect, method="POST"),
)
