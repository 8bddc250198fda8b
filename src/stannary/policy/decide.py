"""The gate: policy, subject, verified evidence, waivers and the time in; a decision with its reasons out.

Pure, total, deterministic: the same input gives the same decision, whatever order the evidence comes in.

1. Evidence about another subject, issued in the future, or signed by nobody the requirement trusts, counts for nothing.
2. Of each check the newest evidence counts: a newer failure beats an older pass, and an older pass that is logged again, or
   only now, does not beat it (`order.py`).
3. What expired, is older than `max_age`, covers a part only, or is *incomplete* or *error*, satisfies nothing.
4. Findings above `max_severity` fail it, unless a waiver that is valid now covers each of them.
5. A measurement is held against the worse end of its interval.
6. A revocation of the subject, or of anything it was made from, denies, whatever else is there, and cannot be waived.
7. A policy that requires nothing allows nothing.
8. When the ledger knows of something that was recorded after now, a clock is wrong, and nothing is allowed by it.
9. What is spent of the privacy of a data set is the sum over all trainings on it (`privacy_budget.py`), and of each data set above.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from stannary.core.evidence import Decision, Evidence, Reason, Verified
from stannary.core.model import Digest
from stannary.policy.commands import command_for
from stannary.policy.findings import outcome_reason
from stannary.policy.measures import measure_reasons
from stannary.policy.model import Policy, Requirement, duration, shown
from stannary.policy.order import order, since, standing, without_replays
from stannary.policy.privacy_budget import SPEND, budget_reasons
from stannary.policy.waivers import Waivers

__all__ = ["ANCESTOR_REVOKED", "CLOCK", "REVOCATION", "SKEW", "clock_reasons", "decide", "revocation_reasons"]

REVOCATION = "revocation"  # the rule that every policy has
ANCESTOR_REVOKED = "something that it was made from was revoked"
CLOCK = "clock"  # and this one
SKEW = timedelta(minutes=5)  # by so much the clocks of who signs and of who decides may differ
_VE = Verified[Evidence]


def decide(
    policy: Policy,
    subject: Digest,
    evidence: Sequence[Verified[Evidence]],
    waivers: Sequence[Verified[Evidence]],
    now: datetime,
    *,
    name: str = "",
) -> Decision:
    """Return what the policy says about the subject.

    Args:
        policy: with everything it inherits.
        subject: the digest of the artifact.
        evidence: what is known; revocations of the subject's ancestors (from its lineage) and what was spent of the privacy of
            the data sets among them belong here too.
        waivers: evidence of the kind `waiver`.
        now: the time of the decision, aware.
        name: what the subject is called, for the reasons.
    """
    known: dict[str, list[_VE]] = {}
    for item in without_replays(evidence):
        if item.value.subject == subject or item.value.kind in (REVOCATION, SPEND):
            known.setdefault(item.value.kind, []).append(item)
    covering = Waivers(policy.waivers, subject, waivers, now)
    reasons = [*clock_reasons(evidence, now), *revocation_reasons(known.get("revocation", ()), subject, now)]
    for requirement in policy.require:
        reasons.extend(_required(requirement, known, covering, now, subject))
    if not policy.require:
        reasons.append(Reason(rule="policy", ok=False, message="the policy requires nothing, so it allows nothing"))
    used = sorted({reason.evidence for reason in reasons if reason.evidence})
    allowed = all(reason.ok for reason in reasons)
    return Decision(
        verdict="allow" if allowed else "deny",
        subject=subject,
        subject_name=name,
        policy=policy.digest,
        policy_name=policy.name,
        reasons=tuple(reasons),
        evidence=tuple(map(Digest.parse, used)),
        decided=now,
        expires=_stands_until(policy, used, evidence, now) if allowed else None,
    )


def clock_reasons(items: Iterable[_VE], now: datetime) -> Iterable[Reason]:
    """Yield a reason to deny when something was recorded after now: with a clock turned back, what expired would count again."""
    last = max((item.value.recorded for item in items if item.value.recorded is not None), default=now)
    if last > now + SKEW:
        text = f"it is {now:%Y-%m-%d %H:%M}, and the ledger recorded evidence on {last:%Y-%m-%d %H:%M}: one of the clocks is wrong"
        yield Reason(rule=CLOCK, ok=False, message=text, help="set the clock of this machine, and ask again")


def revocation_reasons(items: Iterable[_VE], subject: Digest, now: datetime) -> Iterable[Reason]:
    """Yield a reason to deny for each subject whose newest revocation stands.

    What was revoked further up is not named: a decision is read by people who may not read that. The evidence says it to those
    who may, and `evidence.lineage.told_reasons` puts it into the text for them.
    """
    usable = [item for item in without_replays(items) if item.value.issued <= now + SKEW]
    for item in sorted(standing(usable, lambda one: one.value.subject), key=lambda one: (one.value.subject, order(one))):
        found = item.value
        if found.outcome == "passed":
            continue
        text = f"it was revoked: {found.predicate.get('reason', '')}" if found.subject == subject else ANCESTOR_REVOKED
        yield Reason(rule=REVOCATION, ok=False, message=text, evidence=str(found.id), help="use another version")


def _required(
    requirement: Requirement, known: dict[str, list[_VE]], waivers: Waivers, now: datetime, subject: Digest
) -> list[Reason]:
    rule = requirement.name
    usable, ignored = _usable(requirement, known, now)
    newest = _newest(usable)
    if requirement.kind == SPEND:
        reasons = budget_reasons(requirement, known, subject)
    elif requirement.approvals is not None:
        reasons = [_approved(requirement, usable, now)]
    elif not newest:
        about = f" of {requirement.check}" if requirement.check else ""
        text = f"there is no evidence of kind {requirement.kind}{about}{ignored}"
        reasons = [Reason(rule=rule, ok=False, message=text, help=command_for(requirement))]
    else:
        reasons = [reason for item in newest for reason in _told(item, newest, _holds(requirement, item, waivers, now))]
    failed = [reason for reason in reasons if not reason.ok]
    waiver = waivers.of_requirement(rule) if failed and requirement.waivable else None
    if waiver is None:
        return reasons
    return [
        Reason(rule=rule, ok=True, message=f"waived: {reason.message}", evidence=reason.evidence, waiver=str(waiver.value.id))
        if not reason.ok
        else reason
        for reason in reasons
    ]


def _told(item: _VE, newest: Sequence[_VE], reasons: Iterable[Reason]) -> Iterable[Reason]:
    """Say of a failure beside which something later in the log stands why that is not enough."""
    later = [o for o in newest if o.value.check.id == item.value.check.id and order(o) > order(item)]
    for reason in reasons:
        if later and not reason.ok:
            text = f"{reason.message}; what was logged after it ({later[-1].value.id.hex[:12]}) was issued before it"
            yield msgspec.structs.replace(reason, message=text)
        else:
            yield reason


def _usable(requirement: Requirement, known: dict[str, list[_VE]], now: datetime) -> tuple[list[_VE], str]:
    """Return the evidence that may count, and what to say of the rest."""
    apart = {item.identity for kind in requirement.not_by for item in known.get(kind, ())}
    usable: list[_VE] = []
    ignored: dict[str, int] = {}
    for item in known.get(requirement.kind, ()):
        if requirement.check and item.value.check.id != requirement.check:
            continue
        if item.value.issued > now + SKEW:
            why = "issued in the future"
        elif requirement.signers and item.identity not in requirement.signers:
            why = f"signed by {item.identity or 'nobody known'}, who does not count here"
        elif item.identity in apart:
            why = f"signed by {item.identity}, who signed what is judged"
        else:
            usable.append(item)
            continue
        ignored[why] = ignored.get(why, 0) + 1
    rest = "; ".join(f"{count} {why}" for why, count in sorted(ignored.items()))
    return usable, f" that counts ({rest})" if rest else ""


def _newest(usable: list[_VE]) -> list[_VE]:
    """Return the evidence of each check that nothing newer supersedes, by the check's id."""
    return sorted(standing(usable, lambda item: item.value.check.id), key=lambda item: (item.value.check.id, order(item)))


def _stale(requirement: Requirement, found: Evidence, now: datetime) -> str:
    """Return why the time of the evidence is over, or nothing."""
    if found.expires is not None and found.expires <= now:
        return f"expired on {found.expires:%Y-%m-%d %H:%M}"
    age = now - since(found)
    if requirement.max_age is not None and age > duration(requirement.max_age):
        return f"is {shown(age)} old, and {requirement.max_age} is the limit"
    return ""


def _holds(requirement: Requirement, item: _VE, waivers: Waivers, now: datetime) -> Iterable[Reason]:
    found = item.value
    rule, about = requirement.name, str(found.id)
    stale = _stale(requirement, found, now)
    if stale:
        yield Reason(rule=rule, ok=False, message=f"the evidence {stale}", evidence=about, help=command_for(requirement))
        return
    if found.partial:
        yield Reason(rule=rule, ok=False, message="the evidence covers a part of the artifact only", evidence=about)
        return
    yield outcome_reason(requirement, item, waivers)
    yield from measure_reasons(requirement, found)


def _approves(found: Evidence) -> bool:
    """Tell whether it is for it: what a person states approves by its decision, and a text alone by nothing."""
    return found.outcome == "passed" and (found.kind != "statement" or found.verdict == "approve")


def _approved(requirement: Requirement, usable: list[_VE], now: datetime) -> Reason:
    """Count the identities whose newest statement approves. One who rejects is heard whatever the count."""
    newest = standing(usable, lambda item: item.identity)
    rejecting = sorted({item.identity: item for item in newest if item.value.outcome == "failed"}.items())
    approving = sorted({i.identity: i for i in newest if _approves(i.value) and not _stale(requirement, i.value, now)}.items())
    wanted, rule = requirement.approvals or 1, requirement.name
    if rejecting:
        text = f"{', '.join(who for who, _ in rejecting)} rejected it"
        return Reason(rule=rule, ok=False, message=text, evidence=str(rejecting[0][1].value.id))
    who = ", ".join(name for name, _ in approving)
    if len(approving) < wanted:
        last = str(max(newest, key=lambda item: item.identity).value.id) if newest else ""
        text = f"{len(approving)} of {wanted} approvals ({who or 'nobody yet'})"
        silent = sorted({item.identity for item in newest if item.value.outcome == "passed" and not _approves(item.value)})
        text += f"; what {', '.join(silent)} stated has no decision" if silent else ""
        return Reason(rule=rule, ok=False, message=text, evidence=last, help=command_for(requirement))
    return Reason(rule=rule, ok=True, message=f"approved by {who}", evidence=str(approving[0][1].value.id))


def _stands_until(policy: Policy, used: Sequence[str], evidence: Sequence[_VE], now: datetime) -> datetime | None:
    """Return when the decision ends: with its own time, or with the first evidence it rests on."""
    named = set(used)
    rests_on = [item.value for item in evidence if str(item.value.id) in named]
    ends = [found.expires for found in rests_on if found.expires is not None]
    for requirement in policy.require:
        if requirement.max_age is None:
            continue
        age = duration(requirement.max_age)
        ends += [since(found) + age for found in rests_on if found.kind == requirement.kind]
    if policy.valid_for is not None:
        ends.append(now + duration(policy.valid_for))
    return min(ends, default=None)
