"""`stannary registry import mlflow:`: versions come with their files, aliases as proposals; what cannot be had is said."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.test_serve import Served, run

STANNARY = str(Path(sys.executable).with_name("stannary"))


@pytest.fixture
def served(tmp_path):
    """Return a server that speaks MLflow's API and has two versions and an alias, and a token of somebody who may read."""
    folder = tmp_path / "there"
    folder.mkdir()
    run(folder, "init", "--no-passphrase")
    policy = folder / "any.yaml"
    policy.write_text("name: approved\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n")
    run(folder, "registry", "protect", "fraud@production", "--policy", str(policy))
    for content in (b"one", b"two"):
        (folder / "model" / "code").mkdir(parents=True, exist_ok=True)
        (folder / "model" / "weights.bin").write_bytes(content * 1000)
        (folder / "model" / "code" / "run.py").write_bytes(b"")
        run(folder, "registry", "push", "model", "fraud", "--note", content.decode())
    run(folder, "registry", "approve", "fraud:1", "--statement", "looked at")
    run(folder, "registry", "promote", "fraud:1", "production")
    run(folder, "access", "user", "add", "viewer")
    run(folder, "access", "grant", "viewer", "viewer")
    token = run(folder, "access", "token", "issue", "viewer").stdout.strip()
    server = Served(folder, "--rate", "0")
    yield folder, f"http://127.0.0.1:{server.port}", token
    server.end()


def bring(folder, url, token, *line, code=0):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("STANNARY_", "MLFLOW_"))}
    environment |= {"MLFLOW_TRACKING_URI": url, "MLFLOW_TRACKING_TOKEN": token}
    command = [STANNARY, "registry", "import", *line]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def test_versions_come_with_their_files_and_aliases_as_proposals(served, tmp_path):
    there, url, token = served
    here = tmp_path / "here"
    here.mkdir()
    run(here, "init", "--no-passphrase")
    found = json.loads(bring(here, url, token, "mlflow:models/fraud", "--format", "json").stdout)
    assert [(row["source"], row["version"], row["new"]) for row in found["versions"]] == [
        ("fraud/1", "fraud:1", True),
        ("fraud/2", "fraud:2", True),
    ]
    assert found["proposals"] == [{"source": "fraud@production", "version": "fraud:1", "alias": "production"}]
    assert found["missed"] == []
    shown = json.loads(run(here, "registry", "list", "fraud", "--format", "json").stdout)
    assert shown["aliases"] == []
    assert shown["versions"][0]["note"] == "two"
    assert shown["versions"][0]["info"]["mlflow"]["version"] == "2"
    original = json.loads(run(there, "registry", "list", "fraud", "--format", "json").stdout)
    assert [row["digest"] for row in shown["versions"]] == [row["digest"] for row in original["versions"]]
    run(here, "registry", "pull", "fraud:1", "out")
    assert hashlib.sha256((here / "out" / "weights.bin").read_bytes()).digest() == hashlib.sha256(b"one" * 1000).digest()

    # Again: nothing is new. What is quarantined there cannot be had, which is told and not passed over.
    run(there, "registry", "quarantine", "fraud:2", "--reason", "incident 12")
    done = bring(here, url, token, "mlflow:", code=3)
    assert "fraud/1  fraud:1" in done.stdout
    assert "(was here)" in done.stdout
    assert "fraud/2 was not brought" in done.stderr
    assert "registry promote fraud:1 production" in done.stderr


def test_what_names_no_model_or_server_is_an_error(tmp_path):
    run(tmp_path, "init", "--no-passphrase")
    assert "mlflow:models/NAME" in bring(tmp_path, "http://127.0.0.1:9", "x", "hf://org/model", code=2).stderr
    assert "MLFLOW_TRACKING_URI" in bring(tmp_path, "", "x", "mlflow:", code=2).stderr
    assert bring(tmp_path, "http://mlflow.example", "x", "mlflow:", code=2).stderr
