"""Witnesses: they sign what continues what they saw, and nothing else; two of them make a split view show."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from stannary.core.errors import IntegrityError, StannaryError, UsageError
from stannary.crypto import keys
from stannary.crypto.note import COSIGNATURE, Note, VerifierKey, cosign, open_checkpoint, parse_note
from stannary.evidence.ledger import Ledger, entry
from stannary.evidence.ledger.witness import Quorum, Request, Witness, read_keys, request_for

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, UTC)
KEYS = {name: keys.generate("ed25519") for name in ("log", "one", "two", "three")}


def opened(folder, name):
    folder.mkdir(exist_ok=True)
    key = KEYS[name]
    return Ledger.open(folder / "ledger.db", key, origin=f"example.com/{name}", verifier=key.public, clock=lambda: NOW)


def record(n):
    return entry("evidence", {"n": n}, time=NOW)


@pytest.fixture
def log(tmp_path):
    with opened(tmp_path / "log", "log") as found:
        found.append([record(n) for n in range(3)])
        yield found


@pytest.fixture
def witness(tmp_path):
    with opened(tmp_path / "one", "one") as memory:
        yield Witness("example.com/one", KEYS["one"], memory, lambda: NOW)


def test_a_witness_signs_what_it_sees_first_and_then_what_continues_it(log, witness):
    for size in (3, 4, 9):
        log.append([record(n) for n in range(log.head().size, size)])
        answer = witness.sign(str(request_for(log, witness.seen(log.key).size)), log.key)
        assert log.add_cosignature(str(parse_note(log.head_note())) + answer, [witness.key]).size == size
        assert witness.seen(log.key) == log.head()
        assert Quorum((witness.key,), 1).require(log.cosigned(), log.key, NOW) == log.head()


def test_a_head_that_was_seen_is_signed_again_without_another_memory(log, witness):
    witness.sign(request_for(log), log.key)
    before = witness._ledger.head()
    assert witness.sign(request_for(log, 3), log.key).startswith("— example.com/one ")
    assert witness._ledger.head() == before


def test_a_witness_remembers_over_a_restart(log, witness, tmp_path):
    witness.sign(request_for(log), log.key)
    witness._ledger.close()
    with opened(tmp_path / "one", "one") as memory:
        assert Witness("example.com/one", KEYS["one"], memory).seen(log.key) == log.head()


def test_a_fork_is_not_signed(log, witness, tmp_path):
    witness.sign(request_for(log), log.key)
    with opened(tmp_path / "fork", "log") as fork:
        for size, code in ((2, "LED003"), (3, "LED002"), (5, "LED002")):
            fork.append([record(99)] * (size - fork.head().size))
            request = request_for(fork, min(3, size))
            with pytest.raises(IntegrityError) as refused:
                witness.sign(request, log.key)
            assert (refused.value.code, bool(refused.value.help)) == (code, True)
    assert witness.seen(log.key) == log.head()


def test_a_split_view_needs_every_witness_of_the_quorum(tmp_path, log):
    """A log with two histories gets each of them signed by a witness that saw that one only; neither has the quorum."""
    with opened(tmp_path / "one", "one") as m1, opened(tmp_path / "two", "two") as m2, opened(tmp_path / "fork", "log") as fork:
        one = Witness("example.com/one", KEYS["one"], m1, lambda: NOW)
        two = Witness("example.com/two", KEYS["two"], m2, lambda: NOW)
        quorum = Quorum((one.key, two.key), 2)
        fork.append([record(99)] * 3)
        for side, first in ((log, one), (fork, two)):
            note = side.head_note() + first.sign(request_for(side), log.key)
            with pytest.raises(IntegrityError) as refused:
                quorum.require(note, log.key, NOW)
            assert refused.value.code == "LED014"
        for side, second in ((log, two), (fork, one)):
            with pytest.raises(IntegrityError) as refused:
                second.sign(request_for(side, 3), log.key)
            assert refused.value.code == "LED002"


def test_a_request_starts_from_what_the_witness_saw(log, witness):
    with pytest.raises(UsageError) as refused:
        witness.sign(request_for(log, 2), log.key)
    assert refused.value.code == "LED021"
    assert "--old 0" in refused.value.help


def test_a_request_of_a_log_that_is_not_known_is_not_signed(log, witness):
    with pytest.raises(IntegrityError) as refused:
        witness.sign(request_for(log), VerifierKey.of("example.com/log", KEYS["three"].public))
    assert refused.value.code == "LED004"


def test_a_request_is_written_and_read(log):
    log.append([record(n) for n in range(3, 300)])
    request = request_for(log, 3)
    assert Request.parse(str(request)) == request
    assert str(request).startswith("old 3\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "old 3",
        "old 3\n",
        "new 3\n\nnote",
        "old 03\n\nnote",
        "old -1\n\nnote",
        "old 3\n!\n\nnote",
        "old 3\n" + "AAAA\n" * 64 + "\nnote",
    ],
)
def test_what_is_not_a_request_is_refused(text):
    with pytest.raises(IntegrityError) as refused:
        Request.parse(text)
    assert refused.value.code == "LED005"


def cosigned(log, *signed):
    note = parse_note(log.head_note())
    lines = [cosign(note, name, KEYS[key], int(at.timestamp())) for name, key, at in signed]
    return str(Note(note.text, (*note.signatures, *lines)))


def watcher(name, key):
    return VerifierKey.of(name, KEYS[key].public, COSIGNATURE)


def test_a_quorum_counts_keys_and_not_names(log):
    twice = cosigned(log, ("a", "one", NOW), ("b", "one", NOW))
    with pytest.raises(IntegrityError):
        Quorum((watcher("a", "one"), watcher("b", "one")), 2).require(twice, log.key, NOW)
    both = cosigned(log, ("a", "one", NOW), ("b", "two", NOW))
    assert Quorum((watcher("a", "one"), watcher("b", "two"), watcher("c", "three")), 2).require(both, log.key, NOW) == log.head()


@pytest.mark.parametrize("age, counts", [(timedelta(0), True), (timedelta(hours=2), False), (timedelta(minutes=-10), False)])
def test_a_quorum_counts_what_is_fresh_and_not_from_the_future(log, age, counts):
    quorum = Quorum((watcher("a", "one"),), 1, timedelta(hours=1))
    note = cosigned(log, ("a", "one", NOW - age))
    if counts:
        assert quorum.require(note, log.key, NOW) == log.head()
    else:
        with pytest.raises(IntegrityError):
            quorum.require(note, log.key, NOW)


def test_a_log_is_no_witness_of_itself(log):
    own = VerifierKey.of("example.com/log", KEYS["log"].public)
    with pytest.raises(IntegrityError):
        Quorum((own,), 1).require(log.head_note(), log.key, NOW)


def test_a_broken_cosignature_spoils_the_head(log):
    checkpoint, note = open_checkpoint(cosigned(log, ("a", "one", NOW)), log.key)
    last = msgspec.structs.replace(note.signatures[-1], signature=bytes(72))
    assert checkpoint == log.head()
    with pytest.raises(IntegrityError) as refused:
        Quorum((watcher("a", "one"),), 1).require(str(Note(note.text, (*note.signatures[:-1], last))), log.key, NOW)
    assert refused.value.code == "LED004"


def test_keys_are_given_as_text_or_in_files(tmp_path):
    one, two = watcher("a", "one"), watcher("b", "two")
    file = tmp_path / "witnesses.txt"
    file.write_text(f"# ours\n{one}\n\n{two}\n")
    assert read_keys([str(file)]) == read_keys([str(one), str(two)]) == [one, two]
    with pytest.raises(ExceptionGroup) as refused:
        read_keys(["nothing", "a+b+c"])
    assert all(isinstance(error, StannaryError) for error in refused.value.exceptions)
    assert len(refused.value.exceptions) == 2
