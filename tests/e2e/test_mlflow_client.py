"""An unmodified `mlflow` client against `stannary serve`: it uploads, registers, resolves by alias and loads; a denial is an error.

MLflow is too large for our own environments. The client runs as a program of one that has it: `.venv-peers/mlflow`, which
`./dev test` makes from requirements/mlflow.txt; STANNARY_MLFLOW names the python of another.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.e2e.test_serve import Served, run

ROOT = Path(__file__).resolve().parents[2]
PRELUDE = """
import json, logging, sys, warnings
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
from pathlib import Path
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_registry_uri(sys.argv[1])
client, folder = MlflowClient(), Path(sys.argv[2])
def upload(source, path):
    get_artifact_repository(path).log_artifacts(str(source))
    return path
def denied(call, *arguments):
    try:
        call(*arguments)
    except MlflowException as error:
        return error.error_code + ": " + str(error)
    raise SystemExit("nothing was denied")
"""


def python():
    path = Path(os.environ.get("STANNARY_MLFLOW") or ROOT / ".venv-peers" / "mlflow" / "bin" / "python")
    if not path.exists():
        pytest.fail(f"{path} is not there: `./dev test` makes it, STANNARY_MLFLOW names another")
    return path


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    """Return a function that runs lines of a client with the rights of a role, and returns what they print as JSON."""
    interpreter = python()
    folder = tmp_path_factory.mktemp("mlflow")
    model = folder / "model"
    (model / "code").mkdir(parents=True)
    (model / "weights.bin").write_bytes(bytes(range(256)) * 20_000)
    (model / "code" / "empty.py").write_bytes(b"")
    run(folder, "init", "--no-passphrase")
    tokens = {}
    for role in ("viewer", "contributor", "releaser", "admin"):
        run(folder, "access", "user", "add", role)
        run(folder, "access", "grant", role, role)
        tokens[role] = run(folder, "access", "token", "issue", role).stdout.strip()
    run(folder, "access", "user", "add", "both")
    for role in ("contributor", "admin"):
        run(folder, "access", "grant", "both", role)
    tokens["both"] = run(folder, "access", "token", "issue", "both").stdout.strip()
    server = Served(folder, "--rate", "0")

    def ask(role, lines):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON"))}
        environment = {**clean, "MLFLOW_TRACKING_TOKEN": tokens[role], "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        command = [interpreter, "-c", PRELUDE + lines, f"http://127.0.0.1:{server.port}", str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=240)
        assert done.returncode == 0, (done.stdout, done.stderr, server.log.read_text()[-2000:])
        return json.loads(done.stdout.splitlines()[-1])

    ask.folder = folder
    yield ask
    server.end()


def test_a_client_registers_resolves_and_loads_and_cannot_go_around_the_policy(mlflow):
    folder = mlflow.folder
    found = mlflow(
        "contributor",
        """
source = upload(folder / "model", "mlflow-artifacts:/uploads/default/fraud/first")
client.create_registered_model("fraud")
made = client.create_model_version("fraud", source, tags={"team": "risk"}, description="the first")
again = mlflow.register_model(upload(folder / "model", "mlflow-artifacts:/uploads/team/scores/x"), "team~scores")
print(json.dumps({
    "version": made.version, "user": made.user_id, "tags": made.tags, "description": made.description,
    "other": [again.name, again.version],
    "names": [row.name for row in client.search_registered_models("name LIKE 'fr%'")],
    "all": sorted(row.name for row in client.search_registered_models()),
    "versions": [row.version for row in client.search_model_versions("name='fraud'")],
    "moved": denied(client.set_registered_model_alias, "fraud", "production", "1"),
    "foreign": denied(client.create_model_version, "fraud", "s3://elsewhere/model"),
    "unsent": denied(client.create_model_version, "fraud", "mlflow-artifacts:/uploads/default/fraud/never"),
    "path": denied(client.create_model_version, "fraud", "mlflow-artifacts:/uploads/default/fraud/../../../keys"),
}))
""",
    )
    assert found["version"] == "1"
    assert found["user"] == "user:contributor"
    assert found["description"] == "the first"
    assert found["tags"]["team"] == "risk"
    assert found["tags"]["stannary.digest"].startswith("sha256:")
    assert found["other"] == ["team~scores", "1"]
    assert found["names"] == ["fraud"]
    assert found["all"] == ["fraud", "team~scores"]
    assert found["versions"] == ["1"]
    assert found["moved"].startswith("PERMISSION_DENIED")
    assert found["foreign"].startswith("INVALID_PARAMETER_VALUE")
    assert "nothing was uploaded there" in found["unsent"]
    assert "no path of an artifact" in found["path"]

    # The policy says what is missing, also when somebody asks who may promote, by an alias or by a stage.
    found = mlflow(
        "releaser",
        """
print(json.dumps([
    denied(client.set_registered_model_alias, "fraud", "production", "1"),
    denied(client.transition_model_version_stage, "fraud", "1", "Production"),
    denied(client.get_model_version_by_alias, "fraud", "production"),
]))
""",
    )
    assert all(said.startswith("PERMISSION_DENIED") and "the policy production denies version 1" in said for said in found[:2]), (
        found
    )
    assert found[2].startswith("RESOURCE_DOES_NOT_EXIST")

    run(folder, "registry", "protect", "fraud@production", "--policy", str(policy(folder)))
    run(folder, "registry", "approve", "fraud:1", "--statement", "looked at")
    found = mlflow(
        "releaser",
        """
client.set_registered_model_alias("fraud", "production", "1")
at = client.get_model_version_by_alias("fraud", "production")
print(json.dumps([at.version, at.current_stage, client.get_registered_model("fraud").aliases]))
""",
    )
    assert found == ["1", "Production", {"production": "1"}]

    found = mlflow(
        "viewer",
        """
out = folder / "loaded"
path = Path(mlflow.artifacts.download_artifacts("models:/fraud@production", dst_path=str(out)))
print(json.dumps({
    "files": sorted(str(item.relative_to(path)) for item in path.rglob("*") if item.is_file()),
    "same": (path / "weights.bin").read_bytes() == (folder / "model" / "weights.bin").read_bytes(),
    "push": denied(client.create_model_version, "fraud", "mlflow-artifacts:/uploads/default/fraud/first"),
    "delete": denied(client.delete_model_version, "fraud", "1"),
}))
""",
    )
    assert found["files"] == ["code/empty.py", "weights.bin"]
    assert found["same"]
    assert found["push"].startswith("PERMISSION_DENIED")
    assert found["delete"].startswith("PERMISSION_DENIED")

    found = mlflow("admin", 'print(json.dumps(denied(client.delete_model_version, "fraud", "1")))')
    assert "in service as production" in found
    run(folder, "registry", "quarantine", "fraud:1", "--reason", "incident 12")
    found = mlflow("viewer", 'print(json.dumps(denied(mlflow.artifacts.download_artifacts, "models:/fraud@production")))')
    assert "quarantined" in found


def test_a_client_describes_searches_copies_renames_and_deletes(mlflow):
    """What scripts around MLflow do besides registering: each call of an unmodified client, and what it reads back."""
    found = mlflow(
        "contributor",
        """
client.create_registered_model("risk", tags={"team": "a", "tier": "1"}, description="scores of risk")
empty = client.get_registered_model("risk")
try:
    client.create_registered_model("risk")
except MlflowException as error:
    again = error.error_code
for n in range(4):
    (folder / "model" / "weights.bin").write_bytes(bytes([n]) * 1000)
    source = upload(folder / "model", f"mlflow-artifacts:/uploads/default/risk/{n}")
    client.create_model_version("risk", source, tags={"n": str(n), "parity": str(n % 2)}, run_id=f"run{n}")
client.update_registered_model("risk", description="better words")
client.set_registered_model_tag("risk", "owner", "ann")
client.delete_registered_model_tag("risk", "tier")
client.update_model_version("risk", "2", description="the second")
client.set_model_version_tag("risk", "2", "checked", "yes")
client.delete_model_version_tag("risk", "2", "n")
model, version = client.get_registered_model("risk"), client.get_model_version("risk", "2")
copied = client.copy_model_version("models:/risk/2", "elsewhere")
def versions(*args, **more):
    return [row.version for row in client.search_model_versions(*args, **more)]
pages, token = [], None
while True:
    page = client.search_model_versions("name='risk'", max_results=3, page_token=token)
    pages.append(len(page))
    token = page.token
    if not token:
        break
print(json.dumps({
    "empty": [empty.description, empty.tags, len(empty.latest_versions)], "again": again,
    "model": [model.description, model.tags], "version": [version.description, version.tags.get("checked"), version.tags.get("n")],
    "copied": [copied.name, copied.version, copied.tags["stannary.digest"] == version.tags["stannary.digest"]],
    "by tag": versions("name = 'risk' AND tags.parity = '1'"), "by run": versions("run_id IN ('run0','run2')"),
    "ordered": versions("name='risk'", order_by=["version_number ASC"]), "pages": pages,
    "models": [row.name for row in client.search_registered_models("tags.owner = 'ann'")],
    "sorted": [row.name for row in client.search_registered_models("name LIKE '%s%'", order_by=["name DESC"])],
    "deleted": denied(client.delete_model_version, "risk", "1"), "renamed": denied(client.rename_registered_model, "risk", "mine"),
}))
""",
    )
    assert found["empty"] == ["scores of risk", {"team": "a", "tier": "1"}, 0]
    assert found["again"] == "RESOURCE_ALREADY_EXISTS"
    assert found["model"] == ["better words", {"team": "a", "owner": "ann"}]
    assert found["version"] == ["the second", "yes", None]
    assert found["copied"] == ["elsewhere", "1", True]
    assert (found["by tag"], found["by run"]) == (["4", "2"], ["3", "1"])
    assert (found["ordered"], found["pages"]) == (["1", "2", "3", "4"], [3, 1])
    assert found["models"] == ["risk"]
    assert {"risk", "elsewhere"} <= set(found["sorted"])
    assert found["sorted"] == sorted(found["sorted"], reverse=True)
    assert found["deleted"].startswith("PERMISSION_DENIED")
    assert found["renamed"].startswith("PERMISSION_DENIED")
    found = mlflow(
        "both",
        """
client.delete_model_version("risk", "1")
client.rename_registered_model("risk", "peril")
renamed = client.get_registered_model("peril")
names = [row.name for row in client.search_registered_models()]
left = [row.version for row in client.search_model_versions("name='peril'")]
path = Path(mlflow.artifacts.download_artifacts("models:/peril/4", dst_path=str(folder / "renamed")))
client.delete_registered_model("elsewhere")
client.delete_registered_model("peril")
print(json.dumps({
    "renamed": [renamed.name, renamed.description, renamed.tags.get("owner")], "left": left,
    "there": "peril" in names and "risk" not in names, "content": (path / "weights.bin").stat().st_size,
    "old": denied(client.get_registered_model, "risk"), "gone": denied(client.get_registered_model, "elsewhere"),
    "mistaken": denied(client.search_model_versions, "name = 'risk' OR 1"),
}))
""",
    )
    assert found["renamed"] == ["peril", "better words", "ann"]
    assert (found["left"], found["there"], found["content"]) == (["4", "3", "2"], True, 1000)
    assert found["old"].startswith("RESOURCE_DOES_NOT_EXIST")
    assert found["gone"].startswith("RESOURCE_DOES_NOT_EXIST")
    assert found["mistaken"].startswith("INVALID_PARAMETER_VALUE")


def policy(folder):
    path = folder / "approved.yaml"
    path.write_text("name: approved\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n")
    return path
