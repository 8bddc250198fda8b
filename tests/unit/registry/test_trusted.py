"""Tables that somebody edited who cannot sign: by the ledger nothing moves, and nothing that is held is deleted."""

from contextlib import nullcontext
from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa
from tests.unit.registry.conftest import APPROVED

from stannary.core.errors import IntegrityError, PolicyDenied, UsageError
from stannary.policy.model import Policy
from stannary.registry import promotion
from stannary.registry.names import Name, parse
from stannary.registry.retention import delete, hold, retain
from stannary.store import tables

CLAIMS, EVERY = Name("default", "claims"), Name("default", "*")
OPEN = Policy(name="approved", require=())
OWN = (tables.protection.c.name == CLAIMS.name) & (tables.protection.c.alias == "canary")


@pytest.fixture
def registry(bench):
    """By the tables version 1 may be promoted, or deleted, once they are edited: by the ledger it may not."""
    found = bench.opened[0]
    bench.push(b"one")
    bench.push(b"two")
    promotion.protect(found, EVERY, "canary", OPEN)
    promotion.protect(found, CLAIMS, "canary", APPROVED, separate=True)
    return found


@pytest.mark.parametrize("change", ["policy", "separate", "entry", "none", "that of all"])
def test_a_policy_that_was_edited_or_taken_out_moves_no_alias(bench, registry, change):
    with registry.reading() as connection:
        row = connection.execute(sa.select(tables.protection).where(OWN)).one()
    values = {
        "policy": {"rule": {**row.rule, "policy": msgspec.to_builtins(OPEN)}},
        "separate": {"rule": {**row.rule, "separate": False}},
        "entry": {"entry": row.entry - 1},
    }
    with registry.database.writing() as connection:
        if change in values:
            connection.execute(sa.update(tables.protection).where(OWN).values(**values[change]))
        else:
            connection.execute(sa.delete(tables.protection).where(OWN if change == "that of all" else sa.true()))
    other = bench.open("bob")
    with pytest.raises(IntegrityError) as caught:
        promotion.promote(other, CLAIMS, 1, "canary")
    assert caught.value.code == "REG006"
    registry.rebuild()
    assert not promotion.promote(other, CLAIMS, 1, "canary").moved
    bench.say(registry.show(parse("claims:1")))
    assert promotion.promote(other, CLAIMS, 1, "canary").moved


@pytest.mark.parametrize("frozen", [(CLAIMS, "canary"), (CLAIMS, "*"), (EVERY, "canary"), (EVERY, "*")])
def test_a_freeze_that_was_taken_out_holds(bench, registry, frozen):
    for number in (1, 2):
        bench.say(registry.show(parse(f"claims:{number}")))
        promotion.promote(bench.open("bob"), CLAIMS, number, "canary")
    promotion.freeze(registry, *frozen, "incident")
    with registry.database.writing() as connection:
        connection.execute(sa.delete(tables.frozen))
    other = bench.open("bob")
    moves = [
        lambda: promotion.promote(other, CLAIMS, 1, "canary"),
        lambda: promotion.rollback(other, CLAIMS, "canary"),
        lambda: promotion.remove(other, CLAIMS, "canary"),
    ]
    for kind in (IntegrityError, PolicyDenied):
        for move in moves:
            with pytest.raises(kind) as caught:
                move()
            assert caught.value.code == ("REG006" if kind is IntegrityError else "REG021")
        registry.rebuild()
    promotion.freeze(registry, *frozen, "over", lifted=True)
    assert promotion.promote(other, CLAIMS, 1, "canary").moved


def test_a_hold_that_was_taken_out_holds(bench, registry):
    hold(registry, CLAIMS, 1, "case")
    with registry.database.writing() as connection:
        connection.execute(sa.delete(tables.hold))
    ways = [
        (lambda: delete(registry, CLAIMS, 1, "old"), pytest.raises(UsageError)),
        (lambda: retain(registry, CLAIMS, keep=1, older_than=timedelta(seconds=-60), reason="old"), nullcontext()),
    ]
    for way, _ in ways:
        with pytest.raises(IntegrityError, match="is held in the ledger"):
            way()
    registry.rebuild()
    for way, then in ways:
        with then:
            assert way() == []
    assert registry.show(parse("claims:1")).held == "case"
    hold(registry, CLAIMS, 1, "over", lifted=True)
    assert delete(registry, CLAIMS, 1, "old").number == 1
