"""The API with accounts, tokens and grants: who may what, everywhere; what is done once; what is told."""

import base64
import threading

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient
from tests.unit.registry.conftest import APPROVED
from tests.unit.server.test_api import CLAIMS, pushed
from tests.unit.server.test_openapi import CHECKS

from stannary.access import accounts, grants, tokens
from stannary.access.access import Access
from stannary.access.idempotency import Idempotency
from stannary.access.model import Owner
from stannary.access.roles import ROLES
from stannary.core.canonical import canonical_json
from stannary.evidence.ledger import entry
from stannary.registry import promotion
from stannary.registry.names import Name
from stannary.server.api import OPERATIONS
from stannary.server.app import build
from stannary.server.guard_access import AccessGuard
from stannary.server.site import Site

OWNER = Owner(id="workspace")
DIGEST = f"sha256:{'0' * 64}"
# operation → who may do it with everything in the registry; who may with a namespace; the content to send
MATRIX = {
    "whoami": ("*", None),
    "listModels": ("*", None),
    "listVersions": ("read", None),
    "registerVersion": ("push", {"manifest": "{}"}),
    "getVersion": ("read", None),
    "compareVersions": ("read", None),
    "holdVersion": ("hold", {"reason": "law"}),
    "releaseVersion": ("hold", None),
    "retainVersions": ("delete", {"keep": 10, "dry_run": False}),
    "quarantine": ("quarantine!", {"digest": DIGEST, "reason": "bad"}),
    "liftQuarantine": ("quarantine!", None),
    "resolveAlias": ("read", None),
    "promote": ("promote", {"number": 1}),
    "removeAlias": ("rollback", None),
    "rollback": ("rollback", None),
    "getProtection": ("read", None),
    "protect": ("protect", {"policy": "baseline"}),
    "freeze": ("freeze", {"reason": "incident"}),
    "thaw": ("freeze", None),
    "getHead": ("*", None),
    "proveConsistency": ("*", None),
    "listEntries": ("audit!", None),
    "proveEntry": ("audit!", None),
    "findEntries": ("audit!", None),
    "search": ("*", None),
    "storeContent": ("push", b""),
    "hasContent": ("push", None),
    "readFile": ("read", None),
    "shredNamespace": ("shred", {"reason": "left", "confirm": "no"}),
    # Of an artifact that no name has, one sees what one may see of everything.
    "listEvidence": ("read!", None),
    "decide": ("read!", {"subject": DIGEST, "record": False}),
    "getStory": ("read!", None),
    "getLineage": ("read!", None),
    "me": ("*", None),
    "listAccounts": ("administer!", None),
    "addAccount": ("administer!", {"name": "new"}),
    "removeAccount": ("administer!", None),
    "setGroups": ("administer!", {"groups": ["ops"]}),
    "setPassword": ("administer!", {"password": "nine quiet brown bears"}),
    "listTokens": ("*", None),  # one's own
    "issueToken": ("administer!", {"account": "service:ci"}),
    "revokeToken": ("administer!", None),
    "listGrants": ("*", None),  # one's own
    "checkAccess": ("*", None),  # of oneself
    "grant": ("administer!", {"holder": "else", "role": "viewer"}),
    "revokeGrant": ("administer!", None),
    "listFederation": ("administer!", None),
    "addRule": (
        "administer!",
        {"name": "ci", "issuer": "https://idp.example", "audience": "stannary", "account": "service:ci", "claims": {"sub": "x"}},
    ),
    "removeRule": ("administer!", None),
    "addJob": ("jobs!", {"kind": "gate", "target": DIGEST}),
}
# Open to all, or decided by what they are about: an artifact, a job (one that somebody may not see is not there).
APART = {"openapi", "getStatement", "logStatement", "listProviders", "exchange", "listJobs", "getJob", "cancelJob", "listApprovals"}


@pytest.fixture
def access(bench):
    registry = bench.opened[0]

    def journal(kind, body):
        registry.chain.ledger.append([entry("access", body, time=bench.clock(), kind=kind)])

    return Access(registry.database, journal, clock=bench.clock)


@pytest.fixture
def client_as(bench, access):
    site = Site(bench.opened[0], AccessGuard(access), version="test", rate=(0.0, 0))
    site.access = access
    site.replies = Idempotency(access.database)
    app = build(site)
    opened = []

    def make(name, *roles):
        account = accounts.add(access, OWNER, name)
        for role, _, place in (item.partition("@") for item in roles):
            grants.grant(access, OWNER, grants.read_grant(name, role, place or "*"))
        secret = tokens.issue(access, OWNER, account.id).secret
        client = TestClient(app, headers={"authorization": f"Bearer {secret}"}, raise_server_exceptions=False)
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


def ask(client, operation, namespace):
    body = MATRIX[operation.id][1]
    path = operation.path.replace("{namespace}", namespace).replace("{name}", "claims").replace("{alias}", "production")
    path += f"?into={namespace}/claims" if operation.tag == "contents" and "file" not in path else ""
    path = path.replace("{account}", "user:else").replace("{token}", "0").replace("{rule}", "none")
    path += "?holder=else&role=viewer" if operation.id == "revokeGrant" else ""
    path = path.replace("{file:path}", "weights.bin").replace("{number}", "1").replace("{digest}", DIGEST).replace("{index}", "0")
    if body is not None and operation.id == "registerVersion":
        body = {"manifest": canonical_json({"no": "manifest"}).decode()}
    if body == b"":
        return client.request(operation.method, f"/api/v1{path}", content=body)
    more = {"content": msgspec.json.encode(body), "headers": {"content-type": "application/json"}} if body is not None else {}
    return client.request(operation.method, f"/api/v1{path}", **more)


def test_every_operation_is_in_the_matrix():
    assert {row.id for row in OPERATIONS} == set(MATRIX) | APART


@pytest.mark.parametrize("role", ROLES)
def test_every_operation_lets_in_the_roles_that_have_its_action_and_no_others(bench, client_as, role):
    bench.push(b"one")
    everything, team = client_as("all", role), client_as("some", f"{role}@team/*")
    wrong = []
    for operation in (row for row in OPERATIONS if row.id in MATRIX):
        action = MATRIX[operation.id][0]
        for client, namespace, has in ((everything, "default", True), (team, "default", False), (team, "team", action[-1] != "!")):
            answer = ask(client, operation, namespace)
            may = action == "*" or (has and action.rstrip("!") in ROLES[role])
            if (answer.status_code == 403) == may or answer.status_code in (401, 500):
                wrong.append((operation.id, role, namespace, answer.status_code, answer.text))
    assert not wrong


def test_nobody_is_let_in_without_credentials(client_as):
    client = client_as("ann", "viewer")
    del client.headers["authorization"]
    for operation in (row for row in OPERATIONS if row.id in MATRIX):
        for headers in ({}, {"authorization": "Bearer none"}, {"authorization": "Basic YTpi"}, {"cookie": "stannary=stn_1"}):
            client.headers.update(headers)
            assert ask(client, operation, "default").status_code == 401
            for name in headers:
                del client.headers[name]


def test_lists_show_what_one_may_see_and_deny_nothing(bench, client_as):
    bench.push(b"one", "claims")
    bench.push(b"two", "team/fraud")
    client = client_as("ann", "viewer@team/*")
    rows = client.get("/api/v1/models").json()["models"]
    assert [row["name"]["namespace"] for row in rows] == ["team"]
    kinds = [row.kind for row in bench.opened[0].chain.ledger.find() if row.type == "access"]
    assert "denied" not in kinds
    assert client.get(f"{CLAIMS}/versions").status_code == 403
    kinds = [row.kind for row in bench.opened[0].chain.ledger.find() if row.type == "access"]
    assert kinds.count("denied") == 1


def test_pages_of_models_are_full_whatever_stands_between_them(bench, client_as):
    for number in range(40):
        bench.push(b"one", f"{'team' if number % 4 == 0 else 'other'}/m{number:02}")
    client, pages, after = client_as("ann", "viewer@team/*", "viewer@other/m01"), [], ""
    while not pages or after:
        page = client.get("/api/v1/models", params={"limit": 5, "after": after}).json()
        pages.append([row["name"]["name"] for row in page["models"]])
        after = page["next"]
    assert [len(page) for page in pages] == [5, 5, 1]
    assert [name for page in pages for name in page] == ["m01", *(f"m{number:02}" for number in range(0, 40, 4))]
    whole = client.get("/api/v1/models", params={"limit": 11}).json()
    assert (len(whole["models"]), whole["next"]) == (11, "")
    found = client.get("/api/v1/models", params={"text": "M0"}).json()["models"]
    assert [row["name"]["name"] for row in found] == ["m01", "m00", "m04", "m08"]
    assert client_as("eve").get("/api/v1/models", params={"limit": 5}).json() == {
        "schema": "stannary.models/1",
        "models": [],
        "next": "",
    }


def test_lineage_ends_where_one_may_not_read(bench, client_as):
    registry = bench.opened[0]
    behind, secret, open_ = (
        bench.push(b"behind", "team/behind"),
        bench.push(b"secret", "secret/base"),
        bench.push(b"base", "team/base"),
    )
    tuned, made = bench.push(b"tuned", "team/tuned"), bench.push(b"made", "secret/made")

    def edges(version, *parents):
        rows = [
            {"relation": "fine-tuned-from", "resource": {"name": str(parent.name), "digest": dict(registry.subject(parent).digest)}}
            for parent in parents
        ]
        registry.chain.state(registry.subject(version), "lineage", {"edges": rows, "finishedOn": bench.clock().isoformat()})

    edges(tuned, secret, open_)
    edges(secret, behind)
    edges(made, tuned)
    path = f"/api/v1/artifacts/{tuned.digest}"
    found = client_as("ann", "viewer@team/*").get(f"{path}/lineage").json()
    assert [row["name"] for row in found["above"]] == ["team/base"]
    assert (found["below"], found["hidden"], found["left"]) == ([], 2, 0)
    story = client_as("bea", "viewer@team/*").get(f"{path}/story")
    assert "secret" not in story.text
    assert (len(story.json()["origin"]), story.json()["hidden"]) == (1, 1)
    everything = client_as("all", "viewer").get(f"{path}/lineage").json()
    assert {row["name"] for row in everything["above"]} == {"secret/base", "team/base", "team/behind"}
    assert ([row["name"] for row in everything["below"]], everything["hidden"]) == (["secret/made"], 0)


def test_lineage_calls_an_artifact_as_the_registry_does_for_who_asks_and_not_as_the_last_statement(bench, client_as):
    registry = bench.opened[0]
    bench.push(b"shared", "secret/base")
    base, tuned = bench.push(b"shared", "team/base"), bench.push(b"tuned", "team/tuned")
    for name in ("secret/base", "anything/else"):
        resource = {"name": name, "digest": dict(registry.subject(base).digest)}
        edges = [{"relation": "fine-tuned-from", "resource": resource}]
        registry.chain.state(registry.subject(tuned), "lineage", {"edges": edges, "finishedOn": bench.clock().isoformat()})
    path = f"/api/v1/artifacts/{tuned.digest}/lineage"
    found = client_as("ann", "viewer@team/*").get(path).json()
    assert ([row["name"] for row in found["above"]], found["name"]) == (["team/base"], "team/tuned")
    assert [row["name"] for row in client_as("all", "viewer").get(path).json()["above"]] == ["secret/base"]


def test_a_revoked_ancestor_is_named_to_those_who_may_read_it_and_to_nobody_else(bench, client_as, open_as):
    registry = bench.opened[0]
    secret, tuned = bench.push(b"secret", "secret/base", note="hush"), bench.push(b"tuned", "team/tuned")
    made = {"relation": "fine-tuned-from", "resource": {"name": "secret/base", "digest": dict(registry.subject(secret).digest)}}
    when = bench.clock().isoformat()
    registry.chain.state(registry.subject(tuned), "lineage", {"edges": [made], "finishedOn": when})
    told = {"reason": "the customer's data leaked", "owner": "data protection", "finishedOn": when}
    registry.chain.state(registry.subject(secret), "revocation", told)
    promotion.protect(registry, Name("team", "*"), "production", APPROVED)
    bench.say(tuned)
    reader, owner = client_as("rel", "releaser@team/*"), client_as("all", "releaser")
    paths = [f"/api/v1/artifacts/{tuned.digest}/story", f"/api/v1/artifacts/{tuned.digest}/evidence"]
    asked = {"subject": tuned.digest, "record": False}
    for client, knows in ((reader, False), (owner, True)):
        moved = client.put("/api/v1/models/team/tuned/aliases/production", json={"number": 1})
        answers = [moved, client.post("/api/v1/decisions", json=asked), client.get(paths[0])]
        texts = [answer.text for answer in answers]
        assert [answer.status_code for answer in answers] == [409, 200, 200]
        assert all("made from" in text for text in texts)
        assert [("leaked" in text, "secret" in text) for text in texts] == [(knows, knows)] * 3
    signed = client_as("aud", "viewer@team/*").get(paths[1]).json()["evidence"]
    decisions = [row["id"] for row in signed if row["kind"] == "vsa"]
    assert len(decisions) == 2
    for found in decisions:
        envelope = reader.get(f"/api/v1/evidence/{found}").json()
        statement = base64.b64decode(envelope["payload"]).decode()
        assert "something that it was made from was revoked" in statement
        assert "leaked" not in statement
        assert "secret" not in statement
    for where, knows in (("team/*", False), ("*", True)):
        browser = open_as(f"rae{knows}".lower(), "releaser", place=where)
        for page in ("gate", "promote"):
            text = browser.get(f"/models/team/tuned/versions/1/{page}").text
            assert ("leaked" in text, "made from" in text) == (knows, True)
        assert ("leaked" in browser.get("/models/team/tuned/versions/1").text) == knows
        text = browser.submit("/models/team/tuned/versions/1/promote", alias="production").text
        assert ("leaked" in text, "made from" in text) == (knows, True)


def test_accounts_and_grants_survive_a_rebuild_of_the_registry(bench, client_as):
    client = client_as("ann", "viewer")
    bench.push(b"one")
    bench.opened[0].rebuild()
    assert client.get(f"{CLAIMS}/versions").json()["versions"]


def test_a_privilege_is_told_before_it_is_used(bench, client_as):
    promotion.protect(bench.opened[0], Name("default", "claims"), "production", APPROVED)
    bench.say(bench.push(b"one"))
    client = client_as("rae", "releaser")
    assert client.put(f"{CLAIMS}/aliases/production", json={"number": 1}).json()["moved"]
    rows = [(row.type, row.kind) for row in bench.opened[0].chain.ledger.find()]
    assert rows.index(("access", "used")) < rows.index(("registry", "alias"))


def test_a_request_with_a_key_is_done_once(bench, client_as):
    bench.model(b"weights")
    client = client_as("ann", "contributor")
    first = pushed(client, bench.root / "m")
    assert first.status_code == 201
    say = {"reason": "why", "keep": 1}
    boss = client_as("boss", "admin")
    answers = [boss.post(f"{CLAIMS}/retain", json=say, headers={"idempotency-key": "k-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true"]
    other = boss.post(f"{CLAIMS}/retain", json=say | {"keep": 2}, headers={"idempotency-key": "k-1"})
    assert (other.status_code, other.json()["code"]) == (422, "API011")
    assert boss.post(f"{CLAIMS}/retain", json=say, headers={"idempotency-key": "\t"}).status_code == 400
    denied = client.post(f"{CLAIMS}/retain", json=say, headers={"idempotency-key": "k-1"})
    assert denied.status_code == 403  # another caller's key is another key
    assert client.post(f"{CLAIMS}/retain", json=say, headers={"idempotency-key": "k-1"}).status_code == 403  # and was not kept


def test_many_at_once_with_one_key_do_it_once(bench, access):
    replies = Idempotency(access.database)
    outcomes = []

    def begin():
        try:
            outcomes.append(replies.begin("user:ann", "k", "op", "d" * 64))
        except Exception as error:  # noqa: BLE001 - what it is is looked at below
            outcomes.append(error.code)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["API012"] * 7 + ["None"]


@pytest.mark.parametrize("role", ["admin", "viewer"])
def test_operations_of_access_answer_as_they_say(client_as, role):
    client = client_as("ann", role)
    described = schemathesis.openapi.from_asgi("/api/v1/openapi.json", client.app)
    for item in described.get_all_operations():
        operation = item.ok()
        if "access" not in operation.definition.raw["tags"]:
            continue
        strategy = operation.as_strategy()

        @settings(
            max_examples=20, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=strategy)
        def attempt(case):
            case.headers = {**dict(case.headers or {}), "authorization": client.headers["authorization"]}
            response = case.call()
            case.validate_response(response, checks=CHECKS)
            assert "traceback" not in response.text.lower()

        attempt()
