"""`stannary ledger` as a user has it: two workspaces, proofs in files, a witness, and what is refused."""

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from stannary.cli.ledger import open_ledger
from stannary.crypto.keys import generate
from stannary.evidence.ledger import entry
from stannary.evidence.workspace import Workspace


def stannary(*arguments, cwd, stdin=None):
    command = [
        sys.executable,
        "-c",
        "import sys; from stannary.cli.main import run; sys.exit(run())",
        "ledger",
        *map(str, arguments),
    ]
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, check=False)


def ok(*arguments, **more):
    done = stannary(*arguments, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def append(workspace, count):
    with open_ledger(workspace, write=True) as ledger:
        return ledger.append([entry("evidence", {"n": n}, time=datetime.now(UTC)) for n in range(count)])


@pytest.fixture
def made(tmp_path):
    found = {}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        found[name] = Workspace.create(tmp_path / name, passphrase=None, origin=f"example.com/{name}")
        append(found[name], 5)
    return found


def key_of(cwd):
    return json.loads(ok("head", "--format", "json", cwd=cwd))["key"]


def test_a_head_is_printed_kept_and_held_against_later(made, tmp_path):
    a = tmp_path / "a"
    (tmp_path / "kept").write_text(ok("head", "--format", "checkpoint", cwd=a))
    append(made["a"], 3)
    assert "continues the checkpoint of 5 entries" in ok("verify", "--since", tmp_path / "kept", cwd=a)
    head = json.loads(ok("verify", "--since", tmp_path / "kept", "--format", "json", cwd=a))
    assert (head["schema"], head["size"], head["since"]) == ("stannary.ledger-head/1", 8, 5)
    foreign = stannary("verify", "--since", tmp_path / "kept", cwd=tmp_path / "b")
    assert (foreign.returncode, foreign.stdout) == (1, "")
    assert foreign.stderr.startswith(f"error[LED004]: {tmp_path / 'kept'}: ")
    assert "\nhelp: " in foreign.stderr


def test_who_puts_back_both_files_is_seen_from_outside_alone_and_that_is_said(made, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    files = [a / ".stannary" / name for name in ("ledger.db", "ledger.db.head")]
    for path in files:
        shutil.copy(path, tmp_path / path.name)
    append(made["a"], 3)
    (tmp_path / "kept").write_text(ok("head", "--format", "checkpoint", cwd=a))
    ok("witness", "request", "-o", tmp_path / "later", cwd=a)
    ok("witness", "sign", tmp_path / "later", "--log", key_of(a), "-o", tmp_path / "answer", cwd=b)
    for path in files:
        shutil.copy(tmp_path / path.name, path)
    silent = stannary("verify", cwd=a)
    assert silent.returncode == 0
    assert "warning: nothing outside watches this ledger" in silent.stderr
    assert "ledger witness ask" in silent.stderr
    kept = stannary("verify", "--since", tmp_path / "kept", cwd=a)
    assert (kept.returncode, "LED003" in kept.stderr, "warning" in kept.stderr) == (1, True, False)
    ok("witness", "request", "-o", tmp_path / "older", cwd=a)
    witness = stannary("witness", "sign", tmp_path / "older", "--log", key_of(a), cwd=b)
    assert (witness.returncode, "LED003" in witness.stderr) == (1, True)
    answers = {row["name"]: row for row in doctor(a)}
    assert (answers["ledger"]["topic"], answers["ledger"]["state"]) == ("workspace", "warning")
    assert "nothing outside watches" in answers["ledger"]["text"]
    assert answers["keys"]["state"] == "warning"
    assert not [row for row in doctor(tmp_path) if row["topic"] == "workspace"]
    assert doctor(tmp_path, "--workspace", a) == doctor(a)
    nowhere = {row["name"]: row for row in doctor(a, "--workspace", tmp_path / "nowhere")}
    assert (nowhere["settings"]["state"], "ledger" in nowhere) == ("warning", False)


def test_a_ledger_that_is_witnessed_is_not_warned_of(made, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    ok("witness", "request", "-o", tmp_path / "request", cwd=a)
    ok("witness", "sign", tmp_path / "request", "--log", key_of(a), "-o", tmp_path / "answer", cwd=b)
    key = ok("witness", "key", cwd=b).strip()
    ok("witness", "add", tmp_path / "request", tmp_path / "answer", "--witness", key, cwd=a)
    append(made["a"], 2)
    said = stannary("verify", cwd=a)
    assert "warning" not in said.stderr
    assert "cosigned 5 of 7 entries" in said.stderr
    assert {row["name"]: row["state"] for row in doctor(a)}["ledger"] == "ok"


@pytest.mark.parametrize(
    "arguments, code",
    [
        ("rotate --key nofile.pem", "KEY007"),
        ("rotate --key p256.pem", "KEY006"),
        ("rotate --key p256.pem --compromised", "KEY006"),
        ("rotate --key .stannary/keys/ledger.pem", "KEY010"),
        ("rotate --key .stannary/keys/ledger.pub", "KEY002"),
        ("rotate --key .stannary", "KEY007"),
        ("rotate --key=", "USE010"),
        ("rotate --key env:NOPE", "KEY011"),
        ("rotate --key pkcs11:token=x;module-path=/x.so", "KEY015"),
        ("rotate --workspace nowhere", "WSP001"),
        ("rotate", "KEY003"),
        ("rotate extra", "USE001"),
        ("move", "USE012"),
        ("move --to-file", "WSP007"),
        ("move --to-file --database postgresql://127.0.0.1:1/x", "USE012"),
        ("move --database=", "USE010"),
        ("move --database notaurl", "WSP005"),
        ("move --database mysql://127.0.0.1:1/x", "WSP005"),
        ("move --database postgresql://user:secret@127.0.0.1:1/x", "WSP006"),
        ("move --database postgresql://127.0.0.1:1/x", "LED022"),
        ("move --database env:NOPE", "WSP005"),
        ("move --database postgresql://127.0.0.1:1/x --workspace nowhere", "WSP001"),
        ("keys --key p256.pem", "USE012"),
        ("keys --adopt nofile", "LED018"),
    ],
)
def test_a_log_is_not_rotated_or_moved_by_a_wrong_input(made, tmp_path, arguments, code):
    a = tmp_path / "a"
    generate("ecdsa-p256-sha256").write(a / "p256.pem", None)
    before = snapshot(a)
    refused = stannary(*arguments.split(), cwd=a, stdin="")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"error[{code}]"), refused.stderr
    assert "\nhelp: " in refused.stderr
    assert "secret" not in refused.stderr
    assert snapshot(a) == before
    ok("audit", cwd=a)


@pytest.mark.parametrize(
    "what", ["garbage", "another key", "a key of another kind", "no ledger", "a cut ledger", "no head", "no key"]
)
def test_a_log_that_is_damaged_is_neither_rotated_nor_moved(made, tmp_path, what):
    a = tmp_path / "a" / ".stannary"
    key = a / "keys" / "ledger.pem"
    if what == "garbage":
        key.write_bytes(b"garbage")
    elif what in ("another key", "a key of another kind"):
        key.unlink()
        generate("ed25519" if what == "another key" else "ecdsa-p256-sha256").write(key, None)
    elif what in ("no ledger", "no head", "no key"):
        {"no ledger": a / "ledger.db", "no head": a / "ledger.db.head", "no key": key}[what].unlink()
    else:
        (a / "ledger.db").write_bytes((a / "ledger.db").read_bytes()[:5000])
    before = snapshot(tmp_path / "a")
    refused = stannary("rotate", "--no-passphrase", cwd=tmp_path / "a", stdin="")
    assert (refused.returncode, refused.stdout) in {(1, ""), (2, "")}, refused
    assert refused.stderr.startswith("error[")
    assert "\nhelp: " in refused.stderr
    assert json.loads((a / "workspace.json").read_text()) == json.loads(before["workspace.json"])
    assert not [path for path in (a / "keys").iterdir() if path.suffix == ".json"]


def test_a_log_is_moved_nowhere_offline(made, tmp_path):
    a = tmp_path / "a"
    (a / "stannary.toml").write_text("offline = true\n")
    refused = stannary("move", "--database", "postgresql://127.0.0.1:1/x", cwd=a)
    assert (refused.returncode, "no socket may be opened" in refused.stderr) == (2, True)


def snapshot(place):
    """Return what every file of the workspace has, but for the lock that a rotation holds (it is empty)."""
    files = [path for path in (place / ".stannary").rglob("*") if path.is_file() and path.suffix != ".rotating"]
    return {path.name: path.read_bytes() for path in files}


def doctor(cwd, *more):
    program = "import sys; from stannary.cli.main import run; sys.exit(run())"
    command = [sys.executable, "-c", program, "doctor", "--format", "json", *map(str, more)]
    return json.loads(subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False).stdout)["answers"]


def test_what_would_not_be_looked_at_is_refused_and_not_passed_over(made, tmp_path):
    a = tmp_path / "a"
    for name in ("empty", "blank"):
        (tmp_path / name).write_text("" if name == "empty" else "\n# nobody\n")
    ok("prove", 3, "-o", tmp_path / "p", "--record", tmp_path / "r", cwd=a)
    proof = ("--proof", tmp_path / "p", "--record", tmp_path / "r")
    for arguments, code, error in (
        (("--since", tmp_path / "empty"), 1, "LED005"),
        (("--since", tmp_path / "blank"), 1, "LED005"),
        (("--witness", tmp_path / "empty"), 2, "LED018"),
        (("--witness", tmp_path / "blank"), 2, "LED018"),
        ((*proof, "--witness", tmp_path / "blank"), 2, "LED018"),
        ((*proof, "--log", tmp_path / "empty"), 2, "LED018"),
        ((*proof, "--log", tmp_path / "p"), 2, "KEY001"),
        ((*proof, "--since", tmp_path / "p"), 2, "USE012"),
        (("--quorum", "1"), 2, "USE012"),
        (("--log", ""), 2, "USE010"),
        (("--proof", ""), 2, "USE010"),
    ):
        done = stannary("verify", *arguments, cwd=a)
        assert (done.returncode, done.stdout) == (code, ""), (arguments, done.stderr)
        assert f"error[{error}]" in done.stderr


def test_an_entry_is_proven_to_somebody_without_the_ledger(made, tmp_path):
    a, elsewhere = tmp_path / "a", tmp_path / "elsewhere"
    elsewhere.mkdir()
    ok("prove", 3, "-o", elsewhere / "p.tlog-proof", "--record", elsewhere / "r.json", cwd=a)
    arguments = ("verify", "--proof", "p.tlog-proof", "--record", "r.json", "--log", key_of(a))
    assert "3 of 5" in ok(*arguments, cwd=elsewhere)
    (elsewhere / "r.json").write_text((elsewhere / "r.json").read_text().replace('"n":3', '"n":4'))
    done = stannary(*arguments, cwd=elsewhere)
    assert done.returncode == 1
    assert "error[LED001]" in done.stderr


def test_a_proof_is_json_too_and_of_an_id(made, tmp_path):
    with open_ledger(made["a"]) as ledger:
        found = ledger.read(2)
    proof = json.loads(ok("prove", found.id, "--format", "json", cwd=tmp_path / "a"))
    assert (proof["schema"], proof["index"], proof["record"]) == ("stannary.ledger-proof/1", 2, found.record.decode())


def test_an_audit_tells_what_was_changed(made, tmp_path):
    import sqlite3

    a = tmp_path / "a"
    assert json.loads(ok("audit", "--format", "json", cwd=a))["deviations"] == []
    connection = sqlite3.connect(made["a"].ledger_path)
    connection.execute("UPDATE entry SET record = replace(record, '\"n\":1', '\"n\":7') WHERE idx = 1")
    connection.commit()
    connection.close()
    done = stannary("audit", cwd=a)
    assert done.returncode == 1
    assert "LED007  entry 1 was edited" in done.stdout
    assert "2 deviations" in done.stderr


def test_two_workspaces_are_each_other_s_witness(made, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    log = key_of(a)
    witness = ok("witness", "key", cwd=b).strip()
    lonely = stannary("verify", "--witness", witness, cwd=a)
    assert (lonely.returncode, "error[LED014]" in lonely.stderr) == (1, True)
    ok("witness", "request", "-o", tmp_path / "request", cwd=a)
    (tmp_path / "answer").write_text(ok("witness", "sign", "--log", log, "-", cwd=b, stdin=(tmp_path / "request").read_text()))
    ok("witness", "add", tmp_path / "request", tmp_path / "answer", "--witness", witness, cwd=a)
    assert "example.com/b" in ok("verify", "--witness", witness, cwd=a)
    ok("prove", 1, "-o", "p", "--record", "r", cwd=a)
    ok("verify", "--proof", "p", "--record", "r", "--witness", witness, "--log", log, cwd=a)
    again = stannary("witness", "sign", tmp_path / "request", "--log", log, cwd=b)
    assert (again.returncode, "witness request --old 5" in again.stderr) == (2, True)
    append(made["a"], 2)
    assert ok("witness", "sign", "--log", log, "-", cwd=b, stdin=ok("witness", "request", "--old", 5, cwd=a)).startswith(
        "— example.com/b "
    )


def test_an_export_is_brought_up_to_date(made, tmp_path):
    ok("export", tmp_path / "tiles", cwd=tmp_path / "a")
    append(made["a"], 300)
    ok("export", tmp_path / "tiles", cwd=tmp_path / "a")
    files = {str(path.relative_to(tmp_path / "tiles")) for path in (tmp_path / "tiles").rglob("*") if path.is_file()}
    assert {"checkpoint", "tile/0/000", "tile/0/001.p/49", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/49"} <= files


def test_a_lost_memory_is_told_and_can_be_made_anew(made, tmp_path):
    a = tmp_path / "a"
    (a / ".stannary" / "ledger.db.head").unlink()
    lost = stannary("head", cwd=a)
    assert (lost.returncode, "error[LED009]" in lost.stderr) == (1, True)
    ok("head", "--accept", cwd=a)
    ok("head", cwd=a)


@pytest.mark.parametrize(
    "arguments, code",
    [
        (("prove", "99"), "LED018"),
        (("prove", "sha256:00"), "LED018"),
        (("verify", "--proof", "x"), "USE012"),
        (("verify", "--since", "nothing"), "IO001"),
        (("witness", "sign", "nothing", "--log", "x"), "USE001"),
        (("head", "--workspace", "/nowhere"), "WSP001"),
    ],
)
def test_what_cannot_be_done_is_an_error_of_the_caller(made, tmp_path, arguments, code):
    done = stannary(*arguments, cwd=tmp_path / "a")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error[{code}]" in done.stderr


def test_a_log_is_handed_over_and_followed_offline(made, tmp_path):
    """The commands of the how-to: rotate, keys, prove, verify with the key that was trusted before, a witness, adopt."""
    a, b, copy = tmp_path / "a", tmp_path / "b", tmp_path / "copy"
    shutil.copytree(a, copy)
    old = key_of(a)
    ok("prove", "0", "-o", "before.proof", "--record", "before.json", cwd=a)
    request = ok("witness", "request", cwd=a)
    ok("witness", "sign", "-", "--log", old, cwd=b, stdin=request)
    new = ok("rotate", "--no-passphrase", cwd=a).strip()
    assert (new, new == old) == (key_of(a), False)
    ok("keys", "--format", "json", "-o", tmp_path / "keys.json", cwd=a)
    append(Workspace.find(str(a)), 2)
    ok("prove", "7", "-o", "after.proof", "--record", "after.json", cwd=a)
    for name in ("before", "after"):
        offline = ("verify", "--proof", a / f"{name}.proof", "--record", a / f"{name}.json", "--log")
        for key in (old, new):
            ok(*offline, key, "--keys", tmp_path / "keys.json", cwd=tmp_path)
    assert stannary(*offline, old, cwd=tmp_path).stderr.startswith("error[LED004]")
    assert [line.split()[0] for line in ok("keys", cwd=a).splitlines()] == ["retired", "current"]
    assert "what was signed" in stannary("audit", cwd=a).stderr

    request = ok("witness", "request", "--old", "5", cwd=a)
    assert stannary("witness", "sign", "-", "--log", new, cwd=b, stdin=request).stderr.startswith("error[LED027]")
    ok("witness", "sign", "-", "--log", new, "--keys", tmp_path / "keys.json", cwd=b, stdin=request)

    shutil.copy(a / ".stannary" / "ledger.db", copy / ".stannary" / "ledger.db")
    assert stannary("head", cwd=copy).stderr.startswith("error[LED004]")
    followed = stannary("keys", "--adopt", tmp_path / "keys.json", cwd=copy)
    assert (followed.returncode, "it is only read" in followed.stderr) == (0, True)
    assert (key_of(copy), stannary("keys", "--key", "x", cwd=copy).returncode) == (new, 2)
