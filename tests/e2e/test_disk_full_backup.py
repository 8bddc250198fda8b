"""A full disk while one backs up, restores and rolls back: a clear error, no half of it counts, and with room it goes on."""

import pytest
from tests.e2e.small_disk import assert_says_full, on_small_disk

# `origin` is a workspace with room.
ORIGIN = """
origin = roomy / "origin"
origin.mkdir()
ask("init", "--no-passphrase", code=0, at=origin)

def push():
    (origin / "model.bin").write_bytes(os.urandom(150_000))
    ask("registry", "push", "model.bin", "claims", code=0, at=origin)

def begin(place):  # what a backup is restored to: the workspace's keys, and nothing else of it
    (place / ".stannary").mkdir(parents=True)
    shutil.copytree(origin / ".stannary" / "keys", place / ".stannary" / "keys")
    for name in ("workspace.json", "trust.json"):
        shutil.copy(origin / ".stannary" / name, place / ".stannary")

def whole(place):  # how many versions can be had, every content of them
    listed = ask("registry", "list", "claims", "--format", "json", code=0, at=place)
    numbers = [version["number"] for version in json.loads(listed.stdout)["versions"]]
    for number in numbers:
        ask("registry", "pull", f"claims:{number}", roomy / f"{place.name}-{number}", code=0, at=place)
        shutil.rmtree(roomy / f"{place.name}-{number}")
    ask("ledger", "audit", code=0, at=place)
    return len(numbers)

"""
BACKUP = (
    ORIGIN
    + """
target = disk / "backup"

def restored():
    place = roomy / "restored"
    shutil.rmtree(place, ignore_errors=True)
    begin(place)
    done = ask("registry", "restore", target, at=place)
    return done.stderr if done.returncode else whole(place)

push()
if given["older"]:
    ask("registry", "backup", target, code=0, at=origin)
push()
push()
for room in given["rooms"]:
    fill(room)
    done = ask("registry", "backup", target, at=origin)
    full = restored()
    empty()
    print(json.dumps({"room": room, "code": done.returncode, "said": done.stderr, "restored": full}))
    if done.returncode == 0:
        break
again = ask("registry", "backup", target, at=origin)
left = [path.name for path in target.rglob("*") if path.name.startswith(".tile-")]
left += [path.name for path in target.glob("blobs/.unfinished/*")]
print(json.dumps({"code": again.returncode, "said": again.stderr, "restored": restored(), "left": left}))
"""
)
RESTORE = (
    ORIGIN
    + """
push()
push()
ask("registry", "backup", roomy / "backup", code=0, at=origin)
for room in given["rooms"]:
    place = disk / f"place{room}"
    begin(place)
    fill(room)
    done = ask("registry", "restore", roomy / "backup", at=place)
    empty()
    # What was broken off is no deviation from anything: there is no ledger yet, or it is sound.
    between = ask("ledger", "audit", at=place)
    again = ask("registry", "restore", roomy / "backup", at=place)
    print(json.dumps({
        "room": room, "code": done.returncode, "said": done.stderr, "audit": between.returncode, "audited": between.stderr,
        "again": again.returncode, "end": whole(place),
    }))
    shutil.rmtree(place)
"""
)
ROLL_BACK = """
os.chdir(disk)

def known():
    listed = json.loads(ask("registry", "list", "claims", "--format", "json", code=0).stdout)
    entries = int(ask("ledger", "head", code=0).stdout.split("entries")[1].split()[0])
    return {row["alias"]: row["number"] for row in listed["aliases"]}["staging"], entries

ask("init", "--no-passphrase", code=0)
ask("registry", "protect", "claims@staging", "--policy", given["policy"], code=0)
for number in (1, 2):
    (disk / "model.bin").write_bytes(os.urandom(20_000))
    ask("registry", "push", "model.bin", "claims", code=0)
    ask("registry", "approve", f"claims:{number}", "--statement", "seen", code=0)
    ask("registry", "promote", f"claims:{number}", "staging", code=0)
for room in given["rooms"]:
    before = known()
    fill(room)
    done = ask("registry", "rollback", "claims@staging")
    empty()
    after = known()
    audit = ask("ledger", "audit")
    again = ask("registry", "rollback", "claims@staging")
    print(json.dumps({
        "room": room, "code": done.returncode, "said": done.stderr, "before": before, "after": after, "audit": audit.returncode,
        "again": again.returncode, "end": known(),
    }))
"""


@pytest.mark.parametrize("older", [False, True])
def test_a_backup_that_does_not_fit_is_none_and_the_older_one_is_restored(tmp_path, older):
    *tried, last = on_small_disk(tmp_path, BACKUP, older=older, rooms=[0, 6_000, 200_000, 2_000_000])
    assert [row["code"] for row in tried] == [2, 2, 2, 0], tried
    for row in tried[:-1]:
        assert_says_full(row["said"])
        assert row["restored"] == 1 if older else "is no backup" in row["restored"], row
    assert (tried[-1]["restored"], last) == (3, {"code": 0, "said": last["said"], "restored": 3, "left": []})


def test_a_restore_that_does_not_fit_goes_on_when_there_is_room(tmp_path):
    rows = on_small_disk(tmp_path, RESTORE, rooms=[0, 40_000, 100_000, 200_000, 4_000_000])
    assert [row["code"] for row in rows[:4]] == [2] * 4, rows
    assert rows[-1]["code"] == 0, rows
    for row in rows:
        assert (row["again"], row["end"]) == (0, 2), row
        assert row["audit"] == 0 or (row["audit"] == 2 and "there is no ledger" in row["audited"]), row
        if row["code"]:
            assert row["code"] == 2, row
            assert_says_full(row["said"])


def test_a_rollback_that_does_not_fit_moves_nothing_that_it_does_not_say(tmp_path):
    policy = tmp_path / "approved.yaml"
    policy.write_text("name: approved\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n")
    rows = on_small_disk(tmp_path, ROLL_BACK, policy=str(policy), rooms=[0, 100_000, 1_000_000])
    assert rows[0]["code"] == 2, rows
    assert rows[-1]["code"] == 0, rows
    for row in rows:
        assert (row["audit"], row["again"]) == (0, 0), row
        if row["code"]:
            assert row["code"] == 2, row
            assert_says_full(row["said"])
            assert row["after"] == row["before"] or "in the ledger" in row["said"], row
        else:
            assert row["after"][0] != row["before"][0], row
        assert row["end"][0] != row["after"][0], row
