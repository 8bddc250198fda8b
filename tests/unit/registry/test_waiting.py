"""What waits for an approval: only where one is asked for, only of whom may give it, and no longer once somebody decided."""

from tests.unit.registry.conftest import APPROVED

from stannary.core.errors import PolicyDenied
from stannary.policy.model import Policy, Requirement
from stannary.registry import promotion, retention
from stannary.registry.names import Name
from stannary.registry.waiting import waiting

CLAIMS = Name("default", "claims")
STRICT = Policy(name="strict", require=(Requirement(kind="model-scan"), *APPROVED.require))


def listed(registry, **more):
    return [(str(row.version), row.alias, bool(row.tried)) for row in waiting(registry, **more).rows]


def test_the_newest_version_waits_until_somebody_decides(bench):
    registry = bench.opened[0]
    promotion.protect(registry, CLAIMS, "production", APPROVED)
    bench.push(b"one")
    two = bench.push(b"two")
    assert listed(registry) == [("claims:2", "production", False)]
    row = waiting(registry).rows[0]
    assert [reason.message for reason in row.approvals] == ["0 of 1 approvals (nobody yet)"]
    bench.say(two, "reject")
    assert listed(registry) == []
    bench.say(two)
    assert listed(registry) == []
    bench.push(b"three")
    assert listed(registry) == [("claims:3", "production", False)]
    assert promotion.promote(registry, CLAIMS, 2, "production").moved
    assert listed(registry) == [("claims:3", "production", False)]


def test_what_lacks_more_waits_only_when_somebody_tried(bench):
    registry = bench.opened[0]
    promotion.protect(registry, CLAIMS, "production", STRICT)
    bench.push(b"one")
    assert listed(registry) == []
    assert not promotion.promote(registry, CLAIMS, 1, "production").moved
    assert listed(registry) == [("claims:1", "production", True)]
    assert [reason.rule for reason in waiting(registry).rows[0].missing] == ["model-scan"]
    bench.push(b"two")
    assert listed(registry) == [("claims:1", "production", True)]


def test_an_older_version_that_somebody_tried_waits_beside_the_newest(bench):
    registry = bench.opened[0]
    promotion.protect(registry, CLAIMS, "staging", APPROVED)
    promotion.protect(registry, CLAIMS, "production", Policy(name="open", require=(Requirement(kind="model-scan"),)))
    one = bench.push(b"one")
    promotion.promote(registry, CLAIMS, 1, "staging")
    bench.push(b"two")
    assert listed(registry) == [("claims:2", "staging", False), ("claims:1", "staging", True)]
    retention.quarantine(registry, one.digest, "bad")
    promotion.freeze(registry, CLAIMS, "production", "stop")
    assert listed(registry) == [("claims:2", "staging", False)]
    promotion.freeze(registry, CLAIMS, "staging", "stop")
    assert listed(registry) == []


def test_only_what_one_may_approve_is_listed_and_pages_go_on(bench):
    registry = bench.opened[0]
    for number in range(5):
        bench.push(bytes([number]), f"m{number}")
        promotion.protect(registry, Name("default", f"m{number}"), "production", APPROVED)

    def allowed(action, name, alias=""):
        del alias
        if action == "approve" and name.name == "m1":
            msg = "no"
            raise PolicyDenied(msg)

    reviewer = registry.seen_by("rae", allowed)
    first = waiting(reviewer, limit=2)
    assert [row.version.name.name for row in first.rows] == ["m0", "m2"]
    rest = waiting(reviewer, after=first.next, limit=2)
    assert [row.version.name.name for row in rest.rows] == ["m3", "m4"]
    assert rest.next is None
