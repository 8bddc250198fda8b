"""Accounts and grants in a database, a journal that can be read, a clock that can be set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stannary.access import accounts, grants
from stannary.access.access import Access
from stannary.access.model import Owner
from stannary.store.database import Database

OWNER = Owner(id="workspace")
PASSWORD = "seven odd green kettles"


class Desk:
    """Access, and what was told of it."""

    def __init__(self, database):
        self.database = database
        self.told = []
        self.offset = timedelta()
        self.access = self.another()

    def clock(self):
        return datetime.now(UTC) + self.offset

    def journal(self, kind, body):
        self.told.append((kind, body))

    def another(self):
        """Return the same access as another process has it."""
        return Access(self.database, self.journal, clock=self.clock)

    def wait(self, **time):
        self.offset += timedelta(**time)

    def account(self, name, *roles, kind="user", password=""):
        made = accounts.add(self.access, OWNER, name, kind, password=password)
        for role, _, place in (item.partition("@") for item in roles):
            grants.grant(self.access, OWNER, grants.read_grant(made.id, role, place or "*"))
        return made.id

    def principal(self, identifier):
        from stannary.access import rows

        with self.database.reading() as connection:
            return self.access.principal_of(rows.account(connection, identifier), connection, "session:test")

    def events(self, kind):
        return [body for name, body in self.told if name == kind]


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request, tmp_path):
    url = request.getfixturevalue("postgres") if request.param == "postgres" else tmp_path / "tables.db"
    database = Database(url)
    yield Desk(database)
    database.close()


@pytest.fixture
def local(tmp_path):
    """On SQLite alone, for what no database has a part in."""
    database = Database(tmp_path / "tables.db")
    yield Desk(database)
    database.close()
