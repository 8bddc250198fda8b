"""Statements go into the ledger signed and come out verified; what was tampered with counts for nothing."""

import sqlite3

import pytest

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.core.model import Digest
from stannary.crypto import dsse
from stannary.crypto.keys import generate
from stannary.evidence.chain import Chain
from stannary.evidence.gate import judge, record_decision
from stannary.evidence.predicates.table import KINDS
from stannary.evidence.statement import encode, subject_resource
from stannary.evidence.subject import identify, named_digest, resource_of
from stannary.evidence.trust import read_trust
from stannary.evidence.trust_log import grant, withdraw
from stannary.evidence.workspace import Workspace
from stannary.policy.model import Policy, Requirement
from stannary.testing.statements import EXAMPLES, SUBJECT_HEX

SUBJECT = subject_resource(Digest(SUBJECT_HEX), "claims")
POLICY = Policy(name="p", require=(Requirement(kind="statement", check="approval"),))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_in_and_comes_out(chain, kind):
    recorded = chain.state(SUBJECT, kind, EXAMPLES[kind])
    (item,) = chain.about(Digest(SUBJECT_HEX)).evidence
    assert item.value.id == recorded.id
    assert item.value.kind == kind
    assert item.identity == "workspace"
    assert item.value.recorded is not None


def test_a_predicate_of_another_shape_is_not_signed(chain):
    with pytest.raises(InputError, match="no waiver predicate"):
        chain.state(SUBJECT, "waiver", {"rule": "x"})
    assert chain.ledger.head().size == 0


def test_numbers_without_a_canonical_form_are_refused(chain):
    broken = {**EXAMPLES["training-run"], "metrics": {"loss": float("nan")}}
    with pytest.raises(InputError, match="canonical"):
        chain.state(SUBJECT, "training-run", broken)


def test_what_a_stranger_signed_is_not_taken(chain):
    envelope = dsse.sign(encode([SUBJECT], KINDS["statement"].predicate_type, EXAMPLES["statement"]), generate())
    with pytest.raises(IntegrityError, match="no signature of a trusted key"):
        chain.log([envelope])
    assert chain.ledger.head().size == 0


def test_one_bad_envelope_keeps_out_all_that_come_with_it(chain):
    good = dsse.sign(encode([SUBJECT], KINDS["statement"].predicate_type, EXAMPLES["statement"]), chain.workspace.signer)
    bad = dsse.sign(encode([SUBJECT], KINDS["statement"].predicate_type, {}), chain.workspace.signer)
    with pytest.raises(InputError):
        chain.log([good, bad])
    assert chain.ledger.head().size == 0


def test_trust_begins_and_ends_and_both_are_logged(workspace):
    ann = generate("ed25519")
    grant(workspace, "ann", ann.public)
    workspace = Workspace(workspace.root)
    chain = Chain(workspace, write=True)
    chain.log([dsse.sign(encode([SUBJECT], KINDS["statement"].predicate_type, EXAMPLES["statement"]), ann)])
    assert chain.about(Digest(SUBJECT_HEX)).evidence[0].identity == "ann"
    assert judge(chain, SUBJECT, POLICY).decision.verdict == "allow"
    chain.ledger.close()
    withdraw(workspace, "ann")
    chain = Chain(Workspace(workspace.root))
    known = chain.about(Digest(SUBJECT_HEX))
    assert known.evidence == ()
    assert known.refused[0].code == "SIG001"
    assert judge(chain, SUBJECT, POLICY).decision.verdict == "deny"
    assert [row.body["action"] for row in chain.ledger.find(type="trust")] == ["added", "removed"]


def test_a_chain_that_has_decided_before_sees_what_is_new_and_whom_it_no_longer_trusts(workspace):
    """What is remembered of a subject is what it was: appended to by others, and gone with trust."""
    ann = generate("ed25519")
    grant(workspace, "ann", ann.public)
    approve, reject = ({**EXAMPLES["statement"], "decision": decision} for decision in ("approve", "reject"))
    kept, other = Chain(Workspace(workspace.root)), Chain(Workspace(workspace.root), write=True)
    approval = dsse.sign(encode([SUBJECT], KINDS["statement"].predicate_type, approve), ann)
    for decisions in (True, False):
        assert kept.about(Digest(SUBJECT_HEX), decisions=decisions).evidence == ()
    other.log([approval])
    judged = judge(kept, SUBJECT, POLICY)
    assert judged.decision.verdict == "allow"
    record_decision(other, SUBJECT, judged)
    found = {flag: len(kept.about(Digest(SUBJECT_HEX), decisions=flag).evidence) for flag in (True, False)}
    assert found == {True: 2, False: 1}
    other.log([approval])  # again: it counts once, and is no newer
    assert len(kept.about(Digest(SUBJECT_HEX), decisions=False).evidence) == 1
    other.log([dsse.sign(encode([SUBJECT], KINDS["statement"].predicate_type, reject), ann)])
    assert judge(kept, SUBJECT, POLICY).decision.verdict == "deny"
    other.log([dsse.sign(encode([SUBJECT], KINDS["statement"].predicate_type, {**approve, "author": "again"}), ann)])
    withdraw(workspace, "ann")
    known = kept.about(Digest(SUBJECT_HEX), decisions=False)
    assert (known.evidence, {error.code for error in known.refused}) == ((), {"SIG001"})
    assert judge(kept, SUBJECT, POLICY).decision.verdict == "deny"


def test_trust_refuses_what_it_cannot_name(workspace):
    with pytest.raises(UsageError, match="one word"):
        grant(workspace, "two words", generate().public)
    with pytest.raises(UsageError, match="already"):
        grant(workspace, "again", workspace.signer.public)
    with pytest.raises(UsageError, match="nothing that is trusted"):
        withdraw(workspace, "nobody")
    text = workspace.trust_path.read_text().replace(workspace.signer.public.keyid, "0" * 64)
    workspace.trust_path.write_text(text)
    with pytest.raises(InputError, match="the file says"):
        read_trust(workspace.trust_path).verifiers()


def test_a_decision_is_signed_and_logged_and_cites_its_evidence(chain):
    denied = judge(chain, SUBJECT, POLICY)
    assert denied.decision.verdict == "deny"
    approval = chain.state(SUBJECT, "statement", EXAMPLES["statement"])
    judged = judge(chain, SUBJECT, POLICY)
    assert judged.decision.verdict == "allow"
    recorded = record_decision(chain, SUBJECT, judged)
    vsa = next(item.value for item in chain.about(Digest(SUBJECT_HEX)).evidence if item.value.id == recorded.id)
    assert (vsa.kind, vsa.outcome) == ("vsa", "passed")
    assert vsa.predicate["inputAttestations"] == [{"digest": {"sha256": approval.id.hex}}]
    assert vsa.predicate["policy"]["digest"] == {"sha256": POLICY.digest.hex}
    assert chain.ledger.read(recorded.receipt.index).type == "decision"


def _lie(path, statement, *values):
    with sqlite3.connect(path) as db:
        db.execute(statement, values)


def test_evidence_that_was_made_to_disappear_is_noticed(workspace):
    chain = Chain(workspace, write=True)
    chain.state(SUBJECT, "statement", EXAMPLES["statement"])
    chain.state(SUBJECT, "statement", {**EXAMPLES["statement"], "decision": "reject", "finishedOn": "2026-11-21T00:00:00Z"})
    chain.ledger.close()
    with sqlite3.connect(workspace.ledger_path) as db:
        table = next(name for (name,) in db.execute("select name from sqlite_master where type='table'") if "entr" in name)
        columns = [row[1] for row in db.execute(f"pragma table_info({table})")]
    assert "subject" in columns
    # Filed under another subject: the column lies, the record does not.
    _lie(workspace.ledger_path, f"update {table} set subject = ? where idx = 1", "sha256:" + "0" * 64)
    try:
        verdict = judge(Chain(Workspace(workspace.root)), SUBJECT, POLICY).decision.verdict
    except IntegrityError:
        verdict = "refused"
    assert verdict in {"deny", "refused"}


def test_a_statement_is_found_by_the_start_of_its_id(chain):
    recorded = chain.state(SUBJECT, "statement", EXAMPLES["statement"])
    entry, envelope = chain.one(recorded.id.hex[:12])
    assert entry.id == str(recorded.id) == f"sha256:{dsse.id_of(envelope).hex}"
    for name, why in (("", "is no id"), (recorded.id.hex[:3], "is no id"), ("0" * 12, "names no evidence")):
        with pytest.raises(UsageError, match=why):
            chain.one(name)


def test_a_workspace_is_found_upward_and_never_made_twice(tmp_path, monkeypatch):
    made = Workspace.create(tmp_path, passphrase=b"pw")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    monkeypatch.setenv("STANNARY_PASSPHRASE", "pw")
    assert Workspace.find().root == made.root
    assert Workspace.find(str(tmp_path)).signer.public.keyid == made.signer.public.keyid
    with pytest.raises(UsageError, match="already"):
        Workspace.create(tmp_path, passphrase=None)
    with pytest.raises(UsageError, match="no workspace"):
        Workspace.find(str(deep))
    monkeypatch.setenv("STANNARY_PASSPHRASE", "guess")
    with pytest.raises(UsageError, match="decrypted"):
        _ = Workspace.find().signer
    (made.root / "workspace.json").write_text('{"schema": "stannary.workspace/9", "origin": "x"}')
    with pytest.raises(UsageError, match="not known here"):
        Workspace.find()


def test_a_subject_is_identified_by_names_and_contents(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.bin").write_bytes(b"tin")
    first = identify(tmp_path / "m")
    (tmp_path / "m" / "a.bin").rename(tmp_path / "m" / "b.bin")
    assert identify(tmp_path / "m").digest != first.digest
    single = resource_of(identify(tmp_path / "m" / "b.bin"))
    assert set(single.digest) == {"dirHash1", "sha256"}
    assert set(resource_of(first).digest) == {"dirHash1"}
    assert named_digest(f"sha256:{first.digest.hex}") == first.digest
    assert named_digest("model.pkl") is None


def test_what_has_no_identity_is_refused_with_all_its_problems(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "out").symlink_to("/etc/hostname")
    (tmp_path / "m" / "gone").symlink_to("nowhere")
    with pytest.raises(ExceptionGroup) as caught:
        identify(tmp_path / "m")
    assert {error.where for error in caught.value.exceptions} == {"out", "gone"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExceptionGroup, match="artifact"):
        identify(tmp_path / "empty")
