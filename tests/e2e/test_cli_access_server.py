"""`stannary access` against a server: what it prints, and how it ends, as in a workspace; over the network nobody is its owner."""

import json
import os
import re
import subprocess

import pytest
from tests.e2e.test_cli_server import STANNARY
from tests.e2e.test_serve import Served, run

PASSWORD = "nine quiet brown bears"
# Each line, and how it ends. In a workspace and on a server the same.
LINES = [
    ("user add ann --display Ann --password --group ml", 0),
    ("user add ann", 2),
    ("user add No-Name", 2),
    ("user add bob --issuer https://idp.example --subject 24", 0),
    ("user list --format json", 0),
    ("service add ci --display nightly", 0),
    ("service list", 0),
    ("grant ann contributor team/*", 0),
    ("grant ann contributor team/*", 0),
    ("grant ann releaser team/claims", 1),
    ("grant ann viewer */claims", 2),
    ("grant group:ml viewer", 0),
    ("grant service:ci contributor team/claims", 0),
    ("roles ann", 0),
    ("roles --format json", 0),
    ("check ann push team/claims", 0),
    ("check ann promote team/claims", 1),
    ("check ann read other/x --format json", 0),
    ("check ann fly", 1),
    ("revoke ann contributor team/*", 0),
    ("revoke ann contributor team/*", 2),
    ("token issue service:ci --label nightly --expires 30d --action read --namespace team", 0),
    ("token issue service:ci --expires 12h --format json", 0),
    ("token issue service:ci --expires 0h", 2),
    ("token issue service:ci --action fly", 2),
    ("token list", 0),
    ("token list service:ci --format json", 0),
    ("token revoke nonesuch", 2),
    ("user passwd ann", 0),
    ("federate add main --issuer github --claim repository=acme/models --as ci", 0),
    ("federate add main --issuer github --claim repository=acme/models --as ci", 2),
    ("federate add wide --issuer github --as ci", 1),
    ("federate list", 0),
    ("federate list --format json", 0),
    ("federate remove main", 0),
    ("federate remove main", 2),
    ("user remove ann", 0),
    ("service remove ci", 0),
    ("user list --format json", 0),
]
# What is made anew each time: secrets, ids of tokens, times, and who did it.
MADE = [
    (re.compile(r"stn_[A-Za-z0-9_-]+"), "SECRET"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d\.\d{6}Z)?)?"), "TIME"),
    (re.compile(r'"actor":"[a-z:]+"'), "ACTOR"),
]


def ask(folder, line, *, code=0, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STANNARY_")}
    words = line.split()
    done = subprocess.run(
        [STANNARY, "access", *words], cwd=folder, env=clean | environment, capture_output=True, text=True, check=False, timeout=120,
        input=PASSWORD + "\n",
    )  # fmt: skip
    assert done.returncode == code, (line, done.stdout, done.stderr)
    return done


def served(folder):
    run(folder, "init", "--no-passphrase")
    tokens = {}
    for name, role in (("keeper", "admin"), ("audra", "auditor"), ("val", "viewer")):
        run(folder, "access", "user", "add", name)
        run(folder, "access", "grant", name, role)
        tokens[name] = run(folder, "access", "token", "issue", name).stdout.strip()
    server = Served(folder, "--rate", "0")
    yield (
        folder,
        {name: {"STANNARY_SERVER": f"http://127.0.0.1:{server.port}", "STANNARY_TOKEN": token} for name, token in tokens.items()},
    )
    server.end()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    yield from served(tmp_path_factory.mktemp("server"))


@pytest.fixture
def fresh(tmp_path_factory):
    """A server that no other test has made accounts on."""
    yield from served(tmp_path_factory.mktemp("fresh"))


def masked(text):
    for pattern, word in MADE:
        text = pattern.sub(word, text)
    return [line for line in text.splitlines() if not re.search(r"user:(keeper|audra|val)\b", line)]


def documents(text):
    """Return a JSON document without the accounts that only the server has, or the lines of a text."""
    if not text.startswith("{"):
        return masked(text)
    found = json.loads(text)
    for name in ("accounts", "tokens", "grants"):
        rows = found.get(name, [])
        theirs = re.compile(r"user:(keeper|audra|val)$")
        found[name] = [row for row in rows if not theirs.match(row.get("holder") or row.get("account") or row.get("id"))]
    return masked(json.dumps(found, separators=(",", ":")))


def test_each_command_says_and_ends_as_it_does_in_a_workspace(fresh, tmp_path):
    folder, people = fresh
    run(tmp_path, "init", "--no-passphrase")
    elsewhere = tmp_path / "elsewhere"  # no workspace: what is asked of the server is done there
    elsewhere.mkdir()
    for line, code in LINES:
        here = ask(tmp_path, line, code=code)
        there = ask(elsewhere, line, code=code, **people["keeper"])
        assert documents(there.stdout) == documents(here.stdout), line
        assert masked(there.stderr) == masked(here.stderr), line
    assert list(elsewhere.iterdir()) == []
    told = json.loads(run(folder, "access", "user", "list", "--format", "json").stdout)["accounts"]
    assert {row["id"]: row["actor"] for row in told if row["id"] == "user:bob"} == {"user:bob": "user:keeper"}


def test_a_token_is_shown_once_holds_and_ends(place, tmp_path):
    _, people = place
    ask(tmp_path, "service add nightly", **people["keeper"])
    ask(tmp_path, "grant service:nightly viewer", **people["keeper"])
    made = ask(tmp_path, "token issue service:nightly --format json", **people["keeper"])
    secret, token = json.loads(made.stdout)["secret"], json.loads(made.stdout)["token"]
    assert secret not in made.stderr
    service = people["keeper"] | {"STANNARY_TOKEN": secret}
    assert ask(tmp_path, "check service:nightly read", **service).stdout.startswith("yes")
    for line in ("token list --format json", "token list service:nightly", "roles --format json"):
        found = ask(tmp_path, line, **people["keeper"])
        assert secret not in found.stdout + found.stderr
    ask(tmp_path, f"token revoke {token['id']}", **people["keeper"])
    assert "error[ACC001]" in ask(tmp_path, "check service:nightly read", code=1, **service).stderr


def test_over_a_server_one_may_what_ones_account_may(place, tmp_path):
    folder, people = place
    for line in ("user add zoe", "grant val admin", "token issue service:x", "user list", "federate list", "check keeper read"):
        assert "error[ACC002]" in ask(tmp_path, line, code=1, **people["val"]).stderr, line
    assert ask(tmp_path, "check val read", **people["val"]).stdout.startswith("yes")
    assert "user:val" in ask(tmp_path, "roles val", **people["val"]).stdout
    assert ask(tmp_path, "check keeper administer", **people["audra"]).stdout.startswith("yes")
    # Nobody is the owner over a network: not for the token of another person, nor for rights of their own.
    assert "made by themselves" in ask(tmp_path, "token issue val", code=1, **people["keeper"]).stderr
    assert "cannot grant a role to themselves" in ask(tmp_path, "grant keeper releaser", code=1, **people["keeper"]).stderr
    assert "nobody removes themselves" in ask(tmp_path, "user remove keeper", code=1, **people["keeper"]).stderr
    assert ask(tmp_path, "token issue val --expires 1h", **people["val"]).stdout.startswith("stn_")
    entries = run(folder, "ledger", "export", str(tmp_path / "log"))
    assert entries.returncode == 0
    told = b"".join(path.read_bytes() for path in (tmp_path / "log").rglob("*") if path.is_file())
    assert b"user:val" in told
    assert all(person["STANNARY_TOKEN"].encode() not in told for person in people.values())


def test_a_server_and_a_workspace_are_not_asked_both_and_providers_are_named_where_they_are(place, tmp_path):
    folder, people = place
    found = ask(tmp_path, f"user list --workspace {folder}", code=2, **people["keeper"])
    assert "error[USE014]" in found.stderr
    for line in ("federate people --issuer https://idp.example --client x", "federate remove https://idp.example"):
        assert "error[USE015]" in ask(folder, line, code=2, **people["keeper"]).stderr
    assert json.loads(run(folder, "access", "federate", "list", "--format", "json").stdout)["providers"] == []
    wrong = people["keeper"] | {"STANNARY_TOKEN": "stn_" + "x" * 40}
    assert "error[ACC001]" in ask(tmp_path, "user list", code=1, **wrong).stderr
