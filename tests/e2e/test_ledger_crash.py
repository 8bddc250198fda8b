"""SIGKILL in a loop, and several processes at once: nothing acknowledged is lost, and there is one history."""

import os

from stannary.testing.ledger_crash import append_together, crash_rounds

ROUNDS = 50 if os.environ.get("CI") else 12  # 200 in benchmarks/evidence


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path):
    outcome = crash_rounds(tmp_path, ROUNDS, seed=6962)
    assert (outcome.lost, outcome.forks, outcome.deviations) == ([], 0, [])
    assert outcome.killed > ROUNDS / 2
    assert outcome.entries >= outcome.acknowledged > ROUNDS


def test_processes_append_in_turn(tmp_path):
    outcome = append_together(tmp_path, writers=4, each=6)
    assert (outcome.lost, outcome.forks, outcome.deviations) == ([], 0, [])
    assert outcome.entries == outcome.acknowledged == 4 * 3 * (1 + 41 + 81 + 121 + 1 + 41)
