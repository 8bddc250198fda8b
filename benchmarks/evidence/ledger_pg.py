"""The ledger on PostgreSQL beside a plain table in the same server: appends, proofs, complete searches, killed writers.

    ./dev bench evidence ledger_pg [--small]

The peer is what a program without a ledger does: INSERT into one table with an index on the subject, on one connection, in a
transaction that is durable (synchronous_commit=on, fsync=on), no hash, no tree, no signature. Both run in turn, on the same
server and disk. Wall time is what a caller waits; CPU seconds (user and system) are the caller's and the server's together.
The server is the one of the tests, started for this, on a Unix socket.
"""

import hashlib
import itertools
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from stannary.crypto.keys import generate
from stannary.evidence.ledger import Ledger, entry
from stannary.testing.ledger_crash import append_together, crash_rounds
from stannary.testing.postgres import PostgresServer

SMALL = "--small" in sys.argv
SINGLE, BATCHES, BATCH = (300, 20, 500) if SMALL else (2000, 100, 500)
SIZE, KILLS = (100_000, 20) if SMALL else (1_000_000, 100)
SETTINGS = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB", "max_wal_size": "4GB"}
KEY = generate("ed25519")
TICKS = os.sysconf("SC_CLK_TCK")


def subject_of(n):
    return f"sha256:{hashlib.sha256(b'%d' % (n % 5000)).hexdigest()}"


def record(n, size=1100):
    body = {"payloadHash": f"{n:064x}", "text": "x" * size}
    return entry("evidence", body, time=datetime.now(UTC), subject=subject_of(n), kind="model-scan")


class Plain:
    """A table and nothing else."""

    def __init__(self, url):
        self.connection = psycopg.connect(url)
        self.connection.execute("CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, subject text, body bytea)")
        self.connection.execute("CREATE INDEX log_subject ON log (subject)")
        self.connection.commit()
        self.count = 0

    def append(self, records):
        """Insert in one transaction: all rows in one go, as psycopg sends them best."""
        rows = [(subject_of(self.count + i), item) for i, item in enumerate(records)]
        with self.connection.cursor() as cursor:
            cursor.executemany("INSERT INTO log (subject, body) VALUES (%s, %s)", rows)
        self.connection.commit()
        self.count += len(records)


def server_cpu(server):
    """Return the CPU seconds of the server and of what it started, ended or not."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat.parent.name) == server.pid:
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == server.pid:
            total += sum(map(int, fields[11:13]))
    return total / TICKS


class Cost:
    """(wall, CPU of the caller, CPU of the server) of what is measured with it."""

    def __init__(self, server):
        self.server, self.wall, self.caller, self.served = server, 0.0, 0.0, 0.0

    def of(self, call):
        """Do it, and add what it cost."""
        before = time.process_time(), server_cpu(self.server), time.perf_counter()
        found = call()
        self.wall += time.perf_counter() - before[2]
        self.caller += time.process_time() - before[0]
        self.served += server_cpu(self.server) - before[1]
        return found

    @property
    def cpu(self):
        """Return the CPU seconds of both."""
        return self.caller + self.served


def row(*cells):
    print(f"| {' | '.join(cells)} |", flush=True)


def rates(what, who, count, cost):
    row(
        what,
        who,
        f"{count / cost.wall:,.0f}/s",
        f"{count / cost.cpu:,.0f} per CPU s ({cost.served / cost.cpu:.0%} of it the server's)",
    )


def paired(server, name, rounds, size, ours, plain):
    spent = {"stannary": Cost(server), "plain table": Cost(server)}
    for first in range(0, rounds, 20):  # the server's CPU is counted in hundredths of a second: several at once
        batches = [[record((first + n) * size + i) for i in range(size)] for n in range(min(20, rounds - first))]
        order = (("stannary", ours), ("plain table", plain))
        for label, log in order if first // 20 % 2 else order[::-1]:
            spent[label].of(lambda log=log, batches=batches: [log.append(batch) for batch in batches])
    for label, cost in spent.items():
        rates(name, label, rounds * size, cost)
    a, b = spent.values()
    row(name, "ratio", f"{a.wall / b.wall:.1f} x the time of the table", f"{a.cpu / b.cpu:.1f} x the CPU of the table")


def threads(server, ours, count, each):
    def run():
        def work(number):
            for n in range(each):
                ours.append([record(number * each + n)])

        workers = [threading.Thread(target=work, args=(number,)) for number in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    cost = Cost(server)
    cost.of(run)
    rates(f"one at a time by each of {count} threads", "stannary", count * each, cost)


def opened(address, head, key=None):
    return Ledger.open(address, key, origin="example.com/bench", verifier=KEY.public, head=head)


def large(server, address, head, who):
    """Fill a log, prove from it, and search it as one process after the other does."""
    with opened(address, head, KEY) as ledger:
        cost = Cost(server)

        def fill():
            for start in range(0, SIZE, 4000):
                ledger.append([record(n, 150) for n in range(start, min(SIZE, start + 4000))])

        cost.of(fill)
        rates("filling it: records of 0.5 kB made and appended", who, SIZE, cost)
    searches(server, address, head, who)
    with opened(address, head) as ledger:
        choice = random.Random(6962)
        waits = []
        for _ in range(3000):
            started = time.perf_counter()
            ledger.prove(choice.randrange(SIZE))
            waits.append((time.perf_counter() - started) * 1000)
        waits.sort()
        row(
            f"inclusion proof at {SIZE:,} entries, random",
            who,
            f"p50 {statistics.median(waits):.2f} ms, p99 {waits[2970]:.2f} ms",
            "",
        )
        cost = Cost(server)
        report = cost.of(ledger.audit)
        assert report.ok, report.deviations
        rates("audit, with the signed census and the back end's own checks", who, SIZE, cost)


def searches(server, address, head, who):
    subject = subject_of(7)
    for what, key in (
        ("complete search, first time: reads the whole log, and signs what it found", KEY),
        ("the same in the next process", None),
    ):
        with opened(address, head, key) as ledger:
            for again in ("", ", again"):
                cost = Cost(server)
                found = cost.of(lambda ledger=ledger: ledger.find(subject=subject, complete=True))
                assert len(found) == SIZE // 5000
                row(what + again, who, f"{cost.wall * 1000:,.1f} ms", f"{cost.cpu * 1000:,.0f} CPU ms")


def crashes(server, folder):
    how = itertools.cycle((signal.SIGINT, signal.SIGQUIT))
    with server.database() as url:
        folder.mkdir()
        outcome = crash_rounds(folder, KILLS, seed=1, url=url, disturb=lambda: server.restart(next(how)))
    lost, forks, wrong = len(outcome.lost), outcome.forks, len(outcome.deviations)
    seen = (
        f"{outcome.acknowledged:,} entries acknowledged: {lost} lost, {outcome.doubled} doubled, {forks} forks, {wrong} deviations"
    )
    what = f"kill -9 in {outcome.killed} of {outcome.rounds} rounds, the server restarted in {outcome.disturbed}"
    row(what, "stannary", seen, f"{outcome.resumed} batches after a restart")
    bad = lost or outcome.doubled or forks or wrong
    with server.database() as url:
        (folder / "together").mkdir()
        together = append_together(folder / "together", writers=4, each=20, url=url)
    row(
        "four processes at once",
        "stannary",
        f"{together.acknowledged:,} acknowledged, {together.entries:,} there, {len(together.lost)} lost",
        "",
    )
    if bad or together.lost or together.forks or together.deviations:
        sys.exit(1)


def main():
    print("| what | who | a caller sees | CPU |\n|---|---|---|---|")
    with PostgresServer(SETTINGS) as server, tempfile.TemporaryDirectory(dir=os.environ.get("STANNARY_BENCH_DIR")) as name:
        folder = Path(name)
        with server.database() as url, server.database() as other, opened(url, folder / "ours.head", KEY) as ours:
            plain = Plain(other)
            paired(server, "one at a time, durable", SINGLE, 1, ours, plain)
            threads(server, ours, 8, SINGLE // 8)
            paired(server, f"batches of {BATCH}, durable", BATCHES, BATCH, ours, plain)
            plain.connection.close()
        with server.database() as url:
            large(server, url, folder / "pg.head", "PostgreSQL")
        large(server, folder / "ledger.db", folder / "ledger.db.head", "SQLite")
        crashes(server, folder / "crash")


if __name__ == "__main__":
    main()
