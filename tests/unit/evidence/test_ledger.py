"""The ledger: what is appended is there, proven, in order, for ever."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.core.canonical import canonical_json
from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto import dsse, keys
from stannary.crypto.merkle import verify_consistency
from stannary.crypto.note import COSIGNATURE, Note, VerifierKey, cosign, open_checkpoint, parse_note
from stannary.evidence.ledger import Ledger, Receipt, audit_file, entry, leaf_of, verify

ORIGIN = "example.com/team/log"
KEY, OTHER = keys.generate("ed25519"), keys.generate("ed25519")
LOG = VerifierKey.of(ORIGIN, KEY.public)
NOW = datetime(2026, 3, 4, 5, 6, 7, 89, UTC)
SUBJECTS = [f"sha256:{n:064x}" for n in range(3)]


def opened(folder, *, write=True, key=KEY, origin=ORIGIN, now=NOW):
    return Ledger.open(folder / "ledger.db", key if write else None, origin=origin, verifier=key.public, clock=lambda: now)


def record(n, *, type_="evidence", kind="model-scan", time=NOW, size=10):
    return entry(type_, {"n": n, "text": "x" * size}, time=time, subject=SUBJECTS[n % 3], kind=kind)


@pytest.fixture
def ledger(tmp_path):
    with opened(tmp_path) as found:
        yield found


def test_what_is_appended_can_be_read_and_proven(ledger):
    records = [record(n) for n in range(600)]
    receipts = ledger.append(records[:1]) + ledger.append(records[1:300]) + ledger.append(records[300:])
    assert [receipt.index for receipt in receipts] == list(range(600))
    assert [item.record for item in ledger.entries()] == records
    for index in (0, 1, 255, 256, 299, 300, 511, 512, 599):
        assert ledger.read(index).record == records[index]
        assert verify(records[index], receipts[index], ledger.key).size == receipts[index].size
        assert verify(records[index], ledger.prove(index), ledger.key) == ledger.head()


def test_a_receipt_needs_the_public_key_and_nothing_else(ledger, tmp_path):
    (receipt,) = ledger.append([record(1)])
    ledger.close()
    (tmp_path / "ledger.db").unlink()
    kept = msgspec.json.decode(msgspec.json.encode(receipt), type=Receipt)
    assert verify(record(1), kept, VerifierKey.parse(str(ledger.key))).size == 1


@pytest.mark.parametrize(
    "change, code",
    [
        ({"index": 0}, "LED001"),
        ({"leaf": "00" * 32}, "LED007"),
        ({"size": 4}, "LED005"),
        ({"root": "00" * 32}, "LED005"),
        ({"proof": ()}, "LED001"),
        ({"proof": ("zz",)}, "LED005"),
        ({"checkpoint": ""}, "LED005"),
    ],
)
def test_a_receipt_with_anything_changed_is_refused(ledger, change, code):
    receipt = ledger.append([record(n) for n in range(3)])[1]
    with pytest.raises(IntegrityError) as refused:
        verify(record(1), msgspec.structs.replace(receipt, **change), ledger.key)
    assert (refused.value.code, bool(refused.value.help)) == (code, True)


def test_a_receipt_is_for_one_record_of_one_log(ledger):
    (receipt,) = ledger.append([record(1)])
    with pytest.raises(IntegrityError) as refused:
        verify(record(2), receipt, ledger.key)
    assert refused.value.code == "LED007"
    with pytest.raises(IntegrityError) as refused:
        verify(record(1), receipt, VerifierKey.of(ORIGIN, OTHER.public))
    assert refused.value.code == "LED004"
    with pytest.raises(IntegrityError) as refused:
        verify(record(1), receipt, ledger.key, origin="example.com/other")
    assert refused.value.code == "LED011"


@pytest.mark.parametrize("complete", [False, True])
def test_entries_are_found_by_what_they_say(ledger, complete):
    ledger.append([record(0), record(1, type_="decision", kind=""), record(2, kind="eval-result")])
    later = NOW + timedelta(minutes=1)
    ledger.append([record(3, time=later)])

    def found(**wanted):
        return [item.index for item in ledger.find(complete=complete, **wanted)]

    assert found() == [0, 1, 2, 3]
    assert found(subject=SUBJECTS[0]) == [0, 3]
    assert found(type="decision") == [1]
    assert found(kind="eval-result") == [2]
    assert found(kind="model-scan", subject=SUBJECTS[0]) == [0, 3]
    assert found(since=later) == [3]
    assert found(type="evidence", since=NOW) == [0, 2, 3]
    assert found(id=ledger.read(2).id) == [2]
    assert found(type="nothing") == found(subject=SUBJECTS[1], type="evidence") == []
    assert ledger.find(subject=SUBJECTS[0], complete=complete)[1].body == {"n": 3, "text": "x" * 10}
    assert ledger.find(subject=SUBJECTS[0], complete=complete)[1].time == later


def test_a_body_that_is_too_large_for_a_tile_is_kept_beside_it(ledger):
    large = record(1, size=200_000)
    leaf, body = leaf_of(large)
    assert len(leaf) < 1000 < len(body)
    (receipt,) = ledger.append([large])
    assert ledger.read(0).record == large == ledger.find(subject=SUBJECTS[1], complete=True)[0].record
    assert verify(large, receipt, ledger.key).size == 1
    with pytest.raises(IntegrityError) as refused:
        verify(large.replace(b"xxx", b"xyx", 1), receipt, ledger.key)
    assert refused.value.code == "LED007"
    assert ledger.audit().ok


def test_the_id_of_an_envelope_is_the_one_of_its_statement(ledger):
    envelope = dsse.sign(b'{"_type":"https://in-toto.io/Statement/v1"}', OTHER)
    body = msgspec.to_builtins(envelope)
    ledger.append([entry("evidence", body, time=NOW, id_=str(dsse.id_of(envelope)))])
    with pytest.raises(InputError) as refused:
        ledger.append([entry("evidence", body, time=NOW, id_=SUBJECTS[0])])
    assert refused.value.code == "LED012"


GOOD = {"schema": "stannary.entry/1", "type": "evidence", "time": "2026-03-04T05:06:07.000089Z", "id": SUBJECTS[0], "body": {}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        canonical_json(GOOD | {"schema": "stannary.entry/2"}),
        canonical_json(GOOD | {"type": "Evidence"}),
        canonical_json(GOOD | {"kind": "a b"}),
        canonical_json(GOOD | {"id": "sha256:12"}),
        canonical_json(GOOD | {"subject": "md5:12"}),
        canonical_json(GOOD | {"time": "2026-03-04T05:06:07Z"}),
        canonical_json(GOOD | {"time": "2026-13-04T05:06:07.000089Z"}),
        canonical_json(GOOD | {"time": "2026-03-04T05:06:07.00008\u0969Z"}),
        canonical_json(GOOD | {"body": []}),
        canonical_json(GOOD | {"more": 1}),
        canonical_json({name: value for name, value in GOOD.items() if name != "body"}),
        canonical_json(GOOD | {"detached": {"sha256": "00" * 32, "size": 1}}),
        canonical_json(GOOD) + b"\n",
        canonical_json(GOOD).replace(b"{}", b'{"a":"\xff"}'),
        canonical_json(GOOD).replace(b"{}", b'{"a":' * 90_000 + b"1" + b"}" * 90_000),
        canonical_json(GOOD).replace(b"{}", b'{"a":36893488147419103233}'),
        canonical_json(GOOD).replace(b"{}", b'{"a":1.0}'),
        canonical_json(GOOD).replace(b'"body":{}', b'"body":{},"body":{}'),
        canonical_json(GOOD).replace(b'"body":{}', b'"body": {}'),
        canonical_json(GOOD).replace(b'"body":{}', b'"body":{"b":1,"a":1}'),
    ],
)
def test_what_is_not_a_record_is_not_appended(ledger, content):
    with pytest.raises(InputError) as refused:
        ledger.append([record(0), content])
    assert refused.value.code == "LED012"
    assert ledger.head().size == 0


def test_the_good_record_of_these_is_appended(ledger):
    assert ledger.append([canonical_json(GOOD)])[0].size == 1


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_record_has_the_time_at_which_it_is_appended(ledger, minutes):
    with pytest.raises(InputError) as refused:
        ledger.append([record(0, time=NOW + timedelta(minutes=minutes))])
    assert refused.value.code == "LED017"


def test_a_time_has_a_zone():
    with pytest.raises(UsageError):
        record(0, time=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_every_head_continues_the_one_before(ledger):
    heads = [ledger.head()]
    for n in range(40):
        ledger.append([record(n)] * (n % 5 + 1))
        heads.append(ledger.head())
        for old in heads:
            verify_consistency(old.size, heads[-1].size, old.root, heads[-1].root, ledger.consistency(old.size))


def test_a_log_is_held_against_a_checkpoint_that_was_kept(ledger, tmp_path):
    kept = ledger.append([record(0)])[0].checkpoint
    ledger.append([record(1), record(2)])
    assert ledger.verify_since(kept).size == 3
    (tmp_path / "other").mkdir()
    with opened(tmp_path / "other") as forked:
        forked.append([record(5), record(6)])
        with pytest.raises(IntegrityError) as refused:
            forked.verify_since(kept)
        assert refused.value.code == "LED002"
    with opened(tmp_path / "other", write=False) as forked, pytest.raises(IntegrityError) as refused:
        forked.verify_since(ledger.head_note())
    assert refused.value.code == "LED003"


def test_reading_needs_no_private_key(ledger, tmp_path):
    ledger.append([record(0)])
    with opened(tmp_path, write=False) as reader:
        assert reader.read(0).record == record(0)
        ledger.append([record(1)])
        assert reader.head().size == 2
        with pytest.raises(UsageError) as refused:
            reader.append([record(2)])
        assert refused.value.code == "LED016"


def test_nothing_is_nothing(ledger):
    assert ledger.append([]) == []
    assert ledger.entries() == ledger.find() == []
    assert ledger.audit().ok
    for call in (ledger.read, ledger.prove):
        with pytest.raises(UsageError):
            call(0)
    with pytest.raises(UsageError):
        ledger.consistency(0, 1)


def test_a_ledger_that_is_not_there_is_an_error_of_the_caller(tmp_path):
    with pytest.raises(UsageError) as refused:
        opened(tmp_path, write=False)
    assert refused.value.code == "LED018"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def broken_off(tmp_path):
    """A file of a ledger whose making did not come to its tables, as a full disk leaves it."""
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return tmp_path


def test_a_ledger_whose_making_was_broken_off_is_none_and_is_made_then(broken_off):
    for call in (lambda: opened(broken_off, write=False), lambda: audit_file(broken_off / "ledger.db", LOG)):
        with pytest.raises(UsageError) as refused:
            call()
        assert refused.value.code == "LED018"
    with opened(broken_off) as ledger:
        ledger.append([record(0)])
    assert audit_file(broken_off / "ledger.db", LOG).entries == 1


def test_a_ledger_that_was_emptied_so_is_gone_and_none_that_was_not_made(broken_off, tmp_path_factory):
    before = tmp_path_factory.mktemp("before")
    with opened(before) as ledger:
        ledger.append([record(0)])
    shutil.copy(before / "ledger.db.head", broken_off)
    with pytest.raises(IntegrityError) as refused:
        opened(broken_off, write=False)
    assert refused.value.code == "LED003"
    assert [item.code for item in audit_file(broken_off / "ledger.db", LOG).deviations] == ["LED003"]
    (broken_off / "ledger.db").unlink()
    assert [item.code for item in audit_file(broken_off / "ledger.db", LOG).deviations] == ["LED003"]


def test_a_log_has_one_key_and_one_name(ledger, tmp_path):
    ledger.append([record(0)])
    with pytest.raises(IntegrityError) as refused:
        opened(tmp_path, key=OTHER)
    assert refused.value.code == "LED004"
    with pytest.raises(IntegrityError):
        opened(tmp_path, origin="example.com/other")
    with pytest.raises(UsageError):
        Ledger.open(tmp_path / "ledger.db", OTHER, origin=ORIGIN, verifier=KEY.public)
    with pytest.raises(UsageError):
        Ledger.open(tmp_path / "new.db", keys.generate(), origin=ORIGIN, verifier=KEY.public)


def test_threads_share_transactions_and_each_gets_its_own_receipts(ledger):
    got = {}

    def work(name):
        for n in range(20):
            mine = entry("evidence", {"by": name, "n": n}, time=NOW)
            (receipt,) = ledger.append([mine])
            got[name, n] = (mine, receipt)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(receipt.index for _, receipt in got.values()) == list(range(160))
    for mine, receipt in got.values():
        verify(mine, receipt, ledger.key)
        assert ledger.read(receipt.index).record == mine
    assert ledger.audit().ok


def test_two_objects_append_in_turn(ledger, tmp_path):
    with opened(tmp_path) as second:
        for n in range(0, 20, 2):
            ledger.append([record(n)])
            second.append([record(n + 1)])
        assert [item.body["n"] for item in ledger.entries()] == list(range(20))
        assert second.audit().ok


def test_a_cosigned_checkpoint_is_kept_when_the_log_goes_on(ledger):
    witness = VerifierKey.of("witness.example", OTHER.public, COSIGNATURE)
    ledger.append([record(0), record(1)])
    note = parse_note(ledger.head_note())
    ledger.append([record(2)])
    cosigned = Note(note.text, (*note.signatures, cosign(note, witness.name, OTHER, 1767000000)))
    assert ledger.add_cosignature(str(cosigned), [witness]).size == 2
    ledger.append([record(3)])
    assert ledger.cosigned() == ledger.cosigned(2) == str(cosigned)
    receipt = ledger.prove(1, 2)
    assert verify(record(1), receipt, ledger.key).size == 2
    assert open_checkpoint(receipt.checkpoint, ledger.key)[1] == cosigned
    assert ledger.head().size == 4
    assert ledger.audit().ok
    with pytest.raises(UsageError):
        ledger.prove(1, 3)


def test_a_cosignature_that_does_not_hold_is_not_kept(ledger):
    witness = VerifierKey.of("witness.example", OTHER.public, COSIGNATURE)
    ledger.append([record(0)])
    note = parse_note(ledger.head_note())
    with pytest.raises(IntegrityError) as refused:
        ledger.add_cosignature(str(note), [witness])
    assert refused.value.code == "LED014"
    line = cosign(note, witness.name, OTHER, 1767000000)
    broken = Note(
        note.text,
        (*note.signatures, msgspec.structs.replace(line, signature=line.signature[:-1] + bytes([line.signature[-1] ^ 1]))),
    )
    with pytest.raises(IntegrityError):
        ledger.add_cosignature(str(broken), [witness])
    assert ledger.cosigned() == ""


def test_a_connection_is_not_used_after_a_fork(ledger, tmp_path):
    """SQLite's locks belong to a process; a child that goes on with its parent's connection would corrupt the file."""
    ledger.append([record(0)])
    script = (
        "import os, sys; from stannary.crypto.keys import generate; from stannary.evidence.ledger import Ledger\n"
        "from stannary.core.errors import UsageError\n"
        "key = generate('ed25519')\n"
        "ledger = Ledger.open(sys.argv[1], key, origin='a', verifier=key.public)\n"
        "child = os.fork()\n"
        "if child:\n"
        "    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]); ledger.close(); sys.exit(code)\n"
        "try:\n"
        "    ledger.head()\n"
        "except UsageError as error:\n"
        "    os._exit(9 if error.code == 'LED019' else 1)\n"
        "os._exit(2)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "fork.db")], capture_output=True, check=False
    )
    assert done.returncode == 9, done.stderr


def test_the_memory_of_a_head_survives_a_torn_write(ledger, tmp_path):
    for n in range(3):
        ledger.append([record(n)])
    path = tmp_path / "ledger.db.head"
    slots = path.read_bytes()
    for torn in (slots[:100] + bytes(3996) + slots[4096:], slots[:4096] + slots[4096:4200] + bytes(3992)):
        path.write_bytes(torn)
        with opened(tmp_path) as again:
            assert again.append([record(9)])[0].size > 3


@pytest.mark.parametrize("column", ["subject", "kind", "type", "id"])
def test_a_search_goes_by_an_index(ledger, column):
    """A partial index is not used for a bound parameter unless its condition is said again: a million rows were read instead."""
    ledger.append([record(0)])
    statements = []
    ledger._store._connection.set_trace_callback(statements.append)
    ledger.find(**{column: getattr(ledger.read(0), column)})
    ledger._store._connection.set_trace_callback(None)
    (query,) = [text for text in statements if text.startswith("SELECT idx") and f"{column} = " in text]
    plan = ledger._store._connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    assert f"USING INDEX entry_{column}" in plan[0][3]


def test_a_search_by_the_beginning_of_an_id_goes_by_its_index(ledger):
    ledger.append([record(n) for n in range(50)])
    wanted = ledger.read(7)
    statements = []
    ledger._store._connection.set_trace_callback(statements.append)
    assert ledger.beginning(wanted.id[:20]) == [wanted]
    ledger._store._connection.set_trace_callback(None)
    (query,) = [text for text in statements if text.startswith("SELECT idx") and "id >= " in text]
    plan = ledger._store._connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    assert "USING INDEX entry_id (id>? AND id<?)" in plan[0][3]
    assert ledger.beginning("sha256:") == ledger.entries()[::-1]
    assert ledger.beginning("sha256:", most=3) == ledger.entries()[:-4:-1]
    assert ledger.beginning("sha256:zz") == []


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=256), st.integers(0, 256), st.booleans())
def test_a_tile_that_grew_folds_to_what_it_would_from_the_start(hashes, at, changed):
    from stannary.evidence.ledger.tree import _rows

    before = _rows([b"\0" * 32] * min(at, len(hashes)) if changed else hashes[:at])
    assert _rows(hashes, before) == _rows(hashes)
