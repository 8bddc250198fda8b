"""The ledger beside a plain table: appends, proofs, the audit, and writers that are killed.

    ./dev bench evidence ledger [--small | --audits]

The peer is what a program without a ledger does: INSERT into one SQLite table with an index on the subject,
the same journal (WAL, synchronous=FULL), no hash, no tree, no signature. Both run in turn, in one process, on
the same disk; wall time is what a caller waits, CPU seconds (user and system) are what a shared machine is
compared by. Records are 1.5 kB: an envelope. --audits: three rounds of audits of a log of 200,000 entries, and nothing else.
"""

import hashlib
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from stannary.crypto.keys import generate
from stannary.evidence.ledger import Ledger, entry, verify
from stannary.store.ledger_db import SqliteStore
from stannary.testing.ledger_crash import crash_rounds

SMALL = "--small" in sys.argv
SINGLE, BATCHES, BATCH = (300, 20, 500) if SMALL else (2000, 100, 500)
AUDITS = "--audits" in sys.argv
PROOFS, KILLS = (200_000, 0) if AUDITS else (100_000, 20) if SMALL else (1_000_000, 200)
KEY = generate("ed25519")


def record(n, size=1100):
    subject = f"sha256:{hashlib.sha256(b'%d' % (n % 5000)).hexdigest()}"
    body = {"payloadHash": f"{n:064x}", "text": "x" * size}
    return entry("evidence", body, time=datetime.now(UTC), subject=subject, kind="model-scan")


class Plain:
    """A table and nothing else."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, subject TEXT, body BLOB)")
        self.connection.execute("CREATE INDEX log_subject ON log (subject)")
        self.count = 0

    def append(self, records):
        """Insert in one transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        rows = [(f"sha256:{hashlib.sha256(b'%d' % ((self.count + i) % 5000)).hexdigest()}", item) for i, item in enumerate(records)]
        self.connection.executemany("INSERT INTO log (subject, body) VALUES (?, ?)", rows)
        self.connection.execute("COMMIT")
        self.count += len(records)


def cost(call):
    """Return (wall, CPU) seconds of a call."""
    before, started = time.process_time(), time.perf_counter()
    call()
    return time.perf_counter() - started, time.process_time() - before


def row(what, who, seen, used, floor=""):
    print(f"| {what} | {who} | {seen} | {used} | {floor} |", flush=True)


def rates(what, who, count, spent, floor=""):
    row(what, who, f"{count / spent[0]:,.0f}/s", f"{count / spent[1]:,.0f} per CPU s", floor)


def paired(name, rounds, size, ours, plain, floor):
    """Append the same records to both, in turn, and print what each did a second."""
    spent = {"stannary": [0.0, 0.0], "plain table": [0.0, 0.0]}
    for n in range(rounds):
        records = [record(n * size + i) for i in range(size)]
        for label, log in (("stannary", ours), ("plain table", plain)) if n % 2 else (("plain table", plain), ("stannary", ours)):
            wall, cpu = cost(lambda log=log, records=records: log.append(records))
            spent[label][0] += wall
            spent[label][1] += cpu
    rates(name, "stannary", rounds * size, spent["stannary"], floor)
    rates(name, "plain table", rounds * size, spent["plain table"])
    (wall, cpu), (plain_wall, plain_cpu) = spent["stannary"], spent["plain table"]
    row(name, "ratio", f"{wall / plain_wall:.1f} x the time of the table", f"{cpu / plain_cpu:.1f} x the CPU of the table")


def threads(ours, count, each):
    def work(number):
        for n in range(each):
            ours.append([record(number * each + n)])

    def run():
        workers = [threading.Thread(target=work, args=(number,)) for number in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    rates(f"one at a time by each of {count} threads", "stannary", count * each, cost(run))


def opened(path, key=None):
    return Ledger.open(path, key, origin="example.com/bench", verifier=KEY.public)


def fill(path):
    with opened(path, KEY) as ledger:

        def run():
            for start in range(0, PROOFS, 4000):
                ledger.append([record(n, 150) for n in range(start, min(PROOFS, start + 4000))])

        rates("filling it: records of 0.5 kB made and appended", "stannary", PROOFS, cost(run))


def proofs(ledger):
    choice = random.Random(6962)
    indexes = [choice.randrange(PROOFS) for _ in range(5000)]
    spent = [cost(lambda index=index: ledger.prove(index)) for index in indexes]
    waits, used = (sorted(item[i] * 1000 for item in spent) for i in (0, 1))
    seen = f"p50 {statistics.median(waits):.2f} ms, p99 {waits[len(waits) * 99 // 100]:.2f} ms"
    cpu = f"p50 {statistics.median(used):.2f} ms, p99 {used[len(used) * 99 // 100]:.2f} ms"
    row(f"inclusion proof at {PROOFS:,} entries, random", "stannary", seen, cpu, "p99 5 ms")
    receipts = [(ledger.read(index).record, ledger.prove(index)) for index in indexes[:500]]
    spent = cost(lambda: [verify(item, receipt, ledger.key) for item, receipt in receipts])
    rates("verifying one offline, checkpoint signature included", "stannary", 500, spent)


def searches(ledger):
    subject = ledger.read(7).subject
    for what, complete in (
        (f"the {PROOFS // 5000} entries of a subject, each proven", False),
        ("the same, and none left out: reads the whole log once", True),
        ("the same again", True),
    ):
        wall, cpu = cost(lambda complete=complete: ledger.find(subject=subject, complete=complete))
        row(what, "stannary", f"{wall * 1000:,.1f} ms", f"{cpu * 1000:,.1f} CPU ms")


def audits(ledger, path):
    reports = []
    for what, deep in (
        ("audit: every record, node and column, the signed census, the pages", False),
        ("audit --deep: each row looked for in each index besides", True),
    ):
        spent = cost(lambda deep=deep: reports.append(ledger.audit(deep=deep)))
        assert reports[-1].ok, reports[-1].deviations
        rates(what, "stannary", PROOFS, spent, "" if deep else "200,000/s")
    rates("SQLite's check of its pages, in the first of them", "stannary", PROOFS, cost(SqliteStore(path).problems))
    plain = sqlite3.connect(path)

    def hash_only():
        for (content,) in plain.execute("SELECT record FROM entry"):
            hashlib.sha256(b"\0" + content).digest()

    rates("reading and hashing the records alone", "plain loop", PROOFS, cost(hash_only))
    plain.close()


def large(path):
    """Fill a log, then prove, verify, search and audit it."""
    fill(path)
    found = []
    wall, cpu = cost(lambda: found.append(opened(path)))
    row("opening it: head, tree edge, remembered head", "stannary", f"{wall * 1000:.1f} ms", f"{cpu * 1000:.1f} CPU ms")
    with found[0] as ledger:
        proofs(ledger)
        searches(ledger)
        audits(ledger, path)


def crashes(folder):
    folder.mkdir()
    outcome = crash_rounds(folder, KILLS, seed=1)
    lost, forks, wrong = len(outcome.lost), outcome.forks, len(outcome.deviations)
    seen = f"{outcome.acknowledged:,} entries acknowledged: {lost} lost, {forks} forks, {wrong} deviations"
    row(f"kill -9 during appends: {outcome.killed} of {outcome.rounds} rounds", "stannary", seen, "", "0 lost")
    if lost or forks or wrong:
        sys.exit(1)


def main():
    print("| what | who | a caller sees | CPU | floor |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="stannary-bench-", dir=os.environ.get("STANNARY_BENCH_DIR")) as name:
        folder = Path(name)
        if AUDITS:
            fill(folder / "ledger.db")
            with opened(folder / "ledger.db") as ledger:
                for _ in range(3):
                    audits(ledger, folder / "ledger.db")
            return
        plain = Plain(folder / "plain.db")
        with opened(folder / "ours.db", KEY) as ours:
            paired("one at a time, durable", SINGLE, 1, ours, plain, "1,000/s")
            threads(ours, 8, SINGLE // 8)
            paired(f"batches of {BATCH}, durable", BATCHES, BATCH, ours, plain, "15,000/s")
        large(folder / "large.db")
        crashes(folder / "crash")


if __name__ == "__main__":
    main()
