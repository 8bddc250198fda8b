"""Generated cases for the gate: policies, evidence and waivers in which everything that matters happens often."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec

from stannary.core.evidence import Check, Evidence, Measurement, SeverityCounts, seal
from stannary.core.model import Digest, Finding, Location
from stannary.policy.model import Measure, Policy, Requirement, WaiverRule

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SUBJECT = Digest("a" * 64)
OTHERS = (SUBJECT, SUBJECT, SUBJECT, Digest("b" * 64))
KINDS = ("model-scan", "eval-result", "statement", "training-run")
CHECKS = ("one", "two")
PEOPLE = ("ann", "bob", "ci", "")
SEVERITIES = ("critical", "high", "medium", "low", "info")
METRICS = ("acc", "auc")
RULES = ("PKL001", "PKL002", "model-scan", "eval-result:one")


def case(seed):
    """Return (policy, evidence, waivers) for a seed."""
    rng = random.Random(seed)
    if rng.random() < 0.6:
        return friendly(rng, seed)
    policy = Policy(
        name=f"p{seed}",
        require=tuple(requirement(rng, number) for number in range(rng.choice((0, 1, 1, 2, 2, 3)))),
        waivers=WaiverRule(
            allow=rng.random() < 0.8,
            signers=tuple(rng.sample(("ann", "bob", "ci"), rng.choice((0, 0, 1, 2)))),
            max_days=rng.choice((None, 1, 10)),
        ),
    )
    evidence = [item(rng, number) for number in range(rng.randrange(9))]
    evidence += [logged_again(rng, one) for one in evidence if rng.random() < 0.2]
    waivers = [waiver(rng, 1000 + number) for number in range(rng.randrange(5))]
    return policy, evidence, waivers


def friendly(rng, seed):
    """Return a case that is allowed about as often as not: one requirement, evidence that meets it but for one or two things."""
    wanted = requirement(rng, 0)
    policy = Policy(name=f"p{seed}", require=(wanted,), waivers=WaiverRule())
    evidence = []
    for number in range(rng.choice((1, 2, 3))):
        made = item(rng, number).value
        good = {
            "subject": SUBJECT,
            "kind": wanted.kind,
            "check": Check(id=wanted.check or "one", version="1"),
            "outcome": "passed",
            "issued": NOW - timedelta(hours=number + 1),
            "recorded": None,
            "expires": None,
            "verdict": (wanted.verdicts or ("clean",))[0],
            "counts": SeverityCounts(),
            "findings": (),
            "measurements": tuple(Measurement(metric=m.metric, value=0.6, low=0.5, high=0.7, n=1000) for m in wanted.measures),
            "partial": False,
        }
        for field in rng.sample(sorted(good), rng.choice((0, 0, 0, 1, 2))):
            del good[field]
        who = (wanted.signers or ("ann", "bob", "ci"))[number % len(wanted.signers or "abc")]
        evidence.append(seal(msgspec.structs.replace(made, **good), keyid="k", identity=who, index=number))
    evidence += [logged_again(rng, one) for one in evidence if rng.random() < 0.2]
    return policy, evidence, [waiver(rng, 1000 + number) for number in range(rng.choice((0, 0, 1)))]


def logged_again(rng, one):
    """Return the same statement by another entry."""
    made = msgspec.structs.replace(one.value, recorded=rng.choice((one.value.recorded, NOW)))
    return seal(made, keyid=one.keyid, identity=one.identity, index=50 + rng.randrange(9))


def requirement(rng, number):
    kind = rng.choice(KINDS)
    return Requirement(
        kind=kind,
        id=rng.choice(("", "", f"r{number}")),
        check=rng.choice(("", "", *CHECKS)),
        signers=tuple(rng.sample(("ann", "bob", "ci"), rng.choice((0, 0, 0, 1, 2)))),
        max_age=rng.choice((None, None, "1d", "36h", "3d")),
        max_severity=rng.choice((None, None, *SEVERITIES, "none")),
        verdicts=rng.choice(((), (), ("clean",), ("clean", "unverified"))),
        measures=tuple(measure(rng) for _ in range(rng.choice((0, 0, 0, 1, 2)))),
        approvals=rng.choice((None, None, None, 1, 2)) if kind == "statement" else None,
        not_by=rng.choice(((), (), (), ("training-run",))),
        waivable=rng.random() < 0.8,
    )


def measure(rng):
    return Measure(
        metric=rng.choice(METRICS),
        min=rng.choice((None, 0.4, 0.5)),
        max=rng.choice((None, None, 0.9)),
        min_samples=rng.choice((None, None, 100)),
    )


def ages(rng):
    return rng.choice(
        (timedelta(days=2), timedelta(days=1), timedelta(hours=12), timedelta(0), -timedelta(minutes=4), -timedelta(hours=1))
    )


def item(rng, number):
    kind = rng.choice((*KINDS, *KINDS, "revocation"))
    counts = dict.fromkeys(SEVERITIES, 0)
    findings = []
    for _ in range(rng.choice((0, 0, 1, 2))):
        severity = rng.choice(SEVERITIES)
        counts[severity] += 1
        if rng.random() < 0.8:
            where = Location(rng.choice(("a.pkl", "b.pkl")))
            findings.append(Finding(rule=rng.choice(RULES[:2]), severity=severity, subject="", where=where, message="m"))
    made = Evidence(
        id=Digest(f"{number:064x}"),
        subject=rng.choice(OTHERS),
        subject_name="m",
        kind=kind,
        predicate_type="t",
        check=Check(id=rng.choice(CHECKS), version="1"),
        outcome=rng.choice(("passed", "passed", "passed", "failed", "incomplete", "error")),
        issued=NOW - ages(rng),
        expires=rng.choice((None, None, NOW + timedelta(days=1), NOW, NOW - timedelta(hours=1))),
        recorded=rng.choice((None, NOW - abs(ages(rng)))) if rng.random() < 0.98 else NOW + timedelta(minutes=rng.choice((4, 6))),
        verdict=rng.choice(("clean", "unverified", "unsafe", "")),
        counts=SeverityCounts(**counts),
        findings=tuple(findings),
        measurements=tuple(measurement(rng) for _ in range(rng.choice((0, 1, 2)))),
        partial=rng.random() < 0.1,
    )
    return seal(made, keyid="k", identity=rng.choice(PEOPLE), index=rng.choice((None, number, 3)))


def measurement(rng):
    low, high = sorted((round(rng.random(), 1), round(rng.random(), 1)))
    value = rng.choice((low, high, (low + high) / 2, 1.5))
    return Measurement(metric=rng.choice(METRICS), value=value, low=low, high=high, n=rng.choice((50, 100, 1000)))


def waiver(rng, number):
    made = Evidence(
        id=Digest(f"{number:064x}"),
        subject=rng.choice(OTHERS),
        subject_name="m",
        kind="waiver",
        predicate_type="t",
        check=Check(id="waiver", version="1"),
        outcome="passed",
        issued=NOW - ages(rng),
        expires=rng.choice((NOW + timedelta(days=1), NOW + timedelta(days=5), NOW, NOW - timedelta(days=1))),
        predicate={"rule": rng.choice((*RULES, "r0", "r1")), "reason": "r", "owner": "o", "file": rng.choice(("", "", "a.pkl"))},
    )
    return seal(made, keyid="k", identity=rng.choice(PEOPLE), index=None)
