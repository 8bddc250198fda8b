"""What waits for an approval by a module in Rego: found by trying it, in its own words, and never silently left out."""

import sys

from tests.unit.registry.test_rego_protection import NAME, OWN

from stannary.crypto import keys
from stannary.evidence.policy_text import policy_of_text
from stannary.evidence.trust import write_trust
from stannary.registry import promotion, waiting_rego
from stannary.registry.waiting import waiting

HEAD = "package stannary.gate\nimport rego.v1\n"
APPROVERS = 'approvers := {e.identity | some e in input.evidence; e.check == "approval"; e.verdict == "approve"}\n'
TWO = HEAD + APPROVERS + 'deny contains sprintf("%d of 2 approvals", [count(approvers)]) if count(approvers) < 2\n'
BY_ANN = HEAD + APPROVERS + 'deny contains "ann has to approve it" if not "ann" in approvers\n'
SCANNED = 'deny contains "nobody scanned it" if count([e | some e in input.evidence; e.kind == "model-scan"]) == 0\n'


def protect(registry, module, name=NAME):
    promotion.protect(registry, name, "production", policy_of_text(module, "own.rego"))


def trust(registry, identity):
    workspace = registry.chain.workspace
    write_trust(workspace.trust_path, workspace.trust.with_key(identity, keys.generate().public))


def listed(registry):
    return [(str(row.version), row.alias) for row in waiting(registry).rows]


def test_the_newest_version_waits_until_somebody_decides(bench):
    registry = bench.opened[0]
    protect(registry, OWN)
    bench.push(b"one")
    two = bench.push(b"two")
    rows = waiting(registry).rows
    assert [(str(row.version), row.alias, row.policy, row.tried) for row in rows] == [("claims:2", "production", "own.rego", "")]
    reasons = [(reason.rule, reason.message.partition(" (")[0], reason.help) for reason in rows[0].approvals]
    assert reasons == [("ours", "nobody approved it", "ask ann")]
    assert (rows[0].missing, rows[0].by) == ((), ())
    bench.say(two)
    assert listed(registry) == []
    bench.say(bench.push(b"three"), "reject")
    assert listed(registry) == []


def test_the_next_command_is_told_where_the_module_tells_none_and_whose_approval_counts(bench):
    registry = bench.opened[0]
    trust(registry, "ann")
    trust(registry, "bob")
    protect(registry, BY_ANN)
    bench.say(bench.push(b"one"))
    (row,) = waiting(registry).rows
    assert (row.by, row.approvals[0].message.partition(" (")[0]) == (("ann",), "ann has to approve it")
    assert row.approvals[0].help.startswith("stannary attest TARGET --topic approval --decision approve")


def test_more_approvals_than_there_are_keys_are_waited_for(bench):
    registry = bench.opened[0]
    protect(registry, TWO)
    version = bench.push(b"one")
    for count in (0, 1):
        (row,) = waiting(registry).rows
        assert (row.approvals[0].message.partition(" (")[0], row.by) == (f"{count} of 2 approvals", ())
        bench.say(version)


def test_what_lacks_more_waits_only_when_somebody_tried(bench):
    registry = bench.opened[0]
    protect(registry, OWN + SCANNED)
    bench.push(b"one")
    assert listed(registry) == []
    assert not promotion.promote(registry, NAME, 1, "production").moved
    (row,) = waiting(registry).rows
    assert [reason.message.partition(" (")[0] for reason in row.approvals] == ["nobody approved it"]
    assert [reason.message.partition(" (")[0] for reason in row.missing] == ["nobody scanned it"]
    assert row.tried


def test_a_module_that_no_approval_satisfies_waits_for_none(bench):
    registry = bench.opened[0]
    protect(registry, HEAD + 'deny contains "never, whatever approvals there are" if true\n')
    bench.push(b"one")
    assert not promotion.promote(registry, NAME, 1, "production").moved
    assert listed(registry) == []
    # Evidence alone, whatever is in it, is no approval: it says the same in other words.
    protect(registry, HEAD + 'deny contains {"rule": "n", "msg": sprintf("approved: %d", [count(input.evidence)])} if true\n')
    assert listed(registry) == []


def test_a_module_that_cannot_be_asked_is_listed_as_that(bench, monkeypatch):
    registry = bench.opened[0]
    protect(registry, OWN)
    bench.push(b"one")
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setitem(sys.modules, "regopy", None)  # as where it is not installed
    (row,) = waiting(registry).rows
    assert row.approvals == ()
    assert "could not be found out" in row.missing[0].message
    assert "stannary[rego]" in row.missing[0].help


def test_a_page_asks_for_so_long_and_goes_on_with_the_next(bench, monkeypatch):
    registry = bench.opened[0]
    for number in range(3):
        version = bench.push(bytes([number]), f"m{number}")
        protect(registry, OWN, version.name)
    monkeypatch.setattr(waiting_rego.Patience.__init__, "__defaults__", (0.0,))
    found, after = [], None
    for _ in range(3):
        page = waiting(registry, after=after)
        found += [row.version.name.name for row in page.rows]
        after = page.next
    assert (found, after) == (["m0", "m1", "m2"], None)
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setitem(sys.modules, "regopy", None)  # what was asked is known for a while
    assert [bool(row.approvals) for row in waiting(registry).rows] == [True] * 3
