"""Jobs that show the credentials of a worker: who may have them done, and that it stands in the ledger."""

import json

import pytest
from tests.e2e.test_serve import Served, run


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
