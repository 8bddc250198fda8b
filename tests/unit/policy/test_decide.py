"""The gate decides: what satisfies, what does not, and what is said of it."""

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from stannary.core.evidence import Check, Evidence, Measurement, SeverityCounts, Verified, seal
from stannary.core.model import Digest, Finding, Location
from stannary.policy.decide import decide
from stannary.policy.model import Measure, Policy, Requirement, WaiverRule

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SUBJECT = Digest("a" * 64)
OTHER = Digest("b" * 64)
_serial = iter(range(1, 10_000))


def evidence(kind="model-scan", *, by="ci", outcome="passed", age=DAY, check=None, index=None, **fields):
    number = next(_serial)
    made = Evidence(
        id=Digest(f"{number:064x}"),
        subject=fields.pop("subject", SUBJECT),
        subject_name="m",
        kind=kind,
        predicate_type="t",
        check=Check(id=check or kind, version="1"),
        outcome=outcome,
        issued=NOW - age,
        **fields,
    )
    return seal(made, keyid=f"key-{by}", identity=by, index=number if index is None else index)


def finding(rule="PKL001", severity="high", file="m.pkl"):
    return Finding(rule=rule, severity=severity, subject="", where=Location(file), message="calls os.system")


def waiver(rule="PKL001", *, by="security", ends=DAY, file="", **fields):
    predicate = {"rule": rule, "reason": "reviewed", "owner": "me", "file": file}
    return evidence("waiver", by=by, expires=NOW + ends, predicate=predicate, **fields)


def policy(*require, **fields):
    return Policy(name="p", require=require, **fields)


SCAN = Requirement(kind="model-scan", max_severity="low")


def verdict(rules, items, waivers=(), now=NOW):
    return decide(rules, SUBJECT, items, waivers, now)


def denied(rules, items, words, waivers=()):
    decision = verdict(rules, items, waivers)
    assert decision.verdict == "deny"
    assert decision.expires is None
    said = [reason.message for reason in decision.reasons if not reason.ok]
    assert any(words in message for message in said), said
    return decision


def allowed(rules, items, waivers=()):
    decision = verdict(rules, items, waivers)
    assert decision.verdict == "allow", [r.message for r in decision.reasons if not r.ok]
    return decision


def test_evidence_that_passes_allows_and_is_named():
    item = evidence()
    decision = allowed(policy(SCAN), [item])
    assert decision.evidence == (item.value.id,)
    assert decision.policy == policy(SCAN).digest


def test_nothing_is_allowed_by_nothing():
    denied(policy(), [evidence()], "requires nothing")
    denied(policy(SCAN), [], "no evidence of kind model-scan")


def test_evidence_about_another_subject_counts_for_nothing():
    denied(policy(SCAN), [evidence(subject=OTHER)], "no evidence")


@pytest.mark.parametrize("outcome", ["incomplete", "error"])
def test_what_was_not_completed_satisfies_nothing(outcome):
    denied(policy(SCAN), [evidence(outcome=outcome)], f"ended as {outcome}")
    denied(policy(Requirement(kind="model-scan")), [evidence(outcome=outcome)], f"ended as {outcome}")
    # Not even what the incomplete evidence found nothing in, and not an older pass.
    denied(policy(SCAN), [evidence(age=2 * DAY), evidence(outcome=outcome)], f"ended as {outcome}")


def test_a_newer_failure_beats_an_older_pass_and_the_other_way_round():
    old = evidence(age=3 * DAY)
    failed = evidence(outcome="failed", counts=SeverityCounts(high=1), findings=(finding(),), age=2 * DAY)
    fixed = evidence(age=DAY)
    denied(policy(SCAN), [failed, old], "PKL001 in m.pkl")
    allowed(policy(SCAN), [failed, fixed, old])


def test_each_check_of_a_kind_has_to_hold():
    robust = evidence("eval-result", check="robustness")
    unfair = evidence("eval-result", check="fairness", outcome="failed")
    rule = Requirement(kind="eval-result")
    denied(policy(rule), [robust, unfair], "did not pass")
    allowed(policy(Requirement(kind="eval-result", check="robustness")), [robust, unfair])


def test_time_ends_evidence():
    rule = Requirement(kind="model-scan", max_age="7d")
    denied(policy(rule), [evidence(age=8 * DAY)], "8 days old, and 7d is the limit")
    denied(policy(rule), [evidence(expires=NOW)], "expired")
    denied(policy(rule), [evidence(age=-DAY)], "issued in the future")
    # Recorded long ago: that it says it is new helps nothing.
    denied(policy(rule), [evidence(age=DAY, recorded=NOW - 8 * DAY)], "8 days old")
    decision = allowed(policy(rule, valid_for="30d"), [evidence(age=2 * DAY)])
    assert decision.expires == NOW + 5 * DAY


def test_a_part_is_not_the_whole():
    denied(policy(SCAN), [evidence(partial=True)], "a part of the artifact only")


def test_only_signers_that_are_named_count():
    rule = Requirement(kind="model-scan", signers=("ci",))
    denied(policy(rule), [evidence(by="mallory")], "signed by mallory, who does not count")
    allowed(policy(rule), [evidence(by="ci")])
    # Nor does what a stranger calls a failure take the pass away.
    allowed(policy(rule), [evidence(by="ci", age=2 * DAY), evidence(by="mallory", outcome="failed")])


def test_findings_above_the_limit_fail_it_and_each_can_be_waived():
    item = evidence(outcome="failed", counts=SeverityCounts(high=2, low=5), findings=(finding(), finding("PKL002", file="n.pkl")))
    denied(policy(SCAN), [item], "findings above low (2 high)")
    denied(policy(SCAN), [item], "PKL002", [waiver("PKL001")])
    decision = allowed(policy(SCAN), [item], [waiver("PKL001"), waiver("PKL002", file="n.pkl")])
    assert decision.reasons[0].waiver
    denied(policy(SCAN), [item], "PKL002", [waiver("PKL001"), waiver("PKL002", file="m.pkl")])
    denied(policy(Requirement(kind="model-scan", max_severity="none")), [evidence(counts=SeverityCounts(info=1))], "1 info")


def test_findings_that_are_not_listed_cannot_be_waived():
    item = evidence(outcome="failed", counts=SeverityCounts(high=3), findings=(finding(),))
    denied(policy(SCAN), [item], "3 high", [waiver("PKL001")])


def test_waivers_end_and_have_to_be_signed_by_whom_the_policy_names():
    item = evidence(outcome="failed", counts=SeverityCounts(high=1), findings=(finding(),))
    denied(policy(SCAN), [item], "its waiver expired on 2026-11-24", [waiver(ends=-DAY)])
    denied(policy(SCAN, waivers=WaiverRule(allow=False)), [item], "PKL001", [waiver()])
    denied(policy(SCAN, waivers=WaiverRule(signers=("ciso",))), [item], "PKL001", [waiver()])
    denied(policy(SCAN, waivers=WaiverRule(max_days=1)), [item], "PKL001", [waiver(ends=10 * DAY)])
    denied(policy(SCAN), [item], "PKL001", [waiver(subject=OTHER)])
    denied(policy(SCAN), [item], "PKL001", [waiver(age=-DAY, ends=10 * DAY)])


def test_a_requirement_can_be_waived_unless_it_says_not():
    item = evidence(outcome="error")
    decision = allowed(policy(SCAN), [item], [waiver("model-scan")])
    assert decision.reasons[0].message.startswith("waived: ")
    denied(policy(msgspec.structs.replace(SCAN, waivable=False)), [item], "ended as error", [waiver("model-scan")])
    denied(policy(SCAN), [item], "ended as error", [waiver("model-scan", file="m.pkl")])


def measured(low, high, n=1000, value=None):
    value = (low + high) / 2 if value is None else value
    return evidence("eval-result", measurements=(Measurement(metric="acc", value=value, low=low, high=high, n=n),))


def test_measurements_are_held_against_the_worse_end():
    rule = Requirement(kind="eval-result", measures=(Measure(metric="acc", min=0.6, min_samples=500),))
    allowed(policy(rule), [measured(0.6, 0.9)])
    denied(policy(rule), [measured(0.59, 0.9)], "low end has to reach 0.6")
    denied(policy(rule), [measured(0.6, 0.9, n=499)], "sample has to have 500")
    denied(policy(rule), [evidence("eval-result")], "was not measured")
    denied(policy(rule), [measured(float("nan"), float("nan"))], "interval")
    denied(policy(rule), [measured(0.7, 0.8, value=0.95)], "does not contain")
    top = Requirement(kind="eval-result", measures=(Measure(metric="acc", max=0.6),))
    denied(policy(top), [measured(0.5, 0.61)], "high end must not exceed 0.6")


APPROVAL = Requirement(kind="statement", check="approval", approvals=2, not_by=("training-run",))


def approval(by, **fields):
    return evidence("statement", by=by, check="approval", **{"verdict": "approve", **fields})


def test_approvals_are_counted_by_identity_and_not_from_who_built_it():
    denied(policy(APPROVAL), [], "0 of 2")
    denied(
        policy(APPROVAL), [approval("ann", verdict=""), approval("bob")], "1 of 2 approvals (bob); what ann stated has no decision"
    )
    denied(policy(APPROVAL), [approval("ann"), approval("ann")], "1 of 2 approvals (ann)")
    decision = allowed(policy(APPROVAL), [approval("ann"), approval("bob")])
    assert decision.reasons[0].message == "approved by ann, bob"
    denied(policy(APPROVAL), [approval("ann"), approval("bob"), evidence("training-run", by="bob")], "1 of 2")
    denied(policy(APPROVAL), [approval("ann"), approval("bob"), approval("eve", outcome="failed")], "eve rejected it")
    denied(policy(APPROVAL), [approval("ann"), approval("bob"), approval("bob", outcome="failed", age=DAY / 2)], "bob rejected it")
    denied(policy(APPROVAL), [approval("ann"), approval("bob", expires=NOW)], "1 of 2")
    allowed(policy(APPROVAL), [approval("ann", outcome="failed", age=2 * DAY), approval("ann"), approval("bob")])


def test_a_revocation_denies_whatever_else_is_there():
    revoked = evidence("revocation", outcome="failed", predicate={"reason": "poisoned"})
    denied(policy(SCAN), [evidence(), revoked], "revoked: poisoned", [waiver("revocation"), waiver("model-scan")])
    of_the_data = evidence("revocation", outcome="failed", subject=OTHER, predicate={"reason": "no consent"})
    denied(policy(SCAN), [evidence(), of_the_data], "something that it was made from was revoked")
    lifted = evidence("revocation", outcome="passed", age=DAY / 2, subject=OTHER)
    allowed(policy(SCAN), [evidence(), of_the_data, lifted])


def test_the_decision_does_not_depend_on_the_order_of_the_evidence():
    items = [
        evidence(age=DAY, index=-1),
        evidence(outcome="failed", counts=SeverityCounts(high=1), findings=(finding(),), age=DAY, index=-1),
        *(evidence("eval-result", check=name) for name in "abc"),
        approval("ann"),
        approval("bob"),
    ]
    rules = policy(SCAN, Requirement(kind="eval-result"), APPROVAL)
    first = verdict(rules, items, [waiver("PKL001"), waiver("PKL002")])
    for seed in range(50):
        mixed = list(items)
        random.Random(seed).shuffle(mixed)
        assert msgspec.structs.replace(verdict(rules, mixed, [waiver("PKL001")]), decided=NOW).verdict == first.verdict
        same = decide(rules, SUBJECT, mixed, (), NOW)
        assert same == decide(rules, SUBJECT, items, (), NOW)


def test_what_is_not_verified_cannot_be_made():
    with pytest.raises(TypeError):
        Verified()
