"""SQLite files by SQLite itself: what their schema calls is seen in every encoding, and rows that are not read are said."""

from __future__ import annotations

import contextlib
import pickle
import sqlite3

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View


def data_base(path, statements, encoding="UTF-8", rows=()):
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(f"PRAGMA encoding = '{encoding}'")
        db.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, state BLOB)")
        db.executemany("INSERT INTO runs (state) VALUES (?)", [(row,) for row in rows])
        for statement in statements:
            db.execute(statement)
    return path.read_bytes()


def read(content):
    report = read_view(View(content, "mlflow.db"), strict=True)
    return report, [item.reason for item in report.missed]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_a_trigger_that_loads_code_is_seen_in_every_encoding(tmp_path, encoding) -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT load_extension('x.so'); END"
    report, missed = read(data_base(tmp_path / "a.db", [trigger], encoding))
    assert missed == []
    assert [f.data["calls"] for f in report.facts if f.kind == "sqlite.schema" and f.data["name"] == "t"] == [["load_extension"]]


def test_a_pickle_over_many_pages_is_read_to_its_end(tmp_path) -> None:
    class Runs:
        def __reduce__(self):
            import os

            return os.system, ("echo hidden",)

    content = pickle.dumps({"weights": bytes(200_000), "last": Runs()})
    report, missed = read(data_base(tmp_path / "b.db", [], rows=[b"plain", content]))
    assert missed == []
    assert any(f.kind == "pickle.call" and f.data["name"] == "system" for f in report.facts)


@pytest.mark.parametrize("what", ["kind", "chain"])
def test_a_page_that_cannot_be_followed_is_incomplete(tmp_path, what) -> None:
    content = bytearray(data_base(tmp_path / "c.db", [], rows=[bytes(100_000)]))
    size = int.from_bytes(content[16:18], "big")
    if what == "kind":
        content[size] = 7  # the root of `runs` is the second page
    else:
        at = content.index((4).to_bytes(4, "big"), 2 * size, 2 * size + 4)
        content[at : at + 4] = bytes(4)  # the chain of an overflow ends early
    _, missed = read(bytes(content))
    assert any("page 2 of a data base" in reason or "is cut" in reason for reason in missed)
