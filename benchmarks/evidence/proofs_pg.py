"""How long a proof from a ledger on PostgreSQL takes, beside `SELECT 1` on a connection of its own: what is the wait for a core?

    ./dev bench evidence proofs_pg [--small]

Each round asks 2,000 times for a proof, an entry and `SELECT 1`, in turn, of a log of 200,000 entries; the load of the
machine stands beside it.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from ledger_pg import KEY, SETTINGS, Cost, opened, record, row

from stannary.testing.postgres import PostgresServer

SMALL = "--small" in sys.argv
SIZE, ROUNDS, EACH = (20_000, 1, 500) if SMALL else (200_000, 3, 2000)


def asked(server, call):
    """Return the waits in ms, sorted, and what one call cost of the caller's and the server's CPU in ms."""
    waits, cost = [], Cost(server)

    def every():
        for _ in range(EACH):
            started = time.perf_counter()
            call()
            waits.append((time.perf_counter() - started) * 1000)

    cost.of(every)
    return sorted(waits), cost.caller / EACH * 1000, cost.served / EACH * 1000


def main():
    choice = random.Random(6962)
    print("| round | what | p50 | p99 | CPU ms of the caller | of the server | load |\n|---|---|---|---|---|---|---|")
    with PostgresServer(SETTINGS) as server, server.database() as url, tempfile.TemporaryDirectory() as name:
        head = Path(name, "head")
        with opened(url, head, KEY) as ledger:
            for start in range(0, SIZE, 4000):
                ledger.append([record(n, 150) for n in range(start, min(SIZE, start + 4000))])
        with opened(url, head) as ledger, psycopg.connect(url, autocommit=True) as plain:
            calls = {
                "a proof": lambda: ledger.prove(choice.randrange(SIZE)),
                "an entry, proven": lambda: ledger.read(choice.randrange(SIZE)),
                "SELECT 1": lambda: plain.execute("SELECT 1").fetchone(),
            }
            for number in range(1, ROUNDS + 1):
                for what, call in calls.items():
                    waits, caller, served = asked(server, call)
                    p50, p99 = statistics.median(waits), waits[int(EACH * 0.99)]
                    load = f"{os.getloadavg()[0]:.1f}"
                    row(str(number), what, f"{p50:.2f} ms", f"{p99:.2f} ms", f"{caller:.2f}", f"{served:.2f}", load)


if __name__ == "__main__":
    main()
