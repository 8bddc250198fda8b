"""What waits for an approval: the versions that lack nothing else, and those that somebody tried to promote without one.

1. Of a model the newest version counts, and those that the gate denied, as far as they are newer than what the alias is at.
2. Of the aliases those count whose policy asks for approvals. A policy in Rego does not say whether it does: it is tried
   (`evidence/rego_approvals.py`), for some seconds a page.
3. What was rejected waits no longer: somebody has decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from stannary.core.evidence import Reason
from stannary.core.model import Digest
from stannary.evidence.gate import judge
from stannary.evidence.rego_approvals import Wanted, may_want
from stannary.policy.model import Policy
from stannary.registry import queries
from stannary.registry.model import Model, Protection, Version
from stannary.registry.names import Name
from stannary.registry.promotion import policy_of, protection_of
from stannary.registry.registry import Registry
from stannary.registry.waiting_rego import Patience, wanted

__all__ = ["Waiting", "Waits", "waiting"]

_EXAMINED = 2000  # models, until a page is left short
_BATCH = 200
_NEWEST = 5  # versions of a model that are looked at


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A version that waits for an approval before an alias moves to it.

    Args:
        version: what waits.
        alias: where it is to go.
        policy: the name of the policy that asks for the approval.
        approvals: what its requirements of approvals say now; empty where a policy in Rego could not be asked.
        missing: what else it lacks; an approval alone would not let it pass.
        by: whose approval counts, where that is not anybody's whose signature does.
        tried: the id of the newest decision that denied it, empty when nobody tried.
        tried_at: when that was.
    """

    version: Version
    alias: str
    policy: str
    approvals: tuple[Reason, ...]
    missing: tuple[Reason, ...] = ()
    tried: str = ""
    tried_at: str = ""
    by: tuple[str, ...] = ()


class Waits(NamedTuple):
    """What waits, by the names of the models; `next` is the model to go on after, None when that was all."""

    rows: list[Waiting]
    next: Name | None


def waiting(registry: Registry, *, after: Name | None = None, limit: int = 25) -> Waits:
    """Return what waits for an approval that the registry's actor may give, a page of it: `limit` versions and a few more.

    A page may be shorter and still be followed by another: so many models and no more are looked at for one.
    """
    rows: list[Waiting] = []
    patience = Patience()
    for _ in range(0, _EXAMINED, _BATCH):
        models, following = registry.page(after=after, limit=_BATCH)
        for model in models:
            if registry.may("approve", model.name):
                rows += _of_model(registry, model, patience)
            after = model.name
            if len(rows) >= limit or patience.over:
                return Waits(rows, after if following or model is not models[-1] else None)
        if following is None:
            return Waits(rows, None)
        after = following
    return Waits(rows, after)


def _of_model(registry: Registry, model: Model, patience: Patience) -> Iterator[Waiting]:
    with registry.reading() as connection:
        named = queries.protected_aliases(connection, model.name)
        rules = {alias: protection_of(connection, model.name, alias) for alias in sorted({"production", *model.aliases, *named})}
        asking = {alias: rule for alias, rule in rules.items() if not rule.frozen and _asks(rule)}
        versions = queries.versions(connection, model.name, limit=_NEWEST) if asking else []
    live = [version for version in versions if not (version.dropped or version.quarantined)]
    for alias, rule in asking.items():
        at = model.aliases.get(alias, 0)
        for number, version in enumerate(live):
            if version.number > at:
                found = _waits(registry, version, rule, patience, newest=number == 0)
                if found is not None:
                    yield found


def _asks(rule: Protection) -> bool:
    if "rego" in rule.policy:
        return may_want(rule.policy["rego"])
    policy = policy_of(rule)
    return isinstance(policy, Policy) and any(requirement.approvals is not None for requirement in policy.require)


def _waits(registry: Registry, version: Version, rule: Protection, patience: Patience, *, newest: bool) -> Waiting | None:
    tried = [
        item.value
        for item in registry.chain.about(Digest.parse(version.digest)).evidence
        if item.value.kind == "vsa"
        and item.value.outcome != "passed"
        and item.value.check.id == f"urn:stannary:policy:{rule.policy['name']}"
    ]
    if not tried and not newest:
        return None
    found = wanted(registry, version, rule, patience) if "rego" in rule.policy else _judged(registry, version, rule)
    if found is None or (found.approvals and found.missing and not tried):
        return None
    return Waiting(
        version=version, alias=rule.alias, policy=rule.policy["name"], by=found.by, approvals=found.approvals,
        missing=found.missing, tried=str(tried[-1].id) if tried else "", tried_at=tried[-1].issued.isoformat() if tried else "",
    )  # fmt: skip


def _judged(registry: Registry, version: Version, rule: Protection) -> Wanted | None:
    """Return what a policy in YAML wants approvals for; None when that is nothing, or somebody has decided."""
    policy = policy_of(rule)
    if not isinstance(policy, Policy):  # it is one of the other sort
        return None
    asking = [requirement for requirement in policy.require if requirement.approvals is not None]
    if len(asking) < len(policy.require) and not registry.chain.ledger.indexes(subject=version.digest):
        return None  # there is nothing about it yet: it lacks more than an approval, and nobody tried
    decision = judge(registry.chain, registry.subject(version), policy).decision
    rules = {requirement.name for requirement in asking}
    failed = [reason for reason in decision.reasons if not reason.ok]
    approvals = tuple(reason for reason in failed if reason.rule in rules and reason.help)  # what was rejected has no help
    missing = tuple(reason for reason in failed if reason not in approvals)
    if not approvals or any(reason.rule in rules for reason in missing):
        return None
    named = {reason.rule for reason in approvals}
    by = tuple(dict.fromkeys(who for requirement in asking if requirement.name in named for who in requirement.signers))
    return Wanted(approvals=approvals, missing=missing, by=by)
