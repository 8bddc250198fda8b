"""Both back ends of the ledger are put through the same checks, PostgreSQL for real."""

from __future__ import annotations

import functools

import pytest

from stannary.store.ledger_store import open_store
from stannary.testing.ledger_conformance import CHECKS


@pytest.fixture(params=["sqlite", "postgresql"])
def opener(request, tmp_path):
    address = tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres")
    return functools.partial(open_store, address, "example.com/conformance", lock=tmp_path / "lock")


def test_there_are_checks():
    assert len(CHECKS) >= 15


@pytest.mark.parametrize("name", CHECKS)
def test_it_conforms(name, opener):
    CHECKS[name](opener)
