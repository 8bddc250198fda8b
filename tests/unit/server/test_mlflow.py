"""MLflow's words at the edge of the registry: what a client sends and reads, uploads kept apart, nothing around a policy."""

import os
import time

import pytest
from tests.unit.registry.conftest import APPROVED

from stannary.registry import promotion
from stannary.registry.names import Name

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
FRAUD = Name("default", "fraud")


@pytest.fixture
def push(client_of):
    def push(content, role="contributor", name="fraud", **more):
        client = client_of(role)
        for path, part in (("weights.bin", content), ("code/run.py", b"")):
            assert client.put(f"{FILES}/uploads/default/fraud/x/{path}", content=part).status_code == 200
        body = {"name": name, "source": "mlflow-artifacts:/uploads/default/fraud/x", **more}
        return client.post(f"{API}/model-versions/create", json=body)

    return push


def error(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    found = response.json()
    assert found["error_code"] == code, found
    return found["message"]


def test_what_was_uploaded_becomes_a_version_and_is_gone_from_the_uploads(push, client_of, bench):
    made = push(b"one", tags=[{"key": "team", "value": "risk"}], description="first").json()["model_version"]
    assert (made["name"], made["version"], made["status"], made["description"]) == ("fraud", "1", "READY", "first")
    assert {"key": "team", "value": "risk"} in made["tags"]
    assert made["source"] == "mlflow-artifacts:/versions/default/fraud/1"
    client = client_of("contributor")
    assert client.get(FILES, params={"path": "uploads/default/fraud/x"}).json() == {"files": []}
    assert client.get(FILES, params={"path": "versions/default/fraud/1"}).json()["files"] == [
        {"path": "code", "is_dir": True},
        {"path": "weights.bin", "is_dir": False, "file_size": 3},
    ]
    assert client.get(f"{FILES}/versions/default/fraud/1/weights.bin").content == b"one"
    assert client.get(f"{FILES}/versions/default/fraud/1/code/run.py").content == b""
    assert not [path for path in (bench.root / ".stannary" / "mlflow-uploads").rglob("*") if path.is_file()]


def test_an_alias_and_a_stage_move_by_the_policy_alone(push, client_of, bench):
    registry = bench.opened[0]
    promotion.protect(registry, FRAUD, "production", APPROVED)
    push(b"one")
    releaser = client_of("releaser")
    asked = {"name": "fraud", "alias": "production", "version": "1"}
    message = error(releaser.post(f"{API}/registered-models/alias", json=asked), 403, "PERMISSION_DENIED")
    assert "the policy approved denies version 1" in message
    assert "approval" in message
    stage = {"name": "fraud", "version": "1", "stage": "Production", "archive_existing_versions": True}
    error(releaser.post(f"{API}/model-versions/transition-stage", json=stage), 403, "PERMISSION_DENIED")
    error(client_of("contributor").post(f"{API}/registered-models/alias", json=asked), 403, "PERMISSION_DENIED")
    bench.say(registry.versions(FRAUD)[0])
    assert (
        releaser.post(f"{API}/model-versions/transition-stage", json=stage).json()["model_version"]["current_stage"] == "Production"
    )
    at = releaser.get(f"{API}/registered-models/alias", params={"name": "fraud", "alias": "production"}).json()["model_version"]
    assert (at["version"], at["aliases"]) == ("1", ["production"])
    latest = releaser.post(f"{API}/registered-models/get-latest-versions", json={"name": "fraud", "stages": ["Production"]}).json()
    assert [row["version"] for row in latest["model_versions"]] == ["1"]
    archived = releaser.post(f"{API}/model-versions/transition-stage", json={**stage, "stage": "Archived"}).json()["model_version"]
    assert archived["current_stage"] == "None"
    assert [move.reason for move in registry.moves(FRAUD)] == ["remove", "promote"]


def test_uploads_are_of_one_caller_and_stay_below_their_folder(push, client_of, site, bench):
    contributor, viewer = client_of("contributor"), client_of("viewer")
    place = f"{FILES}/uploads/default/fraud/x/weights.bin"
    error(viewer.put(place, content=b"evil"), 403, "PERMISSION_DENIED")
    contributor.put(place, content=b"mine")
    # Somebody else with the same rights does not see it, nor register or replace it.
    site.guard.authenticate = lambda *_: type("Other", (), {"id": "user:other", "role": "contributor"})()
    other = client_of("contributor")
    assert other.get(FILES, params={"path": "uploads/default/fraud/x"}).json() == {"files": []}
    asked = {"name": "fraud", "source": "mlflow-artifacts:/uploads/default/fraud/x"}
    assert "nothing was uploaded" in error(other.post(f"{API}/model-versions/create", json=asked), 422, "INVALID_PARAMETER_VALUE")
    before = sorted(path for path in bench.root.rglob("*") if path.is_file())
    for path in (
        "uploads/default/fraud/x/..%2f..%2fy",
        "uploads/default/fraud/%2e%2e/y",
        "uploads/../../y",
        "keys/x",
        "uploads/default/y",
    ):
        assert other.put(f"{FILES}/{path}", content=b"evil").status_code in (400, 404), path
    assert sorted(path for path in bench.root.rglob("*") if path.is_file()) == before


def test_what_cannot_be_done_says_so_in_the_words_of_mlflow(push, client_of):
    client = client_of("contributor")
    missing = client.get(f"{API}/registered-models/get", params={"name": "fraud"})
    error(missing, 404, "RESOURCE_DOES_NOT_EXIST")
    assert client.post(f"{API}/registered-models/create", json={"name": "fraud"}).json()["registered_model"]["name"] == "fraud"
    assert client.get(f"{API}/registered-models/get", params={"name": "fraud"}).json()["registered_model"]["latest_versions"] == []
    push(b"one")
    error(client.post(f"{API}/registered-models/create", json={"name": "fraud"}), 400, "RESOURCE_ALREADY_EXISTS")
    error(client.post(f"{API}/registered-models/create", json={"name": "My Model"}), 400, "INVALID_PARAMETER_VALUE")
    for source in ("s3://bucket/model", "http://169.254.169.254/latest", "file:///etc/passwd", "/etc", "runs:/abc/model"):
        asked = {"name": "fraud", "source": source}
        message = error(client.post(f"{API}/model-versions/create", json=asked), 400, "INVALID_PARAMETER_VALUE")
        assert "not fetched from elsewhere" in message
    error(client_of().get(f"{API}/registered-models/search"), 401, "UNAUTHENTICATED")
    error(client_of("nobody").get(f"{API}/model-versions/get", params={"name": "fraud", "version": "1"}), 403, "PERMISSION_DENIED")


def test_a_version_of_here_is_registered_under_another_name_without_sending_it(push, client_of, bench):
    push(b"one")
    asked = {"name": "team~fraud", "source": "models:/fraud/1"}
    made = client_of("contributor").post(f"{API}/model-versions/create", json=asked).json()["model_version"]
    assert (made["name"], made["version"]) == ("team~fraud", "1")
    first, second = (bench.opened[0].versions(name)[0].digest for name in (FRAUD, Name("team", "fraud")))
    assert first == second


def test_versions_in_service_are_not_deleted(push, client_of, bench):
    registry = bench.opened[0]
    promotion.protect(registry, FRAUD, "staging", APPROVED)
    push(b"one")
    push(b"two")
    bench.say(registry.versions(FRAUD)[0])
    assert promotion.promote(registry, FRAUD, 2, "staging").moved
    admin = client_of("admin")
    delete = f"{API}/model-versions/delete"
    assert "in service as staging" in error(
        admin.request("DELETE", delete, json={"name": "fraud", "version": "2"}), 400, "INVALID_PARAMETER_VALUE"
    )
    assert admin.request("DELETE", delete, json={"name": "fraud", "version": "1"}).json() == {}
    error(admin.get(f"{API}/model-versions/get", params={"name": "fraud", "version": "1"}), 404, "RESOURCE_DOES_NOT_EXIST")
    found = admin.get(f"{API}/model-versions/search", params={"filter": "name='fraud'"}).json()["model_versions"]
    assert [row["version"] for row in found] == ["2"]


def test_uploads_that_nobody_registers_are_taken_away_after_a_day(client_of, bench):
    client = client_of("contributor")
    client.put(f"{FILES}/uploads/default/fraud/old/weights.bin", content=b"old")
    for path in (bench.root / ".stannary" / "mlflow-uploads").rglob("*"):
        os.utime(path, (time.time() - 90_000,) * 2)
    client.put(f"{FILES}/uploads/default/claims/new/weights.bin", content=b"new")
    names = [path.name for path in (bench.root / ".stannary" / "mlflow-uploads").rglob("*") if path.is_dir()]
    assert "old" not in names
    assert "new" in names


def searched(client, what, **params):
    response = client.get(f"{API}/{what}/search", params=params)
    assert response.status_code == 200, response.text
    return response.json()


def test_searches_take_the_filters_and_orders_of_the_client(push, client_of, bench):
    client = client_of("contributor")
    for n, name in enumerate(("fraud", "claims", "frames")):
        client.post(f"{API}/registered-models/create", json={"name": name, "tags": [{"key": "n", "value": str(n)}]})
    for n in range(5):
        push(b"%d" % n, tags=[{"key": "even", "value": str(n % 2 == 0)}], run_id=f"run{n}")
    client.post(f"{API}/model-versions/set-tag", json={"name": "fraud", "version": "2", "key": "Team Name", "value": "it's risk_1"})

    def models(text, **more):
        return [row["name"] for row in searched(client, "registered-models", filter=text, **more)["registered_models"]]

    def versions(text, **more):
        return [row["version"] for row in searched(client, "model-versions", filter=text, **more)["model_versions"]]

    assert models("") == ["claims", "frames", "fraud"]
    assert models("name LIKE 'fra%'") == ["frames", "fraud"]
    assert models("name ILIKE '%AU%'") == ["fraud"]
    assert models("name LIKE 'fr__d'") == ["fraud"]
    assert models("name = 'fraud' AND tags.n = '0'") == models("tag.`n`='0'") == ["fraud"]
    assert models("name LIKE '%a%' and tags.n != '1'") == ["frames", "fraud"]
    assert models("name = 'Not A Name'") == models("tags.other != 'x'") == []
    assert models("", order_by=["name DESC"]) == ["fraud", "frames", "claims"]
    assert versions("name='fraud'") == ["5", "4", "3", "2", "1"]
    assert versions("tags.even = 'True'") == ["5", "3", "1"]
    assert versions("run_id IN ('run0', 'run3')") == ["4", "1"]
    assert versions("version_number > 1 AND version_number <= '3'") == ["3", "2"]
    assert versions("tags.`Team Name` LIKE 'it''s%k_1'") == ["2"]
    assert versions("source_path LIKE '%fraud/4'") == ["4"]
    assert versions("", order_by=["version_number ASC"]) == ["1", "2", "3", "4", "5"]
    assert versions("", order_by=["last_updated_timestamp DESC"])[0] == "2"
    for bad in (
        "name ~ 'x'", "name = ", "= 'x'", "name = 'x' OR name = 'y'", "creator = 'x'", "name IN 'x'", "name IN ()",
        "version_number LIKE '1'",
        "name > 'x", "name < 'x'", "'", "name = 'a' name = 'b'", "x" * 20_000, " AND ".join(["name = 'a'"] * 60),
    ):  # fmt: skip
        for what in ("registered-models", "model-versions"):
            error(client.get(f"{API}/{what}/search", params={"filter": bad}), 400, "INVALID_PARAMETER_VALUE")
    error(client.get(f"{API}/registered-models/search", params={"order_by": "kind"}), 400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("order", [[], ["version_number ASC"]])
def test_a_search_is_paged_to_its_end(push, client_of, order):
    client = client_of("contributor")
    for n in range(5):
        push(b"%d" % n)
    for n in range(2):
        client.post(f"{API}/model-versions/create", json={"name": f"other{n}", "source": "models:/fraud/1"})
    rows, token = [], ""
    for _ in range(9):
        page = searched(client, "model-versions", max_results=2, page_token=token, order_by=order)
        rows += [(row["name"], row["version"]) for row in page["model_versions"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert len(set(rows)) == len(rows) == 7
    for bad in ("at:x", "x", "at:-1", "a b:1"):
        response = client.get(f"{API}/model-versions/search", params={"page_token": bad, "order_by": order})
        error(response, 400, "INVALID_PARAMETER_VALUE")


def test_models_and_versions_are_described_renamed_and_deleted(push, client_of, bench):
    client, admin = client_of("contributor"), client_of("admin")
    push(b"one", description="as pushed", tags=[{"key": "old", "value": "1"}])

    def version():
        row = client.get(f"{API}/model-versions/get", params={"name": "fraud", "version": "1"}).json()["model_version"]
        return row["description"], {tag["key"]: tag["value"] for tag in row["tags"] if tag["key"] != "stannary.digest"}

    assert version() == ("as pushed", {"old": "1"})
    which = {"name": "fraud", "version": "1"}
    assert client.patch(f"{API}/model-versions/update", json={**which, "description": "new"}).status_code == 200
    assert client.post(f"{API}/model-versions/set-tag", json={**which, "key": "k", "value": "v"}).json() == {}
    assert client.request("DELETE", f"{API}/model-versions/delete-tag", json={**which, "key": "old"}).json() == {}
    assert version() == ("new", {"k": "v"})
    forged = client.post(f"{API}/model-versions/set-tag", json={**which, "key": "stannary.digest", "value": "sha256:00"})
    error(forged, 400, "INVALID_PARAMETER_VALUE")
    assert client.patch(f"{API}/registered-models/update", json={"name": "fraud", "description": "words"}).status_code == 200
    client.post(f"{API}/registered-models/set-tag", json={"name": "fraud", "key": "a", "value": "b"})
    client.post(f"{API}/registered-models/set-tag", json={"name": "fraud", "key": "c", "value": "d"})
    client.request("DELETE", f"{API}/registered-models/delete-tag", json={"name": "fraud", "key": "a"})
    found = client.get(f"{API}/registered-models/get", params={"name": "fraud"}).json()["registered_model"]
    assert (found["description"], found["tags"]) == ("words", [{"key": "c", "value": "d"}])
    rename = {"name": "fraud", "new_name": "scams"}
    error(client_of("viewer").post(f"{API}/registered-models/rename", json=rename), 403, "PERMISSION_DENIED")
    from stannary.registry import labels

    labels.rename(bench.opened[0], FRAUD, Name("default", "scams"))
    moved = client.get(f"{API}/registered-models/get", params={"name": "scams"}).json()["registered_model"]
    assert (moved["description"], [row["version"] for row in moved["latest_versions"]]) == ("words", ["1"])
    error(client.get(f"{API}/registered-models/get", params={"name": "fraud"}), 404, "RESOURCE_DOES_NOT_EXIST")
    error(client.request("DELETE", f"{API}/registered-models/delete", json={"name": "scams"}), 403, "PERMISSION_DENIED")
    assert admin.request("DELETE", f"{API}/registered-models/delete", json={"name": "scams"}).json() == {}
    error(client.get(f"{API}/registered-models/get", params={"name": "scams"}), 404, "RESOURCE_DOES_NOT_EXIST")
    assert searched(client, "registered-models")["registered_models"] == []
