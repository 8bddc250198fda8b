"""Models of a real MLflow server: scanned by name, version and alias, and brought into a registry with their aliases as proposals.

The server and its client run in `.venv-peers/mlflow`, as in test_mlflow_client.py; here it is the server that is not ours.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.test_mlflow_client import python
from tests.e2e.test_serve import run

STANNARY = str(Path(sys.executable).with_name("stannary"))
# The application that `mlflow server` runs, on a port that is free.
SERVER = """
import os, sys
os.environ |= {
    "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{sys.argv[1]}/mlflow.db", "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"{sys.argv[1]}/artifacts", "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
}
from mlflow.server import app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
CLIENT = """
import sys
from pathlib import Path
import mlflow
from mlflow import MlflowClient
url, folder = sys.argv[1], Path(sys.argv[2])
mlflow.set_tracking_uri(url)
client = MlflowClient()
experiment = client.create_experiment("claims")
run = client.create_run(experiment)
client.create_registered_model("claims")
def of_run(name):
    client.log_artifacts(run.info.run_id, str(folder / name), name)
    return client.create_model_version("claims", f"{run.info.artifact_uri}/{name}", run.info.run_id).version
assert str(of_run("honest")) == "1"
assert str(of_run("hostile")) == "2"
logged = client.create_logged_model(experiment, "third", source_run_id=run.info.run_id)
client.log_model_artifacts(logged.model_id, str(folder / "honest"))
client.finalize_logged_model(logged.model_id, "READY")
third = client.create_model_version("claims", f"models:/{logged.model_id}", run.info.run_id, model_id=logged.model_id)
assert str(third.version) == "3"
client.set_registered_model_alias("claims", "champion", "1")
client.set_registered_model_alias("claims", "challenger", "2")
client.set_registered_model_alias("claims", "logged", "3")
client.create_registered_model("Risk & claims, é")
client.create_model_version("Risk & claims, é", f"{run.info.artifact_uri}/honest", run.info.run_id)
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Start a server with three versions of a model: of a run, of a run and hostile, and of a logged model; return its address."""
    folder, interpreter = tmp_path_factory.mktemp("mlflow-server"), python()
    for name, pickled in (("honest", b"\x80\x04]q\x00(K\x01K\x02e."), ("hostile", b"cos\nsystem\n(S'echo stannary'\ntR.")):
        (folder / name / "code").mkdir(parents=True)
        (folder / name / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n")
        (folder / name / "model.pkl").write_bytes(pickled)
        (folder / name / "code" / "empty.py").write_bytes(b"")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON", "_MLFLOW_"))}
    clean |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [interpreter, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, stderr=log, env=clean, text=True
        )
    try:
        port = server.stdout.readline().strip()
        assert port.isdigit(), (folder / "log").read_text()[-2000:]
        found = f"http://127.0.0.1:{port}"
        command = [interpreter, "-c", CLIENT, found, str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=clean, timeout=240)
        assert done.returncode == 0, (done.stdout, done.stderr, (folder / "log").read_text()[-2000:])
        yield found
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()


def ours(url, folder, *line, code=0):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("STANNARY_", "MLFLOW_"))}
    environment |= {"MLFLOW_TRACKING_URI": url}
    done = subprocess.run([STANNARY, *line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.mark.parametrize(
    "reference, code",
    [("/1", 0), ("@champion", 0), ("/2", 1), ("@challenger", 1), ("/3", 0), ("@logged", 0)],
)
def test_a_version_of_a_server_is_scanned_whole(url, tmp_path, reference, code):
    found = ours(url, tmp_path, "scan", f"mlflow:models/claims{reference}", "--format", "json", code=code)
    [target] = found["targets"]
    assert sorted(row["path"] for row in target["files"]) == ["MLmodel", "code/empty.py", "model.pkl"]
    assert target["verdict"] == ("unsafe" if code else "clean")


@pytest.mark.parametrize("name", ["Risk & claims, é", "Risk%20%26%20claims%2C%20%C3%A9"])
def test_a_name_may_be_any_text_or_be_quoted(url, tmp_path, name):
    assert ours(url, tmp_path, "scan", f"mlflow:models/{name}/1", "--format", "json")["targets"][0]["verdict"] == "clean"


@pytest.mark.parametrize("reference", ["claims/9", "claims@nobody", "absent/1"])
def test_what_a_server_does_not_have_is_an_error(url, tmp_path, reference):
    said = ours(url, tmp_path, "scan", f"mlflow:models/{reference}", "--format", "json", code=2)
    assert "not found" in said
    assert "{" not in said  # what the server says, not how it is wrapped


def test_versions_of_a_server_are_brought_with_their_aliases_as_proposals(url, tmp_path):
    run(tmp_path, "init", "--no-passphrase")
    found = ours(url, tmp_path, "registry", "import", "mlflow:models/claims", "--format", "json")
    assert [row["source"] for row in found["versions"]] == ["claims/1", "claims/2", "claims/3"]
    assert sorted((row["source"], row["alias"]) for row in found["proposals"]) == [
        ("claims@challenger", "challenger"),
        ("claims@champion", "champion"),
        ("claims@logged", "logged"),
    ]
    assert found["missed"] == []
