"""A disk that is full, by the command line: a real file system of a few MiB, filled up to some room, and emptied again.

Whatever does not fit is a clear error; what was acknowledged stays, nothing moves that was not said to, and with room again
everything goes on.
"""

import json
import os
import subprocess
import sys

import pytest

POLICY = "name: approved\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n"
# In a mount namespace of its own: what the file system holds is gone with the process.
DRIVER = """
import json, os, subprocess, sys
from pathlib import Path
disk, policy, rooms = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
os.chdir(disk)

def ask(*line, code=None):
    done = subprocess.run([sys.executable, "-m", "stannary", *line], capture_output=True, text=True, check=False, timeout=120)
    if code is not None and done.returncode != code:
        sys.exit(f"{line}: {done.returncode} {done.stdout} {done.stderr}")
    return done

def fill(room):
    free = os.statvfs(disk)
    with open(disk / "filler", "wb") as file:
        file.write(b"x" * max(0, free.f_bavail * free.f_frsize - room))

def known():
    versions = json.loads(ask("registry", "list", "claims", "--format", "json", code=0).stdout)
    entries = int(ask("ledger", "head", code=0).stdout.split("entries")[1].split()[0])
    at = {row["alias"]: row["number"] for row in versions["aliases"]}
    return len(versions["versions"]), at.get("production", 0), entries

ask("init", "--no-passphrase", code=0)
ask("registry", "protect", "claims@production", "--policy", policy, code=0)
for number in (1, 2):
    Path("model.bin").write_bytes(os.urandom(50_000))
    ask("registry", "push", "model.bin", "claims", code=0)
    ask("registry", "approve", f"claims:{number}", "--statement", "seen", code=0)
ask("registry", "promote", "claims:1", "production", code=0)
moving = 2
for room in rooms:
    for line in (
        ["registry", "push", "new.bin", "claims"],
        ["registry", "promote", f"claims:{moving}", "production"],
        ["attest", "registry:claims:1", "--topic", "review", "--statement", "seen"],
    ):
        Path("new.bin").write_bytes(os.urandom(50_000))
        before = known()
        fill(room)
        done = ask(*line)
        os.unlink("filler")
        after = known()
        audit = ask("ledger", "audit")
        again = ask(*line)
        end = known()
        print(json.dumps({
            "room": room, "what": line[-1] if line[0] == "attest" else line[1], "code": done.returncode, "said": done.stderr,
            "before": before, "after": after, "audit": audit.returncode, "again": again.returncode, "end": end,
        }))
        if line[1] == "promote":
            moving = 3 - moving
"""


def driven(folder, rooms):
    policy = folder / "approved.yaml"
    policy.write_text(POLICY)
    disk = folder / "disk"
    disk.mkdir()
    private = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-Urm"]
    mount = 'mount -t tmpfs -o size=12m none "$1" && exec "$2" -c "$3" "$1" "$4" "$5"'
    command = [*private, "sh", "-c", mount, "sh", str(disk), sys.executable, DRIVER, str(policy), json.dumps(rooms)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STANNARY_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("rooms", [[0, 40_000], [160_000]])
def test_what_does_not_fit_is_an_error_nothing_is_lost_and_with_room_again_all_goes_on(tmp_path, rooms):
    rows = driven(tmp_path, rooms)
    assert len(rows) == 3 * len(rooms)
    assert any(row["code"] == 2 for row in rows), rows
    for row in rows:
        assert row["code"] in (0, 2), row
        assert "Traceback" not in row["said"], row
        assert (row["audit"], row["again"]) == (0, 0), row
        (versions, at, entries), (versions_after, at_after, entries_after) = row["before"], row["after"]
        if row["code"] == 0:
            continue
        said = row["said"].lower()
        assert "error[" in said, row
        assert "full" in said or "space" in said or "room" in said, row
        # Not acknowledged: as it was before; or in the ledger, which the error has to say then.
        if "in the ledger" not in said:
            assert (versions_after, at_after, entries_after) == (versions, at, entries), row
