"""A projection that is made anew: whole, or it stays what it was."""

import sqlite3

import pytest

from stannary.store.projection_file import ProjectionFile

SCHEMA = "CREATE TABLE row (x INTEGER);"


def test_notes_are_kept_until_the_version_is_another(tmp_path):
    one = ProjectionFile(tmp_path / "p.db", SCHEMA, 1)
    with one._writing({"size": "7"}):
        one._db.execute("INSERT INTO row VALUES (1)")
    one.close()
    again = ProjectionFile(tmp_path / "p.db", SCHEMA, 1)
    assert (again.meta("size"), again.meta("root")) == ("7", "")
    again.close()
    other = ProjectionFile(tmp_path / "p.db", SCHEMA, 2)
    assert other.meta("size") == ""
    assert other._db.execute("SELECT count(*) FROM row").fetchone() == (0,)
    other.close()


def test_what_cannot_be_made_anew_stays_and_holds_nobody_up(tmp_path):
    one = ProjectionFile(tmp_path / "p.db", SCHEMA, 1)
    with one._writing({"size": "7"}):
        pass
    one._schema = f"{one._schema}CREATE TABLE no such thing;"
    with pytest.raises(sqlite3.OperationalError):
        one.clear()
    other = sqlite3.connect(tmp_path / "p.db", timeout=0)
    other.execute("BEGIN IMMEDIATE")  # the lock was let go of
    other.close()
    assert one.meta("size") == "7"
    one.close()
