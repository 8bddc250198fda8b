"""Whether a policy in Rego waits for approvals. A module does not say so; it is asked, with approvals that nobody has given.

1. The module is asked as the evidence is, and again with an approval by everybody whose signature counts, and by some more.
2. What it denies no longer then, is what it wants approvals for. What it denies in other words then is not settled by them.
3. Where anybody's approval would not do, it is asked whose alone would.
4. Where somebody's newest statement rejects it, nothing is asked: they have decided.

What nobody gave is in the questions alone: it is signed by nobody, and no decision is made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from stannary.core.canonical import canonical_json
from stannary.core.evidence import Reason, Resource, SeverityCounts
from stannary.core.model import Json
from stannary.evidence.chain import Chain
from stannary.evidence.gate import gathered, judge
from stannary.evidence.rego_gate import RegoPolicy, denied, named, own_help
from stannary.evidence.statement import subject_of_resource
from stannary.policy.commands import command_for
from stannary.policy.model import Requirement
from stannary.policy.order import standing
from stannary.policy.rego import input_document

__all__ = ["Wanted", "may_want", "wanted_approvals"]

APPROVAL = Requirement(kind="statement", check="approval", approvals=1)
_STRANGERS = 5  # people whom nobody knows yet: a module may want more approvals than there are keys
_ASKED_ALONE = 8
_NO_COUNTS = msgspec.to_builtins(SeverityCounts())
_WORDS = ("approv", "statement")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a module denies for want of approvals.

    Args:
        approvals: the reasons that approvals would settle.
        missing: the others that fail.
        by: whose approval alone would do; empty where anybody's would, or nobody's alone.
    """

    approvals: tuple[Reason, ...]
    missing: tuple[Reason, ...] = ()
    by: tuple[str, ...] = ()


def may_want(module: str) -> bool:
    """Tell whether a module can be about approvals at all: one that names neither these nor statements is not asked."""
    text = module.lower()
    return any(word in text for word in _WORDS)


def wanted_approvals(chain: Chain, subject: Resource, policy: RegoPolicy) -> Wanted | None:
    """Return what a module wants approvals for; None when that is nothing, or somebody has decided.

    Raises what `judge` raises: an engine that cannot, or a module that takes too long, which has the time of one decision.
    """
    digest = subject_of_resource(subject)
    evidence, waivers, _ = gathered(chain, digest, policy)
    said = [item for item in evidence if item.value.kind == APPROVAL.kind and item.value.check.id == APPROVAL.check]
    if any(item.value.outcome == "failed" for item in standing(said, lambda item: item.identity)):
        return None
    given = input_document(digest, evidence, waivers, chain.workspace.clock(), name=subject.name)
    items = denied(policy, given)

    def left_with(people: Sequence[str]) -> list[Json]:
        return denied(policy, _approved(given, people))

    people = sorted({key.identity for key in chain.workspace.trust.keys})
    settled = _settled(policy, items, left_with([*people, *_strangers(_STRANGERS)])) if items else []
    if not settled:
        return None
    failed = [reason for reason in judge(chain, subject, policy).decision.reasons if not reason.ok]
    about = {id(reason): item for reason in failed for item in settled if _is_of(policy, reason, item)}
    return Wanted(
        approvals=tuple(_with_command(reason, about[id(reason)]) for reason in failed if id(reason) in about),
        missing=tuple(reason for reason in failed if id(reason) not in about),
        by=_alone(policy, settled, people, left_with),
    )


def _alone(
    policy: RegoPolicy, settled: Sequence[Json], people: Sequence[str], left_with: Callable[[Sequence[str]], list[Json]]
) -> tuple[str, ...]:
    """Return whose approval alone settles everything that approvals settle, unless anybody's does."""

    def does(who: str) -> bool:
        return len(_settled(policy, settled, left_with([who]))) == len(settled)

    if does(_strangers(1)[0]) or len(people) > _ASKED_ALONE:
        return ()
    return tuple(who for who in people if does(who))


def _settled(policy: RegoPolicy, items: Sequence[Json], left: Sequence[Json]) -> list[Json]:
    """Return what of `items` is denied no longer, and not said in other words either."""
    before, after = {canonical_json(item) for item in items}, {canonical_json(item) for item in left}
    reworded = {named(policy, item)[0] for item in left if canonical_json(item) not in before}
    return [item for item in items if canonical_json(item) not in after and named(policy, item)[0] not in reworded]


def _is_of(policy: RegoPolicy, reason: Reason, item: Json) -> bool:
    rule, message = named(policy, item)
    return reason.rule == rule and reason.message.startswith(message)


def _with_command(reason: Reason, item: Json) -> Reason:
    """Have a reason say how one approves, unless the module itself says what to do."""
    return reason if own_help(item) else msgspec.structs.replace(reason, help=command_for(APPROVAL))


def _strangers(count: int) -> list[str]:
    return [f"urn:stannary:somebody:{number}" for number in range(count)]


def _approved(given: dict[str, Json], people: Sequence[str]) -> dict[str, Json]:
    """Return what a module sees, with an approval of now by each of these people."""
    seen: list[Any] = list(given["evidence"])
    time, index = given["now"], max([-1, *(item["index"] for item in seen)])
    for number, who in enumerate(people, 1):
        digest = f"{number:064x}"
        seen.append({
            "id": f"sha256:{digest}", "subject": given["subject"], "kind": APPROVAL.kind, "check": APPROVAL.check,
            "outcome": "passed", "verdict": "approve", "identity": who, "keyid": digest, "index": index + number, "issued": time,
            "recorded": time, "expires": None, "partial": False, "counts": _NO_COUNTS, "findings": [], "measurements": [],
        })  # fmt: skip
    return {**given, "evidence": seen}
