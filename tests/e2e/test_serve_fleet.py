"""Two processes that answer over PostgreSQL and a bucket, while processes are killed, the database restarts and the bucket fails.

What is acknowledged is there afterwards, each move of an alias with the decision that allowed it before it; what is not is there
whole or not at all; nobody sees anything in between.
"""

import collections
import contextlib
import gc
import json
import logging
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.e2e.attacking import prepared
from tests.e2e.test_serve import Served
from tests.e2e.test_serve_workers import WORKERS, children, is_running, metric, until
from tests.unit.store.test_blobs_s3 import Proxy, server

from stannary.app import open_registry
from stannary.core.errors import BackendError, StannaryError
from stannary.core.evidence import Resource
from stannary.core.model import Digest
from stannary.evidence.workspace import Workspace
from stannary.policy.model import Policy, Requirement
from stannary.registry import events, promotion, queries
from stannary.registry.client import Client
from stannary.registry.names import Reference, parse_model
from stannary.registry.retention import sweep

__all__ = ["server"]  # a fixture: moto's server behind a proxy that fails when it is told to
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
NAMES = tuple(parse_model(name) for name in ("one", "team/two"))
ALIAS = "production"
REVIEWED = Policy(name="reviewed", require=(Requirement(kind="statement", check="approval", approvals=1),))


@contextlib.contextmanager
def opened(folder):
    registry = open_registry(Workspace(folder / ".stannary", passphrase=lambda: None))
    try:
        yield registry
    finally:
        registry.close()
        registry.chain.ledger.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory, server, postgres_server):
    """Return a workspace in a database of its own and a bucket, and the tokens of its accounts."""
    Proxy.plan, Proxy.seen = {}, []
    folder = tmp_path_factory.mktemp("fleet")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's server: a line for each request
    with pytest.MonkeyPatch.context() as patch, postgres_server.database() as url:
        for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "ENDPOINT_URL_S3": server}.items():
            patch.setenv(f"AWS_{name}", value)
        tokens = prepared(folder, ("viewer", "contributor", "releaser"), database=url, contents="s3://faults/fleet")
        with opened(folder) as registry:
            for name in NAMES:
                promotion.protect(registry, name, ALIAS, REVIEWED)
        yield folder, tokens


@pytest.fixture
def served(place):
    Proxy.plan, Proxy.seen = {}, []
    found = Served(place[0], "--rate", "0", *WORKERS)
    # Both have opened the workspace: one that has not is started again until it can.
    until(lambda: found.log.read_text().count("Started server process") == 2)
    yield found
    found.end(signal.SIGKILL)


class Load:
    """Two who push, one who moves aliases, one who reads, and one beside the server who approves: until they are told to stop."""

    def __init__(self, place, served, folder):
        self.folder, self.tokens = place
        self.served, self.work = served, folder
        self.stop = threading.Event()
        self.pushed, self.moves, self.denied, self.reads, self.failed = [], [], 0, 0, collections.Counter()
        self.wrong = []
        tasks = (partial(self.push, 0), partial(self.push, 1), self.move, self.read, self.approve)
        self.threads = [threading.Thread(target=self.guarded, args=(task,)) for task in tasks]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(150)
        assert not [thread for thread in self.threads if thread.is_alive()]
        # An opening that the database broke off leaves a connection to the collector: here, and not in another test's time.
        gc.collect()

    def client(self, role):
        return Client(f"http://127.0.0.1:{self.served.port}", self.tokens[role])

    def guarded(self, task):
        """Go on until told to stop. What a service that is away says is counted; anything else is wrong."""
        while not self.stop.is_set():
            try:
                task()
            except BackendError as error:
                self.failed[error.code] += 1
                time.sleep(0.05)
            except StannaryError as error:
                # Nothing was pushed yet, or nothing else was in service before.
                if "there is no such" not in error.message and "at no other version" not in error.message:
                    self.wrong.append(repr(error))
                time.sleep(0.05)

    def push(self, number):
        file = self.work / f"weights-{number}.bin"
        file.write_bytes(os.urandom(random.choice((10, 5000, 300_000))))
        name = random.choice(NAMES)
        self.pushed.append((name, self.client("contributor").push(file, name).digest))

    def move(self):
        name, client = random.choice(NAMES), self.client("releaser")
        listed = client.listed(name)
        number = random.choice(listed.versions[:5]).number
        found = client.rollback(name, ALIAS) if random.random() < 0.3 else client.promote(name, number, ALIAS)
        if found["moved"]:
            self.moves.append((name, found["number"], found["evidence"]))
        else:
            self.denied += 1

    def read(self):
        """Whatever an alias is at, is a version, whole."""
        client = self.client("viewer")
        for name in NAMES:
            version, files = client.show(Reference(name, alias=ALIAS))
            assert version.digest
            assert files
            self.reads += 1
        time.sleep(0.02)

    def approve(self):
        with opened(self.folder) as registry:
            for name, digest in list(self.pushed)[-4:]:
                if int(digest[-1], 16) % 3:
                    said = {
                        "topic": "approval", "statement": "looked at", "author": "me", "decision": "approve",
                        "finishedOn": registry.chain.workspace.clock().isoformat(),
                    }  # fmt: skip
                    resource = Resource(name=str(name), digest={"sha256": Digest.parse(digest).hex})
                    registry.chain.state(resource, "statement", said)
        time.sleep(0.1)


def held_against(load, folder):
    """Hold the workspace, opened anew, against what was acknowledged, and against itself."""
    assert load.wrong == []
    with opened(folder) as registry:
        moved, last, previous = {}, {}, None
        for row in registry.chain.ledger.entries(0):
            event = events.read(row) if row.type == events.TYPE else None
            if isinstance(event, events.Moved):
                assert (previous.id, previous.subject, previous.kind) == (event.decision, event.digest, "vsa")
                moved[event.decision] = (event.name, event.number)
                last[event.name] = event.number
            previous = row
        assert {decision: (name, number) for name, number, decision in load.moves}.items() <= moved.items()
        used, kept = set(), set()
        with registry.reading() as connection:
            for name in (*NAMES, parse_model("claims")):
                versions = queries.versions(connection, name)
                assert [row.number for row in versions] == list(range(len(versions), 0, -1))
                kept |= {(name, row.digest) for row in versions}
                placed = {row.alias: row.number for row in queries.aliases(connection, name)}
                assert placed.get(ALIAS) == last.get(name)
                for version in versions:
                    for file in registry.manifest(version).files:  # a store verifies what it reads
                        content = b"".join(registry.contents(name.namespace).read(Digest(file.sha256)))
                        assert len(content) == file.size
                        used.add(Digest(file.sha256))
        assert set(load.pushed) <= kept
        sweep(registry, grace=timedelta(seconds=-1))
        assert {digest for digest, _, _ in registry.contents("default").digests()} == used
        assert registry.chain.ledger.audit(deep=True).ok
    answered = [json.loads(line) for line in load.served.log.read_text().splitlines() if line.startswith("{")]
    wrong = [row for row in answered if row.get("status") == 500 or "BUG" in row.get("message", "")]
    told = [
        row.get("exception", "")[-1500:] for row in answered if any(item["request"] in row.get("message", "") for item in wrong)
    ]
    assert wrong == [], told


def goes_on(load, seconds=120):
    """Wait until each kind of work was acknowledged again."""
    before = len(load.pushed), len(load.moves) + load.denied, load.reads
    until(lambda: len(load.pushed) > before[0] and len(load.moves) + load.denied > before[1], seconds)
    return until(lambda: load.reads > before[2], seconds)


def state_of(pid):
    """Return the letter of a process's state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_killed_processes_lose_nothing_that_was_acknowledged(place, served, tmp_path):
    with Load(place, served, tmp_path) as load:
        until(lambda: load.pushed and load.moves and load.reads)
        for round_ in range(4):
            time.sleep(random.uniform(0, 0.5))
            victim = children(served.process)[round_ % 2]
            os.kill(victim, signal.SIGKILL)
            until(lambda victim=victim: victim not in children(served.process) and len(children(served.process)) == 2)
            goes_on(load)
        assert metric(served, "stannary_worker_restarts_total") == 4
        until(lambda: load.denied)  # a third of the versions is never approved
    assert served.end() == 0
    held_against(load, place[0])


def test_all_of_it_killed_at_once_is_whole_when_it_starts_again(place, served, tmp_path):
    with Load(place, served, tmp_path) as load:
        until(lambda: load.pushed and load.moves)
        inside = children(served.process)
        served.end(signal.SIGKILL)
        until(lambda: not [pid for pid in inside if is_running(pid)])
    held_against(load, place[0])
    again = Served(place[0], "--rate", "0", *WORKERS)
    try:
        with Load(place, again, tmp_path) as more:
            goes_on(more)
        assert again.end() == 0
    finally:
        again.end(signal.SIGKILL)
    held_against(more, place[0])


def test_a_database_that_restarts_is_a_clear_error_and_then_it_goes_on(place, served, postgres_server, tmp_path):
    """In turn an orderly restart, and one after a crash."""
    with Load(place, served, tmp_path) as load:
        until(lambda: load.pushed and load.moves and load.reads)
        for how in (signal.SIGINT, signal.SIGQUIT):
            postgres_server.stop(how)
            status, said = served.ask("GET", "/api/v1/models/default/one/versions", place[1]["viewer"])
            told = json.loads(said)
            assert (status, told["code"]) == (503, "DBS001"), told
            assert "PostgreSQL" in told["help"]
            status, said = served.ask("GET", "/readyz")
            assert (status, json.loads(said)["tables"]) == (503, "BackendError")
            until(lambda: load.failed)
            postgres_server.start()
            goes_on(load)
            assert served.ask("GET", "/readyz")[0] == 200
        assert metric(served, "stannary_worker_restarts_total") == 0
    assert served.end() == 0
    held_against(load, place[0])


def test_a_database_that_hangs_keeps_nothing_else_waiting(place, served, postgres_server, tmp_path):
    """It neither answers nor breaks off: what asks it waits, what does not is answered, and then all goes on."""
    alias = f"/api/v1/models/default/one/aliases/{ALIAS}"
    with Load(place, served, tmp_path) as load:
        until(lambda: load.pushed and load.moves and load.reads)
        main = postgres_server.pid
        os.kill(main, signal.SIGSTOP)  # first, so that it starts no other
        until(lambda: state_of(main) == "T")
        every = [main, *map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())]
        for pid in every[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        with ThreadPoolExecutor(6) as waiting:
            try:
                resolved = []
                for _ in range(6):  # one after the other: whoever is held up takes no other
                    resolved.append(waiting.submit(served.ask, "GET", alias, place[1]["viewer"]))
                    time.sleep(0.1)
                for _ in range(8):
                    began = time.monotonic()
                    assert served.ask("GET", "/healthz")[0] == 200
                    assert time.monotonic() - began < 20  # the database hangs for as long as this takes
                assert not any(found.done() for found in resolved)
            finally:
                for pid in every:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)
            assert {found.result()[0] for found in resolved} == {200}
        goes_on(load)
        assert metric(served, "stannary_worker_restarts_total") == 0
    assert served.end() == 0
    held_against(load, place[0])


def test_a_bucket_that_fails_stalls_and_comes_back_costs_a_wait(place, served, tmp_path):
    with Load(place, served, tmp_path) as load:
        until(lambda: load.pushed and load.moves and load.reads)
        for what in ("500", "after", "cut"):
            Proxy.plan = {(method, what): 3 for method in ("HEAD", "PUT", "GET")}
            goes_on(load)
        Proxy.plan = {("PUT", "500"): 10_000, ("HEAD", "stall"): 4}
        reads, began = load.reads, time.monotonic()
        until(lambda: load.reads > reads + 6)  # what needs no contents is answered meanwhile
        assert time.monotonic() - began < 20
        Proxy.plan = {}
        goes_on(load)
        Proxy.plan = {("HEAD", "403"): 10_000, ("PUT", "403"): 10_000}
        client = load.client("contributor")
        (tmp_path / "refused.bin").write_bytes(b"refused")
        with pytest.raises(BackendError, match="refuses") as refused:
            client.push(tmp_path / "refused.bin", NAMES[0])
        assert refused.value.code == "BLB006"
        Proxy.plan = {}
        goes_on(load)
    assert served.end() == 0
    held_against(load, place[0])
