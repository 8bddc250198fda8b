"""The registry beside MLflow's on SQLite: creating a version, moving an alias, resolving it, rolling back, the first answer.

    ./dev bench registry mlflow [--small]

Both are asked in turn, in the same run, as a library in one process with one client; MLflow (mlflow-skinny, with the
SQLAlchemy and alembic it asks for) is in an environment of its own, `.venv-peers/mlflow`, of requirements/mlflow.txt.
Ours decides by a policy with an approval, signs the decision, appends it with the move to a signed log, durably, and
answers with a version that was held against that log; MLflow writes a row. What MLflow has no word for has no figure
of its: to roll back there is to set the alias again. Clock times are medians; CPU seconds are user and system.
"""

import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stannary.app import open_registry
from stannary.core.evidence import Resource
from stannary.core.model import Artifact, Digest, File
from stannary.evidence.workspace import Workspace
from stannary.formats.tree import dir_hash
from stannary.policy.model import Policy, Requirement
from stannary.registry import promotion
from stannary.registry.manifest import encode
from stannary.registry.names import Name, Reference
from stannary.registry.trusted import Trusted

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / ".venv-peers" / "mlflow"
LOCK = ROOT / "requirements" / "mlflow.txt"
VERSION = next(line.split()[0] for line in LOCK.read_text().splitlines() if line.startswith("mlflow-skinny=="))
SMALL = "--small" in sys.argv
ROUNDS, EACH = (3, 10) if SMALL else (7, 30)
NAME = Name("default", "claims")
APPROVED = Policy(name="approved", require=(Requirement(kind="statement", check="approval", approvals=1),))
FLOORS = {"create": 10, "alias": 10, "resolve": 5, "resolve again": 5}
WHAT = {
    "create": "create a version (contents are there)",
    "push": "push: contents of 100 kB stored durably, and a version created",
    "alias": "move an alias: gated, signed, logged",
    "rollback": "roll back: the last version that satisfies the policy now",
    "resolve": "resolve an alias, after a change",
    "resolve again": "resolve an alias, nothing has changed",
    "first": "a new process, to its first answer",
}

STORE = """
import sys, time, json, resource
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
store = SqlAlchemyStore("sqlite:///" + sys.argv[1])
"""
SERVER = (
    STORE
    + """
def cpu():
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime
store.create_registered_model("claims")
count = 0
print("ready", flush=True)
for line in sys.stdin:
    what, times = line.split()
    walls, before = [], cpu()
    for _ in range(int(times)):
        started = time.perf_counter()
        if what == "create":
            store.create_model_version("claims", "/models/claims")
            count += 1
        elif what == "alias":
            store.set_registered_model_alias("claims", "production", str(count - _ % 10))
        else:
            store.get_model_version_by_alias("claims", "production")
        walls.append(time.perf_counter() - started)
    print(json.dumps([walls, cpu() - before]), flush=True)
"""
)
FIRST = STORE + 'print(store.get_model_version_by_alias("claims", "production").version)'
OURS = """
import sys
from pathlib import Path
from stannary.app import open_registry
from stannary.evidence.workspace import Workspace
from stannary.registry.names import parse
registry = open_registry(Workspace(Path(sys.argv[1]), passphrase=lambda: None))
print(registry.resolve(parse("claims@production")).number)
"""


def cpu(who=resource.RUSAGE_SELF):
    found = resource.getrusage(who)
    return found.ru_utime + found.ru_stime


class Ours:
    """A workspace with a registry on SQLite and contents in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.registry = open_registry(Workspace.create(folder, passphrase=None))
        promotion.protect(self.registry, NAME, "production", APPROVED)
        self.count = 0
        self.manifests = []

    def prepare(self, what, times):
        """Do what is not measured: contents are stored, versions are approved, a cached answer is made old."""
        if what == "create":
            self.manifests = [self._stored(os.urandom(32)) for _ in range(times)]
        elif what == "push":
            for n in range(times):
                (self.folder / f"new{n}").write_bytes(os.urandom(100_000))

    def _stored(self, content):
        file = File(path="model.bin", size=len(content), sha256=hashlib.sha256(content).hexdigest())
        digest = dir_hash([(file.path, file.sha256)])
        self.registry.contents("default").put(Digest(file.sha256), file.size, [content])
        artifact = Artifact(kind="model", name="model.bin", digest=digest, files=(file,), size=file.size)
        return encode(artifact, single=False)[0], str(digest)

    def approve(self, digest):
        """State that a version may be promoted."""
        predicate = {"topic": "approval", "statement": "looked at", "author": "me", "decision": "approve"}
        predicate["finishedOn"] = self.registry.chain.workspace.clock().isoformat()
        found = Resource(name="claims", digest={"dirHash1": digest.removeprefix("sha256:")})
        self.registry.chain.state(found, "statement", predicate)

    def ask(self, what, times):
        """Do something so many times; return how long each took, and the CPU seconds."""
        self.prepare(what, times)
        walls, spent, made = [], 0.0, []
        for n in range(times):
            if what == "resolve":
                self.registry.trusted = Trusted(self.registry.chain.ledger)
            before, started = cpu(), time.perf_counter()
            if what == "create":
                made.append(self.registry.register(self.manifests[n][0], NAME))
            elif what == "push":
                made.append(self.registry.push(self.folder / f"new{n}", NAME))
            elif what == "alias":
                assert promotion.promote(self.registry, NAME, self.count - n % 10, "production").moved
            elif what == "rollback":
                assert promotion.rollback(self.registry, NAME, "production").moved
            else:
                self.registry.resolve(Reference(NAME, alias="production"))
            walls.append(time.perf_counter() - started)
            spent += cpu() - before
        for version in made:
            self.approve(version.digest)
            self.count = version.number
        return walls, spent


class Peer:
    """MLflow's store in a process of its own, asked by lines."""

    def __init__(self, folder):
        self.path = folder / "mlflow.db"
        self.process = subprocess.Popen(
            [str(PEER / "bin" / "python"), "-c", SERVER, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, what, times):
        """Have something done so many times; return how long each took, and the CPU seconds."""
        self.process.stdin.write(f"{what} {times}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def installed():
    """Make the peer's environment. Returns why there is none, or an empty text."""
    python = PEER / "bin" / "python"
    if python.exists():
        return ""
    subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True)
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(LOCK)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        shutil.rmtree(PEER)
        return f"not installed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1][:100]}"
    return ""


def first(command, environment):
    before, started = cpu(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - started, cpu(resource.RUSAGE_CHILDREN) - before


def measure(folder):
    ours, peer = Ours(folder / "ours"), Peer(folder)
    rows = {what: ([], [], [], []) for what in WHAT}
    order = ("create", "push", "alias", "resolve", "resolve again", "rollback")
    for _ in range(ROUNDS):
        for what in order:
            walls, spent = ours.ask(what, EACH)
            rows[what][0].extend(walls)
            rows[what][1].append(spent / EACH)
            theirs = {"push": None, "rollback": None, "resolve again": "resolve"}.get(what, what)
            if theirs:
                walls, spent = peer.ask(theirs, EACH)
                rows[what][2].extend(walls)
                rows[what][3].append(spent / EACH)
    peer.close()
    for _ in range(3):
        for at, command, environment in (
            (0, [sys.executable, "-c", OURS, str(ours.folder / ".stannary")], os.environ),
            (2, [str(PEER / "bin" / "python"), "-c", FIRST, str(peer.path)], {**os.environ, "PYTHONPATH": ""}),
        ):
            wall, spent = first(command, environment)
            rows["first"][at].append(wall)
            rows["first"][at + 1].append(spent)
    ours.registry.close()
    return rows


def milli(values):
    return f"{statistics.median(values) * 1e3:,.2f}" if values else ""


def times(theirs, ours):
    return f"{statistics.median(theirs) / statistics.median(ours):.1f} x" if theirs else ""


def main():
    why = installed()
    if why:
        print(f"MLflow: {why}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ours").mkdir()
        rows = measure(Path(folder))
    print(f"{ROUNDS} rounds of {EACH}, in turn; milliseconds, medians; {VERSION}\n")
    print("| what | clock | MLflow | ratio | CPU | MLflow | ratio | floor (clock) |\n|---|---|---|---|---|---|---|---|")
    for what, (wall, spent, their_wall, their_spent) in rows.items():
        floor = f"{FLOORS[what]} x" if what in FLOORS else {"rollback": "100 ms", "first": "1 s"}.get(what, "")
        cells = [
            milli(wall),
            milli(their_wall),
            times(their_wall, wall),
            milli(spent),
            milli(their_spent),
            times(their_spent, spent),
        ]
        print(f"| {WHAT[what]} | {' | '.join(cells)} | {floor} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
