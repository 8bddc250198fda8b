"""What `find(complete=True)` answers from: the same as reading everything, sooner, and nothing that was not signed."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import struct
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from stannary.core.errors import IntegrityError
from stannary.crypto import keys
from stannary.crypto.note import VerifierKey, sign_note
from stannary.evidence.ledger import Ledger, audit_file, entry, finding, segment
from stannary.evidence.ledger.entry import header_of
from stannary.store.ledger_store import Row

ORIGIN = "example.com/log"
KEY, THIEF = keys.generate("ed25519"), keys.generate("ed25519")
NOW = datetime(2026, 3, 4, 5, 6, 7, 89, UTC)
SIZE, WIDTH = 1900, 512
SUBJECTS = [f"sha256:{n:064x}" for n in range(9)]
QUERIES = [
    {"subject": SUBJECTS[4]},
    {"type": "decision"},
    {"kind": "scan", "subject": SUBJECTS[2]},
    {"type": "evidence", "kind": "scan"},
    {"subject": "sha256:" + "f" * 64},
    {},
]


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch):
    monkeypatch.setattr(segment, "HEIGHT", 9)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    return tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres")


def record(n):
    return entry(("evidence", "decision")[n % 7 == 0], {"n": n}, time=NOW, subject=SUBJECTS[n * n % 9], kind=("", "scan")[n % 2])


def opened(address, folder, *, write=True, key=KEY):
    head = folder / "ledger.db.head"
    return Ledger.open(address, key if write else None, origin=ORIGIN, verifier=key.public, clock=lambda: NOW, head=head)


def reads(ledger):
    """Return a list that grows by the entries that are read from their records."""
    seen, block = [], ledger._store.block

    def counted(start, end):
        found = block(start, end)
        seen.extend(row[0] for row in found)
        return found

    ledger._store.block = counted
    ledger._store.rows = lambda start, end: map(Row._make, block(start, end))
    return seen


@pytest.fixture
def made(address, tmp_path):
    with opened(address, tmp_path) as ledger:
        ledger.append([record(n) for n in range(SIZE)])
        ledger.find(subject=SUBJECTS[0], complete=True)
    assert len(list((tmp_path / "ledger.db.census").iterdir())) == SIZE // WIDTH
    return address


@pytest.mark.parametrize("write", [False, True])
def test_the_next_process_reads_what_came_after_and_finds_the_same(made, tmp_path, write):
    with opened(made, tmp_path, write=write) as ledger:
        seen = reads(ledger)
        for query in QUERIES:
            wanted = [item for item in ledger.entries() if all(getattr(item, name) == value for name, value in query.items())]
            assert ledger.find(complete=True, **query) == wanted == ledger.find(**query)
        assert seen == list(range(SIZE // WIDTH * WIDTH, SIZE))
        one = ledger.read(WIDTH + 3)
        assert ledger.find(id=one.id, complete=True) == [one]


def test_an_open_ledger_goes_on(made, tmp_path):
    with opened(made, tmp_path) as ledger:
        for n in range(SIZE, SIZE + 1300, 260):
            ledger.append([record(i) for i in range(n, n + 260)])
            for query in QUERIES:
                assert ledger.find(complete=True, **query) == ledger.find(**query)
    assert len(list((tmp_path / "ledger.db.census").iterdir())) == (SIZE + 1300) // WIDTH
    assert audit_file(made, VerifierKey.of(ORIGIN, KEY.public), tmp_path / "ledger.db.head").ok


def test_without_the_key_nothing_is_written(address, tmp_path):
    with opened(address, tmp_path) as ledger:
        ledger.append([record(n) for n in range(SIZE)])
    with opened(address, tmp_path, write=False) as ledger:
        assert ledger.find(subject=SUBJECTS[4], complete=True) == ledger.find(subject=SUBJECTS[4])
    assert not (tmp_path / "ledger.db.census").exists()


def forged(start, subtree, key, *, origin=ORIGIN, hide=SUBJECTS[4]):
    """Return a segment in which entries of a subject do not stand, signed by `key`."""
    rows = [header_of(record(n)).columns[:4] for n in range(start, start + WIDTH)]
    body = segment.pack([["" if value == hide else value for value in column] for column in zip(*rows, strict=True)])
    note = str(sign_note(segment._text(origin, start, subtree, body), origin, key)).encode()
    return struct.pack("<I", len(note)) + note + body


def test_what_somebody_else_signed_or_changed_is_not_taken(made, tmp_path):
    folder, key = tmp_path / "ledger.db.census", VerifierKey.of(ORIGIN, KEY.public)
    with opened(made, tmp_path) as ledger:
        wanted = ledger.find(subject=SUBJECTS[4])
        with ledger.reading():
            subtrees = [ledger._tree.node(9, n) for n in range(3)]
    files, choice = sorted(folder.iterdir()), random.Random(9)
    contents = [path.read_bytes() for path in files]
    changes = [
        forged(0, subtrees[0], THIEF),
        forged(0, subtrees[1], KEY),  # the log's own word, about other entries
        forged(0, subtrees[0], KEY, origin="example.com/other"),
        contents[1],
        contents[0][:-1],
        contents[0] + b"\0",
        b"",
        b"\xff" * 9000,
    ]
    for _ in range(20):
        place = choice.randrange(len(contents[0]))
        changes.append(contents[0][:place] + bytes([contents[0][place] ^ 1 << choice.randrange(8)]) + contents[0][place + 1 :])
    for change in changes:
        files[0].write_bytes(change)
        with opened(made, tmp_path, write=False) as ledger:
            seen = reads(ledger)
            assert ledger.find(subject=SUBJECTS[4], complete=True) == wanted
            assert 0 in seen, "the segment was taken"
    assert audit_file(made, key, tmp_path / "ledger.db.head").ok
    with opened(made, tmp_path) as ledger:  # whoever has the key makes it again
        assert ledger.find(subject=SUBJECTS[4], complete=True) == wanted
    assert files[0].read_bytes() == contents[0]


def test_an_audit_shows_what_the_key_itself_signed_wrongly(made, tmp_path):
    folder = tmp_path / "ledger.db.census"
    with opened(made, tmp_path) as ledger, ledger.reading():
        subtree = ledger._tree.node(9, 1)
    (folder / "census-00000001").write_bytes(forged(WIDTH, subtree, KEY))
    report = audit_file(made, VerifierKey.of(ORIGIN, KEY.public), tmp_path / "ledger.db.head")
    assert [(item.code, item.index) for item in report.deviations] == [("LED026", WIDTH)]


def test_columns_that_lie_are_still_refused_when_they_are_met(made, tmp_path):
    """The signed segment leads to the entry, whatever its columns say now; the entry is proven then."""
    with opened(made, tmp_path) as ledger:
        (first, *_) = ledger.find(subject=SUBJECTS[4])
        store = ledger._stores[0]
        table, connection = ("entry", store._connection) if made == tmp_path / "ledger.db" else (f"{store.schema}.entry", store._db)
        connection.execute(f"UPDATE {table} SET subject = '{SUBJECTS[5]}' WHERE idx = {first.index}")
    with opened(made, tmp_path, write=False) as ledger:
        assert first.index not in [item.index for item in ledger.find(subject=SUBJECTS[4])]
        with pytest.raises(IntegrityError) as refused:
            ledger.find(subject=SUBJECTS[4], complete=True)
        assert refused.value.code == "LED008"


def test_a_folder_that_cannot_be_written_is_no_error(address, tmp_path):
    (tmp_path / "ledger.db.census").write_text("in the way")
    with opened(address, tmp_path) as ledger:
        ledger.append([record(n) for n in range(SIZE)])
        assert ledger.find(subject=SUBJECTS[4], complete=True) == ledger.find(subject=SUBJECTS[4])


def test_values_that_share_their_key_are_told_apart(address, tmp_path, monkeypatch):
    monkeypatch.setattr(segment, "_key", lambda value: f"{len(value):016x}")
    monkeypatch.setattr(segment, "_keys", lambda values: [segment._key(value) for value in values])
    with opened(address, tmp_path) as ledger:
        ledger.append([record(n) for n in range(SIZE)])
        for query in QUERIES:
            assert ledger.find(complete=True, **query) == ledger.find(**query)


def test_segments_of_another_log_in_the_folder_are_not_taken(made, tmp_path):
    (tmp_path / "other").mkdir()
    with opened(tmp_path / "other" / "ledger.db", tmp_path / "other", key=THIEF) as other:
        other.append([record(n + 1) for n in range(SIZE)])
        shutil.copytree(tmp_path / "ledger.db.census", tmp_path / "other" / "ledger.db.census")
        assert other.find(subject=SUBJECTS[4], complete=True) == other.find(subject=SUBJECTS[4])


def timed(n, now):
    time = now + timedelta(minutes=n, seconds=-(n % 5) * 50)  # times go back by minutes here and there, as clocks do
    body = {"n": n}
    return time, entry(("evidence", "decision")[n % 7 == 0], body, time=time, subject=SUBJECTS[n * n % 9], kind=("", "scan")[n % 2])


@pytest.mark.parametrize("query", QUERIES)
def test_the_last_are_found_from_the_end_and_no_further(address, tmp_path, query, monkeypatch):
    now = [NOW]
    with Ledger.open(
        address, KEY, origin=ORIGIN, verifier=KEY.public, clock=lambda: now[0], head=tmp_path / "ledger.db.head"
    ) as ledger:
        for n in range(0, 1200, 4):
            now[0] = NOW + timedelta(minutes=n)
            ledger.append([timed(m, NOW)[1] for m in range(n, n + 4)])
        every = ledger.entries()
        matching = [row for row in every if all(getattr(row, name) == value for name, value in query.items())][::-1]
        assert ledger.last(10**6, **query) == matching
        generator = random.Random(8)
        for _ in range(12):
            start, end = sorted(generator.choices(range(1250), k=2))
            since, until = NOW + timedelta(minutes=start), NOW + timedelta(minutes=end)
            before = generator.choice((None, generator.randrange(1300)))
            wanted = [row for row in matching if since <= row.time < until and (before is None or row.index < before)]
            assert ledger.last(10**6, before=before, since=since, until=until, **query) == wanted
            assert ledger.last(3, before=before, since=since, until=until, **query) == wanted[:3]
        read = []
        rows = ledger._store.rows
        monkeypatch.setattr(ledger._store, "rows", lambda first, end: read.append(first) or rows(first, end))
        ledger.last(5, **query)
        # The digests of this test begin alike, so that segments do not tell them apart: real ones do.
        assert len(read) <= (5 if "subject" not in query else 1200)


def test_entries_are_counted_by_day_and_kind_as_reading_all_of_them_would(address, tmp_path):
    """In signed segments, in those that are open, and with clocks that differ; of past days no boundary is looked for twice."""
    kinds, days, now = ("", "scan", "alias", "gate"), 7, NOW

    def at(n):  # some hours a day, some days nothing
        return NOW + timedelta(days=days * n // SIZE // 2 * 2, seconds=n % 90)

    with Ledger.open(address, KEY, origin=ORIGIN, verifier=KEY.public, clock=lambda: now, head=tmp_path / "l.head") as ledger:
        for n in range(0, SIZE, 19):
            now = at(n)
            ledger.append([entry("evidence", {"n": i}, time=now, kind=kinds[i * i % 4 + i % 3 // 2]) for i in range(n, n + 19)])
        midnights = [NOW.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=day) for day in range(-1, days + 3)]
        wanted = []
        for start, end in pairwise(midnights):
            names = [row.kind for row in ledger.entries() if start <= row.time < end]
            wanted.append({name: names.count(name) for name in sorted(set(names))})
        assert sum(sum(row.values()) for row in wanted) == SIZE
        assert len([row for row in wanted if not row]) > 4
        for _ in range(2):
            assert [dict(sorted(row.items())) for row in ledger.tally(midnights)] == wanted
        assert set(ledger._starts) <= set(midnights)
        assert midnights[1] in ledger._starts
        assert midnights[-1] not in ledger._starts
        assert ledger.tally([midnights[0]]) == ledger.tally([]) == []
        one = ledger.tally([midnights[0], midnights[-1]])[0]
        assert sum(one.values()) == SIZE


def test_a_kind_that_was_changed_in_the_store_is_not_counted_as_another(made, tmp_path):
    with opened(made, tmp_path) as ledger:
        rows = ledger._store.rows

        def lying(start, end):
            return (row._replace(kind="other") for row in rows(start, end))

        ledger._store.rows = lying
        with pytest.raises(IntegrityError, match="changed") as raised:
            ledger._counted().tally("kind", [0, SIZE])
        assert raised.value.code == "LED007"


def test_a_log_that_nobody_has_read_is_taken_in_by_pieces_and_others_are_let_in(address, tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "_PIECE", 16)
    with opened(address, tmp_path) as ledger:
        ledger.append([record(n) for n in range(SIZE)])
        counted, answered, at = ledger._counted, [], []
        monkeypatch.setattr(ledger, "_counted", lambda *most: at.append(len(answered)) or counted(*most))
        beside = threading.Thread(target=ledger.take_in)
        beside.start()
        while beside.is_alive():
            answered.append(ledger.read(len(answered) % SIZE).index)
        beside.join()
        assert len(at) >= SIZE // 16 - 1
        assert len(set(at)) > 3  # somebody was answered between two pieces, and again
        seen = reads(ledger)
        for query in QUERIES:
            wanted = [item for item in ledger.entries() if all(getattr(item, name) == value for name, value in query.items())]
            assert ledger.find(complete=True, **query) == wanted
        assert len(seen) <= 16
    assert len(list((tmp_path / "ledger.db.census").iterdir())) == SIZE // WIDTH


def test_taking_in_is_given_up_and_goes_on_later(address, tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "_PIECE", 16)
    with opened(address, tmp_path) as ledger:
        ledger.append([record(n) for n in range(SIZE)])
        stop = threading.Event()
        stop.set()
        ledger.take_in(stop)
        assert ledger._census.size == 16
        ledger.take_in()
        assert ledger._census.size >= SIZE - 16
        assert ledger.find(complete=True, subject=SUBJECTS[4]) == ledger.find(subject=SUBJECTS[4])


def test_a_record_that_was_changed_is_met_while_taking_in(tmp_path):
    with opened(tmp_path / "ledger.db", tmp_path) as ledger:
        ledger.append([record(n) for n in range(SIZE)])
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
        connection.execute("UPDATE entry SET type = 'nothing' WHERE idx = 700")
    with opened(tmp_path / "ledger.db", tmp_path, write=False) as ledger, pytest.raises(IntegrityError) as refused:
        ledger.take_in()
    assert refused.value.code == "LED008"


def test_a_time_that_was_changed_in_the_store_hides_nothing(address, tmp_path):
    """Where days begin is looked for by the columns, and believed of the proven entries on both sides alone."""
    now = NOW
    with Ledger.open(address, KEY, origin=ORIGIN, verifier=KEY.public, clock=lambda: now, head=tmp_path / "l.head") as ledger:
        for n in range(8):
            now = NOW + timedelta(hours=n)
            ledger.append([entry("evidence", {"n": n * 8 + i}, time=now, kind="scan") for i in range(8)])
        rows, wanted = ledger._store.rows, [row.index for row in ledger.entries()][:23:-1]
        since = NOW + timedelta(hours=3)
        for place, text in ((32, "0"), (16, "9"), (32, "9"), (63, "0")):

            def lying(start, end, place=place, text=text):
                return (row._replace(time=text + row.time[1:]) if row.idx == place else row for row in rows(start, end))

            ledger._store.rows = lying
            found = wanted
            with contextlib.suppress(IntegrityError):
                found = [row.index for row in ledger.last(100, since=since)]
            assert found == wanted
