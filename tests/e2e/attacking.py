"""What attacks on a running server have in common: a workspace with accounts, and requests as they are written."""

import contextlib
import http.client
import socket
import time

import pytest
from tests.e2e.test_serve import WAIT

from stannary.access import accounts, grants, tokens
from stannary.access.model import Owner
from stannary.app import open_access, open_registry, owner_of
from stannary.evidence.contents import begin_contents
from stannary.evidence.workspace import Workspace
from stannary.registry.names import parse_model

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
HERE = {"Sec-Fetch-Site": "same-origin"}  # what a browser says of a form of ours


@contextlib.contextmanager
def desk(folder):
    """Open the accounts of a workspace, as its owner does at the command line."""
    workspace = Workspace(folder / ".stannary", passphrase=lambda: None)
    access = open_access(workspace)
    try:
        yield access, Owner(id=owner_of(workspace), credential="workspace")
    finally:
        access.close()


def prepared(folder, roles, *, database="", contents=""):
    """Make a workspace with a model and an account of each role; return the tokens by role."""
    workspace = Workspace.create(folder, passphrase=None, database=database)
    if contents:
        begin_contents(workspace, contents, ())
    (folder / "model").mkdir()
    (folder / "model" / "weights.bin").write_bytes(b"weights")
    registry = open_registry(workspace)
    registry.push(folder / "model", parse_model("claims"))
    registry.close()
    registry.chain.ledger.close()
    found = {}
    with desk(folder) as (access, owner):
        for role in roles:
            accounts.add(access, owner, role)
            grants.grant(access, owner, grants.read_grant(role, role))
            found[role] = str(tokens.issue(access, owner, f"user:{role}").secret)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a workspace with a few accounts, and their tokens by role."""
    folder = tmp_path_factory.mktemp("attacked")
    return folder, prepared(folder, ("viewer", "contributor", "admin"))


def raw(served, request, seconds=WAIT):
    """Send bytes, and return what comes until the server closes, with the seconds it took."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", served.port), timeout=seconds) as connection:
        connection.sendall(request)
        try:
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except TimeoutError:
            answer = b"still open"
    return answer, time.monotonic() - began


def asked(served, method, path, body=None, **headers):
    """Return an answer, with its body read."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=WAIT)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.body = answer.read()
    connection.close()
    return answer
