"""Namespaces over the API: an admin shreds one, contents are kept and found by namespace, and nothing is learned of another."""

import hashlib

import pytest

from stannary.core.canonical import canonical_json
from stannary.crypto.wrapping import WrappingKey
from stannary.evidence.contents import begin_contents, open_contents
from stannary.registry.names import Name
from stannary.registry.retention import hold

SECRET = b"weights of a customer " * 100
DIGEST = f"sha256:{hashlib.sha256(SECRET).hexdigest()}"
TO_SHRED = {"reason": "the customer left", "confirm": "team"}


@pytest.fixture
def encrypted(bench):
    """Return the bench with contents under a key for each namespace."""
    WrappingKey.generate().write(bench.root / "w.key", None)
    registry = bench.opened[0]
    begin_contents(registry.chain.workspace, "", (str(bench.root / "w.key"),))
    registry.blobs = open_contents(registry.chain.workspace)
    return bench


def pushed(client, name, content=SECRET):
    """Push a file as a client does, and return the version's address."""
    digest = hashlib.sha256(content).hexdigest()
    assert client.put(f"/api/v1/contents/sha256:{digest}?into={name}", content=content).status_code in (201, 204)
    files = [{"path": "m.bin", "size": len(content), "sha256": digest}]
    manifest = {"schema": "stannary.manifest/1", "name": "m", "kind": "model", "single": True, "files": files}
    body = {"manifest": canonical_json(manifest).decode()}
    made = client.post(f"/api/v1/models/{name}/versions", json=body)
    assert made.status_code == 201, made.text
    return made.headers["location"]


def test_an_admin_shreds_a_namespace_once_the_name_was_said_again(encrypted, client_of):
    pusher, admin = client_of("contributor"), client_of("admin")
    there, other = pushed(pusher, "team/claims"), pushed(pusher, "default/claims")
    for role in ("viewer", "contributor", "reviewer", "releaser", "auditor"):
        assert client_of(role).post("/api/v1/namespaces/team/shred", json=TO_SHRED).status_code == 403
    assert admin.post("/api/v1/namespaces/else/shred", json={**TO_SHRED, "confirm": "else"}).status_code == 403
    for body in ({**TO_SHRED, "confirm": "default"}, {"confirm": "team"}, {**TO_SHRED, "reason": ""}):
        assert admin.post("/api/v1/namespaces/team/shred", json=body).status_code in (400, 422)
    assert admin.post("/api/v1/namespaces/..%2Fx/shred", json=TO_SHRED).status_code in (400, 404)
    planned = admin.post("/api/v1/namespaces/team/shred", json={**TO_SHRED, "dry_run": True}).json()
    assert (planned["versions"], planned["dry_run"]) == (1, True)
    assert pusher.get(f"{there}/files/m.bin").content == SECRET
    done = admin.post("/api/v1/namespaces/team/shred", json=TO_SHRED)
    assert (done.status_code, done.json()["key"]) == (200, planned["key"])
    assert pusher.get(f"{there}/files/m.bin").status_code == 404
    assert pusher.get(f"{other}/files/m.bin").content == SECRET
    assert admin.post("/api/v1/namespaces/team/shred", json=TO_SHRED).status_code == 404
    assert pushed(pusher, "team/claims") == there.replace("versions/1", "versions/2")


def test_what_is_held_is_not_shredded(encrypted, client_of):
    there = pushed(client_of("contributor"), "team/claims")
    hold(encrypted.opened[0], Name("team", "claims"), 1, "case 4711")
    refused = client_of("admin").post("/api/v1/namespaces/team/shred", json=TO_SHRED)
    assert (refused.status_code, refused.json()["code"]) == (400, "REG018")
    assert client_of("viewer").get(f"{there}/files/m.bin").content == SECRET


def test_a_content_that_one_namespace_has_is_none_of_another(encrypted, client_of):
    """It is sent again, and a manifest that names it is refused where it was not sent to."""
    client = client_of("contributor")
    pushed(client, "team/claims")
    assert client.get(f"/api/v1/contents/{DIGEST}?into=team/claims").status_code == 204
    assert client.get(f"/api/v1/contents/{DIGEST}?into=default/claims").status_code == 404
    files = [{"path": "m.bin", "size": len(SECRET), "sha256": DIGEST.removeprefix("sha256:")}]
    manifest = {"schema": "stannary.manifest/1", "name": "m", "kind": "model", "single": True, "files": files}
    refused = client.post("/api/v1/models/default/claims/versions", json={"manifest": canonical_json(manifest).decode()})
    assert (refused.status_code, refused.json()["code"]) == (422, "REG005")
    assert client.put(f"/api/v1/contents/{DIGEST}?into=default/claims", content=SECRET).status_code == 201
