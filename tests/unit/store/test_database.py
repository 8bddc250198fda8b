"""The tables' home: one writer, one state a reader, migrations that lead to the same tables."""

import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from stannary.core.errors import BackendError, UsageError
from stannary.store import tables
from stannary.store.database import Database
from stannary.store.migrations import HEAD, upgrade


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    return request.getfixturevalue("postgres") if request.param == "postgres" else str(tmp_path / "tables.db")


def described(connection):
    found = sa.inspect(connection)
    return {
        name: (
            sorted((column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)),
            found.get_pk_constraint(name)["constrained_columns"],
            sorted(str(index["column_names"]) for index in found.get_indexes(name)),
            sorted(str(key["constrained_columns"]) for key in found.get_foreign_keys(name)),
            sorted(str(unique["column_names"]) for unique in found.get_unique_constraints(name)),
        )
        for name in sorted(found.get_table_names())
    }


def test_migrations_lead_to_the_tables_that_a_new_database_gets(url, tmp_path, request):
    database = Database(url)
    with database.reading() as connection:
        fresh = described(connection)
        version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    assert version == HEAD
    with database.writing() as connection:
        tables.metadata.drop_all(connection)
        upgrade(connection, None)
        assert described(connection) == fresh
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == HEAD
    database.close()


def test_a_database_of_a_newer_stannary_is_refused(url):
    database = Database(url)
    with database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(UsageError, match="not known here"):
        Database(url)


def test_one_writer_at_a_time(url):
    database = Database(url)
    with database.writing() as connection:
        connection.execute(sa.insert(tables.quarantine).values(digest="d", reason="0", actor="a", since="s", entry=0))

    def add():
        mine = Database(url)
        for _ in range(25):
            with mine.writing() as connection:
                value = int(connection.execute(sa.select(tables.quarantine.c.reason)).scalar_one())
                connection.execute(sa.update(tables.quarantine).values(reason=str(value + 1)))
        mine.close()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as connection:
        assert connection.execute(sa.select(tables.quarantine.c.reason)).scalar_one() == "100"
    database.close()


def test_what_fails_leaves_nothing(url):
    database = Database(url)

    def fail():
        with database.writing() as connection:
            connection.execute(sa.insert(tables.quarantine).values(digest="d", reason="0", actor="a", since="s", entry=0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.quarantine)).scalar() == 0
    database.close()


def test_a_reader_cannot_write(postgres):
    database = Database(postgres)
    with pytest.raises(BackendError, match="read-only"), database.reading() as connection:
        connection.execute(sa.delete(tables.quarantine))
    database.close()


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "tables.db").write_bytes(b"not a database, but long enough to be looked at" * 30)
    with pytest.raises(BackendError) as caught:
        Database(tmp_path / "tables.db")
    assert "tables.db" in caught.value.where
    assert "rebuild" in caught.value.help


def test_a_place_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BackendError) as caught:
        Database(tmp_path / "nowhere" / "tables.db")
    assert "nowhere" in caught.value.where


def test_a_server_that_is_not_there_is_named_without_its_password():
    with pytest.raises(BackendError) as caught:
        Database("postgresql://stannary:secret@127.0.0.1:1/none")
    assert "secret" not in f"{caught.value} {caught.value.where}"
    assert "127.0.0.1" in caught.value.where


def test_other_databases_are_refused():
    with pytest.raises(UsageError, match="mysql"):
        Database("mysql://localhost/x")
