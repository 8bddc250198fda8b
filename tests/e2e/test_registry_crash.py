"""The registry under faults: writers that are killed, a full disk, a folder that cannot be written, a server that restarts."""

import itertools
import os
import signal
import subprocess
import sys

import pytest

from stannary.app import open_registry
from stannary.evidence.workspace import Workspace
from stannary.registry.names import Name
from stannary.testing.registry_crash import crash_rounds

ROUNDS = 40 if os.environ.get("CI") else 14  # 200 in benchmarks/registry_crash.py
CLAIMS = Name("default", "claims")


def opened(root, **more):
    return open_registry(Workspace(root / ".stannary", passphrase=lambda: None), **more)


@pytest.fixture
def root(tmp_path):
    Workspace.create(tmp_path, passphrase=None)
    return tmp_path


def model(root, content, name="m"):
    folder = root / name
    folder.mkdir(exist_ok=True)
    (folder / "weights.bin").write_bytes(content)
    return folder


def close(registry):
    registry.close()
    registry.chain.ledger.close()


def test_killed_writers_lose_nothing_they_acknowledged_and_leave_nothing_half(tmp_path):
    outcome = crash_rounds(tmp_path, ROUNDS, seed=6962)
    assert outcome.problems == []
    assert outcome.killed >= ROUNDS
    assert outcome.versions >= outcome.pushed > ROUNDS / 2
    assert outcome.moved > 0 < outcome.denied


def test_on_postgresql_neither_do_they_when_the_server_restarts(tmp_path, postgres, postgres_server):
    how = itertools.cycle((signal.SIGINT, signal.SIGQUIT))
    rounds = ROUNDS // 2
    outcome = crash_rounds(tmp_path, rounds, seed=9162, url=postgres, disturb=lambda: postgres_server.restart(next(how)))
    assert outcome.problems == []
    assert outcome.killed >= rounds
    assert outcome.disturbed == len(range(1, rounds, 5))
    assert outcome.pushed > 0 < outcome.moved


# A full disk: no file of the process may grow beyond a limit, which is the same error to whoever writes.

PUSH = """
import resource, sys
from pathlib import Path
from stannary.app import open_registry
from stannary.core.errors import StannaryError
from stannary.evidence.workspace import Workspace
from stannary.registry.names import parse_model
root, source, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
try:
    registry = open_registry(Workspace(root / ".stannary", passphrase=lambda: None))
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    print("pushed", registry.push(source, parse_model("claims")).number)
except StannaryError as error:
    print(type(error).__name__, error.code, "|", error.help, "|", error)
"""


def push_limited(root, source, limit):
    command = [sys.executable, "-c", PUSH, str(root), str(source), str(limit)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_a_content_that_does_not_fit_is_an_error_and_nothing_is_there(root):
    registry = opened(root)
    registry.push(model(root, b"first"), CLAIMS)
    before = registry.chain.ledger.head()
    said = push_limited(root, model(root, b"x" * 3_000_000, "large"), 1_000_000)
    assert said.startswith("BackendError BLB006")
    assert registry.chain.ledger.head() == before
    assert [version.number for version in registry.versions(CLAIMS)] == [1]
    assert not list((root / ".stannary" / "blobs" / ".unfinished").iterdir())
    assert registry.push(root / "large", CLAIMS).number == 2
    close(registry)


@pytest.mark.parametrize("room", [0, 9_000, 18_000, 27_000, 50_000, 90_000])
def test_tables_and_ledger_that_cannot_grow_are_an_error_and_never_in_between(root, room):
    """However far it comes: what is in the log is in the tables for the next one, and pushing again is the same version."""
    registry = opened(root)
    registry.push(model(root, b"first"), CLAIMS)
    close(registry)
    said = push_limited(root, model(root, b"second", "two"), 1000 + room)
    assert said.startswith(("BackendError", "pushed 2"))
    registry = opened(root)
    known = [version.number for version in registry.versions(CLAIMS)]
    logged = [row for row in registry.chain.ledger.find(type="registry") if row.kind == "version"]
    assert len(known) == len(logged)
    assert known in ([1], [2, 1])
    assert ("pushed" not in said) or known == [2, 1]
    assert known == [1] or "in the ledger" in said or "pushed" in said
    assert registry.push(root / "two", CLAIMS).number == 2
    assert not registry.chain.ledger.audit().deviations
    close(registry)


# Without its capabilities root is bound by modes as everybody is.
AS_ANYBODY = """
import ctypes
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None, use_errno=True).capset(header, data) == 0, ctypes.get_errno()
"""
READ = """
import sys
from pathlib import Path
from stannary.app import open_registry
from stannary.core.errors import StannaryError
from stannary.evidence.workspace import Workspace
from stannary.registry.names import parse
try:
    registry = open_registry(Workspace(Path(sys.argv[1]) / ".stannary", passphrase=lambda: None), write=False)
    print("resolved", registry.resolve(parse("claims")).number)
except StannaryError as error:
    print(type(error).__name__, error.code, "|", error.help, "|", error)
"""


@pytest.fixture
def read_only(root):
    registry = opened(root)
    registry.push(model(root, b"first"), CLAIMS)
    model(root, b"second", "two")
    close(registry)
    paths = [root / ".stannary", *(root / ".stannary").rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    for path in reversed(paths):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield root
    for path, mode in modes.items():
        path.chmod(mode)


def run(script, *arguments):
    found = subprocess.run(
        [sys.executable, "-c", AS_ANYBODY + script, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_a_folder_that_cannot_be_written_is_a_clear_error(read_only):
    said = run(PUSH, read_only, read_only / "two", 0)
    assert said.startswith("BackendError"), said


def test_what_cannot_be_written_can_still_be_read(read_only):
    assert run(READ, read_only) == "resolved 1"
