"""A file system that became read-only, as Linux makes it after an error of the disk: a real mount, by the command line.

What is there can be read and verified; whatever would be written is a clear error; with the disk writable again all goes on.
"""

import json
import os
import subprocess
import sys

import pytest

POLICY = "name: approved\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n"
DRIVER = """
import json, os, subprocess, sys
from pathlib import Path
disk, policy = Path(sys.argv[1]), sys.argv[2]
os.chdir(disk)
said = []

def ask(*line, code=None):
    done = subprocess.run([sys.executable, "-m", "stannary", *line], capture_output=True, text=True, check=False, timeout=120)
    said.append({"line": line, "code": done.returncode, "said": done.stderr, "out": done.stdout})
    if code is not None and done.returncode != code:
        sys.exit(f"{line}: {done.returncode} {done.stdout} {done.stderr}")
    return done

ask("init", "--no-passphrase", code=0)
ask("registry", "protect", "claims@production", "--policy", policy, code=0)
for number in (1, 2):
    Path("model.bin").write_bytes(os.urandom(50_000))
    ask("registry", "push", "model.bin", "claims", code=0)
    ask("registry", "approve", f"claims:{number}", "--statement", "seen", code=0)
    ask("registry", "promote", f"claims:{number}", "production", code=0)
ask("registry", "backup", "backup", code=0)
Path("model.bin").write_bytes(os.urandom(50_000))
subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
del said[:]
READS = (
    ("registry", "list", "claims", "--format", "json"), ("registry", "show", "claims@production"), ("ledger", "audit"),
    ("ledger", "head"), ("registry", "pull", "claims@production", sys.argv[3]),
)
WRITES = (
    ("registry", "push", "model.bin", "claims"), ("registry", "promote", "claims:1", "production"),
    ("registry", "rollback", "claims@production"), ("registry", "backup", "backup"), ("registry", "backup", "another"),
    ("attest", "registry:claims:1", "--topic", "review", "--statement", "seen"), ("access", "user", "add", "bob"),
    ("registry", "quarantine", "claims:1", "--reason", "bad"),
)
for line in (*READS, *WRITES):
    ask(*line)
readonly = list(said)
subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
del said[:]
for line in WRITES:
    ask(*line)
ask("ledger", "audit")
print(json.dumps({"readonly": readonly, "again": said, "reads": len(READS)}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("read-only")
    policy = folder / "approved.yaml"
    policy.write_text(POLICY)
    disk = folder / "disk"
    disk.mkdir()
    private = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-Urm"]
    mount = 'mount -t tmpfs -o size=32m none "$1" && exec "$2" -c "$3" "$1" "$4" "$5"'
    command = [*private, "sh", "-c", mount, "sh", str(disk), sys.executable, DRIVER, str(policy), str(folder / "pulled")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STANNARY_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def test_what_is_there_is_read_and_verified(told):
    for row in told["readonly"][: told["reads"]]:
        assert row["code"] == 0, row
    listed = json.loads(told["readonly"][0]["out"])
    assert [version["number"] for version in listed["versions"]] == [2, 1]


def test_what_would_be_written_is_a_clear_error(told):
    for row in told["readonly"][told["reads"] :]:
        assert row["code"] == 2, row
        assert "error[" in row["said"], row
        assert "Traceback" not in row["said"], row
        words = row["said"].lower()
        assert "read-only" in words or "readonly" in words or "writable" in words or "cannot be written" in words, row


def test_and_when_it_is_writable_again_all_goes_on(told):
    for row in told["again"]:
        assert row["code"] == 0, row
