"""A registry in a workspace, on SQLite and on PostgreSQL, and what its tests say about artifacts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stannary.core.evidence import Resource
from stannary.evidence.chain import Chain
from stannary.evidence.workspace import Workspace
from stannary.policy.model import Policy, Requirement
from stannary.registry.names import parse_model
from stannary.registry.registry import Registry
from stannary.store.blobs.folder import FolderBlobs
from stannary.store.database import Database

APPROVED = Policy(name="approved", require=(Requirement(kind="statement", check="approval", approvals=1),))


class Bench:
    """A workspace, and registries in it as different people see it."""

    def __init__(self, root, url=None):
        self.root = root
        self.offset = timedelta()
        if not (root / ".stannary").exists():
            Workspace.create(root, passphrase=None)
        self.url = url or root / ".stannary" / "registry.db"
        self.opened = []

    def clock(self):
        return datetime.now(UTC) + self.offset

    def open(self, actor="ann", **more):
        workspace = Workspace(self.root / ".stannary", passphrase=lambda: None, clock=self.clock)
        blobs = FolderBlobs(self.root / ".stannary" / "blobs")
        registry = Registry(Chain(workspace, write=True), Database(self.url), blobs, actor=actor, **more)
        self.opened.append(registry)
        return registry

    def model(self, content, name="m"):
        folder = self.root / name
        (folder / "sub").mkdir(parents=True, exist_ok=True)
        (folder / "weights.bin").write_bytes(content)
        (folder / "sub" / "config.json").write_bytes(b"{}")
        return folder

    def push(self, content, name="claims", **more):
        return self.opened[0].push(self.model(content), parse_model(name), **more)

    def say(self, version, decision="approve"):
        registry = self.opened[0]
        predicate = {"topic": "approval", "statement": "looked at", "author": "me", "decision": decision}
        predicate["finishedOn"] = self.clock().isoformat()
        subject = Resource(name=str(version.name), digest=registry.subject(version).digest)
        return registry.chain.state(subject, "statement", predicate)

    def close(self):
        for registry in self.opened:
            registry.close()
            registry.chain.ledger.close()


@pytest.fixture(params=["sqlite", "postgres"])
def bench(request, tmp_path):
    url = request.getfixturevalue("postgres") if request.param == "postgres" else None
    made = Bench(tmp_path, url)
    made.open()
    yield made
    made.close()


@pytest.fixture
def local(tmp_path):
    """On SQLite alone, for what no database has a part in."""
    made = Bench(tmp_path)
    made.open()
    yield made
    made.close()
