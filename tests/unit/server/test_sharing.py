"""What the processes of a server share: counted once, whichever of them counts, and not held up by one that is gone."""

import multiprocessing
import os
import signal
import time

import pytest

from stannary.core.model import Digest
from stannary.server.limits import CountedTogether, RateLimit, SharedRateLimit
from stannary.server.metrics import Cells, Metrics
from stannary.server.shared import Table
from stannary.server.sharing import Board
from stannary.server.uploads import SharedUploads

FORK = multiprocessing.get_context("fork")


def in_children(function, count=3):
    """Run a function in forked processes at once, and return what each came to."""
    queue = FORK.SimpleQueue()
    made = [FORK.Process(target=lambda number=number: queue.put(function(number))) for number in range(count)]
    for process in made:
        process.start()
    found = [queue.get() for _ in made]
    for process in made:
        process.join()
    return found


def test_a_rate_holds_once_for_all_processes():
    limit = SharedRateLimit(1e-6, 100, Table(8))
    passed = in_children(lambda _: sum(limit.take("ann") == 0.0 for _ in range(90)))
    assert sum(passed) == 100
    assert limit.take("ann") > 1000
    assert limit.take("bob") == 0.0


def test_it_counts_as_one_process_does():
    shared, alone = SharedRateLimit(50.0, 5, Table(8)), RateLimit(50.0, 5)
    shared._clock = alone._clock = clock = Clock()
    for step in (0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 0.005, 0.02, 0.0, 1.0, 0.0):
        clock.now += step
        assert shared.take("ann") == pytest.approx(alone.take("ann"))


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_of_more_callers_than_there_is_room_for_who_asked_longest_ago_is_forgotten():
    table = Table(1, 4)
    for number in range(4):
        table.change(str(number), lambda _, number=number: (1.0, float(number)))
    table.change("0", lambda found: (found[0], 9.0))
    table.change("new", lambda found: (2.0, 10.0) if found is None else None)
    assert table.get("1") is None
    assert [table.get(name)[0] for name in ("0", "2", "3", "new")] == [1.0, 1.0, 1.0, 2.0]
    table.change("2", lambda _: None)
    assert table.get("2") is None


def test_a_process_that_is_killed_with_a_lock_keeps_nobody_waiting():
    table = Table(1)
    ready, write = os.pipe()

    def hold():
        def slowly(_):
            os.write(write, b"x")
            time.sleep(60)

        table.change("ann", slowly)

    process = FORK.Process(target=hold)
    process.start()
    os.read(ready, 1)
    os.kill(process.pid, signal.SIGKILL)
    began = time.monotonic()
    table.change("ann", lambda _: (1.0, 1.0))
    assert time.monotonic() - began < 30
    assert table.get("ann") == (1.0, 1.0)
    process.join()


def test_what_is_under_way_is_counted_over_all_and_forgotten_with_who_died():
    table = Table(16, 8, regions=2)
    first, second = CountedTogether(table, 0), CountedTogether(table, 1)
    assert [first.enter("ann", 3), second.enter("ann", 3), first.enter("ann", 3), second.enter("ann", 3)] == [True] * 3 + [False]
    assert second.enter("bob", 1)
    second.leave("ann")
    assert second.enter("ann", 3)
    table.clear(0)
    assert [second.enter("ann", 3), second.enter("ann", 3), second.enter("ann", 3)] == [True, True, False]
    for _ in range(3):
        second.leave("ann")
    assert first.enter("ann", 1)
    assert not second.enter("bob", 1)


def test_who_sent_what_is_known_to_all():
    uploads, one, other = SharedUploads(Table(64, 16)), Digest("a" * 64), Digest("b" * 64)
    in_children(lambda _: uploads.note("user:ann", one), 1)
    assert uploads.has("user:ann", one)
    assert uploads.missing("user:ann", [one, other]) == [other]
    assert not uploads.has("user:bob", one)


def test_metrics_are_added_up_and_outlive_a_process():
    cells = [Cells(), Cells()]

    def count(number):
        made = Metrics(cells[number], cells)
        for _ in range(10):
            made.request("whoami", "GET", 200, 0.003 * (number + 1))
        made.event("job", "queued")
        made.in_flight += 1
        return True

    in_children(count, 2)
    again = Metrics(cells[0], cells)  # in the place of one that has ended: what it had under way is not any more
    again.request("whoami", "GET", 200, 0.003)
    text = again.text({"stannary_ledger_entries": 7.0})
    assert 'stannary_http_requests_total{operation="whoami",method="GET",status="200"} 21' in text
    assert 'stannary_http_request_seconds_bucket{operation="whoami",le="0.005"} 11' in text
    assert 'stannary_http_request_seconds_bucket{operation="whoami",le="0.01"} 21' in text
    assert 'stannary_http_request_seconds_count{operation="whoami"} 21' in text
    assert 'stannary_http_request_seconds_sum{operation="whoami"} 0.093000' in text
    assert 'stannary_events_total{event="job",outcome="queued"} 2' in text
    assert "stannary_http_in_flight 1\n" in text
    assert text.endswith("stannary_ledger_entries 7\n")


def test_numbers_without_room_for_their_name_are_left_out():
    cells = Cells(64)
    for number in range(10):
        cells.add(f"event {number} x", 1.0)
    assert 0 < len(list(cells.rows())) < 10
    assert {value for _, value in cells.rows()} == {1.0}


def test_a_change_begins_a_turn_for_every_process():
    board = Board(2)
    first, second = board.part(0).turns, board.part(1).turns
    before = second.now()
    assert first.now() == before
    in_children(lambda _: first.advance(), 1)
    assert second.now() != before
    assert first.now() == second.now()
