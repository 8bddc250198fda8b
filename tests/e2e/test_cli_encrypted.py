"""An encrypted registry as a user has it: a key, a workspace, push and pull; in a folder and in a bucket."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

STANNARY = Path(sys.executable).with_name("stannary")
SECRET = b"weights that nobody is to read " * 5000

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def run(tmp_path):
    def call(*arguments, **environment):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STANNARY_")}
        more = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_STATE_HOME": str(tmp_path / "state"), **environment}
        command = [STANNARY, *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=clean | more, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(SECRET)
    return call


@pytest.fixture
def bucket():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/models", method="PUT"), timeout=30).close()
    yield {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}"}
    server.stop()


@pytest.mark.parametrize("place", ["", "elsewhere", "s3://models/team-a"])
def test_push_and_pull(run, tmp_path, place, request):
    environment = request.getfixturevalue("bucket") if place.startswith("s3:") else {}
    assert run("keys", "generate", "w.key", "--algorithm", "wrapping", "--no-passphrase").returncode == 0
    more = ["--contents", place] if place else []
    made = run("init", "--no-passphrase", "--wrapping-key", "w.key", *more, **environment)
    assert made.returncode == 0, made.stderr
    pushed = run("registry", "push", "model", "bert", **environment)
    assert pushed.returncode == 0, pushed.stderr
    pulled = run("registry", "pull", "bert:1", "back", **environment)
    assert pulled.returncode == 0, pulled.stderr
    assert [path.read_bytes() for path in (tmp_path / "back").rglob("weights.bin")] == [SECRET]
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "weights.bin"]
    assert all(SECRET[:30] not in path.read_bytes() for path in kept)
    (tmp_path / "w.key").unlink()
    refused = run("registry", "pull", "bert:1", "again", **environment)
    assert refused.returncode == 2
    assert "KEY007" in refused.stderr
    assert not (tmp_path / "again").exists()


def test_a_backup_is_as_secret_as_what_it_is_of_and_keys_can_be_changed(run, tmp_path):
    for name in ("old", "new"):
        assert run("keys", "generate", f"{name}.key", "--algorithm", "wrapping", "--no-passphrase").returncode == 0
    assert run("init", "--no-passphrase", "--wrapping-key", "old.key").returncode == 0
    assert run("registry", "push", "model", "bert").returncode == 0
    assert run("registry", "rekey", "--wrapping-key", "new.key").returncode == 0
    (tmp_path / "old.key").unlink()
    made = run("registry", "backup", "kept")
    assert made.returncode == 0, made.stderr
    for path in (tmp_path / "kept").rglob("*"):
        assert path.is_dir() or SECRET[:30] not in path.read_bytes()
    for path in (tmp_path / ".stannary").glob("*.db*"):
        path.unlink()
    for path in sorted((tmp_path / ".stannary" / "blobs").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    restored = run("registry", "restore", "kept")
    assert restored.returncode == 0, restored.stderr
    assert run("registry", "pull", "bert:1", "back").returncode == 0
    assert (tmp_path / "back" / "weights.bin").read_bytes() == SECRET


def test_a_namespace_is_shredded_when_that_was_confirmed_and_nothing_keeps_it(run, tmp_path):
    assert run("keys", "generate", "w.key", "--algorithm", "wrapping", "--no-passphrase").returncode == 0
    assert run("init", "--no-passphrase", "--wrapping-key", "w.key").returncode == 0
    for name in ("team-a/bert", "team-b/bert"):
        assert run("registry", "push", "model", name).returncode == 0
    assert run("registry", "backup", "kept").returncode == 0
    for more, code in (((), "REG016"), (("--reason", "left"), "REG035"), (("--reason", "left", "--confirm", "team-b"), "REG035")):
        refused = run("registry", "shred", "team-a", *more)
        assert (refused.returncode, code in refused.stderr) == (2, True), refused.stderr
    assert run("registry", "hold", "team-a/bert:1", "--reason", "case 4711").returncode == 0
    for more in (("--dry-run",), ("--reason", "left", "--confirm", "team-a")):
        refused = run("registry", "shred", "team-a", *more)
        assert (refused.returncode, "case 4711" in refused.stderr) == (2, True), refused.stderr
    assert run("registry", "hold", "team-a/bert:1", "--lift").returncode == 0
    planned = run("registry", "shred", "team-a", "--dry-run", "--format", "json")
    assert (json.loads(planned.stdout)["versions"], json.loads(planned.stdout)["dry_run"]) == (1, True)
    assert run("registry", "pull", "team-a/bert", "back").returncode == 0
    done = run("registry", "shred", "team-a", "--reason", "left", "--confirm", "team-a", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert {**json.loads(done.stdout), "deleted": 0, "freed": 0} == {**json.loads(planned.stdout), "dry_run": False}
    refused = run("registry", "pull", "team-a/bert:1", "again")
    assert (refused.returncode, "REG013" in refused.stderr) == (2, True)
    assert run("registry", "pull", "team-b/bert", "theirs").returncode == 0
    assert (tmp_path / "theirs" / "weights.bin").read_bytes() == SECRET
    for path in (tmp_path / ".stannary").glob("*.db*"):
        path.unlink()
    restored = run("registry", "restore", "kept")
    assert (restored.returncode, "team-a" in restored.stderr) == (3, True), restored.stderr
    assert run("registry", "pull", "team-b/bert", "once-more").returncode == 0


def test_a_namespace_gets_a_new_key_and_its_contents_stay_what_they_are(run, tmp_path):
    assert run("keys", "generate", "w.key", "--algorithm", "wrapping", "--no-passphrase").returncode == 0
    made = run("init", "--no-passphrase", "--wrapping-key", "w.key", "--namespace-keys", "elsewhere")
    assert made.returncode == 0, made.stderr
    assert run("registry", "push", "model", "team-a/bert").returncode == 0
    before = (tmp_path / "elsewhere" / "team-a.json").read_bytes()
    for more in ((), ("--namespace", "team-a", "--wrapping-key", "w.key")):
        assert run("registry", "rekey", *more).returncode == 2
    assert run("registry", "rekey", "--namespace", "team-b").returncode == 2
    first, second = run("registry", "rekey", "--namespace", "team-a"), run("registry", "rekey", "--namespace", "team-a")
    assert "2 headers" in first.stderr
    assert "the key before is gone" in second.stderr
    assert (tmp_path / "elsewhere" / "team-a.json").read_bytes() != before
    assert run("registry", "pull", "team-a/bert", "back").returncode == 0
    assert (tmp_path / "back" / "weights.bin").read_bytes() == SECRET


def test_contents_get_a_key_for_each_namespace_in_place_and_one_is_shredded(run, tmp_path):
    assert run("init", "--no-passphrase").returncode == 0
    for name in ("team-a/bert", "team-b/bert"):
        assert run("registry", "push", "model", name).returncode == 0
    digests = [
        json.loads(run("registry", "show", f"{n}/bert", "--format", "json").stdout)["version"]["digest"]
        for n in ("team-a", "team-b")
    ]
    early = run("registry", "shred", "team-a", "--reason", "left", "--confirm", "team-a")
    assert (early.returncode, "stannary registry reseal" in early.stderr) == (2, True)
    refused = run("registry", "reseal")
    assert (refused.returncode, "--wrapping-key w.key" in refused.stderr) == (2, True)
    assert run("keys", "generate", "w.key", "--algorithm", "wrapping", "--no-passphrase").returncode == 0
    made = run("registry", "reseal", "--wrapping-key", "w.key", "--namespace-keys", "keys elsewhere")
    assert made.returncode == 0, made.stderr
    assert "2 namespaces are under keys of their own" in made.stderr
    assert sorted(path.name for path in (tmp_path / "keys elsewhere").iterdir() if path.suffix) == ["team-a.json", "team-b.json"]
    assert "already" in run("registry", "reseal").stderr
    for path in (tmp_path / ".stannary").rglob("*"):
        assert path.is_dir() or SECRET[:30] not in path.read_bytes()
    shown = [
        json.loads(run("registry", "show", f"{n}/bert", "--format", "json").stdout)["version"]["digest"]
        for n in ("team-a", "team-b")
    ]
    assert shown == digests
    assert run("registry", "shred", "team-a", "--reason", "left", "--confirm", "team-a").returncode == 0
    assert run("registry", "pull", "team-a/bert:1", "gone").returncode == 2
    assert run("registry", "pull", "team-b/bert", "kept").returncode == 0
    assert run("ledger", "audit").returncode == 0


def test_what_a_backup_prints_is_what_a_restore_takes(run, tmp_path):
    assert run("init", "--no-passphrase", "one").returncode == 0
    assert run("registry", "push", "model", "bert", "--workspace", "one").returncode == 0
    written = run("registry", "backup", "kept", "--workspace", "one")
    root = written.stdout.strip()
    head = json.loads(run("ledger", "head", "--format", "json", "--workspace", "one").stdout)
    assert (written.returncode, len(root), root) == (0, 64, head["root"])
    new = tmp_path / "new" / ".stannary"
    new.mkdir(parents=True)
    for name in ("workspace.json", "trust.json"):
        shutil.copy(tmp_path / "one" / ".stannary" / name, new)
    shutil.copytree(tmp_path / "one" / ".stannary" / "keys", new / "keys")
    assert run("registry", "restore", "kept", "--root", "0" * 64, "--workspace", "new").returncode == 1
    restored = run("registry", "restore", "kept", "--root", root, "--workspace", "new")
    assert restored.returncode == 0, restored.stderr
    assert run("registry", "pull", "bert:1", "back", "--workspace", "new").returncode == 0


def test_a_job_reads_what_a_key_with_a_passphrase_encrypts(run):
    environment = {"STANNARY_PASSPHRASE": "none of your business"}
    assert run("keys", "generate", "w.key", "--algorithm", "wrapping", **environment).returncode == 0
    assert run("init", "--wrapping-key", "w.key", **environment).returncode == 0
    assert run("registry", "push", "model", "bert", **environment).returncode == 0
    for more in (("--executor", "inline"), ("--workers", "1")):
        assert run("jobs", "add", "scan", "registry:bert:1", "--again", **environment).returncode == 0
        assert run("jobs", "work", "--drain", *more, **environment).returncode == 0
        jobs = json.loads(run("jobs", "list", "--format", "json", **environment).stdout)["jobs"]
        assert {job["state"] for job in jobs} == {"done"}, jobs


@pytest.mark.parametrize(
    "line",
    [
        ("--wrapping-key", "not-there.key"),
        ("--contents", "s3://nobody/here"),
        ("--database", "postgresql://nobody@/nowhere?host=/nowhere"),
        ("--contents", "elsewhere", "--namespace-keys", "elsewhere"),
    ],
)
def test_a_place_or_key_that_cannot_be_used_leaves_no_workspace_that_would_do_without(run, tmp_path, line, bucket):
    refused = run("init", "--no-passphrase", "new", *line, **bucket)
    assert refused.returncode == 2, refused.stderr
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["stannary.toml"]
    assert run("init", "--no-passphrase", "new").returncode == 0
    # And one that is there is not made another by saying so again.
    again = run("init", "--force", "new", *line)
    assert (again.returncode, "WSP003" in again.stderr) == (2, True)
