"""PostgreSQL as it fails: who is at fault, what is retried, and what is known of a commit whose answer was lost."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import tempfile
import threading
import urllib.parse
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from stannary.core.errors import BackendError, IntegrityError, StannaryError, UsageError
from stannary.crypto import keys
from stannary.evidence.ledger import Ledger, entry
from stannary.store import ledger_pg
from stannary.store.ledger_store import open_store
from stannary.store.postgres import redacted

KEY = keys.generate("ed25519")
ORIGIN = "example.com/pg"
PASSWORD = "s3cr:t/@ %41"


def record(n):
    return entry("evidence", {"n": n}, time=datetime.now(UTC))


def opened(url, folder, *, write=True):
    return Ledger.open(url, KEY if write else None, origin=ORIGIN, verifier=KEY.public, head=folder / "head")


def terminate(url):
    """Break off every other connection to the database, as a server that is restarted does."""
    with psycopg.connect(url) as connection:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert connection.execute(f"SELECT pg_terminate_backend(pid, 5000) {others}").fetchall()


def refused(call, kind, code, said):
    with pytest.raises(kind) as error:
        call()
    text = f"{error.value} {error.value.help}"
    assert (error.value.code, said in text, bool(error.value.help)) == (code, True, True), text
    chained, seen = error.value, ""
    while chained is not None:
        seen, chained = seen + str(chained), chained.__cause__ or chained.__context__
    assert PASSWORD not in seen
    assert urllib.parse.quote(PASSWORD, safe="") not in seen


@pytest.fixture
def role(postgres_server):
    postgres_server.execute(f"CREATE ROLE worker LOGIN PASSWORD '{PASSWORD}' IN ROLE guarded")
    yield "worker"
    for (name,) in postgres_server.execute("SELECT datname FROM pg_database WHERE datname LIKE 'test%'"):
        postgres_server.execute("DROP OWNED BY worker", name)
    postgres_server.execute("DROP OWNED BY worker; DROP ROLE worker")


def as_role(url, password=PASSWORD):
    return url.replace("postgres@", f"worker:{urllib.parse.quote(password, safe='')}@")


# Who is at fault


def test_what_cannot_be_opened_says_why(postgres, postgres_server, role, tmp_path):
    host = urllib.parse.quote(str(tmp_path), safe="")
    for url, said in (
        (as_role(postgres, PASSWORD + "x"), "the password is wrong"),
        (as_role(postgres, ""), "a password is needed"),
        (as_role(postgres_server.url("absent")), "no database of this name"),
        (postgres_server.url(user="absent"), "no role of this name"),
        (f"postgresql://worker@/x?host={host}", "nothing listens there"),
        ("postgresql://worker@127.0.0.1:1/x", "nothing listens there"),
    ):
        refused(lambda url=url: opened(url, tmp_path), BackendError, "LED022", said)


def test_an_address_that_is_none_is_not_repeated(tmp_path):
    for url in (f"postgresql://u:{PASSWORD}@h:port/x?y", "postgresql://u:%zz@h/x", "postgresql://h/x?nosuch=1"):
        refused(lambda url=url: opened(url, tmp_path), UsageError, "LED022", "is not one")


def test_an_address_is_shown_without_its_password():
    assert redacted("postgresql://u:secret@db.example:5433/x?sslmode=require") == "postgresql://u@db.example:5433/x"
    assert redacted("postgres:///x?password=secret&user=u") == "postgresql://u@localhost/x"


def test_a_text_encoding_that_is_not_unicode_is_refused(postgres_server, tmp_path):
    postgres_server.execute("CREATE DATABASE test_latin ENCODING 'LATIN1' TEMPLATE template0")
    try:
        refused(lambda: opened(postgres_server.url("test_latin"), tmp_path), BackendError, "LED022", "UTF8 is needed")
    finally:
        postgres_server.execute("DROP DATABASE test_latin WITH (FORCE)")


def test_without_psycopg_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    refused(lambda: opened("postgresql:///x", tmp_path), UsageError, "LED022", "stannary[postgres]")


def test_a_role_needs_rights(postgres, postgres_server, role, tmp_path):
    database, url = urllib.parse.urlsplit(postgres).path[1:], as_role(postgres)
    refused(lambda: opened(url, tmp_path), BackendError, "LED020", "permission denied for database")
    with opened(postgres, tmp_path) as owner:
        owner.append([record(0)])
        schema = owner._store.schema
        refused(lambda: opened(url, tmp_path, write=False), BackendError, "LED020", "may not use the schema")
        postgres_server.execute(f"GRANT USAGE ON SCHEMA {schema} TO worker", database)
        refused(lambda: opened(url, tmp_path, write=False), BackendError, "LED020", "permission denied")
        postgres_server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO worker", database)
        with opened(url, tmp_path, write=False) as reader:
            assert reader.head() == owner.head()
            assert reader.audit().ok
        with opened(url, tmp_path) as reader:
            refused(lambda: reader.append([record(1)]), BackendError, "LED020", "permission denied for table")
            assert owner.append([record(2)])[0].index == reader.read(1).index == 1


def test_an_administrator_makes_the_schema_for_a_role_that_may_not(postgres, postgres_server, role, tmp_path):
    with opened(postgres, tmp_path) as owner:
        schema = owner._store.schema
    postgres_server.execute(f"DROP SCHEMA {schema} CASCADE", urllib.parse.urlsplit(postgres).path[1:])
    postgres_server.execute(f"CREATE SCHEMA {schema} AUTHORIZATION worker", urllib.parse.urlsplit(postgres).path[1:])
    with opened(as_role(postgres), tmp_path) as ledger:
        assert ledger.append([record(0)])[0].size == 1


def test_a_database_that_only_reads_is_said_to(postgres, postgres_server, tmp_path):
    with opened(postgres, tmp_path) as ledger:
        ledger.append([record(0)])
    with opened(postgres, tmp_path) as ledger:
        ledger._stores[0]._db.execute("SET default_transaction_read_only = on")  # as every session of a standby
        refused(lambda: ledger.append([record(1)]), BackendError, "LED020", "write to the primary")
        assert ledger.head().size == 1


def test_what_the_database_sets_for_its_sessions_does_not_weaken_a_commit(postgres, postgres_server, tmp_path):
    database = urllib.parse.urlsplit(postgres).path[1:]
    for name, value in (
        ("synchronous_commit", "off"),
        ("default_transaction_isolation", "serializable"),
        ("search_path", "public"),
        ("lock_timeout", "1ms"),
        ("standard_conforming_strings", "off"),
        ("bytea_output", "escape"),
        ("client_encoding", "LATIN1"),
    ):
        postgres_server.execute(f"ALTER DATABASE {database} SET {name} = '{value}'")
    with opened(postgres, tmp_path) as one, opened(postgres, tmp_path) as two:
        assert one._stores[0]._db.execute("SHOW synchronous_commit").fetchone() == ("on",)
        for n in range(0, 40, 2):
            one.append([record(n)])
            two.append([record(n + 1)])
        assert [item.body["n"] for item in one.entries()] == list(range(40))
        assert two.audit().ok


def test_a_commit_that_waits_for_more_than_the_disk_is_left_so(postgres, postgres_server, tmp_path):
    database = urllib.parse.urlsplit(postgres).path[1:]
    postgres_server.execute(f"ALTER DATABASE {database} SET synchronous_commit = 'remote_apply'")
    with opened(postgres, tmp_path) as ledger:
        assert ledger._stores[0]._db.execute("SHOW synchronous_commit").fetchone() == ("remote_apply",)


def test_logs_of_two_names_live_in_one_database(postgres, tmp_path):
    with opened(postgres, tmp_path) as one:
        two = Ledger.open(postgres, KEY, origin="example.com/two", verifier=KEY.public, head=tmp_path / "two")
        with two:
            one.append([record(0)])
            assert (one.head().size, two.head().size) == (1, 0)
            assert two.append([record(1), record(2)])[0].size == 2


def test_a_ledger_that_is_not_there_is_an_error_of_the_caller_unless_it_is_remembered(postgres, postgres_server, tmp_path):
    refused(lambda: opened(postgres, tmp_path, write=False), UsageError, "LED018", "there is no ledger")
    with postgres_server.database() as other, opened(other, tmp_path) as ledger:
        ledger.append([record(0)])
    refused(lambda: opened(postgres, tmp_path, write=False), IntegrityError, "LED003", "the ledger is gone: it had 1 entries")


def test_a_head_is_remembered_somewhere_here(postgres):
    with pytest.raises(UsageError) as error:
        Ledger.open(postgres, KEY, origin=ORIGIN, verifier=KEY.public)
    assert error.value.code == "LED018"


# A connection that is lost


def test_reading_goes_on_when_the_connection_was_lost(postgres, postgres_server, tmp_path):
    with opened(postgres, tmp_path) as ledger:
        ledger.append([record(n) for n in range(3)])
        terminate(postgres)
        assert ledger.read(1).body == {"n": 1}
        terminate(postgres)
        assert len(ledger.find(type="evidence", complete=True)) == 3
        postgres_server.restart()
        assert ledger.audit().ok
        assert ledger.append([record(3)])[0].size == 4


def test_a_reader_waits_for_a_server_that_starts_later(postgres, postgres_server, tmp_path):
    with opened(postgres, tmp_path) as ledger:
        ledger.append([record(0)])
        postgres_server.stop()
        later = threading.Timer(0.7, postgres_server.start)
        later.start()
        assert ledger.head().size == 1
        later.join()


def test_a_server_that_stays_away_is_an_error(postgres, postgres_server, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger_pg, "_PATIENCE_SECONDS", 0.2)
    with opened(postgres, tmp_path) as ledger:
        postgres_server.stop()
        for call in (ledger.head, lambda: ledger.append([record(0)])):
            refused(call, BackendError, "LED022", "nothing listens there")
        postgres_server.start()
        assert ledger.append([record(0)])[0].index == 0


def test_a_connection_lost_before_the_commit_is_an_append_that_did_not_happen(postgres, tmp_path):
    with opened(postgres, tmp_path) as ledger:
        store = ledger._stores[0]

        def lose():
            with store.sequencer():
                store.changed()
                terminate(postgres)
                store.meta()

        refused(lose, BackendError, "LED020", "did not happen")
        assert ledger.append([record(0)])[0].index == 0


class Between:
    """A socket before the server's that passes on what is said, and breaks off where it is told."""

    def __init__(self, url, folder):
        self.server = f"{urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)['host'][0]}/.s.PGSQL.5432"
        self.path = folder / ".s.PGSQL.5432"
        self.url = f"{url.split('?')[0]}?host={urllib.parse.quote(str(folder), safe='')}"
        self.cut = ""  # "before": a COMMIT is not passed on; "after": its answer is not; "gone": nor is anything later
        self.listener = socket.socket(socket.AF_UNIX)
        self.silent = None  # the connection whose answers are not passed on
        self.done = threading.Event()  # the server has said of a COMMIT that was passed on that it is durable

    def __enter__(self):
        self.listener.bind(str(self.path))
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.cut == "gone":
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.server)
                for work in (self._up, self._down):
                    threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _up(self, client, server):
        with contextlib.suppress(OSError):
            while said := client.recv(1 << 16):
                if self.cut and b"COMMIT\0" in said:
                    if self.cut != "before":
                        self.silent = server
                        server.sendall(said)
                        while not self.done.wait(0.02):  # what ends the request may come after it
                            if select.select([client], [], [], 0)[0]:
                                server.sendall(client.recv(1 << 16))
                    self.cut = "gone" if self.cut == "away" else ""
                    break
                server.sendall(said)
            for one in (client, server):
                one.shutdown(socket.SHUT_RDWR)

    def _down(self, client, server):
        unheard = b""
        with contextlib.suppress(OSError):
            while said := server.recv(1 << 16):
                if self.silent is server:
                    unheard += said
                    if b"Z\x00\x00\x00\x05I" in unheard:  # ReadyForQuery, and in no transaction
                        self.done.set()
                else:
                    client.sendall(said)
        client.close()
        server.close()


@pytest.fixture
def between(postgres, postgres_server):
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        Between(postgres, Path(folder)) as found,
    ):  # the path of a socket is short
        yield found


def test_a_commit_whose_answer_was_lost_is_asked_for(between, tmp_path):
    """It was durable: the caller gets the receipt, and nothing is sent again."""
    with opened(between.url, tmp_path) as ledger:
        between.cut = "after"
        assert ledger.append([record(0)])[0].index == 0
        assert between.cut == ""
        assert ledger.append([record(1)])[0].index == 1
        assert [item.body["n"] for item in ledger.entries()] == [0, 1]
        assert ledger.audit().ok


def test_a_commit_that_did_not_arrive_did_not_happen(between, tmp_path):
    with opened(between.url, tmp_path) as ledger:
        between.cut = "before"
        refused(lambda: ledger.append([record(0)]), BackendError, "LED020", "did not happen")
        assert ledger.append([record(1)])[0].index == 0
        assert [item.body["n"] for item in ledger.entries()] == [1]


def test_when_nobody_can_tell_the_caller_is_told_so(between, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger_pg, "_PATIENCE_SECONDS", 0.3)
    with opened(between.url, tmp_path) as ledger:
        between.cut = "away"
        refused(lambda: ledger.append([record(0)]), BackendError, "LED024", "whether it happened is not known")
        between.cut = ""
        assert ledger.append([record(1)])[0].index == 1
        assert [item.body["n"] for item in ledger.entries()] == [0, 1]


def test_a_writer_that_holds_the_lock_for_ever_is_an_error(postgres, tmp_path):
    with opened(postgres, tmp_path) as ledger:
        ledger._stores[0]._db.execute("SET lock_timeout = '200ms'")
        with contextlib.closing(open_store(postgres, ORIGIN, lock=tmp_path / "elsewhere", write=True)) as other, other.sequencer():
            refused(lambda: ledger.append([record(0)]), BackendError, "LED020", "another writer holds the ledger")
        assert ledger.append([record(0)])[0].size == 1


@pytest.mark.parametrize("amcheck", [False, True])
def test_an_index_that_misses_entries_is_a_problem(postgres, postgres_server, tmp_path, amcheck):
    """As a broken disk leaves it: a search would not find what the table has."""
    with opened(postgres, tmp_path) as ledger:
        schema, database = ledger._store.schema, urllib.parse.urlsplit(postgres).path[1:]
        ledger.append([record(n) for n in range(50)])
        if amcheck:
            postgres_server.execute("CREATE EXTENSION amcheck", database)
        assert ledger._store.problems(deep=True) == []
        for ready in (False, True):
            postgres_server.execute(
                f"UPDATE pg_index SET indisready = {ready} WHERE indexrelid = '{schema}.entry_id'::regclass", database
            )
            ledger.append([record(50 + ready)])
        problems = ledger._store.problems(deep=True)
        assert "the index entry_id does not agree with its table" in problems
        assert any("lacks matching index tuple" in problem for problem in problems) == amcheck
        assert {item.code for item in ledger.audit(deep=True).deviations} == {"LED010"}


def test_every_error_is_one_of_ours(postgres, tmp_path):
    with opened(postgres, tmp_path) as ledger:
        store = ledger._store
        with pytest.raises(StannaryError), store.snapshot():
            store._read("SELECT 1 / 0")
        with store.snapshot():
            assert store.span() == (0, 0)


# One way to the server and back


def test_a_proof_and_an_entry_are_one_statement(postgres, tmp_path):
    with opened(postgres, tmp_path) as writer, opened(postgres, tmp_path, write=False) as reader:
        writer.append([record(n) for n in range(1500)])
        reader.head()
        with psycopg.connect(postgres, autocommit=True) as other:
            pid = reader._store._db.info.backend_pid
            asked = "SELECT query, state, xact_start FROM pg_stat_activity WHERE pid = %s"
            for index in (3, 700, 1499):
                proof = reader.prove(index)
                query, state, begun = other.execute(asked, (pid,)).fetchone()
                assert ("unnest" in query, state, begun) == (True, "idle", None), "nothing was begun, and nothing came after it"
                assert proof == writer.prove(index)
                assert reader.read(index) == writer.read(index)
                assert "unnest" in other.execute(asked, (pid,)).fetchone()[0]
            assert reader.head().size == 1500
            assert "unnest" in other.execute(asked, (pid,)).fetchone()[0]


def test_a_head_that_another_wrote_is_taken_up_before_it_is_proven_under(postgres, tmp_path):
    with opened(postgres, tmp_path) as writer, opened(postgres, tmp_path, write=False) as reader:
        for count in (300, 1, 600):
            writer.append([record(n) for n in range(count)])
            size = writer.head().size
            assert (reader.prove(5).size, reader.read(size - 1).index, reader.head().size) == (size, size - 1, size)


def test_what_a_glance_brings_is_proven(postgres, tmp_path):
    with opened(postgres, tmp_path) as writer:
        writer.append([record(n) for n in range(700)])
    with psycopg.connect(postgres, autocommit=True) as other:
        schema = other.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'stannary%'").fetchone()[0]
        other.execute(
            f"UPDATE {schema}.tile SET hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40)) WHERE level = 0 AND n = 1"
        )
        other.execute(f"UPDATE {schema}.entry SET record = record || ' '::bytea WHERE idx = 9")
    with opened(postgres, tmp_path, write=False) as reader:
        assert reader.prove(9).index == 9
        for call, code in (
            (lambda: reader.prove(257), "LED006"),
            (lambda: reader.read(257), "LED006"),
            (lambda: reader.read(9), "LED007"),
        ):
            with pytest.raises(IntegrityError) as refused:
                call()
            assert refused.value.code == code


def test_a_glance_on_a_connection_that_is_gone_connects_again(postgres, tmp_path):
    with opened(postgres, tmp_path) as writer, opened(postgres, tmp_path, write=False) as reader:
        writer.append([record(n) for n in range(3)])
        wanted = reader.prove(1)
        terminate(postgres)
        assert reader.prove(1) == wanted
        terminate(postgres)
        assert reader.read(1).index == 1
