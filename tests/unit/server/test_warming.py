"""What the first page of a new process would wait for is read beside it, left when the process ends, and never in anybody's way."""

import contextlib
import logging
import sqlite3
import threading
import time

import pytest
from tests.unit.registry.conftest import Bench

from stannary.evidence.ledger import entry, finding, segment
from stannary.server import warming
from stannary.server.console import render

WAIT = 60
SIZE = 3000


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(segment, "HEIGHT", 9)
    monkeypatch.setattr(finding, "_PIECE", 64)
    monkeypatch.setattr(warming, "_AFTER", 0.0)
    made = Bench(tmp_path)
    ledger, now = made.open().chain.ledger, made.clock()
    ledger.append([entry("access", {"n": n}, time=now, kind="used") for n in range(SIZE)])
    yield made
    made.close()


def until(true):
    ends = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_nobody_has_to_ask_for_the_log_to_be_read(bench, tmp_path):
    registry = bench.opened[0]
    with warming.warming(registry):
        until(lambda: len(list(tmp_path.rglob("census-*"))) == SIZE // 512)
        until(lambda: not any(thread.name == "stannary-warming" for thread in threading.enumerate()))
    assert SIZE - registry.chain.ledger._census.size <= 64
    with registry.reading():
        pass


def test_pages_are_ready_when_they_are_asked_for(bench):
    render._environment.cache_clear()
    with warming.warming(bench.opened[0]):
        until(lambda: len(render._environment().cache) == len(render._environment().list_templates()))
    render._environment.cache_clear()
    stop = threading.Event()
    stop.set()
    render.read_templates(stop)
    assert len(render._environment().cache) < len(render._environment().list_templates())


def test_it_is_left_when_the_process_ends(bench, monkeypatch):
    monkeypatch.setattr(finding, "_PIECE", 1)  # so that it takes some seconds, whatever the machine
    ledger = bench.opened[0].chain.ledger
    with warming.warming(bench.opened[0]):
        until(lambda: ledger._census is not None and ledger._census.size)
    assert not any(thread.name == "stannary-warming" for thread in threading.enumerate())
    assert ledger._census.size < SIZE


def test_a_log_that_was_changed_is_told_in_the_log_and_requests_go_on(bench, tmp_path, caplog):
    with contextlib.closing(sqlite3.connect(tmp_path / ".stannary" / "ledger.db")) as connection, connection:
        connection.execute("UPDATE entry SET kind = 'login' WHERE idx = 1500")
    with caplog.at_level(logging.WARNING), warming.warming(bench.open()):
        until(lambda: "the columns of entry 1500" in caplog.text)
