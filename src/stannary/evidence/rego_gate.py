"""A decision by a policy in Rego: the engine says what is wrong, the rest is as for every other policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from stannary.core.errors import StannaryError
from stannary.core.evidence import Decision, Evidence, Reason, Verified
from stannary.core.model import Digest, Json
from stannary.evidence.engines.interface import Engine
from stannary.evidence.rego_cause import find_causes, place_of, told_kinds
from stannary.policy.commands import command_for
from stannary.policy.decide import clock_reasons, revocation_reasons
from stannary.policy.model import Requirement
from stannary.policy.order import without_replays
from stannary.policy.rego import input_document

__all__ = ["RegoPolicy", "decide_by_rego", "denied", "named", "own_help", "try_out"]

_BY_CHECK = ("statement", "eval-result")  # kinds of which there are several, made by different commands
_LONGEST = 2000  # characters of a text that a module says
_LOOK = "`stannary gate TARGET --export-input FILE` writes what the policy saw"


class RegoPolicy(NamedTuple):
    """A policy in Rego and what evaluates it. Revocations deny here as everywhere."""

    name: str
    digest: Digest
    module: str
    engine: Engine


def decide_by_rego(
    policy: RegoPolicy,
    subject: Digest,
    evidence: Sequence[Verified[Evidence]],
    waivers: Sequence[Verified[Evidence]],
    now: datetime,
    *,
    name: str = "",
) -> Decision:
    """Return what the policy says. Raises UsageError or BackendError when the engine cannot evaluate it."""

    def ask(some: Sequence[Verified[Evidence]]) -> list[Json]:
        return denied(policy, input_document(subject, some, waivers, now, name=name))

    revocations = [item for item in evidence if item.value.kind == "revocation"]
    reasons = [*clock_reasons(evidence, now), *revocation_reasons(revocations, subject, now)]
    found = sorted(_reasons(policy, ask, without_replays(evidence)), key=lambda r: (r.rule, r.message))
    reasons += found or [Reason(rule="rego", ok=True, message=f"{policy.engine.name} denies nothing")]
    # All of it: a rule may deny, or allow, by what is not there.
    cited = sorted({str(item.value.id) for item in evidence})
    return Decision(
        verdict="allow" if all(reason.ok for reason in reasons) else "deny",
        subject=subject,
        subject_name=name,
        policy=policy.digest,
        policy_name=policy.name,
        reasons=tuple(reasons),
        evidence=tuple(map(Digest.parse, cited)),
        decided=now,
    )


def try_out(policy: RegoPolicy, now: datetime) -> None:
    """Have a policy decide about nothing, from no evidence. Raises UsageError or BackendError when it cannot."""
    denied(policy, input_document(Digest("0" * 64), [], [], now))


def denied(policy: RegoPolicy, document: Json) -> list[Json]:
    """Return what the engine says. Raises UsageError or BackendError, at the place in the policy's own file where there is one."""
    try:
        return policy.engine.deny(policy.module, document)
    except StannaryError as error:
        if error.where is not None and error.where.startswith("gate.rego:"):
            error.where = policy.name + error.where.removeprefix("gate.rego")
        raise


def _reasons(
    policy: RegoPolicy, ask: Callable[[Sequence[Verified[Evidence]]], list[Json]], evidence: Sequence[Verified[Evidence]]
) -> Iterator[Reason]:
    """Yield the reasons to deny: each names its rule, what it is about, and what to do next, also where the policy does not."""
    items = ask(evidence)
    silent = [item for item in items if not (isinstance(item, dict) and item.get("evidence"))]
    causes = iter(find_causes(ask, silent, evidence) if silent else ())
    for item in items:
        cause = None if isinstance(item, dict) and item.get("evidence") else next(causes)
        yield _reason(policy, item, cause, evidence)


def named(policy: RegoPolicy, item: Json) -> tuple[str, str]:
    """Return the rule and the message of what a module denies: a text, or an object with `msg` and perhaps `rule`."""
    message = _word(item, "msg") or str(item)[:_LONGEST]
    return _word(item, "rule") or place_of(message, policy.module, policy.name) or "rego", message


def own_help(item: Json) -> str:
    """Return what the module itself says to do."""
    return _word(item, "help")


def _word(item: Json, field: str) -> str:
    given = item if isinstance(item, dict) else {"msg": item}
    return str(given.get(field) or "")[:_LONGEST]


def _reason(policy: RegoPolicy, item: Json, cause: Verified[Evidence] | None, evidence: Sequence[Verified[Evidence]]) -> Reason:
    """Return the reason that a text, or an object with `msg`, gives."""
    rule, message = named(policy, item)
    cited, step = _word(item, "evidence"), own_help(item)
    if cause is not None:
        found = cause.value
        step = step or command_for(Requirement(kind=found.kind, check=found.check.id if found.kind in _BY_CHECK else ""))
        return Reason(rule=rule, ok=False, message=message, evidence=str(found.id), help=step)
    if not cited:
        message = f"{message} (judged from {told_kinds(evidence)})"
    return Reason(rule=rule, ok=False, message=message, evidence=cited, help=step or _LOOK)
