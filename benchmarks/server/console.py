"""What the pages of the console cost on 10,000 versions, a million entries and 10,000 jobs: CPU milliseconds, the client included.

./dev bench server console [--small] [--cold]

Before the first page the process reads its templates and what the ledger can be searched by beside, as `stannary serve` does; with
--cold the first page has to. At last another process does, which finds what the first one has signed.
"""

# ruff: noqa: E402 - the fixtures of the tests are beside the package, not in it
import hashlib
import statistics
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.unit.registry.conftest import Bench
from tests.unit.server.conftest import SimulatedGuard
from tests.unit.server.console_bench import Browser, SimulatedSessions

from stannary.evidence.ledger import entry
from stannary.registry.events import Registered
from stannary.registry.names import parse_model
from stannary.server.app import build
from stannary.server.console.render import read_templates
from stannary.server.console.routes import pages
from stannary.server.site import Site
from stannary.store.job_table import JobTable, NewJob

VERSIONS, OTHERS, JOBS = (1_000, 9_000, 1_000) if "--small" in sys.argv else (10_000, 990_000, 10_000)
DAYS = 40  # over which the entries and the jobs are spread
KINDS = ("used", "denied", "login", "token", "grant", "session", "account", "group", "federation")
PAGES = (
    ("viewer", "/models"),
    ("viewer", "/models?prefix=m05"),
    ("viewer", "/models/default/big/versions"),
    ("viewer", "/models/default/big/versions/1"),
    ("viewer", "/models/default/big/versions/1/gate"),
    ("auditor", "/ledger"),
    ("auditor", "/ledger?kind=used"),
    ("auditor", "/ledger?since=2020-01-01"),
    ("auditor", "/ledger/5000"),
    ("contributor", "/jobs"),
    ("contributor", "/jobs?state=done"),
    ("admin", "/namespaces"),
    ("admin", "/namespaces/default/shred"),
)


def event(index, version):
    """Return the registration of one version more: every other one of one model, the rest of a model each."""
    name, number = ("big", index // 2 + 2) if index % 2 else (f"m{index:05}", 1)
    return Registered(
        actor="ann",
        name=parse_model(name),
        kind="model",
        number=number,
        digest=f"sha256:{hashlib.sha256(str(index).encode()).hexdigest()}",
        manifest=version.manifest,
        size=version.size,
        files=version.files,
    )


def fill_jobs(bench):
    """Queue jobs about many models, most of which are done."""
    table = JobTable(bench.opened[0].database, bench.clock)
    for start in range(0, JOBS, 250):
        bench.offset = timedelta(days=DAYS * start / JOBS - DAYS)
        table.add_all(
            [
                NewJob(
                    key=f"sha256:{start + n:064x}",
                    kind="scan",
                    inputs=("sha256:0",),
                    params={},
                    model=f"m{start + n:05}",
                    actor="ann",
                )
                for n in range(250)
            ]
        )
        keys = [item.key for item in table.claim("worker", 230, 60)]
        table.deliver("worker", [(key, b"x" * 2000) for key in keys])
        table.settle("worker", lambda values: [["sha256:0"] for _ in values])
    bench.offset = timedelta()


def warm(registry, what):
    """Do what a server does beside, once it is there; print the CPU seconds."""
    started = time.process_time()
    read_templates(threading.Event())
    then = time.process_time()
    registry.warm(threading.Event())
    print(f"{what}: {time.process_time() - then:.2f} CPU s; templates {then - started:.2f}\n")


def main():
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.offset = timedelta(days=-DAYS)
        registry = bench.open()
        version = bench.push(b"x", "big")
        bench.say(version)
        for start in range(0, VERSIONS, 1000):
            with registry.writing() as connection:
                registry.commit(connection, [event(index, version) for index in range(start, start + 1000)])
        for start in range(0, OTHERS, 3000):
            bench.offset = timedelta(days=DAYS * start / OTHERS - DAYS)
            now = bench.clock()
            rows = [entry("access", {"n": start + n}, time=now, kind=KINDS[n * n % len(KINDS)]) for n in range(3000)]
            registry.chain.ledger.append(rows)
        bench.offset = timedelta()
        fill_jobs(bench)
        site = Site(registry, SimulatedGuard(), version="bench", rate=(0.0, 0))
        app = build(site, pages(site, SimulatedSessions()))
        size = registry.chain.ledger.head().size
        print(f"{VERSIONS:,} versions, {size:,} entries, {JOBS:,} jobs\n")
        if "--cold" not in sys.argv:
            warm(registry, "read beside by a process of a log that none has read")
        print("| page | median | first |\n|---|---|---|")
        for role, path in PAGES:
            browser = Browser(app, base_url="http://127.0.0.1", cookies={"stannary": role}, raise_server_exceptions=True)
            took = []
            for _ in range(12):
                started = time.process_time()
                assert browser.get(path).status_code == 200, path
                took.append((time.process_time() - started) * 1000)
            print(f"| `{path}` | {statistics.median(took[1:]):.1f} | {took[0]:.0f} |")
        print()
        warm(bench.open(), "read beside by the next process")
        bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
