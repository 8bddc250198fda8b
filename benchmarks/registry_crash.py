"""The registry under `kill -9`, many rounds of it: `./dev bench registry_crash [ROUNDS] [sqlite|postgres]`.

Each round kills one writer or two at a random moment of a push, a promotion, a rollback or a backup, and holds the workspace
against what they acknowledged; on PostgreSQL the server restarts in every fifth round, in turn in good order and by a crash.
"""

import itertools
import os
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from stannary.testing.postgres import PostgresServer
from stannary.testing.registry_crash import crash_rounds


def report(name, outcome, seconds):
    said = (
        f"{name}: {outcome.rounds} rounds, {outcome.killed} writers killed, {outcome.disturbed} restarts of the server; "
        f"acknowledged {outcome.pushed} pushes, {outcome.moved} moves, {outcome.denied} denials, {outcome.backups} backups; "
        f"the log ahead of the tables {outcome.ahead} times; {outcome.swept} contents swept; "
        f"{len(outcome.problems)} problems; {seconds:.0f} s,"
    )
    print(said, f"load {os.getloadavg()[0]:.1f}")
    for problem in outcome.problems:
        print("  ", problem)


HOW = itertools.cycle((signal.SIGINT, signal.SIGQUIT))


def restart(server):
    server.restart(next(HOW))


def main():
    rounds = next((int(word) for word in sys.argv[1:] if word.isdigit()), 200)
    places = [word for word in sys.argv[1:] if word in ("sqlite", "postgres")] or ["sqlite", "postgres"]
    problems = 0
    for place in places:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            if place == "sqlite":
                outcome = crash_rounds(Path(folder), rounds, seed=6962)
            else:
                with PostgresServer() as server, server.database() as url:
                    outcome = crash_rounds(Path(folder), rounds, seed=9162, url=url, disturb=partial(restart, server))
        report(place, outcome, time.monotonic() - began)
        problems += len(outcome.problems)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
