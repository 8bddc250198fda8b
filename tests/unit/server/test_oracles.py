"""What is not told: whether something is there that one may not see. Each answer about it is that about what is not there."""

import re

import pytest
from tests.unit.registry.conftest import APPROVED
from tests.unit.server.console_bench import HERE
from tests.unit.server.test_access import APART, MATRIX, OWNER, access, ask, client_as

from stannary.access import tokens
from stannary.access.model import Scope
from stannary.access.roles import ROLES
from stannary.app.jobs import Asked, describe, open_table
from stannary.core.model import Digest
from stannary.registry import promotion, retention
from stannary.registry.names import Name
from stannary.server.api import OPERATIONS
from stannary.server.console.views import PAGES

__all__ = ["access", "client_as"]  # fixtures
NOWHERE = f"sha256:{'9' * 64}"


@pytest.fixture
def secret(bench):
    """Return an artifact of a namespace that the callers may not see: in service, held, with evidence and a job about it."""
    registry = bench.opened[0]
    promotion.protect(registry, Name("secret", "*"), "production", APPROVED)
    version = bench.push(b"weights", "secret/claims")
    bench.say(version)
    promotion.promote(registry, version.name, 1, "production")
    retention.hold(registry, version.name, 1, "law")
    job, _ = open_table(registry).add(describe(registry, Asked("scan", "registry:secret/claims:1")))
    statements = [str(item.value.id) for item in registry.chain.about(Digest.parse(version.digest)).evidence]
    return version, statements[0], job.key.partition(":")[2]


def told(answer, *names):
    """Return an answer without what was asked for, and without the id of the request."""
    text = re.sub(r'"request":"[^"]*"', "", answer.text).replace(answer.headers["x-request-id"], "")
    for name in names:
        text = text.replace(name, "…")
    return answer.status_code, text, sorted(set(answer.headers) - {"x-request-id"})


def both(client, operation, there, absent, headers=None):
    """Return what is answered about something that is there, and about something that is not."""
    path = operation.path
    found = []
    for namespace, name, digest, statement, job in (there, absent):
        body = MATRIX.get(operation.id, (None, None))[1]
        where = path.replace("{namespace}", namespace).replace("{name}", name).replace("{digest}", digest)
        where = where.replace("{alias}", "production").replace("{number}", "1").replace("{file:path}", "model.bin")
        where = where.replace("{id}", job if "/jobs/" in path else statement).replace("{index}", "0")
        if isinstance(body, dict):
            body = {key: digest if value == f"sha256:{'0' * 64}" else value for key, value in body.items()}
        more = {"json": body} if isinstance(body, dict) else {"content": body or b""}
        answer = client.request(operation.method, f"/api/v1{where}", **more, headers=headers or {})
        found.append(told(answer, namespace, name, digest, statement, statement[:80], job))
    return found


@pytest.mark.parametrize("role", ROLES)
def test_no_operation_tells_who_may_not_see_it_that_something_is_there(client_as, secret, role):
    version, statement, job = secret
    there = ("secret", "claims", version.digest, statement, job)
    absent = ("nobodys", "nothing", NOWHERE, NOWHERE, "9" * 64)
    client = client_as("eve", f"{role}@team/*")
    asked = [row for row in OPERATIONS if re.search(r"\{(namespace|digest|id)\}", row.path) or row.id in ("decide", "quarantine")]
    assert len(asked) > 25
    differs = []
    for operation in asked:
        for headers in ({}, {"if-match": "*"}, {"if-match": '"1-1"'}, {"if-none-match": "*"}, {"range": "bytes=0-"}):
            one, other = both(client, operation, there, absent, headers)
            if one != other or one[0] < 400:
                differs.append((operation.id, headers, one, other))
    assert not differs


def test_a_statement_is_not_found_by_its_beginning_either(client_as, secret):
    _, statement, _ = secret
    hexes = statement.removeprefix("sha256:")
    eve, reader = client_as("eve", "viewer@team/*"), client_as("ann", "viewer")
    answers = [told(eve.get(f"/api/v1/evidence/{name}"), name) for name in (hexes, hexes[:6], hexes[:20], "9" * 6)]
    assert answers == [answers[0]] * 4
    assert answers[0][0] == 404
    assert reader.get(f"/api/v1/evidence/{hexes[:20]}").status_code == 200


def test_the_console_tells_no_more_than_the_api(bench, open_as, secret):
    version, statement, _ = secret
    eve = open_as("eve", "viewer", place="team/*")
    about = {"evidence": (f"/evidence/{statement}/statement.json", f"/evidence/{NOWHERE}/statement.json")}
    about["version"] = ("/models/secret/claims/versions/1.json", "/models/nobodys/nothing/versions/1.json")
    about["lineage"] = (f"/artifacts/{version.digest}/lineage.json", f"/artifacts/{NOWHERE}/lineage.json")
    for one, other in about.values():
        names = ("secret", "claims", "nobodys", "nothing", version.digest, NOWHERE, statement)
        assert told(eve.get(one), *names) == told(eve.get(other), *names)
    size = bench.opened[0].chain.ledger.head().size
    entries = {told(eve.get(f"/ledger/{index}.json"))[:2] for index in range(size + 3)}
    assert len(entries) == 1, "which entries are about what is told by how they are refused"
    assert "secret" not in str(entries)


def test_every_operation_with_a_place_in_its_path_is_asked_in_the_matrix(client_as):
    """An operation that is added with a namespace, a digest or an id is asked above without anybody thinking of it."""
    placed = {row.id for row in OPERATIONS if "{namespace}" in row.path}
    assert placed <= set(MATRIX)
    assert not placed & APART
    client = client_as("eve")
    refused = [ask(client, row, "secret").status_code for row in OPERATIONS if row.id in placed]
    assert set(refused) == {403}


def test_a_key_of_another_token_of_the_same_account_is_not_answered_for_one_that_is_good_for_less(access, client_as, bench):
    bench.push(b"one")
    boss = client_as("boss", "admin")
    say = {"reason": "why", "keep": 1}
    path = "/api/v1/models/default/claims/retain"
    assert boss.post(path, json=say, headers={"idempotency-key": "k-1"}).status_code == 200
    issued = tokens.issue(access, OWNER, "user:boss", scope=Scope(actions=("read",)))
    again = boss.post(path, json=say, headers={"idempotency-key": "k-1", "authorization": f"Bearer {issued.secret}"})
    assert (again.status_code, again.json()["code"]) == (422, "API011")


@pytest.mark.parametrize("role", ROLES)
def test_no_page_nor_form_tells_who_may_not_see_it_that_something_is_there(open_as, secret, role):
    """Every page of the console, its twin and every form, about what is there and about what is not."""
    version, statement, job = secret
    eve = open_as("eve", role, place="team/*")
    token = re.search(r'name="form" value="([0-9a-f]{64})"', eve.get("/account").text)[1]
    sides = []
    for namespace, name, digest, said, work in (
        ("secret", "claims", version.digest, statement.removeprefix("sha256:"), job),
        ("nobodys", "nothing", NOWHERE, "7" * 64, "8" * 64),
    ):
        values = {"namespace": namespace, "name": name, "number": "1", "digest": digest, "alias": "production", "index": "0"}
        found = {}
        for page in PAGES:
            if not re.search(r"\{(namespace|digest|id)\}", page.path):
                continue
            values["id"] = work if "/jobs/" in page.path else said
            path = re.sub(r"\{(\w+)(?::int)?\}", lambda part, known=values: known[part[1]], page.path)
            names = (namespace, name, digest, digest.removeprefix("sha256:"), said, work)
            if page.method == "POST":
                fields = {"form": token, "alias": "production", "reason": "x", "number": "1", "digest": digest}
                found[page.id] = told(eve.post(path, data=fields, headers=HERE, follow_redirects=False), *names)
            else:
                for end in ("", ".json"):
                    found[page.id + end] = told(eve.get(path + end, follow_redirects=False), *names)
        sides.append(found)
    assert len(sides[0]) > 20
    differs = {page: (answer, sides[1][page]) for page, answer in sides[0].items() if answer != sides[1][page] or answer[0] < 400}
    assert not differs
