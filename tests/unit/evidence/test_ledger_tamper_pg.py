"""Somebody who may write the database, and has no key: whatever they change is refused, with the right error.

A ledger of 300 entries is made once; every case changes a copy of its database, as the superuser.
"""

import contextlib
import shutil
from datetime import UTC, datetime

import psycopg
import pytest

from stannary.core.errors import IntegrityError
from stannary.crypto import keys
from stannary.crypto.note import Checkpoint, VerifierKey, sign_note
from stannary.evidence.ledger import Ledger, audit_file, entry

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, UTC)
ORIGIN = "example.com/log"
KEY, THIEF = keys.generate("ed25519"), keys.generate("ed25519")
LOG = VerifierKey.of(ORIGIN, KEY.public)
SIZE, LARGE = 300, 17
INDEXES = (0, LARGE, 255, 256, 299)


def record(n):
    body = {"n": n, "text": "y" * (70_000 if n == LARGE else 40)}
    return entry("evidence", body, time=NOW, subject=f"sha256:{n % 5:064x}", kind="scan")


def opened(url, head, key=KEY, *, write=True):
    return Ledger.open(url, key if write else None, origin=ORIGIN, verifier=key.public, clock=lambda: NOW, head=head)


@pytest.fixture(scope="module")
def made(postgres_server, tmp_path_factory):
    """Return addresses of databases, and a folder of their heads: the ledger, it at earlier sizes, a fork, another key's."""
    folder, urls = tmp_path_factory.mktemp("heads"), {}
    with contextlib.ExitStack() as stack:

        def database(name, like=""):
            urls[name] = stack.enter_context(postgres_server.database(like))
            return urls[name]

        log = database("log")
        for start, end in ((0, 100), (100, 260), (260, 299), (299, SIZE)):
            with opened(log, folder / "log") as ledger:
                ledger.append([record(n) for n in range(start, end)])
            if end != SIZE:
                database(f"at-{end}", log)
                shutil.copy(folder / "log", folder / f"at-{end}")
        for name, key, shift in (("fork", KEY, 1), ("other", THIEF, 0)):
            with opened(database(name), folder / name, key) as ledger:
                ledger.append([record(n + shift) for n in range(SIZE)])
        yield urls, folder


class Copy:
    """A copy of the ledger, to be changed."""

    def __init__(self, url, made, folder):
        self.url, (_, self.heads), self.head = url, made, folder / "head"
        shutil.copy(self.heads / "log", self.head)
        with psycopg.connect(url) as connection:
            (self.schema,) = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'stannary%'").fetchone()

    def sql(self, *statements):
        with psycopg.connect(self.url, options=f"-c search_path={self.schema}") as connection:
            for statement in statements:
                connection.execute(*((statement,) if isinstance(statement, str) else statement))

    def change(self, table, column, where, change):
        with psycopg.connect(self.url, options=f"-c search_path={self.schema}") as connection:
            (found,) = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
            connection.execute(f"UPDATE {table} SET {column} = %s WHERE {where}", (change(found),))


def flip(place, bit=0):
    def change(content):
        at = place % len(content)
        return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]

    return change


def at(place):
    """Put another letter at a place of a text."""
    return lambda text: text[:place] + ("A" if text[place : place + 1] != "A" else "B") + text[place + 1 :]


CASES = {}  # name → (change, codes of which one is told, when: "open", "read" or "audit", the database that is copied)


def case(name, change, codes, when, like="log"):
    assert name not in CASES
    CASES[name] = (change, set(codes.split()), when, like)


def sql(*statements):
    return lambda copy: copy.sql(*statements)


def swap(a, b):
    return sql(*(f"UPDATE entry SET idx = {to} WHERE idx = {of}" for of, to in ((a, -5), (b, a), (-5, b))))


for n in INDEXES:
    for bit in (0, 5):
        case(
            f"bit {bit} of entry {n}",
            lambda c, n=n, b=bit: c.change("entry", "record", f"idx={n}", flip(n * 7 + b * 11, b)),
            "LED007 LED012",
            "read",
        )
    case(f"entry {n} deleted", sql(f"DELETE FROM entry WHERE idx = {n}"), "LED015", "open" if n in (0, 299) else "read")
    case(f"entry {n} emptied", sql(f"UPDATE entry SET record = '' WHERE idx = {n}"), "LED007 LED012", "read")
    another = f"UPDATE entry SET record = (SELECT record FROM entry WHERE idx = {(n + 9) % SIZE}) WHERE idx = {n}"
    case(f"entry {n} replaced by another", sql(another), "LED007", "read")
    case(f"entries {n} and {(n + 5) % SIZE} swapped", swap(n, (n + 5) % SIZE), "LED007", "read")
    for column, value in {
        "type": "decision",
        "kind": "eval",
        "subject": "sha256:" + "0" * 63 + "9",
        "id": "sha256:" + "9" * 64,
        "time": "2027-01-01T00:00:00.000000Z",
    }.items():
        case(f"{column} of entry {n} lies", sql((f"UPDATE entry SET {column} = %s WHERE idx = {n}", (value,))), "LED008", "read")
    hidden = f"""UPDATE entry SET id = id || '","kind":"' || kind, kind = '' WHERE idx = {n}"""
    case(f"kind of entry {n} hides in its id", sql(hidden), "LED008", "read")
for place in (0, 31, 4001, 8191):
    case(f"tile 0 flipped at {place}", lambda c, p=place: c.change("tile", "hashes", "level=0", flip(p)), "LED006 LED007", "read")
    case(f"tile of level 1 flipped at {place}", lambda c, p=place: c.change("tile", "hashes", "level=1", flip(p)), "LED006", "open")
for n in (256, 270, 299):
    case(f"tail flipped at {n}", lambda c, n=n: c.change("tail", "leaf", f"idx={n}", flip(n)), "LED006", "open")
    case(f"tail deleted at {n}", sql(f"DELETE FROM tail WHERE idx = {n}"), "LED006", "open")
    case(f"tail shortened at {n}", sql(f"UPDATE tail SET leaf = substr(leaf, 1, 31) WHERE idx = {n}"), "LED006", "open")
for table, codes in (
    ("tail", "LED006"),
    ("tile", "LED006"),
    ("entry", "LED015"),
    ("checkpoint", "LED004 LED005"),
    ("version", "LED010"),
):
    case(f"{table} emptied", sql(f"DELETE FROM {table}"), codes, "open")
    case(f"{table} dropped", sql(f"DROP TABLE {table}"), "LED010", "open")
case("large body edited", lambda c: c.change("body", "content", "true", flip(5000)), "LED013", "read")
case("large body deleted", sql("DELETE FROM body"), "LED013", "read")
case("large body shortened", sql("UPDATE body SET content = substr(content, 2)"), "LED013", "read")
case("a body too many", sql("INSERT INTO body VALUES ('00', '00')"), "LED015", "audit")
one_more = "INSERT INTO entry SELECT {}, type, kind, subject, id, time, record FROM entry WHERE idx = 0"
case("an entry too many", sql(one_more.format(SIZE)), "LED015", "open")
case("an entry before the first", sql(one_more.format(-1)), "LED015", "open")
case("a tile too many", sql("INSERT INTO tile VALUES (0, 7, '00')"), "LED015", "audit")
case("a tail too long", sql(f"INSERT INTO tail VALUES ({SIZE}, '00')"), "LED006", "open")
case("a tile of level 0 for the tail", sql("INSERT INTO tile VALUES (0, 1, decode(repeat('00', 8192), 'hex'))"), "LED006", "open")
case("all entries shifted", sql("UPDATE entry SET idx = idx + 1000", "UPDATE entry SET idx = idx - 999"), "LED015", "open")
for name, statement in {
    "a trigger": "CREATE TRIGGER t BEFORE UPDATE ON entry FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "a view": "CREATE VIEW v AS SELECT * FROM entry",
    "a view for a table": "ALTER TABLE tail RENAME TO t; CREATE VIEW tail AS SELECT * FROM t",
    "a rule": "CREATE RULE r AS ON DELETE TO entry DO INSTEAD NOTHING",
    "row security": "ALTER TABLE entry ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON entry USING (idx > 0)",
    "a child": "CREATE TABLE more () INHERITS (entry)",
    "a function": "CREATE FUNCTION min(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'",
    "an index dropped": "DROP INDEX entry_subject",
    "an index of another condition": "DROP INDEX entry_kind; CREATE INDEX entry_kind ON entry (kind, time) WHERE kind = 'x'",
    "a column added": "ALTER TABLE entry ADD COLUMN extra text",
    "a default": "ALTER TABLE entry ALTER COLUMN kind SET DEFAULT 'x'",
    "a table that a crash empties": "ALTER TABLE entry SET UNLOGGED",
    "another collation": 'ALTER TABLE entry ALTER COLUMN id TYPE text COLLATE "POSIX"',
    "another version": "UPDATE version SET version = 9",
}.items():
    case(f"tables: {name}", sql(*statement.split("; ")), "LED010", "open")
for size in (1, 100, 255, 256, 257, 260, 299):
    gone = (
        f"DELETE FROM entry WHERE idx >= {size}",
        f"DELETE FROM tail WHERE idx >= {size}",
        f"DELETE FROM checkpoint WHERE size > {size}",
    )
    case(f"cut to {size}", sql(*gone), "LED003 LED004 LED006 LED015", "open")
for size in (100, 260, 299):
    case(f"rolled back to {size}", sql(), "LED003", "open", f"at-{size}")
for name, key, checkpoint, codes in (
    ("signed by somebody else", THIEF, Checkpoint(ORIGIN, SIZE, bytes(32)), "LED004"),
    ("of another size, signed by the log", KEY, Checkpoint(ORIGIN, SIZE - 1, bytes(32)), "LED015 LED006"),
    ("of another root, signed by the log", KEY, Checkpoint(ORIGIN, SIZE, bytes(32)), "LED006"),
    ("of another log, signed by the log", KEY, Checkpoint("x", SIZE, bytes(32)), "LED011"),
):
    case(f"head {name}", sql(("UPDATE checkpoint SET note = %s", (str(sign_note(checkpoint.text, ORIGIN, key)),))), codes, "open")
for place in range(0, 190, 19):
    case(
        f"head changed at {place}", lambda c, p=place: c.change("checkpoint", "note", "true", at(p)), "LED004 LED005 LED011", "open"
    )
case(
    "an older checkpoint in place",
    lambda c: c.sql(("UPDATE checkpoint SET note = %s", (older(c),))),
    "LED006 LED008 LED015",
    "open",
)
case("head file removed", lambda c: c.head.unlink(), "LED009", "open")
case("head file of noise", lambda c: c.head.write_bytes(b"\xff" * 8192), "LED005", "open")
case("head file of a fork", lambda c: shutil.copy(c.heads / "fork", c.head), "LED002", "open")
case("ledger of a fork", sql(), "LED002", "open", "fork")
case("ledger of another key", sql(), "LED004", "open", "other")
case("head file of another key", lambda c: shutil.copy(c.heads / "other", c.head), "LED004", "open")
case("the schema dropped", lambda c: c.sql(f"DROP SCHEMA {c.schema} CASCADE"), "LED003 LED004", "create")


def older(copy):
    return (copy.heads / "at-299").read_bytes()[:4096].rstrip(b"\0").decode()


def test_there_are_many():
    assert len(CASES) > 130


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused(name, made, postgres_server, tmp_path):
    change, codes, when, like = CASES[name]
    with postgres_server.database(made[0][like]) as url:
        copy = Copy(url, made, tmp_path)
        change(copy)
        _expect(copy, codes, when)


def _expect(copy, codes, when):
    if when == "create":
        for write in (False, True, False):
            with pytest.raises(IntegrityError) as refused:
                opened(copy.url, copy.head, write=write)
            assert refused.value.code in codes
        return
    report = audit_file(copy.url, LOG, copy.head)
    assert not report.ok
    assert codes & {item.code for item in report.deviations}, report.deviations
    if when == "open":
        for write in (False, True):
            with pytest.raises(IntegrityError) as refused:
                opened(copy.url, copy.head, write=write)
            assert refused.value.code in codes
            assert refused.value.help
    if when == "read":
        with opened(copy.url, copy.head) as ledger:
            for read in (ledger.entries, lambda: ledger.find(type="evidence", complete=True)):
                with pytest.raises(IntegrityError) as refused:
                    read()
                assert refused.value.code in codes | {"LED007"}


def test_nothing_changed_is_nothing_found(made, postgres_server, tmp_path):
    with postgres_server.database(made[0]["log"]) as url:
        copy = Copy(url, made, tmp_path)
        assert audit_file(url, LOG, copy.head).ok
        with opened(url, copy.head) as ledger:
            assert [item.record for item in ledger.entries()] == [record(n) for n in range(SIZE)]


def test_functions_and_tables_that_somebody_put_on_the_path_are_not_used(made, postgres_server, tmp_path):
    """`public` and a schema of the role's own name come before others on the usual search path."""
    with postgres_server.database(made[0]["log"]) as url:
        copy = Copy(url, made, tmp_path)
        lies = "CREATE FUNCTION {}.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS 'SELECT 1 / 0'"
        copy.sql("CREATE SCHEMA postgres", lies.format("public"), lies.format("postgres"), "CREATE TABLE postgres.entry (idx int)")
        with opened(url, copy.head) as ledger:
            assert ledger.append([record(SIZE)])[0].size == SIZE + 1


def test_what_is_changed_under_an_open_ledger_is_noticed(made, postgres_server, tmp_path):
    with postgres_server.database(made[0]["log"]) as url:
        copy = Copy(url, made, tmp_path)
        with opened(url, copy.head) as ledger:
            ledger.append([record(SIZE)])
            copy.change("tail", "leaf", "idx = 260", flip(3))
            with pytest.raises(IntegrityError) as refused:
                ledger.head()
            assert refused.value.code == "LED006"
            with pytest.raises(IntegrityError) as refused:
                ledger.append([record(SIZE + 1)])
            assert refused.value.code == "LED006"
