"""What waits for an approval: the versions that lack nothing else, and those that somebody tried to promote without one.

1. Of a model the newest version counts, and those that the gate denied, as far as they are newer than what the alias is at.
2. Of the aliases those count whose policy asks for approvals. A policy in Rego does not say whether it does, and is left out.
3. What was rejected waits no longer: somebody has decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from stannary.core.evidence import Reason
from stannary.core.model import Digest
from stannary.evidence.gate import judge
from stannary.policy.model import Policy
from stannary.registry import queries
from stannary.registry.model import Model, Version
from stannary.registry.names import Name
from stannary.registry.promotion import policy_of, protection_of
from stannary.registry.registry import Registry

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
        approvals: what its requirements of approvals say now.
        missing: what else it lacks; an approval alone would not let it pass.
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


class Waits(NamedTuple):
    """What waits, by the names of the models; `next` is the model to go on after, None when that was all."""

    rows: list[Waiting]
    next: Name | None


def waiting(registry: Registry, *, after: Name | None = None, limit: int = 25) -> Waits:
    """Return what waits for an approval that the registry's actor may give, a page of it: `limit` versions and a few more.

    A page may be shorter and still be followed by another: so many models and no more are looked at for one.
    """
    rows: list[Waiting] = []
    for _ in range(0, _EXAMINED, _BATCH):
        models, following = registry.page(after=after, limit=_BATCH)
        for model in models:
            if registry.may("approve", model.name):
                rows += _of_model(registry, model)
            after = model.name
            if len(rows) >= limit:
                return Waits(rows, after if following or model is not models[-1] else None)
        if following is None:
            return Waits(rows, None)
        after = following
    return Waits(rows, after)


def _of_model(registry: Registry, model: Model) -> Iterator[Waiting]:
    with registry.reading() as connection:
        named = queries.protected_aliases(connection, model.name)
        rules = {alias: protection_of(connection, model.name, alias) for alias in sorted({"production", *model.aliases, *named})}
        asking = {
            alias: policy
            for alias, rule in rules.items()
            if not rule.frozen and "rego" not in rule.policy and isinstance(policy := policy_of(rule), Policy) and _asks(policy)
        }
        versions = queries.versions(connection, model.name, limit=_NEWEST) if asking else []
    live = [version for version in versions if not (version.dropped or version.quarantined)]
    for alias, policy in asking.items():
        at = model.aliases.get(alias, 0)
        for number, version in enumerate(live):
            if version.number > at:
                found = _judged(registry, version, alias, policy, newest=number == 0)
                if found is not None:
                    yield found


def _asks(policy: Policy) -> bool:
    return any(requirement.approvals is not None for requirement in policy.require)


def _judged(registry: Registry, version: Version, alias: str, policy: Policy, *, newest: bool) -> Waiting | None:
    digest = Digest.parse(version.digest)
    others = any(requirement.approvals is None for requirement in policy.require)
    if others and not registry.chain.ledger.indexes(subject=version.digest):
        return None  # there is nothing about it yet: it lacks more than an approval, and nobody tried
    tried = [
        item
        for item in registry.chain.about(digest).evidence
        if item.value.kind == "vsa"
        and item.value.outcome != "passed"
        and item.value.check.id == f"urn:stannary:policy:{policy.name}"
    ]
    if not tried and not newest:
        return None
    decision = judge(registry.chain, registry.subject(version), policy).decision
    named = {requirement.name for requirement in policy.require if requirement.approvals is not None}
    failed = [reason for reason in decision.reasons if not reason.ok]
    approvals = tuple(reason for reason in failed if reason.rule in named and reason.help)  # what was rejected has no help
    missing = tuple(reason for reason in failed if reason not in approvals)
    rejected = any(reason.rule in named for reason in missing)
    if not approvals or rejected or (missing and not tried):
        return None
    last = tried[-1].value if tried else None
    return Waiting(
        version=version, alias=alias, policy=policy.name, approvals=approvals, missing=missing,
        tried=str(last.id) if last else "", tried_at=last.issued.isoformat() if last else "",
    )  # fmt: skip
