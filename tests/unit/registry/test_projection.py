"""The tables after many entries that are not the registry's: only its own are read, and none of them is left out."""

import contextlib
import sqlite3

import pytest
from tests.unit.registry.conftest import APPROVED

from stannary.core.errors import IntegrityError
from stannary.evidence.ledger import entry
from stannary.registry import projection, promotion
from stannary.registry.names import Name
from stannary.registry.queries import Chosen

CLAIMS = Name("default", "claims")


def others(registry, count):
    now = registry.chain.workspace.clock()
    registry.chain.ledger.append([entry("access", {"n": n}, time=now, kind="used") for n in range(count)])


def known(registry):
    return (
        registry.page(Chosen("", ""), limit=50)[0],
        registry.versions(CLAIMS),
        registry.moves(CLAIMS),
        registry.protection(CLAIMS, "production"),
    )


@pytest.fixture
def filled(bench, monkeypatch):
    """A registry whose events lie among many other entries, some next to each other, some far apart."""
    monkeypatch.setattr(projection, "_MANY", 30)
    registry = bench.opened[0]
    promotion.protect(registry, CLAIMS, "production", APPROVED)
    for number, between in enumerate((0, 3, 40, 200, 0, 1)):
        others(registry, between)
        bench.say(bench.push(bytes([number])))
    for number in (1, 4, 2):
        promotion.promote(registry, CLAIMS, number, "production")
        others(registry, 7)
    bench.push(b"another", "team/other")
    others(registry, 50)
    return bench


def test_the_tables_are_those_that_reading_every_entry_makes(filled, monkeypatch):
    registry = filled.opened[0]
    before, read = known(registry), []
    entries = registry.chain.ledger.entries
    monkeypatch.setattr(registry.chain.ledger, "entries", lambda start, end: read.append(end - start) or entries(start, end))
    count = registry.rebuild()
    size = registry.chain.ledger.head().size
    assert known(registry) == before
    assert count <= sum(read) < size / 2
    monkeypatch.setattr(projection, "_MANY", size)
    read.clear()
    assert (registry.rebuild(), sum(read), known(registry)) == (count, size, before)


def test_another_process_goes_on_where_the_tables_are(filled):
    others(filled.opened[0], 100)
    beside = filled.open("bob")
    filled.push(b"later")
    others(filled.opened[0], 100)
    assert beside.show(promotion.Reference(CLAIMS, 7)).number == 7


def test_an_event_that_is_filed_as_something_else_is_not_passed_over(local, monkeypatch):
    monkeypatch.setattr(projection, "_MANY", 30)
    registry = local.opened[0]
    entry_of_it = local.push(b"one").entry
    others(registry, 100)
    with contextlib.closing(sqlite3.connect(local.root / ".stannary" / "ledger.db")) as connection, connection:
        connection.execute("UPDATE entry SET type = 'access' WHERE idx = ?", (entry_of_it,))
    with pytest.raises(IntegrityError):
        registry.rebuild()
