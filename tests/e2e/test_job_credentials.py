"""Jobs that show the credentials of a worker: who may have them done, and that it stands in the ledger."""

import json
import subprocess

import pytest
from tests.e2e.test_serve import STANNARY, Served, clean, run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("credentials")
    run(folder, "init", "--no-passphrase")
    tokens = {}
    for name, granted in (
        ("carl", "contributor"),
        ("fay", "fetcher"),
        ("ada", "admin"),
        ("nora", "fetcher:team/*"),
        ("aud", "auditor"),
    ):
        role, _, where = granted.partition(":")
        run(folder, "access", "user", "add", name)
        run(folder, "access", "grant", name, role, *([where] if where else []))
        tokens[name] = run(folder, "access", "token", "issue", name).stdout.strip()
    return folder, tokens


def test_it_takes_a_privilege_on_everything_and_is_logged(place):
    folder, tokens = place
    server = Served(folder)
    try:

        def asked(name, target="s3://private-bucket/model", credentials=True):
            body = json.dumps({"kind": "scan", "target": target, "credentials": credentials})
            status, said = server.ask("POST", "/api/v1/jobs", tokens[name], body, **{"Content-Type": "application/json"})
            return status, json.loads(said)

        assert asked("carl", credentials=False)[0] == 202
        status, said = asked("carl")
        assert (status, said["code"]) == (403, "ACC002")
        assert "the role for it is fetcher" in said["detail"]
        assert asked("ada")[0] == asked("nora")[0] == 403
        assert asked("fay", "https://models.example/w.bin")[0] == 400
        status, said = asked("fay")
        assert (status, said["job"]["params"]["credentials"]) == (202, True)
        assert asked("fay", credentials=False)[0] == 200  # another job: what carl asked for
        entries = json.loads(server.ask("GET", "/api/v1/ledger/entries?limit=1000", tokens["aud"])[1])["entries"]
        used = [row["body"] for row in entries if (row["type"], row["kind"]) == ("access", "used")]
        assert [(row["actor"], row["action"]) for row in used] == [("user:fay", "fetch")]
    finally:
        assert server.end() == 0


def test_jobs_are_asked_for_and_ended_over_the_server(place, tmp_path):
    folder, tokens = place
    server = Served(folder)

    def jobs(name, *line, code=0):
        there = clean() | {"STANNARY_TOKEN": tokens[name], "STANNARY_SERVER": f"http://127.0.0.1:{server.port}"}
        done = subprocess.run(
            [STANNARY, "jobs", *line], cwd=tmp_path, env=there, check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, (line, done.stdout, done.stderr)
        return done

    try:
        added = json.loads(jobs("carl", "add", "scan", "https://models.example/w.bin", "--format", "json").stdout)["job"]
        assert (added["state"], added["actor"]) == ("queued", "user:carl")
        short = added["key"].partition(":")[2][:12]
        assert short in jobs("carl", "list").stdout
        assert json.loads(jobs("carl", "show", short, "--format", "json").stdout)["job"]["key"] == added["key"]
        assert "error[JOB007]" in jobs("carl", "show", "0" * 64, code=2).stderr
        assert "error[JOB007]" in jobs("carl", "show", "zz", code=2).stderr
        assert "error[ACC002]" in jobs("carl", "add", "scan", "hf://org/model", "--credentials", code=1).stderr
        jobs("carl", "cancel", short)
        assert json.loads(jobs("carl", "list", "--state", "cancelled", "--format", "json").stdout)["jobs"][0]["key"] == added["key"]
        assert "error[JOB006]" in jobs("carl", "cancel", short, code=2).stderr
        assert "error[USE014]" in jobs("carl", "list", "--workspace", str(folder), code=2).stderr
    finally:
        assert server.end() == 0
