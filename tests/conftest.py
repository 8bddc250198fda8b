"""What every test gets: a hypothesis profile, no way out to the network, the root of the tree, and a PostgreSQL when it asks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from stannary.testing.postgres import PostgresServer

ROOT = Path(__file__).resolve().parent.parent

# CI: the same examples every time, more of them. A shared two-core machine makes deadlines meaningless.
settings.register_profile("ci", max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", max_examples=50, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def _loopback_only(event: str, args: tuple[object, ...]) -> None:
    """Refuse to connect or look up anything but this machine: a test that needs more is not a test."""
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in {"socket.connect", "socket.sendto"} and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else host
    if name and not (str(name).startswith("127.") or name in {"localhost", "::1"}):
        msg = f"a test reached for the network: {event} {name}"
        raise PermissionError(msg)


sys.addaudithook(_loopback_only)


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the source tree (tests that need more of it than tests/ are marked `tree`)."""
    return ROOT


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Return a running PostgreSQL: one for each process of the tests. A test may stop it; the next one finds it running."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """Return the address of an empty database, of this test alone."""
    if not postgres_server.pid:
        postgres_server.start()
    with postgres_server.database() as url:
        yield url
