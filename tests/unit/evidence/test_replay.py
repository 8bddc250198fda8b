"""What was said before does not come back: replayed and kept-back statements, clocks turned back."""

from datetime import UTC, datetime, timedelta

import pytest

from stannary.core.errors import IntegrityError
from stannary.core.model import Digest
from stannary.crypto.keys import generate
from stannary.evidence.chain import Chain, signed_statement
from stannary.evidence.gate import judge
from stannary.evidence.lineage_index import LineageIndex
from stannary.evidence.statement import subject_resource
from stannary.evidence.trust_log import grant
from stannary.evidence.workspace import Workspace
from stannary.policy.decide import decide
from stannary.policy.model import Policy, Requirement
from stannary.policy.rego import input_document

SUBJECT = subject_resource(Digest("a" * 64), "claims")
DATA = subject_resource(Digest("d" * 64), "data")
REVIEW = Policy(name="p", require=(Requirement(kind="statement", check="review"),))
START = datetime(2026, 11, 26, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Desk:
    """A workspace whose clock goes where it is put."""

    def __init__(self, root):
        self.now = START
        workspace = Workspace.create(root, passphrase=None, origin="test/log")
        workspace.clock = lambda: self.now
        self.workspace = workspace
        self.chain = Chain(workspace, write=True)
        self.signer = workspace.signer

    def said(self, decision, *, topic="review", at=None, signer=None):
        when = at or self.now
        predicate = {"topic": topic, "statement": "s", "decision": decision, "author": "me", "finishedOn": when}
        return signed_statement(SUBJECT, "statement", predicate, signer or self.signer)

    def revocation(self, *, lifted, subject=SUBJECT):
        predicate = {"reason": "poisoned", "owner": "me", "lifted": lifted, "finishedOn": self.now}
        return signed_statement(subject, "revocation", predicate, self.signer)

    def log(self, *envelopes):
        self.chain.log(list(envelopes))
        self.now += HOUR

    def verdict(self, policy=REVIEW):
        return judge(self.chain, SUBJECT, policy).decision


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.chain.ledger.close()


def test_a_pass_that_is_logged_again_does_not_beat_the_failure_after_it(desk):
    approved = desk.said("approve")
    desk.log(approved)
    assert desk.verdict().verdict == "allow"
    desk.log(desk.said("reject"))
    for _ in range(3):
        assert desk.verdict().verdict == "deny"
        desk.log(approved)
    assert len(desk.chain.about(Digest("a" * 64)).evidence) == 2
    # A new statement is what it takes.
    desk.log(desk.said("approve"))
    assert desk.verdict().verdict == "allow"


def test_a_pass_that_was_kept_back_does_not_beat_a_failure_that_is_younger_than_it(desk):
    kept = desk.said("approve")
    desk.now += HOUR
    desk.log(desk.said("reject"))
    desk.log(kept)
    decision = desk.verdict()
    assert decision.verdict == "deny"
    assert "was issued before it" in next(reason.message for reason in decision.reasons if not reason.ok)
    desk.log(desk.said("approve"))
    assert desk.verdict().verdict == "allow"


def test_a_failure_beats_the_pass_before_it_although_its_clock_is_slow(desk):
    desk.log(desk.said("approve"))
    desk.log(desk.said("reject", at=START - 5 * HOUR))
    assert desk.verdict().verdict == "deny"


def test_a_revocation_is_not_lifted_by_what_lifted_an_earlier_one(desk):
    nothing = Policy(name="p", require=(Requirement(kind="statement"),))
    desk.log(desk.said("approve"))
    desk.log(desk.revocation(lifted=False))
    lifting = desk.revocation(lifted=True)
    desk.log(lifting)
    assert desk.verdict(nothing).verdict == "allow"
    desk.log(desk.revocation(lifted=False))
    desk.log(lifting)
    assert desk.verdict(nothing).verdict == "deny"
    assert len(LineageIndex(desk.chain).tainted()) == 1
    desk.log(desk.revocation(lifted=True))
    assert desk.verdict(nothing).verdict == "allow"
    assert LineageIndex(desk.chain).tainted() == []


def test_lifting_a_revocation_in_advance_lifts_nothing(desk):
    lifting = desk.revocation(lifted=True, subject=DATA)
    desk.now += HOUR
    desk.log(desk.revocation(lifted=False, subject=DATA))
    desk.log(lifting)
    assert [row.name for row in LineageIndex(desk.chain).tainted()] == ["data"]


def test_an_approval_that_was_withdrawn_does_not_come_back(desk):
    two = Policy(name="p", require=(Requirement(kind="statement", check="approval", approvals=2),))
    people = {name: generate("ed25519") for name in ("ann", "bob")}
    for name, key in people.items():
        grant(desk.workspace, name, key.public)
    first = desk.said("approve", topic="approval", signer=people["ann"])
    desk.log(first)
    desk.log(desk.said("approve", topic="approval", signer=people["bob"]))
    assert desk.verdict(two).verdict == "allow"
    desk.log(desk.said("reject", topic="approval", signer=people["ann"]))
    desk.log(first)
    assert desk.verdict(two).verdict == "deny"


def test_the_document_for_other_engines_has_each_statement_once(desk):
    approved = desk.said("approve")
    desk.log(approved, desk.said("reject"))
    desk.log(approved)
    found = judge(desk.chain, SUBJECT, REVIEW)
    document = input_document(Digest("a" * 64), [*found.evidence, *found.evidence], (), desk.now)
    assert [row["index"] for row in document["evidence"]] == [0, 1]


def test_a_clock_that_was_turned_back_allows_nothing(desk):
    desk.log(desk.said("approve"))
    desk.log(desk.said("reject"))
    known = judge(desk.chain, SUBJECT, REVIEW).evidence
    desk.now = START + HOUR / 2  # when the rejection was not there yet
    with pytest.raises(IntegrityError, match="the last entry of the ledger is of") as caught:
        desk.verdict()
    assert caught.value.code == "EVD017"
    # Without a ledger to look at, by the evidence alone.
    decision = decide(REVIEW, Digest("a" * 64), known, (), desk.now)
    assert [reason.rule for reason in decision.reasons if not reason.ok][:1] == ["clock"]
    assert decide(REVIEW, Digest("a" * 64), known[:1], (), START).verdict == "allow"
