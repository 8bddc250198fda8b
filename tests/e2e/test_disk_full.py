"""A disk that is full, by the command line: a real file system of a few MiB, filled up to some room, and emptied again.

Whatever does not fit is a clear error; what was acknowledged stays, nothing moves that was not said to, and with room again
everything goes on.
"""

import pytest
from tests.e2e.small_disk import on_small_disk

POLICY = "name: approved\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n"
SCRIPT = """
os.chdir(disk)

def known():
    versions = json.loads(ask("registry", "list", "claims", "--format", "json", code=0).stdout)
    entries = int(ask("ledger", "head", code=0).stdout.split("entries")[1].split()[0])
    at = {row["alias"]: row["number"] for row in versions["aliases"]}
    return len(versions["versions"]), at.get("production", 0), entries

ask("init", "--no-passphrase", code=0)
ask("registry", "protect", "claims@production", "--policy", given["policy"], code=0)
for number in (1, 2):
    Path("model.bin").write_bytes(os.urandom(50_000))
    ask("registry", "push", "model.bin", "claims", code=0)
    ask("registry", "approve", f"claims:{number}", "--statement", "seen", code=0)
ask("registry", "promote", "claims:1", "production", code=0)
moving = 2
for room in given["rooms"]:
    for line in (
        ["registry", "push", "new.bin", "claims"],
        ["registry", "promote", f"claims:{moving}", "production"],
        ["attest", "registry:claims:1", "--topic", "review", "--statement", "seen"],
    ):
        Path("new.bin").write_bytes(os.urandom(50_000))
        before = known()
        fill(room)
        done = ask(*line)
        empty()
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
    return on_small_disk(folder, SCRIPT, policy=str(policy), rooms=rooms)


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
