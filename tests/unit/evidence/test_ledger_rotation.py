"""A log that is handed over to a new key: what was signed stays good, and neither key counts out of its turn."""

import base64
import json
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from stannary.core.errors import InputError, IntegrityError, StannaryError, UsageError
from stannary.crypto import keys
from stannary.crypto.merkle import leaf_hash, node_hash
from stannary.crypto.note import Checkpoint, Note, VerifierKey, sign_note
from stannary.crypto.proof_file import decode_proof, encode_proof
from stannary.evidence.ledger import Ledger, audit_file, entry, verify
from stannary.evidence.ledger.log_keys import Handover, LogKeys, handover_record, read_handovers
from stannary.evidence.ledger.replay import follow_into
from stannary.evidence.ledger.witness import Quorum, Request, Witness, request_for
from stannary.evidence.rotate import adopt, rotate
from stannary.evidence.workspace import Workspace
from stannary.evidence.workspace_keys import NamedKey

ORIGIN = "example.com/log"
OLD, NEW, THIRD, THIEF = (keys.generate("ed25519") for _ in range(4))
KEY = {name: VerifierKey.of(ORIGIN, key.public) for name, key in (("old", OLD), ("new", NEW), ("third", THIRD), ("thief", THIEF))}


def record(n):
    return entry("evidence", {"n": n}, time=datetime.now(UTC))


def opened(folder, signer, log_keys):
    folder.mkdir(exist_ok=True)
    return Ledger.open(folder / "ledger.db", signer, origin=ORIGIN, verifier=log_keys)


def refused(call, code, kind=StannaryError):
    with pytest.raises(kind) as error:
        call()
    assert (error.value.code, bool(error.value.help)) == (code, True), str(error.value)


@pytest.fixture
def handed(tmp_path):
    """A log of five entries, handed over, and two more: its folder, its keys, what was signed before."""
    folder = tmp_path / "log"
    with opened(folder, OLD, LogKeys(KEY["old"])) as ledger:
        made = [record(n) for n in range(5)]
        before = [(made[0], ledger.append([made[0]])[0]), *zip(made[1:], ledger.append(made[1:]), strict=True)]
        note = ledger.head_note()
        handover = ledger.hand_over(NEW)
    found = LogKeys.following(KEY["old"], [handover])
    with opened(folder, NEW, found) as ledger:
        ledger.append([record(5), record(6)])
    return folder, found, before, note


def test_the_log_goes_on_under_the_new_key_and_everything_from_before_verifies(handed):
    folder, found, before, note = handed
    assert (found.current, found.first, found.all) == (KEY["new"], 6, (KEY["old"], KEY["new"]))
    with opened(folder, None, found) as ledger:
        assert ledger.head().size == 8
        assert ledger.verify_since(note).size == 8
        assert ledger.read(5).type == "log-key"
        for content, receipt in before:
            assert verify(content, receipt, found) == verify(content, receipt, KEY["old"]), "old proofs, by old and new verifiers"
        receipt = ledger.prove(6)
        assert verify(ledger.read(6).record, receipt, found).size == 8
        refused(lambda: verify(ledger.read(6).record, receipt, KEY["old"]), "LED004", IntegrityError)
        assert ledger.find(type="evidence", complete=True)[-1].index == 7
    assert audit_file(folder / "ledger.db", found).ok


@pytest.mark.parametrize("trusted", ["old", "new", "third"])
def test_whoever_trusts_any_key_of_the_chain_follows_it(handed, trusted):
    folder, found, _, _ = handed
    with opened(folder, NEW, found) as ledger:
        second = ledger.hand_over(THIRD)
    chain = LogKeys.following(KEY[trusted], [*found.handovers, second])
    assert (chain.current, [(item.first, item.last) for item in chain.retired]) == (KEY["third"], [(0, 6), (6, 9)])
    with opened(folder, THIRD, chain) as ledger:
        ledger.append([record(9)])
        assert ledger.audit().ok
    refused(lambda: LogKeys.following(KEY["thief"], chain.handovers), "LED027")
    refused(lambda: LogKeys.following(KEY["old"], chain.handovers[::-1]), "LED027")
    refused(lambda: LogKeys.following(KEY["old"], chain.handovers[:1] * 2), "LED027")
    assert LogKeys.following(KEY["new"], chain.handovers[1:]).current == KEY["third"]


def test_the_old_key_signs_nothing_after_the_hand_over(handed):
    folder, found, _, _ = handed
    refused(lambda: opened(folder, OLD, LogKeys(KEY["old"])), "LED004", IntegrityError)
    root = base64.b64encode(bytes(32)).decode()
    for size, signer, code in ((7, OLD, "LED027"), (5, NEW, "LED027"), (0, NEW, "LED027"), (8, THIEF, "LED004")):
        note = str(sign_note(f"{ORIGIN}\n{size}\n{root}\n", ORIGIN, signer))
        refused(lambda note=note: found.open(note), code, IntegrityError)


def test_a_writer_that_has_the_old_key_open_is_refused(tmp_path):
    folder = tmp_path / "log"
    with opened(folder, OLD, LogKeys(KEY["old"])) as late, opened(folder, OLD, LogKeys(KEY["old"])) as ledger:
        late.append([record(0)])
        ledger.hand_over(NEW)
        for writer in (late, ledger):
            refused(lambda writer=writer: writer.append([record(1)]), "LED027", IntegrityError)
            assert writer.head().size == 2


def test_a_log_that_is_put_back_to_before_the_hand_over_is_seen_without_a_memory(handed, tmp_path):
    """The old database and its old memory hold together; that the old key signed the head gives it away."""
    _, found, _, _ = handed
    with opened(tmp_path / "back", OLD, LogKeys(KEY["old"])) as ledger:
        ledger.append([record(n) for n in range(3)])
    refused(lambda: opened(tmp_path / "back", None, found), "LED003", IntegrityError)
    assert {item.code for item in audit_file(tmp_path / "back" / "ledger.db", found).deviations} == {"LED003", "LED027"}


def test_nobody_hands_a_log_over_by_appending_an_entry(tmp_path):
    with opened(tmp_path / "log", OLD, LogKeys(KEY["old"])) as ledger:
        made = handover_record(ledger.head(), OLD, THIEF, datetime.now(UTC), compromised=False)
        refused(lambda: ledger.append([made]), "LED027", InputError)
        refused(lambda: ledger.hand_over(OLD), "KEY010", UsageError)
        assert ledger.head().size == 0


def forged(handed):
    """Yield hand-overs that are nearly right."""
    folder, found, _, _ = handed
    (real,) = found.handovers
    index, proof, note = decode_proof(real.proof)
    with opened(folder, None, found) as ledger:
        before = ledger.root_at(5)
    stolen = handover_record(Checkpoint(ORIGIN, 5, before), OLD, THIEF, datetime.now(UTC), compromised=False)
    yield "another record", Handover(stolen.decode(), real.proof)
    yield (
        "a record that only the thief signed",
        Handover(
            handover_record(Checkpoint(ORIGIN, 5, before), THIEF, NEW, datetime.now(UTC), compromised=False).decode(), real.proof
        ),
    )
    yield "no hand-over", Handover(record(1).decode(), real.proof)
    yield "a reason that nobody signed", Handover(real.record.replace("retired", "compromised"), real.proof)
    yield "keys twice", Handover(real.record.replace('{"body":', '{"body":{},"body":', 1), real.proof)
    yield "another place", Handover(real.record, encode_proof(4, proof, note))
    yield "a shorter proof", Handover(real.record, encode_proof(index, proof[1:], note))
    one = Note(note.partition("\n\n")[0] + "\n", ())
    for name, signers in (("old", [OLD]), ("new", [NEW]), ("old and thief", [OLD, THIEF])):
        lines = tuple(line for key in signers for line in sign_note(one.text, ORIGIN, key).signatures)
        yield f"a checkpoint of {name} alone", Handover(real.record, encode_proof(index, proof, str(Note(one.text, lines))))
    larger = one.text.replace("\n6\n", "\n7\n")
    lines = tuple(line for key in (OLD, NEW) for line in sign_note(larger, ORIGIN, key).signatures)
    yield "a later checkpoint", Handover(real.record, encode_proof(index, proof, str(Note(larger, lines))))


def test_a_forged_hand_over_leads_nowhere(handed):
    for why, item in forged(handed):
        for trusted in ("old", "new"):
            with pytest.raises(IntegrityError) as error:
                LogKeys.following(KEY[trusted], [item])
            assert error.value.code in ("LED001", "LED002", "LED004", "LED027"), why


def test_a_hand_over_that_says_another_past_does_not_hold():
    """Even when both keys sign it: the root in it has to be that of the tree before it."""
    made = handover_record(Checkpoint(ORIGIN, 1, bytes(32)), OLD, NEW, datetime.now(UTC), compromised=False)
    first = leaf_hash(record(0))
    root = node_hash(first, leaf_hash(made))
    text = Checkpoint(ORIGIN, 2, root).text
    note = str(Note(text, tuple(line for key in (OLD, NEW) for line in sign_note(text, ORIGIN, key).signatures)))
    refused(
        lambda: LogKeys.following(KEY["old"], [Handover(made.decode(), encode_proof(1, [first], note))]), "LED027", IntegrityError
    )


def test_a_stolen_key_counts_for_nothing_alone(tmp_path):
    folder = tmp_path / "log"
    with opened(folder, OLD, LogKeys(KEY["old"])) as ledger:
        made = record(0)
        (receipt,) = ledger.append([made])
        note = ledger.head_note()
        handover = ledger.hand_over(NEW, compromised=True)
    found = LogKeys.following(KEY["new"], [handover])
    refused(lambda: verify(made, receipt, found), "LED028", IntegrityError)
    with opened(folder, NEW, found) as ledger:
        assert ledger.verify_since(note).size == 2, "against the log itself it is proven"
        assert verify(made, ledger.prove(0), found).size == 2, "and proven anew it is good"
        assert ledger.audit().ok
        forged_note = str(sign_note(f"{ORIGIN}\n1\n{base64.b64encode(bytes(32)).decode()}\n", ORIGIN, OLD))
        refused(lambda: ledger.verify_since(forged_note), "LED002", IntegrityError)


def test_a_witness_follows_the_log_and_nobody_else(handed, tmp_path):
    folder, found, _, _ = handed
    with opened(tmp_path / "fork", THIEF, LogKeys(KEY["thief"])) as fork, opened(folder, NEW, found) as log:
        fork.append([record(n) for n in range(9)])
        memory = Ledger.open(tmp_path / "memory.db", THIRD, origin="w", verifier=THIRD.public)
        witness = Witness("w", THIRD, memory)
        both = log.prove(5, 6).checkpoint
        witness.sign(Request(0, (), both), KEY["old"])
        assert witness.seen(found).size == 6
        refused(lambda: witness.sign(request_for(log, 6), KEY["new"]), "LED027", IntegrityError)
        refused(lambda: witness.sign(request_for(fork), KEY["thief"]), "LED027", IntegrityError)
        line = witness.sign(request_for(log, 6), found)
        log.add_cosignature(log.head_note() + line, [witness.key])
        assert log.cosigned().count("\n— ") == 2, "of the new key and of the witness"
        assert Quorum((witness.key,), 1).require(log.cosigned(), found, datetime.now(UTC)).size == 8
        memory.close()


def test_the_audit_holds_the_entries_against_the_keys(handed, tmp_path):
    folder, found, _, _ = handed
    with opened(folder, NEW, found) as ledger:
        second = ledger.hand_over(THIRD)
    unknown = LogKeys(KEY["third"])
    assert {item.index for item in audit_file(folder / "ledger.db", unknown).deviations if item.code == "LED027"} == {5, 8}
    assert audit_file(folder / "ledger.db", LogKeys.following(KEY["old"], [*found.handovers, second])).ok


def test_what_two_keys_signed_is_not_cosigned(handed):
    folder, found, _, _ = handed
    with opened(folder, None, found) as ledger:
        assert (ledger.cosigned(), len(ledger.kept())) == ("", 1)


def test_copies_follow(handed, tmp_path):
    folder, found, _, _ = handed
    with opened(folder, None, found) as ledger:
        ledger.export_tiles(tmp_path / "tiles")
    assert follow_into(tmp_path / "copy.db", tmp_path / "tiles", found, tmp_path / "copy.head").size == 8
    refused(lambda: follow_into(tmp_path / "b.db", tmp_path / "tiles", LogKeys(KEY["old"]), tmp_path / "b.head"), "LED004")


@pytest.mark.parametrize("size", [3, 5, 6])  # before the hand-over, to the last entry, and its own
def test_a_copy_from_before_a_hand_over_follows(tmp_path, size):
    tiles, copy = tmp_path / "tiles", (tmp_path / "copy.db", tmp_path / "tiles")
    head, before = tmp_path / "copy.head", LogKeys(KEY["old"])
    with opened(tmp_path / "log", OLD, before) as ledger:
        ledger.append([record(n) for n in range(min(size, 5))])
        ledger.export_tiles(tiles)
        follow_into(*copy, before, head)
        ledger.append([record(n) for n in range(size, 5)] or [record(9)])
        if size == 6:
            ledger.export_tiles(tiles)
            follow_into(*copy, before, head)
        handover = ledger.hand_over(NEW)
    found = LogKeys.following(KEY["old"], [handover])
    refused(lambda: follow_into(*copy, found, head), "LED003")  # the export is of before
    with opened(tmp_path / "log", NEW, found) as ledger:
        ledger.append([record(7)])
        ledger.export_tiles(tiles)
        whole = ledger.head()
    assert follow_into(*copy, found, head) == whole
    # A copy of another history does not, whoever signed that.
    other = (tmp_path / "other.db", tmp_path / "others")
    with opened(tmp_path / "theirs", OLD, before) as ledger:
        ledger.append([record(100)])
        ledger.export_tiles(tmp_path / "others")
    follow_into(*other, before, tmp_path / "other.head")
    refused(lambda: follow_into(other[0], tiles, found, tmp_path / "other.head"), "LED002", IntegrityError)


# In a workspace


def workspace(tmp_path):
    return Workspace.create(tmp_path, passphrase=None, origin=ORIGIN)


def test_a_workspace_is_handed_over_twice_and_another_machine_adopts_it(tmp_path):
    made = workspace(tmp_path / "a")
    first = made.log_keys
    with made.ledger(write=True) as ledger:
        ledger.append([record(0)])
    copy = tmp_path / "b"
    subprocess.run(["cp", "-r", tmp_path / "a", copy], check=True)
    rotate(made)
    found = rotate(made)
    assert (len(found.all), found.first) == (3, 3)
    assert Workspace.find(str(tmp_path / "a")).log_keys == found
    with Workspace.find(str(tmp_path / "a")).ledger(write=True) as ledger:
        ledger.append([record(1)])
        assert ledger.audit().ok
    other = Workspace.find(str(copy))
    assert other.log_keys == first
    path = copy / ".stannary" / "ledger.db"
    path.unlink()
    path.symlink_to(tmp_path / "a" / ".stannary" / "ledger.db")
    refused(other.ledger, "LED004", IntegrityError)
    wrong = NamedKey("x", THIEF)
    refused(lambda: adopt(other, found.handovers, wrong), "KEY010", UsageError)
    assert adopt(other, found.handovers) == found
    with Workspace.find(str(copy)).ledger() as ledger:
        assert ledger.head().size == 4
    assert adopt(other, found.handovers) == found
    refused(lambda: adopt(other, found.handovers[:1]), "LED027", IntegrityError)


def test_one_key_that_was_handed_over_twice_is_not_adopted(tmp_path):
    made = workspace(tmp_path / "a")
    subprocess.run(["cp", "-r", tmp_path / "a", tmp_path / "b"], check=True)
    other = Workspace.find(str(tmp_path / "b"))
    theirs, ours = rotate(made), rotate(other)
    refused(lambda: adopt(other, theirs.handovers), "LED027", IntegrityError)
    assert Workspace.find(str(tmp_path / "b")).log_keys == ours


KILLED = """
import os, sys
from pathlib import Path
from stannary.evidence import rotate, workspace
found = workspace.Workspace.find(sys.argv[1])
step = sys.argv[2]
def dies(*_, **__): os.kill(os.getpid(), 9)
if step == "before the entry": rotate._begun = dies
if step == "after the entry": rotate.LogKeys.following = dies
if step == "before workspace.json": workspace._write = dies
rotate.rotate(found)
"""


@pytest.mark.parametrize("step", ["before the entry", "after the entry", "before workspace.json"])
def test_a_hand_over_that_is_killed_is_finished(tmp_path, step):
    made = workspace(tmp_path)
    with made.ledger(write=True) as ledger:
        ledger.append([record(0)])
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, step], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    again = Workspace.find(str(tmp_path))
    begun = step != "before the entry"
    with again.ledger(write=True) as ledger:
        assert ledger.head().size == 1 + begun
        if begun:
            refused(lambda: ledger.append([record(1)]), "LED027", IntegrityError)
    found = rotate(again)
    assert (len(found.all), found.first) == (2, 2)
    with Workspace.find(str(tmp_path)).ledger(write=True) as ledger:
        ledger.append([record(1)])
        assert (ledger.head().size, ledger.audit().ok) == (3, True)
    assert len(list((tmp_path / ".stannary" / "keys").glob("ledger*.pem"))) == 2


def test_on_postgresql(tmp_path, postgres):
    with Ledger.open(postgres, OLD, origin=ORIGIN, verifier=OLD.public, head=tmp_path / "head") as ledger:
        ledger.append([record(n) for n in range(300)])
        handover = ledger.hand_over(NEW)
    found = LogKeys.following(KEY["old"], [handover])
    with Ledger.open(postgres, NEW, origin=ORIGIN, verifier=found, head=tmp_path / "head") as ledger:
        ledger.append([record(1)])
        assert (ledger.head().size, ledger.audit(deep=True).ok) == (302, True)
    refused(lambda: Ledger.open(postgres, OLD, origin=ORIGIN, verifier=OLD.public, head=tmp_path / "head"), "LED004")


def test_a_file_of_keys_that_is_none_is_said_to_be(tmp_path):
    path = tmp_path / "keys.json"
    for content, code in (
        (b"", "LED027"),
        (b"\xff", "LED027"),
        (b"[" * 100_000, "LED027"),
        (b'{"schema":"x","handovers":[]}', "LED027"),
    ):
        path.write_bytes(content)
        refused(lambda: read_handovers(path), code)
    refused(lambda: read_handovers(tmp_path / "absent"), "LED018")
    path.write_bytes(json.dumps({"schema": "stannary.ledger-keys/1", "handovers": [{"record": "", "proof": ""}] * 1001}).encode())
    refused(lambda: read_handovers(path), "LED027")


def appended(ledger, n):
    return ledger.append([record(n)])[0].index


@pytest.mark.parametrize("first", ["reads", "writes"])
@pytest.mark.parametrize("where", ["file", "postgresql"])
def test_a_ledger_that_is_open_goes_on_when_its_log_is_handed_over(tmp_path, first, where, request):
    database = request.getfixturevalue("postgres") if where == "postgresql" else ""
    root = Workspace.create(tmp_path, passphrase=b"secret", database=database).root
    asked = []
    served = Workspace(root, passphrase=lambda: asked.append(1) or b"secret")
    with served.ledger(write=True) as writing, served.ledger() as reading:
        assert appended(writing, 0) == 0
        for turn in (1, 2):
            rotate(Workspace(root, passphrase=lambda: b"secret"), passphrase=b"secret")
            with Workspace(root, passphrase=lambda: b"secret").ledger(write=True) as other:
                size = appended(other, turn) + 1
            if first == "reads":
                assert (reading.head().size, writing.head().size) == (size, size)
            assert appended(writing, turn) == size
            assert (writing.key, len(writing.keys.all)) == (served.log_keys.current, turn + 1)
            assert reading.read(size).record == writing.read(size).record
            assert reading.keys == writing.keys
            verify(writing.read(0).record, writing.prove(0), writing.keys)
        assert writing.audit().ok
        with served.ledger(write=True) as later:
            appended(later, 9)
    assert len(asked) == 1


def test_an_append_that_meets_a_hand_over_half_way_waits_for_its_key(tmp_path):
    root = workspace(tmp_path).root
    served = Workspace(root)
    with served.ledger(write=True) as ledger:
        appended(ledger, 0)
        done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, "before workspace.json"], capture_output=True, check=False)
        assert done.returncode == -9
        refused(lambda: appended(ledger, 1), "LED027", IntegrityError)
        finishing = threading.Timer(0.3, lambda: rotate(Workspace(root)))
        finishing.start()
        assert appended(ledger, 1) == 2
        finishing.join()


def test_a_key_that_the_old_one_has_not_handed_the_log_to_is_not_taken_up(tmp_path):
    root = workspace(tmp_path).root
    served = Workspace(root)
    with served.ledger(write=True) as ledger:
        appended(ledger, 0)
        # Somebody who can write the workspace's files, and rewrites the log with a key of their own.
        forged = Workspace.create(tmp_path / "forged", passphrase=None, origin=served.settings.origin)
        with forged.ledger(write=True) as other:
            for n in range(3):
                appended(other, n)
        rotate(forged)
        with forged.ledger(write=True) as other:
            appended(other, 3)
        for name in ("workspace.json", "ledger.db.head", "keys/ledger-2.pub", "keys/ledger-2.pem", "keys/ledger-2.json"):
            (root / name).write_bytes((forged.root / name).read_bytes())
        with sqlite3.connect(forged.root / "ledger.db") as theirs, sqlite3.connect(root / "ledger.db") as ours:
            theirs.backup(ours)
        refused(ledger.head, "LED027", IntegrityError)
        refused(lambda: appended(ledger, 1), "LED027", IntegrityError)
        assert served.log_keys == ledger.keys
        assert served.settings.handovers == ""
