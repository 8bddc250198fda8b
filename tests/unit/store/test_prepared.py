"""Prepared statements give what SQLAlchemy gives, on SQLite and on PostgreSQL, and fail as it does."""

import pytest
import sqlalchemy as sa

from stannary.core.errors import BackendError
from stannary.store import tables as t
from stannary.store.database import Database
from stannary.store.prepared import Prepared

NAMED = t.model.c.name == sa.bindparam("name")
NEW = Prepared(
    sa.insert(t.model)
    .values({name: sa.bindparam(name) for name in ("namespace", "name", "kind", "created", "latest")})
    .returning(t.model.c.id)
)
VERSION = {
    "digest": "sha256:d", "manifest": "sha256:m", "size": 1 << 40, "files": 2, "creator": "ann", "created": "2026", "note": "é'%s",
    "info": {"rows": [1, 2.5, None], "%": "ü"}, "dropped": False, "entry": 7,
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    url = request.getfixturevalue("postgres") if request.param == "postgres" else tmp_path / "x.db"
    made = Database(url)
    yield made
    made.close()


def made(connection, name="m"):
    return NEW.first(connection, namespace="default", name=name, kind="model", created="2026", latest=1).id


def test_rows_come_back_as_sqlalchemy_gives_them(database):
    statement = sa.select(t.version, t.model.c.name.label("called")).join_from(t.version, t.model).where(NAMED)
    with database.writing() as connection:
        model = made(connection)
        for number, dropped in ((1, False), (2, True)):
            values = {**VERSION, "number": number, "dropped": dropped}
            assert Prepared(sa.insert(t.version)).change(connection, model=model, **values) == 1
    with database.reading() as connection:
        rows = Prepared(statement.order_by(t.version.c.number)).rows(connection, name="m")
        wanted = list(connection.execute(statement.order_by(t.version.c.number), {"name": "m"}))
        assert [row._asdict() for row in rows] == [row._asdict() for row in wanted]
        assert [(row.dropped, row.info, row.note) for row in rows] == [(gone, VERSION["info"], "é'%s") for gone in (False, True)]
        assert Prepared(statement).first(connection, name="none") is None


def test_changes_are_counted_and_values_in_the_statement_stay(database):
    change = Prepared(sa.update(t.model).where(t.model.c.name.in_((sa.bindparam("name"), "*"))).values(latest=sa.bindparam("new")))
    with database.writing() as connection:
        first, second = made(connection), made(connection, "*")
        assert first != second
        assert [change.change(connection, name="m", new=5), change.change(connection, name="none", new=6)] == [2, 1]
        found = Prepared(sa.select(t.model.c.latest).where(NAMED).limit(1))
        assert [found.first(connection, name=name).latest for name in ("m", "*")] == [5, 6]
        assert Prepared(sa.delete(t.model).where(NAMED)).change(connection, name="m") == 1


def test_nothing_stays_when_the_block_fails_and_the_error_is_ours(database):
    def twice(connection):
        made(connection)
        made(connection)

    def broken_off(connection):
        made(connection)
        raise ZeroDivisionError

    for call, error in ((twice, BackendError), (broken_off, ZeroDivisionError)):
        with pytest.raises(error), database.writing() as connection:
            call(connection)
    with database.reading() as connection:
        assert Prepared(sa.select(t.model.c.id)).rows(connection) == []


def test_what_is_named_wrongly_is_refused(database):
    with pytest.raises((KeyError, BackendError, sa.exc.SQLAlchemyError)), database.reading() as connection:
        Prepared(sa.select(t.model.c.id).where(NAMED)).rows(connection, other="m")
