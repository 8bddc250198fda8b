"""A site over a workspace, with a guard that knows a few people by simple tokens."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from starlette.testclient import TestClient
from tests.unit.registry.conftest import Bench

from stannary.core.errors import PolicyDenied
from stannary.server.app import build
from stannary.server.site import Site

RIGHTS = {
    "viewer": {"read"},
    "contributor": {"read", "push", "jobs"},
    "reviewer": {"read", "approve", "jobs"},
    "releaser": {"read", "promote", "rollback", "freeze", "quarantine"},
    "admin": {"read", "protect", "hold", "delete", "sweep", "shred", "backup", "administer", "metrics"},
    "auditor": {"read", "audit"},
    "nobody": set(),
}


class Someone(NamedTuple):
    id: str
    role: str


class SimulatedGuard:
    """Tokens are the names of roles; everything is in the namespaces `default` and `team`."""

    def authenticate(self, authorization, cookie):
        token = authorization.removeprefix("Bearer ") or cookie
        if token not in RIGHTS:
            msg = "unknown"
            raise PolicyDenied(msg)
        return Someone(f"user:{token}", token)

    def remembered(self, *_):
        return None

    def allowed(self, principal):
        def check(action, name, alias=""):
            if action not in RIGHTS[principal.role] or name.namespace not in ("default", "team"):
                msg = f"{principal.id} may not {action} {name}"
                raise PolicyDenied(msg, code="ACC002")

        return check


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.open()
    yield made
    made.close()


@pytest.fixture
def site(bench):
    return Site(bench.opened[0], SimulatedGuard(), version="test", rate=(0.0, 0))


@pytest.fixture
def client_of(site):
    """Return a client as somebody: `client_of("releaser")`."""
    app = build(site)
    opened = []

    def make(role=None):
        headers = {"authorization": f"Bearer {role}"} if role else {}
        client = TestClient(app, headers=headers, raise_server_exceptions=False)
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def open_as(bench):
    """Return a browser as a real account: `open_as("ann", "viewer")`."""
    from tests.unit.server.console_bench import peopled

    make, opened = peopled(bench)
    yield make
    for browser in opened:
        browser.close()
