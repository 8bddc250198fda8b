"""Workers that are fresh interpreters behave as those that are forked."""

import os
import sys
import time
from pathlib import Path

import pytest

from stannary.core.errors import BackendError
from stannary.run import fresh
from stannary.run.interface import Done, Failed, Job, Lost, Setup
from stannary.run.jail import Jail
from stannary.run.pool import Pool

MODULE = """
import os, signal

def make(data):
    def handle(payload, degraded):
        if payload == b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        if payload == b"raise":
            raise ValueError("no")
        if payload == b"parent":
            return str(os.getppid()).encode()
        if payload == b"environment":
            return os.environ["STANNARY_TRIED"].encode()
        if payload.startswith(b"open "):
            return open(payload[5:], "rb").read()
        return data + payload
    return handle

def broken(data):
    raise RuntimeError("not made")
"""


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """Return a handler that a fresh interpreter can import."""
    (tmp_path / "handlers_of_fresh.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("STANNARY_TRIED", "handed on")
    monkeypatch.setattr(fresh, "needed", lambda: True)
    return Setup("handlers_of_fresh:make", b"<")


def outcomes(setup, payloads, jail=None):
    with Pool(setup, jail, workers=2, seconds=60.0) as pool:
        tickets = [pool.submit(Job(payload)) for payload in payloads]
        found = {outcome.ticket: outcome for outcome in pool.results()}
        return [found[ticket] for ticket in tickets], pool.held


def test_jobs_are_done_and_one_that_dies_fails_alone(setup):
    (one, dead, failed, parent, environment, large), _ = outcomes(
        setup, [b"one", b"die", b"raise", b"parent", b"environment", b"x" * (3 << 20)]
    )
    assert isinstance(one, Done)
    assert one.value == b"<one"
    assert isinstance(dead, Lost)
    assert "SIGKILL" in dead.reason
    assert isinstance(failed, Failed)
    assert failed.error == "ValueError: no"
    assert (parent.value, environment.value, len(large.value)) == (str(os.getpid()).encode(), b"handed on", (3 << 20) + 1)


def test_the_jail_holds_in_them(setup, tmp_path):
    granted, secret = tmp_path / "granted", tmp_path / "secret"
    granted.write_bytes(b"may be read")
    secret.write_bytes(b"may not")
    jail = Jail(read=(str(granted), str(tmp_path / "handlers_of_fresh.py")))
    (may, may_not), held = outcomes(setup, [b"open %s" % os.fsencode(granted), b"open %s" % os.fsencode(secret)], jail)
    assert may.value == b"may be read"
    if held.level == "landlock":
        assert isinstance(may_not, Failed)
        assert "PermissionError" in may_not.error


def test_a_handler_that_cannot_be_made_is_told(setup):
    with Pool(Setup("handlers_of_fresh:broken"), None) as pool:
        pool.submit(Job(b""))
        with pytest.raises(BackendError, match="not made"):
            next(pool.results())


def test_closing_ends_them(setup):
    pool = Pool(setup, None, workers=2)
    pids = pool.pids()
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_they_are_taken_where_a_library_has_computed_with_threads(monkeypatch):
    monkeypatch.setattr(fresh, "_threads", lambda: 2)
    for name in fresh._COMPUTES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert not fresh.needed()
    monkeypatch.setitem(sys.modules, "torch", os)
    assert fresh.needed()
    monkeypatch.setattr(fresh, "_threads", lambda: 1)
    assert not fresh.needed()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ending with the parent is Linux's")
def test_they_end_with_their_parent(setup, tmp_path):
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:  # a supervisor that is killed while its workers wait
        try:
            pool = Pool(setup, None)
            pool.submit(Job(b""))
            next(pool.results())
            os.write(write, str(pool.pids()[0]).encode())
            time.sleep(60)
        finally:
            os._exit(1)
    worker = int(os.read(read, 16))
    os.kill(parent, 9)
    os.waitpid(parent, 0)
    status = Path(f"/proc/{worker}/status")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and status.exists() and "State:\tZ" not in status.read_text():
        time.sleep(0.02)
    assert time.monotonic() < deadline
