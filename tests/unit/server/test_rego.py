"""Modules in Rego over a server: who may give one, what it may take, how it is logged and shown."""

import sys
import threading
import time

from tests.unit.registry.test_rego_protection import HELD, OWN, Held, hold
from tests.unit.server.test_console_actions import browser_of  # noqa: F401 - a fixture

from stannary.crypto import dsse
from stannary.evidence import policy_text
from stannary.evidence.policy_text import policy_of_text

ALIAS = "/api/v1/models/default/claims/aliases/production"
ENDLESS = """package stannary.gate
import rego.v1
deny contains x if { some i in numbers.range(1, 40000000); x := i; x < 0 }
"""


def _protect(client, policy=OWN, **more):
    return client.put(f"{ALIAS}/protection", json={"policy": policy, "name": "own.rego", **more})


def test_who_may_protect_gives_a_module_and_it_decides(bench, client_of):
    version = bench.push(b"first")
    for role in ("viewer", "contributor", "reviewer", "releaser", "auditor"):
        assert _protect(client_of(role)).status_code == 403
    said = _protect(client_of("admin"))
    assert said.status_code == 200, said.text
    digest = str(policy_of_text(OWN).digest)
    assert said.json()["policy"] == {"rego": OWN, "name": "own.rego", "digest": digest}
    denied = client_of("releaser").put(ALIAS, json={"number": 1})
    assert denied.status_code == 409
    assert [(row["rule"], row["help"]) for row in denied.json()["reasons"] if not row["ok"]] == [("ours", "ask ann")]
    bench.say(version)
    assert client_of("releaser").put(ALIAS, json={"number": 1}).json()["moved"]
    bench.say(bench.push(b"second"))
    assert client_of("releaser").put(ALIAS, json={"number": 2}).json()["moved"]
    assert client_of("releaser").post(f"{ALIAS}/rollback").json()["number"] == 1
    evidence = client_of("viewer").get(f"/api/v1/artifacts/{version.digest}/evidence").json()["evidence"]
    logged = [row for row in evidence if row["kind"] == "vsa"]
    assert logged
    statement = bench.opened[0].chain.one(logged[-1]["id"])[1]
    assert digest.removeprefix("sha256:").encode() in dsse.payload_of(statement)


def test_a_module_to_decide_by_is_not_taken_from_who_may_only_look(bench, client_of):
    version = bench.push(b"first")
    question = {"subject": version.digest, "policy": OWN, "name": "own.rego", "record": False}
    for role in ("viewer", "auditor", "admin"):
        assert client_of(role).post("/api/v1/decisions", json=question).status_code == 403, role
    for role in ("contributor", "reviewer", "releaser"):
        found = client_of(role).post("/api/v1/decisions", json=question).json()
        assert (found["verdict"], found["policy"]["name"], found["recorded"]) == ("deny", "own.rego", "")
        assert found["policy"]["digest"] == str(policy_of_text(OWN).digest)
    assert client_of("viewer").post("/api/v1/decisions", json={**question, "policy": "baseline"}).status_code == 200
    for name in ("../own.rego", "a b", "x" * 101):
        assert client_of("reviewer").post("/api/v1/decisions", json={**question, "name": name}).status_code == 422


def test_a_module_that_takes_too_much_is_a_conflict_and_the_server_goes_on(bench, client_of):
    version = bench.push(b"first")
    found = client_of("reviewer").post("/api/v1/decisions", json={"subject": version.digest, "policy": ENDLESS, "record": False})
    assert found.status_code == 409
    assert found.json()["code"] == "POL012"
    assert "512 MiB" in found.json()["detail"] or "20 s" in found.json()["detail"]
    assert found.headers["content-type"] == "application/problem+json"
    assert _protect(client_of("admin"), ENDLESS).status_code == 409
    assert client_of("viewer").get(f"{ALIAS}/protection").json()["policy"]["name"] == "production"


def test_one_account_has_two_modules_at_once_and_keeps_nobody_else_waiting(bench, client_of, monkeypatch):
    version = bench.push(b"first")
    question = {"subject": version.digest, "policy": HELD, "record": False}
    hold(monkeypatch, policy_text)
    contributor, found = client_of("contributor"), []

    def ask():
        found.append(contributor.post("/api/v1/decisions", json=question))

    at_work = [threading.Thread(target=ask) for _ in range(4)]
    for thread in at_work:
        thread.start()
    ends = time.monotonic() + 60
    while len(found) < 2 and time.monotonic() < ends:
        time.sleep(0.01)
    assert [answer.status_code for answer in found] == [429, 429]
    other = client_of("reviewer").post("/api/v1/decisions", json={**question, "policy": OWN})
    assert len(found) == 2
    Held.let_go.set()
    for thread in at_work:
        thread.join()
    said = sorted(answer.status_code for answer in found)
    assert said == [200, 200, 429, 429]
    assert next(answer for answer in found if answer.status_code == 429).headers["retry-after"] == "2"
    assert other.status_code == 200
    assert contributor.post("/api/v1/decisions", json={**question, "policy": OWN}).status_code == 200


def test_a_module_with_a_mistake_is_refused_with_its_line(client_of):
    said = _protect(client_of("admin"), "package stannary.gate\nimport rego.v1\ndeny contains x if { true }\n")
    assert (said.status_code, said.json()["where"]) == (400, "own.rego:3")


def test_a_server_without_an_engine_says_so(bench, client_of, browser_of, monkeypatch):  # noqa: F811 - the fixture
    bench.push(b"first")
    assert _protect(client_of("admin")).status_code == 200
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setitem(sys.modules, "regopy", None)  # as where it is not installed
    for said in (_protect(client_of("admin")), client_of("releaser").put(ALIAS, json={"number": 1})):
        assert (said.status_code, said.json()["code"]) == (503, "POL004")
        assert "stannary[rego]" in said.json()["help"]
    assert "no engine" in browser_of("viewer").get("/policies?model=claims").text


def test_the_console_shows_the_module_its_digest_and_what_evaluates_it(bench, client_of, browser_of):  # noqa: F811 - the fixture
    version = bench.push(b"first")
    assert _protect(client_of("admin")).status_code == 200
    page = browser_of("viewer").get("/policies?model=claims").text
    assert str(policy_of_text(OWN).digest) in page
    assert "regopy evaluates it" in page or "opa (" in page
    assert "nobody approved it" in page
    twin = browser_of("viewer").get("/policies.json?model=claims").json()["effective"]
    assert twin["policy"]["rego"] == OWN
    gate = f"/models/default/claims/versions/{version.number}/gate"
    assert "nobody approved it" in browser_of("viewer").get(gate).text  # what the alias moves by
    assert browser_of("viewer").get(gate, params={"policy": OWN}).status_code == 403
    assert "nobody approved it" in browser_of("reviewer").get(gate, params={"policy": OWN}).text
    assert "nobody approved it" in browser_of("releaser").get(gate.replace("gate", "promote")).text
    done = browser_of("admin").submit("/models/default/claims/protect?alias=staging", alias="staging", policy=OWN)
    assert done.status_code in (200, 303)
    assert bench.opened[0].protection(version.name, "staging").policy["rego"].replace("\r\n", "\n").strip() == OWN.strip()


def test_what_a_module_wants_approved_stands_in_the_inbox_of_who_may_approve_it(bench, client_of, browser_of):  # noqa: F811
    version = bench.push(b"first")
    assert _protect(client_of("admin")).status_code == 200
    found = client_of("reviewer").get("/api/v1/approvals").json()["waiting"]
    assert [(row["version"]["number"], row["alias"], row["policy"]) for row in found] == [(1, "production", "own.rego")]
    assert [(row["rule"], row["help"]) for row in found[0]["approvals"]] == [("ours", "ask ann")]
    browser = browser_of("reviewer")
    rows = browser.get("/approvals.json").json()["waiting"]
    assert rows[0]["waiting"] == found[0]
    assert rows[0]["form"]["statement"]["subject"][0]["digest"] == {"dirHash1": version.digest.removeprefix("sha256:")}
    page = browser.get("/approvals").text
    assert "nobody approved it" in page
    assert "ask ann" in page
    assert client_of("viewer").get("/api/v1/approvals").json()["waiting"] == []
    bench.say(version)
    assert client_of("reviewer").get("/api/v1/approvals").json()["waiting"] == []
    assert "Nothing waits for you" in browser.get("/approvals").text
