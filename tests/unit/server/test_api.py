"""The API: what its operations do, whom they let, what they say when they do not."""

import hashlib
import json
from datetime import timedelta

import msgspec
import pytest
from starlette.testclient import TestClient
from tests.unit.registry.conftest import APPROVED
from tests.unit.server.conftest import RIGHTS

from stannary.core.canonical import canonical_json
from stannary.crypto import dsse
from stannary.evidence.predicates.table import KINDS
from stannary.evidence.statement import encode as encode_statement
from stannary.evidence.subject import identify
from stannary.registry import promotion, retention
from stannary.registry.manifest import encode
from stannary.registry.names import Name, parse
from stannary.server.api import OPERATIONS
from stannary.server.app import build

CLAIMS = "/api/v1/models/default/claims"
JSON = {"content-type": "application/json"}


def pushed(client, folder):
    """Push a folder over the API, as the command line does."""
    artifact = identify(folder)
    for file in artifact.files:
        content = (folder / file.path).read_bytes()
        answer = client.put(f"/api/v1/contents/sha256:{file.sha256}?into=default/claims", content=content)
        assert answer.status_code in (201, 204), answer.text
    manifest, _ = encode(artifact, single=False)
    return client.post(f"{CLAIMS}/versions", json={"manifest": manifest.decode(), "note": "first"})


def test_a_version_goes_from_push_to_production_and_back(bench, client_of, site):
    contributor, releaser, viewer = client_of("contributor"), client_of("releaser"), client_of("viewer")
    promotion.protect(bench.opened[0], Name("default", "claims"), "production", APPROVED)
    made = pushed(contributor, bench.model(b"weights"))
    assert made.status_code == 201
    assert made.headers["location"] == f"{CLAIMS}/versions/1"
    assert made.json()["version"]["creator"] == "user:contributor"

    assert contributor.put(f"{CLAIMS}/aliases/production", json={"number": 1}).status_code == 403
    denied = releaser.put(f"{CLAIMS}/aliases/production", json={"number": 1})
    assert (denied.status_code, denied.json()["moved"]) == (409, False)
    assert denied.json()["reasons"][0]["help"].startswith("stannary attest")
    bench.say(bench.opened[0].versions(Name("default", "claims"))[0])
    assert releaser.put(f"{CLAIMS}/aliases/production", json={"number": 1}).json()["moved"]

    at = viewer.get(f"{CLAIMS}/aliases/production")
    assert at.json()["version"]["number"] == 1
    assert viewer.get(f"{CLAIMS}/aliases/production", headers={"if-none-match": at.headers["etag"]}).status_code == 304
    bench.say(bench.push(b"second"))
    stale = {"if-match": '"0-9"'}
    assert releaser.put(f"{CLAIMS}/aliases/production", json={"number": 2}, headers=stale).status_code == 412
    current = {"if-match": at.headers["etag"]}
    assert releaser.put(f"{CLAIMS}/aliases/production", json={"number": 2}, headers=current).json()["moved"]
    assert releaser.post(f"{CLAIMS}/aliases/production/rollback").json()["number"] == 1
    story = viewer.get(f"/api/v1/artifacts/{made.json()['version']['digest']}/story").json()
    assert story["decisions"]


@pytest.mark.parametrize(
    "method, path, body",
    [("PUT", "", {"number": 3}), ("POST", "/rollback", None), ("DELETE", "", None)],
    ids=["to", "back", "away"],
)
def test_of_two_who_saw_an_alias_at_the_same_place_one_moves_it(bench, client_of, monkeypatch, method, path, body):
    registry, name, alias = bench.opened[0], Name("default", "claims"), f"{CLAIMS}/aliases/staging"
    for content in (b"one", b"two", b"three"):
        bench.say(bench.push(content))
    promotion.protect(registry, name, "staging", APPROVED)
    releaser = client_of("releaser")
    for number in (1, 2):
        assert releaser.put(alias, json={"number": number}).json()["moved"]
    seen = {"if-match": releaser.get(alias).headers["etag"]}
    real = type(registry).writing

    def later(opened):  # the other one is between what this one looked at and its turn
        monkeypatch.undo()
        assert promotion.promote(registry, name, 1, "staging").moved
        return real(opened)

    monkeypatch.setattr(type(registry), "writing", later)
    late = releaser.request(method, f"{alias}{path}", json=body, headers=seen)
    assert (late.status_code, late.json()["code"]) == (412, "API008")
    at = releaser.get(alias)
    assert at.json()["version"]["number"] == 1
    now = {"if-match": f'"0-9", {at.headers["etag"]}'}
    assert releaser.request(method, f"{alias}{path}", json=body, headers=now).status_code in (200, 204)


@pytest.mark.parametrize("number", ["0", "00", "01", "000000001", "-1", "+1", "1e0", "\u0661", "9999999999"])
def test_a_version_has_one_number_and_is_held_by_no_other(bench, client_of, number):
    bench.push(b"weights")
    admin = client_of("admin")
    for method, path, body in (("GET", "", None), ("PUT", "/hold", {"reason": "case"}), ("DELETE", "/hold", None)):
        answer = admin.request(method, f"{CLAIMS}/versions/{number}{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "API002")


def test_what_keeps_duties_apart_is_not_for_who_pushes_to_say(bench, client_of):
    contributor, folder = client_of("contributor"), bench.model(b"weights")
    assert pushed(contributor, folder).status_code == 201
    manifest = encode(identify(bench.model(b"others")), single=False)[0].decode()
    for file in identify(bench.model(b"others")).files:
        contributor.put(f"/api/v1/contents/sha256:{file.sha256}?into=default/claims", content=b"others")
    for info in ({"pushed_by": ["user:releaser"]}, {"renamed_from": "x"}):
        refused = contributor.post(f"{CLAIMS}/versions", json={"manifest": manifest, "info": info})
        assert (refused.status_code, refused.json()["where"]) == (422, "info")
    assert contributor.post(f"{CLAIMS}/versions", json={"manifest": manifest, "info": {"run": 1}}).status_code == 201


def test_who_pushes_logs_evidence_and_approves_nothing_whatever_key_they_have(bench, client_of):
    version = bench.push(b"weights")
    subject, now = bench.opened[0].subject(version), bench.clock().isoformat()
    text = {"topic": "approval", "statement": "looked at", "author": "ann", "finishedOn": now}
    waiver = {"rule": "PKL001", "reason": "ours", "owner": "ann", "expiresOn": (bench.clock() + timedelta(days=9)).isoformat()}
    for kind, predicate, wanted in (
        ("statement", text | {"decision": "approve"}, 403),
        ("statement", text | {"decision": "reject"}, 403),
        ("waiver", waiver | {"finishedOn": now}, 403),
        ("statement", text, 200),
    ):
        payload = encode_statement([subject], KINDS[kind].predicate_type, predicate)
        signed = dsse.sign(payload, bench.opened[0].chain.workspace.signer)
        said = {"envelope": msgspec.to_builtins(signed)}
        answer = client_of("contributor").post("/api/v1/evidence", json=said)
        assert answer.status_code == wanted, answer.text
        assert wanted == 200 or "may not approve" in answer.json()["detail"]
        assert client_of("reviewer").post("/api/v1/evidence", json=said).status_code == 200


def test_an_approval_that_is_sent_again_after_its_signer_rejected_counts_for_nothing(bench, client_of):
    version, reviewer, releaser = bench.push(b"weights"), client_of("reviewer"), client_of("releaser")
    promotion.protect(bench.opened[0], Name("default", "claims"), "production", APPROVED)
    approved = bench.say(version)
    assert releaser.put(f"{CLAIMS}/aliases/production", json={"number": 1}).status_code == 200
    bench.say(version, decision="reject")
    again = reviewer.post("/api/v1/evidence", json={"envelope": msgspec.to_builtins(approved.envelope)})
    assert (again.status_code, again.json()["id"]) == (200, str(approved.id))
    denied = releaser.put(f"{CLAIMS}/aliases/production", json={"number": 1})
    assert (denied.status_code, denied.json()["reasons"][-1]["ok"]) == (409, False)


def test_what_holds_the_latest_version_holds_it(bench):
    bench.push(b"weights")
    registry = bench.opened[0]
    retention.hold(registry, Name("default", "claims"), 0, "case")
    assert registry.show(parse("claims:1")).held == "case"


def test_files_are_sent_whole_and_in_ranges(bench, client_of):
    content = bytes(range(256)) * 9000
    bench.push(content)
    client = client_of("viewer")
    where = f"{CLAIMS}/versions/1/files/weights.bin"
    whole = client.get(where)
    assert whole.content == content
    assert whole.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    part = client.get(where, headers={"range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, content[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
    assert client.get(where, headers={"range": "bytes=2304000-"}).status_code == 416
    assert client.get(where, headers={"range": "bytes=2303999-"}).content == content[-1:]
    assert client.get(f"{CLAIMS}/versions/1/files/sub/config.json").content == b"{}"
    assert client.get(f"{CLAIMS}/versions/1/files/../../etc/passwd").status_code == 404
    assert client.get(f"{CLAIMS}/versions/1/files/%2e%2e/x").status_code == 404


def test_a_content_that_is_not_what_it_says_is_not_kept(client_of, site):
    client = client_of("contributor")
    digest = hashlib.sha256(b"this").hexdigest()
    answer = client.put(f"/api/v1/contents/sha256:{digest}", content=b"that")
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert client.get(f"/api/v1/contents/sha256:{digest}").status_code == 404
    assert client.put(f"/api/v1/contents/sha256:{digest}", content=b"this").status_code == 201
    assert client.put(f"/api/v1/contents/sha256:{digest}", content=b"this").status_code == 204
    assert client.get(f"/api/v1/contents/sha256:{digest}").headers["x-content-size"] == "4"


def test_nobody_gets_at_a_content_by_its_digest_alone(bench, client_of):
    """A file of another namespace, whose digest is known, cannot be had by naming it in a manifest of one's own."""
    folder = bench.model(b"secret weights of another team")
    bench.opened[0].push(folder, Name("foreign", "claims"))
    client = client_of("contributor")
    artifact = identify(folder)
    manifest, _ = encode(artifact, single=False)
    answer = client.post(f"{CLAIMS}/versions", json={"manifest": manifest.decode()})
    assert (answer.status_code, answer.json()["code"]) == (422, "REG005")
    for file in artifact.files:
        assert client.get(f"/api/v1/contents/sha256:{file.sha256}").status_code == 404
        wrong = client.put(f"/api/v1/contents/sha256:{file.sha256}", content=b"guessed")
        assert wrong.status_code == 409
    assert client.post(f"{CLAIMS}/versions", json={"manifest": manifest.decode()}).status_code == 422
    assert pushed(client, folder).status_code == 201  # whoever has the bytes may name them


def test_only_who_does_something_with_models_has_decisions_signed(bench, client_of):
    digest = bench.push(b"x").digest
    question = {"subject": digest, "policy": "baseline"}
    before = bench.opened[0].chain.ledger.head().size
    assert client_of("viewer").post("/api/v1/decisions", json=question).status_code == 403
    assert client_of("viewer").post("/api/v1/decisions", json={**question, "record": False}).json()["verdict"] == "deny"
    assert bench.opened[0].chain.ledger.head().size == before
    assert client_of("releaser").post("/api/v1/decisions", json=question).json()["recorded"]


def test_nobody_is_let_in_without_credentials(client_of):
    """Every operation that is not open, with none, with wrong ones, and by a cookie from another site."""
    stranger = client_of()
    for row in OPERATIONS:
        path = "/api/v1" + filled(row.path)
        if row.open:
            continue
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic dmlld2VyOng="}):
            answer = stranger.request(row.method, path, headers=headers)
            assert answer.status_code == 401, row.id
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["code"] == "ACC001"
        if row.method != "GET":
            answer = stranger.request(row.method, path, headers={"cookie": "stannary=releaser", "sec-fetch-site": "cross-site"})
            assert (answer.status_code, answer.json()["code"]) == (403, "API006"), row.id


def filled(path):
    values = {
        "{namespace}": "default", "{name}": "claims", "{number}": "1", "{alias}": "production", "{file:path}": "weights.bin",
        "{digest}": "sha256:" + "0" * 64, "{id}": "0" * 64, "{index}": "0",
    }  # fmt: skip
    for name, value in values.items():
        path = path.replace(name, value)
    return path


NEEDS = {
    "addJob": {"jobs"},
    "registerVersion": {"push"},
    "promote": {"promote"},
    "rollback": {"rollback"},
    "removeAlias": {"rollback"},
    "protect": {"protect"},
    "freeze": {"freeze"},
    "thaw": {"freeze"},
    "quarantine": {"quarantine"},
    "liftQuarantine": {"quarantine"},
    "holdVersion": {"hold"},
    "releaseVersion": {"hold"},
    "retainVersions": {"delete"},
    "storeContent": {"push"},
    "hasContent": {"push"},
    "shredNamespace": {"shred"},
    "listEntries": {"audit"},
    "findEntries": {"audit"},
    "proveEntry": {"audit"},
    "logStatement": {"approve"},  # what is sent approves
}
FREE = {
    "listJobs",
    "getJob",
    "cancelJob",
    "openapi",
    "whoami",
    "getHead",
    "proveConsistency",
    "listModels",
    "listApprovals",
    "search",
}
BODIES = {
    "registerVersion": {"manifest": "{}"},
    "promote": {"number": 1},
    "protect": {"policy": "baseline"},
    "freeze": {"reason": "x"},
    "holdVersion": {"reason": "x"},
    "retainVersions": {"dry_run": False},
    "shredNamespace": {"reason": "left", "confirm": "no"},
    "quarantine": {"digest": "sha256:" + "1" * 64, "reason": "x"},
    "decide": {"subject": "sha256:" + "0" * 64, "record": False},
    "addJob": {"kind": "scan", "target": "https://example.com/model.pkl"},
}


@pytest.mark.parametrize("namespace", ["default", "foreign"])
@pytest.mark.parametrize("role", sorted(RIGHTS))
def test_each_role_may_what_it_may_and_nothing_else(bench, client_of, role, namespace):
    """Every operation by every role, in a namespace of its own and in a foreign one."""
    version = bench.push(b"weights")
    bench.opened[0].push(bench.root / "m", Name("foreign", "claims"))
    said = bench.say(version)
    client = client_of(role)
    for row in OPERATIONS:
        if row.id in FREE or row.tag == "access":  # this guard keeps no accounts: those are in test_access.py
            continue
        path = "/api/v1" + filled(row.path.replace("{id}", said.id.hex)).replace("/models/default/", f"/models/{namespace}/")
        path = path.replace("/namespaces/default/", f"/namespaces/{namespace}/")
        if row.id in ("storeContent", "hasContent"):
            path += f"?into={namespace}/claims"
        body = {**BODIES, "logStatement": {"envelope": msgspec.to_builtins(said.envelope)}}.get(row.id, {})
        sent = {"content": b""} if row.body is bytes else {"json": body} if row.body else {}
        answer = client.request(row.method, path, **sent)
        wanted = NEEDS.get(row.id, {"read"})
        # Artifacts have no namespace of their own: whoever may read some name of one may read about it.
        named = "{namespace}" in row.path or row.body is bytes or row.id == "hasContent"
        may = bool(wanted & RIGHTS[role]) and (namespace == "default" or not named)
        refused = 404 if row.id == "getStatement" else 403  # of a statement it is not told that there is one
        assert (answer.status_code != refused) == may, (row.id, answer.status_code, answer.text)
        assert answer.status_code != 500, (row.id, answer.text)


BAD = [b"", b"{", b"[]", b"null", b'{"number": 0}', b'{"number": "1"}', b'{"number": 1, "x": 1}', b"\xff\xfe", b"[" * 100_000]


@pytest.mark.parametrize("content", BAD, ids=[repr(item[:20]) for item in BAD])
def test_a_body_that_is_not_what_is_asked_for_is_said_so(client_of, content):
    answer = client_of("releaser").put(f"{CLAIMS}/aliases/production", content=content, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "API001")
    assert client_of("releaser").put(f"{CLAIMS}/aliases/production", content=content).status_code == 415


def test_bodies_have_a_limit_even_when_they_do_not_say_how_long_they_are(site, client_of):
    site.largest = 1000

    def endless():
        for _ in range(100):
            yield b" " * 100

    client = client_of("releaser")
    assert client.put(f"{CLAIMS}/aliases/production", content=b" " * 1001, headers=JSON).status_code == 413
    assert client.put(f"{CLAIMS}/aliases/production", content=endless(), headers=JSON).status_code == 413


def test_an_error_of_ours_tells_nothing_but_where_to_look(site, client_of, monkeypatch, caplog):
    def broken(*_, **__):
        msg = "the password is swordfish"
        raise RuntimeError(msg)

    monkeypatch.setattr(type(site.registry), "page", broken)
    answer = client_of("viewer").get("/api/v1/models", headers={"x-request-id": "ask-about-me"})
    assert answer.status_code == 500
    assert "swordfish" not in answer.text
    assert answer.json()["request"] == answer.headers["x-request-id"] == "ask-about-me"
    assert "swordfish" in caplog.text
    assert "Bearer" not in caplog.text


def test_a_request_id_is_not_taken_from_just_anything(client_of):
    for sent in ("a b\r\n", "x" * 200, "<script>"):
        answer = client_of("viewer").get("/api/v1/whoami", headers={"x-request-id": sent.strip()})
        assert answer.headers["x-request-id"] != sent.strip()


def test_too_many_requests_are_told_when_to_come_back(site, client_of):
    site.limit.rate, site.limit.burst = 1.0, 3
    client = client_of("viewer")
    answers = [client.get("/api/v1/whoami") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert client_of("auditor").get("/api/v1/whoami").status_code == 200


def test_health_readiness_and_metrics(site, client_of):
    client = client_of()
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").json() == {"stopping": "ok", "ledger": "ok", "tables": "ok"}
    client_of("viewer").get("/api/v1/whoami")
    assert client.get("/metrics").status_code == 401
    assert client_of("viewer").get("/metrics").status_code == 403
    text = client_of("admin").get("/metrics").text
    assert 'stannary_http_requests_total{operation="whoami",method="GET",status="200"} 1' in text
    assert 'stannary_http_request_seconds_bucket{operation="whoami",le="+Inf"} 1' in text
    site.stopping.set()
    assert client.get("/readyz").status_code == 503


def test_metrics_are_told_to_this_machine_and_not_through_a_proxy(site):
    here = TestClient(build(site), client=("127.0.0.1", 5))
    assert here.get("/metrics").status_code == 200
    for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        assert here.get("/metrics", headers={name: "127.0.0.1"}).status_code == 401
    assert TestClient(build(site), client=("192.0.2.7", 5)).get("/metrics").status_code == 401
    site.scrape = "account"
    assert here.get("/metrics").status_code == 401
    assert here.get("/metrics", headers={"Authorization": "Bearer admin"}).status_code == 200
    site.scrape = "open"
    assert TestClient(build(site), client=("192.0.2.7", 5)).get("/metrics").status_code == 200


def test_every_answer_carries_the_headers_of_security(client_of):
    for path in ("/healthz", "/api/v1/whoami", "/nowhere", "/api/v1/openapi.json"):
        headers = client_of().get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert client_of().get("/nowhere").headers["content-type"] == "application/problem+json"
    assert client_of().delete("/healthz").status_code == 405


def test_the_ledger_is_proven_over_the_api(bench, client_of):
    from stannary.crypto.note import VerifierKey
    from stannary.evidence.ledger import Receipt
    from stannary.evidence.ledger.entry import verify

    bench.push(b"weights")
    auditor = client_of("auditor")
    proof = auditor.get("/api/v1/ledger/entries/0/proof").json()
    record = proof.pop("record").encode()
    receipt = Receipt(**{**proof, "proof": tuple(proof["proof"])})
    key: VerifierKey = bench.opened[0].chain.ledger.key
    assert verify(record, receipt, key).size == 1
    page = auditor.get("/api/v1/ledger/entries?limit=1").json()
    assert (page["size"], page["next"], page["entries"][0]["kind"]) == (1, None, "version")
    assert auditor.get("/api/v1/ledger/entries/7/proof").status_code == 404
    assert auditor.get("/api/v1/ledger/consistency?old=0").json()["new"] == 1


def test_a_policy_that_is_sent_cannot_name_files_of_the_server(bench, client_of):
    bench.push(b"x")
    policy = "name: p\nextends: /etc/passwd\nrequire: []\n"
    answer = client_of("admin").put(f"{CLAIMS}/aliases/production/protection", json={"policy": policy})
    assert answer.status_code in (400, 422)
    assert "root:" not in answer.text
    fine = "name: p\nextends: baseline\nrequire:\n  - {kind: model-signature}\n"
    assert client_of("admin").put(f"{CLAIMS}/aliases/production/protection", json={"policy": fine}).json()["policy"]["name"] == "p"


def test_canonical_manifests_only(bench, client_of):
    artifact = identify(bench.model(b"x"))
    manifest, _ = encode(artifact, single=False)
    loose = json.dumps(json.loads(manifest), indent=1)
    assert loose.encode() != canonical_json(json.loads(manifest))
    answer = client_of("contributor").post(f"{CLAIMS}/versions", json={"manifest": loose})
    assert answer.status_code == 422
