"""Aliases: an alias moves by a decision, and by nothing else.

promote, under the writer's lock:
1. the version is there, is what was registered, and is not quarantined;
2. the alias is not frozen, and whoever promotes may (and did not push it, where duties are separate), in the
   ledger as in the tables;
3. the policy of the alias decides from the evidence in the ledger, now;
4. the decision is signed and logged; when it allows, the move is logged with it, in one append.

A policy in Rego is a program: it is asked before the lock is taken, so that nobody else waits for it. Under the lock its answer
counts if it was by the policy of now and from all the evidence of now; else it is asked again.

rollback does the same with the versions that the alias was at before, the newest first, until one is allowed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache

import msgspec
from sqlalchemy.engine import Connection

from stannary.core.errors import PolicyDenied, StannaryError, UsageError
from stannary.core.model import Json
from stannary.crypto.dsse import id_of
from stannary.evidence.gate import Judged, is_current, judge, signed_decision
from stannary.evidence.policy_text import rego_policy
from stannary.evidence.rego_gate import RegoPolicy, try_out
from stannary.policy.library import SHIPPED, load
from stannary.policy.model import Policy
from stannary.registry import queries
from stannary.registry.events import Frozen, Moved, Protected
from stannary.registry.model import Promotion, Protection, Version
from stannary.registry.names import Name, Reference
from stannary.registry.registry import Registry

__all__ = ["freeze", "policy_of", "promote", "protect", "protection_of", "remove", "rollback"]

Unchanged = Callable[[Connection], None]


def promote(registry: Registry, name: Name, number: int, alias: str, unchanged: Unchanged | None = None) -> Promotion:
    """Move an alias to a version, when the policy of the alias allows it; the decision is logged in either case.

    `unchanged` raises when the alias is not where the caller believes, and is asked under the lock. Raises what it raises,
    and PolicyDenied when the alias is frozen, the version quarantined, or the actor not allowed to.
    """
    registry.allowed("promote", name, alias)
    target = Reference(name, number, alias)
    done = _promoted(registry, target, unchanged)
    while done is None:
        done = _promoted(registry, target, unchanged, _decided_early(registry, name, alias, [number]))
    return done


def _promoted(
    registry: Registry, target: Reference, unchanged: Unchanged | None, early: Mapping[int, Judged] | None = None
) -> Promotion | None:
    """Decide and move under the lock; None when the policy is in Rego, which nobody is to wait for, and was not asked `early`."""
    name, number, alias = target.name, target.number, target.alias
    with registry.writing() as connection:
        _hold_to(unchanged, connection)
        with registry.chain.ledger.reading():
            version, protection = _may_move(registry, connection, name, number, alias)
            if early is None and "rego" in protection.policy:
                return None
            judged = _judged(registry, version, protection, early or {})
        return _conclude(registry, connection, version, alias, judged, "promote")


def rollback(registry: Registry, name: Name, alias: str, unchanged: Unchanged | None = None) -> Promotion:
    """Move an alias back to the newest version it was at before whose evidence satisfies the policy now.

    Raises UsageError when there is none to go back to, and what `promote` raises.
    """
    registry.allowed("rollback", name, alias)
    early = _decided_early(registry, name, alias)
    with registry.writing() as connection:
        _hold_to(unchanged, connection)
        _refuse_frozen(registry, connection, name, alias)
        current = queries.alias_of(connection, Reference(name, alias=alias)).number
        tried: list[int] = []
        last: Promotion | None = None
        for number in _earlier(connection, name, alias, current):
            try:
                version, protection = _may_move(registry, connection, name, number, alias, is_rollback=True)
            except (UsageError, PolicyDenied):  # deleted, or quarantined
                tried.append(number)
                continue
            judged = _judged(registry, version, protection, early)
            last = _conclude(registry, connection, version, alias, judged, "rollback", tuple(tried))
            if last.moved:
                return last
            tried.append(number)
        if last is not None:
            return last
        msg = f"was at no other version that could be used{f' (not {_listed(tried)})' if tried else ''}"
        raise UsageError(
            msg,
            where=f"{name}@{alias}",
            code="REG014",
            help=f"stannary registry promote {name}:N {alias}, or rollback {name}@{alias} --remove",
        )


def remove(registry: Registry, name: Name, alias: str, unchanged: Unchanged | None = None) -> None:
    """Take an alias away: nothing is in service under it any more. Raises UsageError when there is no such alias."""
    registry.allowed("rollback", name, alias)
    with registry.writing() as connection:
        _hold_to(unchanged, connection)
        queries.alias_of(connection, Reference(name, alias=alias))
        _refuse_frozen(registry, connection, name, alias)
        registry.commit(connection, [Moved(actor=registry.actor, name=name, alias=alias, number=0, reason="remove")])


def protect(registry: Registry, name: Name, alias: str, policy: Policy | RegoPolicy, *, separate: bool = False) -> None:
    """Say what has to hold before an alias moves; `name.name` may be `*`, for every model of the namespace.

    A module in Rego is evaluated once, without evidence: one that decides nothing would be found out at the next promotion.
    """
    registry.allowed("protect", name, alias)
    stored = _stored(policy)
    if isinstance(policy, RegoPolicy):
        try_out(policy, registry.chain.workspace.clock())
    event = Protected(actor=registry.actor, name=name, alias=alias, policy=stored, separate=separate)
    with registry.writing() as connection:
        registry.commit(connection, [event])


def freeze(registry: Registry, name: Name, alias: str, reason: str, *, lifted: bool = False) -> None:
    """Keep an alias (`*`: all of a model; the name `*`: of all models) where it is, until that is lifted."""
    registry.allowed("freeze", name, alias)
    with registry.writing() as connection:
        registry.commit(connection, [Frozen(actor=registry.actor, name=name, alias=alias, reason=reason, lifted=lifted)])


def protection_of(connection: Connection, name: Name, alias: str) -> Protection:
    """Return what has to hold before an alias moves: what was said for the model, for its namespace, or what is shipped.

    Where nothing was said, `production` asks for the policy of that name, and every other alias for `baseline`.
    """
    frozen = queries.freeze_of(connection, name, alias)
    found = queries.rule_of(connection, name, alias)
    if found is not None:
        rule, entry = found
        return Protection(
            name=name, alias=alias, policy=rule["policy"], separate=rule.get("separate", False), frozen=frozen, entry=entry
        )
    shipped = alias if alias in SHIPPED else "baseline"
    return Protection(name=name, alias=alias, policy=_shipped(shipped), frozen=frozen)


def policy_of(protection: Protection) -> Policy | RegoPolicy:
    """Return the policy that a protection holds, ready to decide. Raises UsageError when no engine for Rego is there."""
    if "rego" in protection.policy:
        from stannary.evidence.engines.bounds import SENT
        from stannary.evidence.engines.interface import choose

        held = protection.policy  # its digest is worked out again: a decision names what was evaluated
        return rego_policy(held["rego"], held["name"], choose("auto", SENT))
    return _read_policy(msgspec.json.encode(protection.policy, order="deterministic"))


def _decided_early(registry: Registry, name: Name, alias: str, numbers: Sequence[int] | None = None) -> dict[int, Judged]:
    """Return what a policy in Rego says of versions, up to the first that it allows; without numbers, of those the alias was at.

    What is wrong with a version is not told here: it is found again under the lock.
    """
    with registry.reading() as connection:
        protection = protection_of(connection, name, alias)
        if "rego" not in protection.policy or protection.frozen:
            return {}
        if numbers is None:
            found = queries.find_alias(connection, Reference(name, alias=alias))
            numbers = _earlier(connection, name, alias, found.number) if found else []
        versions = []
        for number in numbers:
            with contextlib.suppress(StannaryError):
                versions.append(registry.trusted.resolve(connection, Reference(name, number)))
    early = {}
    for version in versions:
        early[version.number] = judge(registry.chain, registry.subject(version), policy_of(protection))
        if early[version.number].decision.verdict == "allow":
            break
    return early


def _judged(registry: Registry, version: Version, protection: Protection, early: Mapping[int, Judged]) -> Judged:
    policy, subject, known = policy_of(protection), registry.subject(version), early.get(version.number)
    if known is not None and is_current(registry.chain, subject, policy, known):
        return known
    return judge(registry.chain, subject, policy)


def _may_move(
    registry: Registry, connection: Connection, name: Name, number: int, alias: str, *, is_rollback: bool = False
) -> tuple[Version, Protection]:
    """Return the version and the protection, when the alias may move there as far as no evidence is concerned."""
    protection = protection_of(connection, name, alias)
    _refuse(protection.frozen, name, alias)
    registry.trusted.freeze_holds(name, alias)
    registry.trusted.rule_holds(name, alias, queries.rule_of(connection, name, alias))
    version = registry.trusted.resolve(connection, Reference(name, number))
    if protection.separate and not is_rollback and registry.actor in _pushers(version):
        msg = f"was pushed by {registry.actor}, who does not promote it as well"
        raise PolicyDenied(msg, where=str(version), code="REG022", help="somebody else who may promote has to do it")
    return version, protection


def _pushers(version: Version) -> set[str]:
    """Return who pushed a version, also under the names it had before."""
    before = version.info.get("pushed_by")
    return {version.creator, *(str(who) for who in (before if isinstance(before, list) else ()))}


def _conclude(
    registry: Registry,
    connection: Connection,
    version: Version,
    alias: str,
    judged: Judged,
    reason: str,
    tried: tuple[int, ...] = (),
) -> Promotion:
    """Sign and log the decision, and with it the move when it allows one."""
    found = queries.find_alias(connection, Reference(version.name, alias=alias))
    before = found.number if found else 0
    envelope = signed_decision(registry.chain, registry.subject(version), judged, registry.tool)
    decision, stated = judged.decision, str(id_of(envelope))
    moved = decision.verdict == "allow"
    if moved:
        event = Moved(
            actor=registry.actor, name=version.name, alias=alias, number=version.number, digest=version.digest,
            decision=stated, reason=reason,
        )  # fmt: skip
        registry.commit(connection, [event], [envelope])
    else:
        registry.chain.log([envelope])
    return Promotion(
        name=version.name, alias=alias, number=version.number, before=before, decision=decision, evidence=stated,
        moved=moved, tried=tried,
    )  # fmt: skip


def _earlier(connection: Connection, name: Name, alias: str, current: int) -> list[int]:
    """Return the versions that an alias was at before, the one it was at last first."""
    return [number for number in queries.placed(connection, name, alias) if number not in (0, current)]


def _hold_to(unchanged: Unchanged | None, connection: Connection) -> None:
    if unchanged is not None:
        unchanged(connection)


def _refuse_frozen(registry: Registry, connection: Connection, name: Name, alias: str) -> None:
    _refuse(queries.freeze_of(connection, name, alias), name, alias)
    registry.trusted.freeze_holds(name, alias)


def _refuse(reason: str, name: Name, alias: str) -> None:
    if reason:
        msg = f"is frozen: {reason}"
        raise PolicyDenied(msg, where=f"{name}@{alias}", code="REG021", help=f"stannary registry freeze {name}@{alias} --lift")


def _stored(policy: Policy | RegoPolicy) -> Json:
    if isinstance(policy, RegoPolicy):
        if not policy.module:
            msg = "a policy that only a server knows cannot be kept in the registry"
            raise UsageError(msg, where=policy.name, code="REG015", help="give the .rego file")
        return {"rego": policy.module, "name": policy.name, "digest": str(policy.digest)}
    return msgspec.to_builtins(policy)


@lru_cache(maxsize=256)
def _read_policy(content: bytes) -> Policy:
    return msgspec.json.decode(content, type=Policy)


@cache
def _shipped(name: str) -> Json:
    return _stored(load(name, _no_file, frozenset()))


def _no_file(name: str, parent: str) -> tuple[str, str]:
    raise UsageError(f"there is no policy {name!r} in {parent!r}", code="POL003")  # noqa: EM102, TRY003 - a bug of ours


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
