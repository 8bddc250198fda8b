"""SIGKILL in a loop, a server that restarts, several processes at once: nothing acknowledged is lost, in one history."""

import itertools
import os
import signal

from stannary.testing.ledger_crash import append_together, crash_rounds

ROUNDS = 50 if os.environ.get("CI") else 12  # 200 in benchmarks/evidence
TOGETHER = 4 * 3 * (1 + 41 + 81 + 121 + 1 + 41)


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path):
    outcome = crash_rounds(tmp_path, ROUNDS, seed=6962)
    assert (outcome.lost, outcome.doubled, outcome.forks, outcome.deviations) == ([], 0, 0, [])
    assert outcome.killed > ROUNDS / 2
    assert outcome.entries >= outcome.acknowledged > ROUNDS


def test_on_postgresql_neither_does_it_when_the_server_restarts(tmp_path, postgres, postgres_server):
    """In turn an orderly restart, and one after a crash of the server, while three threads append."""
    how = itertools.cycle((signal.SIGINT, signal.SIGQUIT))
    outcome = crash_rounds(tmp_path, ROUNDS, seed=9162, url=postgres, disturb=lambda: postgres_server.restart(next(how)))
    assert (outcome.lost, outcome.doubled, outcome.forks, outcome.deviations) == ([], 0, 0, [])
    assert outcome.killed > ROUNDS / 2
    assert outcome.resumed >= outcome.disturbed >= ROUNDS // 3
    assert outcome.entries >= outcome.acknowledged > ROUNDS


def test_processes_append_in_turn(tmp_path):
    outcome = append_together(tmp_path, writers=4, each=6)
    assert (outcome.lost, outcome.doubled, outcome.forks, outcome.deviations) == ([], 0, 0, [])
    assert outcome.entries == outcome.acknowledged == TOGETHER


def test_processes_append_in_turn_to_postgresql(tmp_path, postgres):
    outcome = append_together(tmp_path, writers=4, each=6, url=postgres)
    assert (outcome.lost, outcome.doubled, outcome.forks, outcome.deviations) == ([], 0, 0, [])
    assert outcome.entries == outcome.acknowledged == TOGETHER
