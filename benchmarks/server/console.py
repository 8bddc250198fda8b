"""What the pages of the console cost on 10,000 versions and 100,000 entries: CPU milliseconds, the test client included.

./dev bench server console [--small]
"""

# ruff: noqa: E402 - the fixtures of the tests are beside the package, not in it
import statistics
import sys
import tempfile
import time
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
from stannary.server.console.routes import pages
from stannary.server.site import Site

VERSIONS, OTHERS = (1_000, 9_000) if "--small" in sys.argv else (10_000, 90_000)
PAGES = (
    ("viewer", "/models"),
    ("viewer", "/models?prefix=m05"),
    ("viewer", "/models/default/big/versions"),
    ("viewer", "/models/default/big/versions/1"),
    ("viewer", "/models/default/big/versions/1/gate"),
    ("auditor", "/ledger"),
    ("auditor", "/ledger?kind=used"),
    ("auditor", "/ledger/5000"),
)


def event(index, version):
    """Return the registration of one version more: every other one of one model, the rest of a model each."""
    name, number = ("big", index // 2 + 2) if index % 2 else (f"m{index:05}", 1)
    return Registered(
        actor="ann",
        name=parse_model(name),
        kind="model",
        number=number,
        digest=f"sha256:{index + 1:064x}",
        manifest=version.manifest,
        size=version.size,
        files=version.files,
    )


def main():
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        registry = bench.open()
        version = bench.push(b"x", "big")
        bench.say(version)
        for start in range(0, VERSIONS, 1000):
            with registry.writing() as connection:
                registry.commit(connection, [event(index, version) for index in range(start, start + 1000)])
        for start in range(0, OTHERS, 3000):
            now = bench.clock()
            registry.chain.ledger.append([entry("access", {"n": start + n}, time=now, kind="used") for n in range(3000)])
        site = Site(registry, SimulatedGuard(), version="bench", rate=(0.0, 0))
        app = build(site, pages(site, SimulatedSessions()))
        print(f"{VERSIONS:,} versions, {registry.chain.ledger.head().size:,} entries\n\n| page | median | first |\n|---|---|---|")
        for role, path in PAGES:
            browser = Browser(app, base_url="http://127.0.0.1", cookies={"stannary": role}, raise_server_exceptions=True)
            took = []
            for _ in range(12):
                started = time.process_time()
                assert browser.get(path).status_code == 200, path
                took.append((time.process_time() - started) * 1000)
            print(f"| `{path}` | {statistics.median(took[1:]):.1f} | {took[0]:.0f} |")
        bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
