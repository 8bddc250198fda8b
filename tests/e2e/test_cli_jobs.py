"""Background jobs of a workspace, over the command line and the API, done by real workers."""

import json
import pickle
import time

import pytest
from tests.e2e.test_serve import Served, run


@pytest.fixture
def workspace(tmp_path):
    run(tmp_path, "init", ".", "--no-passphrase")
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "model.pkl").write_bytes(pickle.dumps({"weights": [1.0, 2.0]}))
    run(tmp_path, "registry", "push", "good", "claims")
    return tmp_path


def rows(folder, *line):
    return json.loads(run(folder, "jobs", "list", "--format", "json", *line).stdout)["jobs"]


def kinds(folder):
    found = json.loads(run(folder, "evidence", "list", "--format", "json").stdout)["evidence"]
    return sorted((row["kind"], row["subject"]["name"]) for row in found)


def test_what_is_asked_for_is_done_once_and_is_evidence(workspace):
    for kind in ("scan", "bom", "gate"):
        run(workspace, "jobs", "add", kind, "registry:claims:1")
    assert {row["state"] for row in rows(workspace)} == {"queued"}
    run(workspace, "jobs", "work", "--drain", "--workers", "2")
    assert {row["state"] for row in rows(workspace)} == {"done"}
    assert kinds(workspace) == [("cyclonedx", "claims"), ("model-scan", "claims"), ("vsa", "claims")]
    # Asked for again it is there already; with --again it is done again.
    assert "before" in run(workspace, "jobs", "add", "scan", "registry:claims:1").stderr
    run(workspace, "jobs", "add", "scan", "registry:claims:1", "--again")
    run(workspace, "jobs", "work", "--drain", "--executor", "inline")
    assert [kind for kind, _ in kinds(workspace)].count("model-scan") == 2
    run(workspace, "ledger", "audit")
    shown = json.loads(run(workspace, "jobs", "show", rows(workspace)[0]["key"], "--format", "json").stdout)
    assert shown["summary"]["verdict"] == "clean"
    assert len(shown["job"]["evidence"]) == 1


def test_a_gate_decides_by_a_file_of_one_s_own_in_yaml_and_in_rego(workspace):
    (workspace / "own.yaml").write_text("name: own\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n")
    (workspace / "own.rego").write_text('package stannary.gate\nimport rego.v1\ndeny contains "no" if count(input.evidence) == 0\n')
    for policy in ("own.yaml", "own.rego"):
        run(workspace, "jobs", "add", "gate", "registry:claims:1", "--policy", policy)
    run(workspace, "jobs", "add", "gate", "registry:claims:1", "--policy", "missing.rego", code=2)
    run(workspace, "jobs", "work", "--drain", "--workers", "1")
    shown = [json.loads(run(workspace, "jobs", "show", row["key"], "--format", "json").stdout) for row in rows(workspace)]
    assert [item["job"]["state"] for item in shown] == ["done", "done"]
    assert [item["summary"]["verdict"] for item in shown].count("deny") >= 1
    assert [kind for kind, _ in kinds(workspace)] == ["vsa", "vsa"]


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "good", "file:///etc/passwd", "https://169.254.169.254/x", "https://localhost/x"]
)
def test_no_path_and_nothing_that_is_not_public(workspace, target):
    run(workspace, "jobs", "add", "scan", target, code=2)
    assert rows(workspace) == []


def test_a_cancelled_job_is_not_done(workspace):
    run(workspace, "jobs", "add", "scan", "registry:claims:1")
    key = rows(workspace)[0]["key"]
    run(workspace, "jobs", "cancel", key[7:19])
    run(workspace, "jobs", "work", "--drain")
    assert rows(workspace)[0]["state"] == "cancelled"
    assert kinds(workspace) == []
    run(workspace, "jobs", "cancel", key[7:19], code=2)
    run(workspace, "jobs", "show", "00000000", code=2)


def test_a_server_with_workers_does_what_is_asked_for(workspace):
    for account in ("service add ci", "service add looker"):
        run(workspace, "access", *account.split())
    run(workspace, "access", "grant", "service:ci", "contributor", "default/claims")
    run(workspace, "access", "grant", "service:looker", "viewer", "default/other")
    tokens = {
        name: json.loads(run(workspace, "access", "token", "issue", f"service:{name}", "--format", "json").stdout)["secret"]
        for name in ("ci", "looker")
    }
    served = Served(workspace, "--job-workers", "1")
    try:
        body = json.dumps({"kind": "scan", "target": "registry:claims:1"})
        sent = {"Content-Type": "application/json"}
        status, answer = served.ask("POST", "/api/v1/jobs", tokens["ci"], body, **sent)
        assert status == 202, answer
        job = json.loads(answer)["job"]
        identifier = job["key"].partition(":")[2]
        assert served.ask("POST", "/api/v1/jobs", tokens["ci"], body, **sent)[0] == 200
        deadline = time.monotonic() + 60
        while job["state"] != "done":
            assert time.monotonic() < deadline, job
            time.sleep(0.2)
            job = json.loads(served.ask("GET", f"/api/v1/jobs/{identifier}", tokens["ci"])[1])["job"]
        assert len(job["evidence"]) == 1
        assert served.ask("DELETE", f"/api/v1/jobs/{identifier}", tokens["ci"])[0] == 409
        # Who may neither see the model nor have jobs done for it is not told that there is one.
        assert served.ask("GET", f"/api/v1/jobs/{identifier}", tokens["looker"])[0] == 404
        assert served.ask("POST", "/api/v1/jobs", tokens["looker"], body, **sent)[0] == 403
        assert json.loads(served.ask("GET", "/api/v1/jobs", tokens["looker"])[1])["jobs"] == []
        # An address is no matter of one model: it takes the right to everything.
        for target, wanted in (("https://example.com/m.pkl", 403), ("/etc/passwd", 403), ("registry:absent:1", 403)):
            body = json.dumps({"kind": "scan", "target": target})
            assert served.ask("POST", "/api/v1/jobs", tokens["ci"], body, **sent)[0] == wanted
    finally:
        served.process.terminate()
        assert served.process.wait(60) == 0
    assert kinds(workspace) == [("model-scan", "claims")]
