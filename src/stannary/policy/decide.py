"""The gate: policy, subject, verified evidence, waivers and the time in; a decision with its reasons out.

Pure, total, deterministic: the same input gives the same decision, whatever order the evidence comes in.

1. Evidence about another subject, issued in the future, or signed by nobody the requirement trusts, counts for nothing.
2. Of each check the newest evidence counts: a newer failure beats an older pass.
3. What expired, is older than `max_age`, covers a part only, or is *incomplete* or *error*, satisfies nothing.
4. Findings above `max_severity` fail it, unless a waiver that is valid now covers each of them.
5. A measurement is held against the worse end of its interval.
6. A revocation of the subject, or of anything it was made from, denies, whatever else is there, and cannot be waived.
7. A policy that requires nothing allows nothing.
8. What is spent of the privacy of a data set is the sum over all trainings on it (`privacy_budget.py`), and of each data set above.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from stannary.core.evidence import Decision, Evidence, Reason, Verified
from stannary.core.model import Digest
from stannary.policy.findings import outcome_reason
from stannary.policy.measures import measure_reasons
from stannary.policy.model import Policy, Requirement, duration, shown
from stannary.policy.privacy_budget import SPEND, budget_reasons
from stannary.policy.waivers import Waivers

__all__ = ["ANCESTOR_REVOKED", "REVOCATION", "SKEW", "decide", "revocation_reasons"]

REVOCATION = "revocation"  # the rule that every policy has
ANCESTOR_REVOKED = "something that it was made from was revoked"
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
    for item in evidence:
        if item.value.subject == subject or item.value.kind in (REVOCATION, SPEND):
            known.setdefault(item.value.kind, []).append(item)
    covering = Waivers(policy.waivers, subject, waivers, now)
    reasons = [*revocation_reasons(known.get("revocation", ()), subject, now)]
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


def revocation_reasons(items: Iterable[_VE], subject: Digest, now: datetime) -> Iterable[Reason]:
    """Yield a reason to deny for each subject whose newest revocation stands.

    What was revoked further up is not named: a decision is read by people who may not read that. The evidence says it to those
    who may, and `evidence.lineage.told_reasons` puts it into the text for them.
    """
    newest: dict[Digest, _VE] = {}
    for item in sorted(items, key=_order):
        if item.value.issued <= now + SKEW:
            newest[item.value.subject] = item
    for about, item in sorted(newest.items()):
        found = item.value
        if found.outcome == "passed":
            continue
        text = f"it was revoked: {found.predicate.get('reason', '')}" if about == subject else ANCESTOR_REVOKED
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
        reasons = [Reason(rule=rule, ok=False, message=text, help=_command(requirement))]
    else:
        reasons = [reason for item in newest for reason in _holds(requirement, item, waivers, now)]
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


def _order(item: _VE) -> tuple[datetime, int, Digest]:
    """Order evidence by when it came to be known; the digest decides where nothing else does."""
    found = item.value
    return found.recorded or found.issued, -1 if item.index is None else item.index, found.id


def _newest(usable: list[_VE]) -> list[_VE]:
    """Return the newest evidence of each check, by the check's id."""
    newest: dict[str, _VE] = {}
    for item in sorted(usable, key=_order):
        newest[item.value.check.id] = item
    return [newest[check] for check in sorted(newest)]


def _stale(requirement: Requirement, found: Evidence, now: datetime) -> str:
    """Return why the time of the evidence is over, or nothing."""
    if found.expires is not None and found.expires <= now:
        return f"expired on {found.expires:%Y-%m-%d %H:%M}"
    age = now - _since(found)
    if requirement.max_age is not None and age > duration(requirement.max_age):
        return f"is {shown(age)} old, and {requirement.max_age} is the limit"
    return ""


def _since(found: Evidence) -> datetime:
    return min(found.issued, found.recorded) if found.recorded is not None else found.issued


def _holds(requirement: Requirement, item: _VE, waivers: Waivers, now: datetime) -> Iterable[Reason]:
    found = item.value
    rule, about = requirement.name, str(found.id)
    stale = _stale(requirement, found, now)
    if stale:
        yield Reason(rule=rule, ok=False, message=f"the evidence {stale}", evidence=about, help=_command(requirement))
        return
    if found.partial:
        yield Reason(rule=rule, ok=False, message="the evidence covers a part of the artifact only", evidence=about)
        return
    yield outcome_reason(requirement, item, waivers)
    yield from measure_reasons(requirement, found)


def _approved(requirement: Requirement, usable: list[_VE], now: datetime) -> Reason:
    """Count the identities whose newest statement approves. One who rejects is heard whatever the count."""
    newest: dict[str, _VE] = {}
    for item in sorted(usable, key=_order):
        newest[item.identity] = item
    rejecting = sorted(who for who, item in newest.items() if item.value.outcome == "failed")
    approving = sorted(
        who for who, item in newest.items() if item.value.outcome == "passed" and not _stale(requirement, item.value, now)
    )
    wanted = requirement.approvals or 1
    rule, last = requirement.name, str(newest[max(newest)].value.id) if newest else ""
    if rejecting:
        item = newest[rejecting[0]]
        return Reason(rule=rule, ok=False, message=f"{', '.join(rejecting)} rejected it", evidence=str(item.value.id))
    if len(approving) < wanted:
        text = f"{len(approving)} of {wanted} approvals ({', '.join(approving) or 'nobody yet'})"
        return Reason(rule=rule, ok=False, message=text, evidence=last, help=_command(requirement))
    return Reason(rule=rule, ok=True, message=f"approved by {', '.join(approving)}", evidence=str(newest[approving[0]].value.id))


def _command(requirement: Requirement) -> str:
    """Return what makes the evidence that a requirement asks for."""
    kind = requirement.kind
    commands = {
        "model-scan": "stannary scan TARGET --record",
        "model-signature": "stannary sign TARGET --record",
        "cyclonedx": "stannary bom TARGET --record",
        "eval-result": "stannary attest TARGET --kind eval-result --predicate FILE",
    }
    if kind == "statement":
        decision = " --decision approve" if requirement.approvals is not None or requirement.check == "approval" else ""
        return f"stannary attest TARGET --topic {requirement.check or 'TOPIC'}{decision} --statement TEXT"
    return commands.get(kind, f"stannary attest TARGET --kind {kind} --predicate FILE")


def _stands_until(policy: Policy, used: Sequence[str], evidence: Sequence[_VE], now: datetime) -> datetime | None:
    """Return when the decision ends: with its own time, or with the first evidence it rests on."""
    ends = [item.value.expires for item in evidence if item.value.expires is not None and str(item.value.id) in set(used)]
    for requirement in policy.require:
        if requirement.max_age is None:
            continue
        age = duration(requirement.max_age)
        ends += [_since(i.value) + age for i in evidence if i.value.kind == requirement.kind and str(i.value.id) in set(used)]
    if policy.valid_for is not None:
        ends.append(now + duration(policy.valid_for))
    return min(ends, default=None)
