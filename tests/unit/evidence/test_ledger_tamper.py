"""Somebody who can write the files, and has no key: whatever they change is refused, with the right error.

A ledger of 300 entries is made once; every case changes a copy of its files.
"""

import random
import shutil
import sqlite3
from datetime import UTC, datetime

import pytest

from stannary.core.errors import IntegrityError
from stannary.crypto import keys
from stannary.crypto.note import COSIGNATURE, Checkpoint, Note, VerifierKey, cosign, parse_note, sign_note
from stannary.evidence.ledger import Ledger, audit_file, entry
from stannary.evidence.ledger.entry import asked_for

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, UTC)
ORIGIN = "example.com/log"
KEY, THIEF = keys.generate("ed25519"), keys.generate("ed25519")
LOG = VerifierKey.of(ORIGIN, KEY.public)
SIZE, LARGE = 300, 17
INDEXES = sorted({0, 1, 2, LARGE, 127, 128, 254, 255, 256, 257, 298, 299, *random.Random(6962).sample(range(SIZE), 12)})
PLACES = (0, 31, 32, 4001, 8191)


def record(n):
    return entry(
        "evidence", {"n": n, "text": "y" * (70_000 if n == LARGE else 40)}, time=NOW, subject=f"sha256:{n % 5:064x}", kind="scan"
    )


def opened(folder, key=KEY, *, write=True):
    return Ledger.open(folder / "ledger.db", key if write else None, origin=ORIGIN, verifier=key.public, clock=lambda: NOW)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder of a ledger, with copies of its files at earlier sizes in `at-SIZE`, and of a fork with the same key."""
    folder = tmp_path_factory.mktemp("ledger")
    for start, end in ((0, 100), (100, 260), (260, 299), (299, SIZE)):
        with opened(folder) as ledger:
            ledger.append([record(n) for n in range(start, end)])
            if end == 260:
                note = parse_note(ledger.head_note())
                witness = VerifierKey.of("witness", THIEF.public, COSIGNATURE)
                ledger.add_cosignature(str(Note(note.text, (*note.signatures, cosign(note, "witness", THIEF, 1)))), [witness])
        (folder / f"at-{end}").mkdir()
        for name in ("ledger.db", "ledger.db.head"):
            shutil.copy(folder / name, folder / f"at-{end}" / name)
    (folder / "fork").mkdir()
    with opened(folder / "fork") as fork:
        fork.append([record(n + 1) for n in range(SIZE)])
    (folder / "other").mkdir()
    with opened(folder / "other", THIEF) as other:
        other.append([record(n) for n in range(SIZE)])
    return folder


class Copy:
    """A copy of the ledger, to be changed."""

    def __init__(self, made, folder):
        self.made, self.folder, self.path = made, folder, folder / "ledger.db"
        for name in ("ledger.db", "ledger.db.head"):
            shutil.copy(made / name, folder / name)

    def sql(self, *statements):
        connection = sqlite3.connect(self.path)
        for statement in statements:
            connection.execute(*((statement,) if isinstance(statement, str) else statement))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def blob(self, table, column, where, change):
        connection = sqlite3.connect(self.path)
        (content,) = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        changed = change(bytes(content, "utf-8") if isinstance(content, str) else content)
        connection.close()
        self.sql(
            (
                f"UPDATE {table} SET {column} = ? WHERE {where}",
                (changed.decode("utf-8", "replace") if isinstance(content, str) else changed,),
            )
        )

    def put(self, source, *names):
        for name in names:
            shutil.copy(self.made / source / name, self.folder / name)
        for name in ("ledger.db-wal", "ledger.db-shm"):
            (self.folder / name).unlink(missing_ok=True)


def flip(place, bit=0):
    def change(content):
        at = place % len(content)
        return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]

    return change


CASES = {}  # name → (change, codes of which one is told, when: "open", "read" or "audit")


def case(name, change, codes, when):
    assert name not in CASES
    CASES[name] = (change, set(codes.split()), when)


for n in INDEXES:
    for bit in range(8):
        case(
            f"bit {bit} of entry {n}",
            lambda c, n=n, b=bit: c.blob("entry", "record", f"idx={n}", flip(n * 7 + b * 11, b)),
            "LED007 LED012",
            "read",
        )
    case(
        f"entry {n} deleted",
        lambda c, n=n: c.sql(f"DELETE FROM entry WHERE idx={n}"),
        "LED015",
        "open" if n in (0, 299) else "read",
    )
    case(f"entry {n} emptied", lambda c, n=n: c.sql(f"UPDATE entry SET record='' WHERE idx={n}"), "LED007 LED012", "read")
    case(
        f"entry {n} replaced by another",
        lambda c, n=n: c.sql(f"UPDATE entry SET record=(SELECT record FROM entry WHERE idx={(n + 9) % SIZE}) WHERE idx={n}"),
        "LED007",
        "read",
    )
    case(f"entries {n} and {(n + 5) % SIZE} swapped", lambda c, n=n: swap(c, n, (n + 5) % SIZE), "LED007", "read")
    for column, value in {
        "type": "decision",
        "kind": "eval",
        "subject": "sha256:" + "0" * 63 + "9",
        "id": "sha256:" + "9" * 64,
        "time": "2027-01-01T00:00:00.000000Z",
    }.items():
        case(
            f"{column} of entry {n} lies",
            lambda c, n=n, k=column, v=value: c.sql((f"UPDATE entry SET {k}=? WHERE idx={n}", (v,))),
            "LED008",
            "read",
        )
    case(
        f"kind of entry {n} hides in its id",
        lambda c, n=n: c.sql(f"UPDATE entry SET id=id||'\",\"kind\":\"'||kind, kind='' WHERE idx={n}"),
        "LED008",
        "read",
    )
    case(f"type of entry {n} is bytes", lambda c, n=n: c.sql(f"UPDATE entry SET type=x'ff00' WHERE idx={n}"), "LED008", "read")
for place in PLACES:
    case(f"tile 0 flipped at {place}", lambda c, p=place: c.blob("tile", "hashes", "level=0", flip(p)), "LED006 LED007", "read")
    case(f"tile of level 1 flipped at {place}", lambda c, p=place: c.blob("tile", "hashes", "level=1", flip(p)), "LED006", "open")
for n in (256, 257, 270, 298, 299):
    case(f"tail flipped at {n}", lambda c, n=n: c.blob("tail", "leaf", f"idx={n}", flip(n)), "LED006", "open")
    case(f"tail deleted at {n}", lambda c, n=n: c.sql(f"DELETE FROM tail WHERE idx={n}"), "LED006", "open")
    case(
        f"tail shortened at {n}", lambda c, n=n: c.sql(f"UPDATE tail SET leaf=substr(leaf, 1, 31) WHERE idx={n}"), "LED006", "open"
    )
for table, codes in (("tail", "LED006"), ("tile", "LED006"), ("entry", "LED015"), ("checkpoint", "LED004 LED005")):
    case(f"{table} emptied", lambda c, t=table: c.sql(f"DELETE FROM {t}"), codes, "open")
    case(f"{table} dropped", lambda c, t=table: c.sql(f"DROP TABLE {t}"), "LED010", "open")
case("large body edited", lambda c: c.blob("body", "content", "1", flip(5000)), "LED013", "read")
case("large body deleted", lambda c: c.sql("DELETE FROM body"), "LED013", "read")
case("large body shortened", lambda c: c.sql("UPDATE body SET content=substr(content, 2)"), "LED013", "read")
case("a body too many", lambda c: c.sql("INSERT INTO body VALUES ('00', x'00')"), "LED015", "audit")
case(
    "an entry too many",
    lambda c: c.sql(f"INSERT INTO entry SELECT {SIZE},type,kind,subject,id,time,record FROM entry WHERE idx=0"),
    "LED015",
    "open",
)
case(
    "an entry before the first",
    lambda c: c.sql("INSERT INTO entry SELECT -1,type,kind,subject,id,time,record FROM entry WHERE idx=0"),
    "LED015",
    "open",
)
case("a tile too many", lambda c: c.sql("INSERT INTO tile VALUES (0, 7, x'00')"), "LED015", "audit")
case("a tail too long", lambda c: c.sql(f"INSERT INTO tail VALUES ({SIZE}, x'00')"), "LED006", "open")
case("a tile of level 0 for the tail", lambda c: c.sql("INSERT INTO tile VALUES (0, 1, zeroblob(8192))"), "LED006", "open")
case("all entries shifted", lambda c: c.sql("UPDATE entry SET idx=idx+1000", "UPDATE entry SET idx=idx-999"), "LED015", "open")
for name, statement in {
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry WHERE idx=0; END",
    "a view": "CREATE VIEW v AS SELECT * FROM entry",
    "an index dropped": "DROP INDEX entry_subject",
    "a column added": "ALTER TABLE entry ADD COLUMN extra TEXT",
    "another application": "PRAGMA application_id=1",
    "another version": "PRAGMA user_version=9",
}.items():
    case(f"tables: {name}", lambda c, s=statement: c.sql(s), "LED010", "open")


def swap(copy, a, b):
    copy.sql(
        f"UPDATE entry SET idx=-5 WHERE idx={a}",
        f"UPDATE entry SET idx={a} WHERE idx={b}",
        f"UPDATE entry SET idx={b} WHERE idx=-5",
    )


def cut(size):
    """Take away everything from `size` on, as if it had never been."""

    def change(copy):
        copy.sql(
            f"DELETE FROM entry WHERE idx>={size}",
            f"DELETE FROM tail WHERE idx>={size}",
            f"DELETE FROM checkpoint WHERE size>{size}",
        )

    return change


for size in (1, 100, 255, 256, 257, 259, 260, 298, 299):
    case(f"cut to {size}", cut(size), "LED003 LED004 LED006 LED015", "open")
for size in (100, 260, 299):
    case(f"rolled back to {size}", lambda c, s=size: c.put(f"at-{s}", "ledger.db"), "LED003", "open")
    case(
        f"head rolled back to {size}, entries cut",
        lambda c, s=size: (c.put(f"at-{s}", "ledger.db.head"), cut(s)(c)),
        "LED004 LED005 LED006 LED015",
        "open" if size != 260 else "later",
    )
    case(f"older checkpoint of {size} in place", lambda c, s=size: older(c, s), "LED006 LED008 LED015", "open")


def older(copy, size):
    connection = sqlite3.connect(copy.made / f"at-{size}" / "ledger.db")
    (note,) = connection.execute("SELECT note FROM checkpoint ORDER BY size DESC").fetchone()
    connection.close()
    copy.sql(("UPDATE checkpoint SET note=? WHERE size=300", (note,)))


def head_note(sign_with, checkpoint):
    return lambda c: c.sql(("UPDATE checkpoint SET note=? WHERE size=300", (str(sign_note(checkpoint.text, ORIGIN, sign_with)),)))


case("head signed by somebody else", head_note(THIEF, Checkpoint(ORIGIN, SIZE, bytes(32))), "LED004", "open")
case("head of another size, signed by the log", head_note(KEY, Checkpoint(ORIGIN, SIZE - 1, bytes(32))), "LED015 LED006", "open")
case("head of another root, signed by the log", head_note(KEY, Checkpoint(ORIGIN, SIZE, bytes(32))), "LED006", "open")
case("head of another log, signed by the log", head_note(KEY, Checkpoint("x", SIZE, bytes(32))), "LED011", "open")
for place in range(0, 190, 4):
    case(
        f"head changed at {place}",
        lambda c, p=place: c.blob(
            "checkpoint", "note", "size=300", lambda t, p=p: t[:p] + (b"A" if t[p : p + 1] != b"A" else b"B") + t[p + 1 :]
        ),
        "LED004 LED005 LED010 LED011",
        "open",
    )
case("head is bytes", lambda c: c.sql("UPDATE checkpoint SET note=x'ffff' WHERE size=300"), "LED010 LED005", "open")
case("cosigned checkpoint changed", lambda c: c.blob("checkpoint", "note", "size=260", flip(20)), "LED004 LED005", "audit")
case("cosigned checkpoint is elsewhere", lambda c: c.sql("UPDATE checkpoint SET size=270 WHERE size=260"), "LED008", "audit")
case("head file removed", lambda c: (c.folder / "ledger.db.head").unlink(), "LED009", "open")
case("head file emptied", lambda c: (c.folder / "ledger.db.head").write_bytes(b""), "LED005", "open")
case("head file zeroed", lambda c: (c.folder / "ledger.db.head").write_bytes(bytes(8192)), "LED005", "open")
case("head file of noise", lambda c: (c.folder / "ledger.db.head").write_bytes(b"\xff" * 8192), "LED005", "open")
case("head file of a fork", lambda c: c.put("fork", "ledger.db.head"), "LED002", "open")
case("ledger of a fork", lambda c: c.put("fork", "ledger.db"), "LED002", "open")
case("ledger and head of another key", lambda c: c.put("other", "ledger.db", "ledger.db.head"), "LED004", "open")
case("ledger of another key", lambda c: c.put("other", "ledger.db"), "LED004", "open")
case("head file of another key", lambda c: c.put("other", "ledger.db.head"), "LED004", "open")
case("the file removed", lambda c: c.path.unlink(), "LED003 LED004", "create")
case("the file emptied", lambda c: c.path.write_bytes(b""), "LED003 LED004", "create")
case("the file is something else", lambda c: c.path.write_bytes(b"not a database, at all" * 99), "LED010", "open")
for part in (1, 2, 3):
    case(
        f"the file is cut after {part} quarters",
        lambda c, p=part: c.path.write_bytes(c.path.read_bytes()[: c.path.stat().st_size * p // 4]),
        "LED010 LED006 LED013 LED015",
        "audit",
    )


def test_there_are_hundreds():
    assert len(CASES) > 450


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused(name, made, tmp_path):
    change, codes, when = CASES[name]
    copy = Copy(made, tmp_path)
    change(copy)
    if when == "create":
        for write in (False, True, False):
            with pytest.raises(IntegrityError) as refused:
                opened(tmp_path, write=write)
            assert refused.value.code in codes
        return
    if when == "later":  # consistent files of an earlier time: only a head kept elsewhere tells
        with opened(tmp_path, write=False) as ledger, opened(made, write=False) as kept, pytest.raises(IntegrityError) as refused:
            ledger.verify_since(kept.head_note())
        assert refused.value.code == "LED003"
        return
    report = audit_file(copy.path, LOG)
    assert not report.ok
    assert codes & {item.code for item in report.deviations}, report.deviations
    if when == "open":
        for write in (False, True):
            with pytest.raises(IntegrityError) as refused:
                opened(tmp_path, write=write)
            assert refused.value.code in codes
            assert refused.value.help
    if when == "read":
        with opened(tmp_path) as ledger:
            for read in (ledger.entries, lambda: ledger.find(type="evidence", complete=True)):
                with pytest.raises(IntegrityError) as refused:
                    read()
                assert refused.value.code in codes | {"LED007"}
                assert refused.value.help


def test_any_byte_of_the_file_is_refused_or_means_nothing(made, tmp_path):
    """A byte that nothing is read from (free space, a reserved field) may change: then everything is still as it was."""
    with opened(made, write=False) as ledger:
        expected = ledger.entries()
    copy, content = Copy(made, tmp_path), (made / "ledger.db").read_bytes()
    refused = 0
    choice = random.Random(9162)
    places = [*range(100), *(choice.randrange(len(content)) for _ in range(300))]
    for place in places:
        copy.path.write_bytes(flip(place, choice.randrange(8))(content))
        if not audit_file(copy.path, LOG).ok:
            refused += 1
            continue
        with opened(tmp_path, write=False) as ledger:
            assert ledger.entries() == expected, f"byte {place} changed something and was not told"
        for name in ("ledger.db-wal", "ledger.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
    assert refused > 100


def test_what_is_hidden_from_a_search_is_found_when_it_is_asked_completely(made, tmp_path):
    """The attack on a gate: the failing evidence gets another subject in its column, and is no longer found."""
    copy = Copy(made, tmp_path)
    subject = f"sha256:{3:064x}"
    copy.sql(f"UPDATE entry SET subject='sha256:{'f' * 64}' WHERE idx=298")
    with opened(tmp_path) as ledger:
        assert 298 not in [item.index for item in ledger.find(subject=subject)]
        with pytest.raises(IntegrityError) as refused:
            ledger.find(subject=subject, complete=True)
        assert refused.value.code == "LED008"


def test_a_change_under_an_open_ledger_is_refused_at_the_next_append(made, tmp_path):
    for statement in (
        "UPDATE tail SET leaf=zeroblob(32) WHERE idx=299",
        "DELETE FROM entry WHERE idx=299",
        "UPDATE checkpoint SET note='x'",
    ):
        copy = Copy(made, tmp_path)
        with opened(tmp_path) as ledger:
            ledger.head()
            copy.sql(statement)
            with pytest.raises(IntegrityError):
                ledger.append([record(SIZE)])
            with pytest.raises(IntegrityError):
                ledger.head()
        for name in ("ledger.db-wal", "ledger.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)


def index_entry(content, old, new):
    """Change what the leaf pages of indexes hold (their first byte is 10), and no table."""
    size = int.from_bytes(content[16:18])
    pages = [content[at : at + size] for at in range(0, len(content), size)]
    changed = [page.replace(old, new) if page[0] == 10 else page for page in pages]
    assert changed != pages
    return b"".join(changed)


def test_an_index_that_lies_leads_nowhere_and_a_deep_audit_names_it(made, tmp_path):
    """Proofs, complete searches and the audit do not go by the indexes of the store; a plain search does, and is told."""
    copy = Copy(made, tmp_path)
    with opened(made, write=False) as ledger:
        wanted = ledger.read(50)
    other = wanted.id[:-1] + ("0" if wanted.id[-1] != "0" else "1")
    copy.path.write_bytes(index_entry(copy.path.read_bytes(), wanted.id.encode(), other.encode()))
    with opened(tmp_path, write=False) as ledger:
        for search in (lambda: ledger.find(id=other), lambda: ledger.newest(other)):
            with pytest.raises(IntegrityError) as refused:
                search()
            assert refused.value.code == "LED008"  # SQLite answers from the index that the id is another one
        assert ledger.find(id=wanted.id, complete=True) == [wanted]
    assert audit_file(copy.path, LOG).ok
    report = audit_file(copy.path, LOG, deep=True)
    assert {item.code for item in report.deviations} == {"LED010"}


@pytest.mark.parametrize("index", ["entry_id", "entry_subject", "entry_type", "entry_kind"])
def test_an_index_with_an_entry_less_is_a_deviation(made, tmp_path, index):
    copy = Copy(made, tmp_path)
    connection = sqlite3.connect(copy.path)
    connection.execute("PRAGMA writable_schema=ON")
    (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (index,)).fetchone()
    # Without the index in the schema a row is deleted and put back; the index, when it is in the schema again, has not seen it.
    row = connection.execute("SELECT * FROM entry WHERE idx = 50").fetchone()
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (index,)).fetchone()
    connection.execute("DELETE FROM entry WHERE idx = 50")
    connection.execute("DELETE FROM sqlite_schema WHERE name = ?", (index,))
    connection.commit()
    connection.close()
    connection = sqlite3.connect(copy.path)
    connection.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("INSERT INTO sqlite_schema VALUES ('index', ?, 'entry', ?, ?)", (index, root, sql))
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    says = ("LED010", f"the index {index} has 299 entries, and its table 300")
    if index == "entry_id":  # by which entries are counted
        says = ("LED015", "there are 299 rows of entry, and the signed head asks for 300")
    assert [(item.code, item.message) for item in audit_file(copy.path, LOG).deviations] == [says]


def test_entries_that_were_not_asked_for_are_refused(made):
    """What an index of a back end that answers from the table itself may lead to."""
    with opened(made, write=False) as ledger:
        found = ledger.entries(50, 52)
    assert asked_for(found, [("type", "evidence")]) == found
    with pytest.raises(IntegrityError) as refused:
        asked_for(found, [("type", "evidence"), ("id", found[0].id)])
    assert refused.value.code == "LED010"


def test_what_is_changed_under_an_open_ledger_is_noticed_when_it_is_read_again(tmp_path):
    """Also right after an append of its own, whose head it has no need to verify."""
    with opened(tmp_path) as ledger:
        ledger.append([record(n) for n in range(3)])
        with sqlite3.connect(tmp_path / "ledger.db") as db:
            leaf = db.execute("SELECT leaf FROM tail WHERE idx = 1").fetchone()[0]
            db.execute("UPDATE tail SET leaf = ? WHERE idx = 1", (bytes([leaf[0] ^ 1]) + leaf[1:],))
        for call in (ledger.head, lambda: ledger.read(1), lambda: ledger.append([record(3)])):
            with pytest.raises(IntegrityError) as refused:
                call()
            assert refused.value.code == "LED006"
