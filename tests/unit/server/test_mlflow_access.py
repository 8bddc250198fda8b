"""MLflow's words and the rights: every operation by every role, in one's own namespace and in a foreign one."""

import json

import pytest
from tests.unit.server.test_access import access, client_as

from stannary.access.roles import ROLES
from stannary.server.mlflow import OPERATIONS

__all__ = ["access", "client_as"]  # fixtures
VERSION = {"version": "1"}
TAG = {"key": "k", "value": "v"}
# operation → the action it takes, and what is sent besides the name
MATRIX = {
    "mlflowCreateModel": ("push", {}),
    "mlflowGetModel": ("read", {}),
    "mlflowUpdateModel": ("push", {"description": "text"}),
    "mlflowRenameModel": ("push and delete", {"new_name": "{name}-2"}),  # no role has both: it takes two grants
    "mlflowTagModel": ("push", TAG),
    "mlflowUntagModel": ("push", TAG),
    "mlflowDeleteModel": ("delete", {}),
    "mlflowGetLatest": ("read", {}),
    "mlflowSetAlias": ("promote", {"alias": "staging", **VERSION}),
    "mlflowRemoveAlias": ("rollback", {"alias": "staging"}),
    "mlflowGetByAlias": ("read", {"alias": "staging"}),
    "mlflowCreateVersion": ("push", {"source": "mlflow-artifacts:/uploads/x/y"}),
    "mlflowGetVersion": ("read", VERSION),
    "mlflowDownloadUri": ("read", VERSION),
    "mlflowUpdateVersion": ("push", {"description": "text", **VERSION}),
    "mlflowTagVersion": ("push", {**TAG, **VERSION}),
    "mlflowUntagVersion": ("push", {**TAG, **VERSION}),
    "mlflowDeleteVersion": ("delete", VERSION),
    "mlflowTransitionStage": ("promote", {"stage": "Staging", **VERSION}),
    "mlflowUpload": ("push", "uploads/{place}/x/weights.bin"),
    "mlflowDownload": ("read", "versions/{place}/1/weights.bin"),
    "mlflowListFiles": ("read", "versions/{place}/1"),
}
APART = {"mlflowSearchModels", "mlflowSearchVersions"}  # everybody's; they show what one may see


def ask(client, operation, namespace):
    sent, name = MATRIX[operation.id][1], "claims" if namespace == "default" else f"{namespace}~claims"
    if isinstance(sent, str):
        path = sent.replace("{place}", f"{namespace}/claims")
        if "{path" in operation.path:
            content = {"content": b"weights"} if operation.method == "PUT" else {}
            return client.request(operation.method, f"/api/2.0{operation.path.replace('{path:path}', path)}", **content)
        return client.request(operation.method, f"/api/2.0{operation.path}", params={"path": path})
    body = {"name": name, **{key: value.replace("{name}", name) for key, value in sent.items()}}
    more = {"params": body} if operation.method == "GET" else {
        "content": json.dumps(body), "headers": {"content-type": "application/json"},
    }  # fmt: skip
    return client.request(operation.method, f"/api/2.0{operation.path}", **more)


def test_every_operation_is_in_the_matrix():
    assert {row.id for row in OPERATIONS} == set(MATRIX) | APART


@pytest.mark.parametrize("role", ROLES)
def test_every_operation_lets_in_the_roles_that_have_its_action_and_no_others(bench, client_as, role):
    for name in ("default/claims", "team/claims"):
        bench.push(b"one", name)
    everything, team = client_as("all", role), client_as("some", f"{role}@team/*")
    wrong = []
    for operation in (row for row in OPERATIONS if row.id in MATRIX):
        action = MATRIX[operation.id][0]
        for client, namespace, has in ((everything, "default", True), (team, "default", False), (team, "team", True)):
            answer = ask(client, operation, namespace)
            may = has and action in ROLES[role]
            # A promotion that the policy denies is a 403 as well, and says which policy.
            denied = answer.status_code == 403 and "the policy" not in answer.text
            # What one may not read is not there.
            hidden = not may and answer.status_code == 404
            if (denied or hidden) == may or answer.status_code in (401, 500):
                wrong.append((operation.id, role, namespace, answer.status_code, answer.text[:200]))
    assert not wrong


def test_nobody_is_let_in_without_credentials(client_as):
    client = client_as("ann", "viewer")
    del client.headers["authorization"]
    for operation in (row for row in OPERATIONS if row.id in MATRIX):
        assert ask(client, operation, "default").status_code == 401, operation.id


def test_a_model_is_not_renamed_or_registered_into_a_foreign_namespace(bench, client_as):
    for name in ("default/claims", "team/claims"):
        bench.push(b"one", name)
    team = client_as("some", "contributor@team/*")
    moved = {"name": "team~claims", "new_name": "default~else"}
    for path, body in (
        ("registered-models/rename", moved),
        ("registered-models/rename", {"name": "claims", "new_name": "team~mine"}),
        ("model-versions/create", {"name": "team~mine", "source": "mlflow-artifacts:/versions/default/claims/1"}),
        ("model-versions/create", {"name": "claims", "source": "mlflow-artifacts:/versions/team/claims/1"}),
    ):
        answer = team.post(f"/api/2.0/mlflow/{path}", json=body)
        assert answer.status_code in (403, 404), (path, body, answer.status_code, answer.text)
    registry = bench.opened[0]
    assert [str(row.name) for row in registry.models()] == ["claims", "team/claims"]


def test_a_version_is_not_fetched_from_elsewhere(bench, client_as):
    """What a client names as the source of a version is what was uploaded here, and no address."""
    bench.push(b"one")
    client = client_as("carl", "contributor")
    for source in (
        "file:///etc/passwd", "/etc/passwd", "http://127.0.0.1/m", "https://169.254.169.254/latest", "s3://bucket/x",
        "mlflow-artifacts:/uploads/../../etc", "mlflow-artifacts://evil.example/x", "runs:/0/model", "", "dbfs:/x",
    ):  # fmt: skip
        body = {"name": "claims", "source": source}
        answer = client.post("/api/2.0/mlflow/model-versions/create", json=body)
        assert 400 <= answer.status_code < 500, (source, answer.status_code, answer.text)
