"""DNS rebinding against a worker that fetches what somebody names: the address that was looked at is the one connected to.

In namespaces of its own (`rebound.py`): real name server, real resolver, real TLS, and an inner server that must not be reached.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = ["unshare", "-m", "-n"] if os.getuid() == 0 else ["unshare", "-U", "-r", "-m", "-n"]
MOUNT = (
    'mount --bind "$1/resolv.conf" /etc/resolv.conf && mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf && exec "$2" "$3" "$1"'
)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rebound")
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:3\n")
    (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    command = [*PRIVATE, "sh", "-c", MOUNT, "sh", str(folder), sys.executable, str(ROOT / "tests" / "e2e" / "rebound.py")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("STANNARY_", "HTTP", "http"))}
    path = os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), str(ROOT))))
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=environment | {"PYTHONPATH": path}, timeout=300
    )
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def test_the_attack_works_on_whoever_is_not_guarded(told):
    assert told["resolved"] == ["93.184.216.34", "127.0.0.1"]
    assert told["unguarded"] == ["/secret.json"]


def test_a_name_that_changes_after_it_was_looked_at_gains_nothing(told):
    """It is looked up once, and what was found is connected to: the public server, whose answer is scanned."""
    assert told["jobs"]["turns"]["state"] == "done", told["jobs"]["turns"]
    assert [address for name, address in told["answered"] if name == "turns.example"][2:] == [["93.184.216.34"], ["127.0.0.1"]]


@pytest.mark.parametrize(
    "attack",
    ["turned", "again", "cut", "both", "inside", "cloud", "mapped", "six", "literal"],
)
def test_what_leads_to_this_machine_is_not_fetched(told, attack):
    job = told["jobs"][attack]
    assert job["state"] == "failed", job
    assert "FET030" in job["error"] or "which is not public" in job["error"], job


@pytest.mark.parametrize("attack", ["plain", "file"])
def test_a_redirection_to_what_is_no_https_is_not_followed(told, attack):
    assert told["jobs"][attack]["state"] == "failed", told["jobs"][attack]


def test_the_inner_server_was_asked_for_nothing_and_nothing_broke(told):
    assert told["inside"] == []
    assert told["code"] == 0
    assert "Traceback" not in told["log"]
