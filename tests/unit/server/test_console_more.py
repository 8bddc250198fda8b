"""Lineage as a picture, policies, and people with the real accounts."""

import re

import pytest
from tests.unit.server.console_bench import HERE, Browser, SimulatedSessions

from stannary.access import accounts, grants, tokens
from stannary.access.access import Access
from stannary.access.model import Owner
from stannary.evidence.ledger import entry
from stannary.server.app import build
from stannary.server.console.routes import pages
from stannary.server.console.sessions import AccessSessions
from stannary.server.guard_access import AccessGuard
from stannary.server.site import Site

OWNER = Owner(id="workspace")
PASSWORD = "nine quiet brown bears"


@pytest.fixture
def open_as(bench):
    registry = bench.opened[0]

    def journal(kind, body):
        registry.chain.ledger.append([entry("access", body, time=bench.clock(), kind=kind)])

    access = Access(registry.database, journal, clock=bench.clock)
    site = Site(registry, AccessGuard(access), version="test", rate=(0.0, 0))
    site.access = access
    app = build(site, pages(site, AccessSessions(access)))
    opened = []

    def make(name, role, *, token=False, place="*"):
        account = accounts.add(access, OWNER, name, password=PASSWORD)
        grants.grant(access, OWNER, grants.read_grant(name, role, place))
        made = Browser(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        opened.append(made)
        secret = tokens.issue(access, OWNER, account.id, label="<b>ci</b>")
        fields = {"token": str(secret.secret)} if token else {"name": name, "password": PASSWORD}
        assert made.post("/login", data=fields, headers=HERE, follow_redirects=False).status_code == 303
        made.issued = secret.token.id
        return made

    yield make
    for made in opened:
        made.close()


def test_people_log_in_see_their_own_and_end_tokens(open_as):
    viewer, admin = open_as("ann", "viewer"), open_as("bob", "admin")
    own = viewer.get("/account.json").json()
    assert {row["account"] for row in own["tokens"]} == {"user:ann"}
    assert [row["role"] for row in own["grants"]] == ["viewer"]
    assert viewer.get("/people").status_code == 403
    everybody = admin.get("/people.json").json()
    assert {row["id"] for row in everybody["accounts"]} == {"user:ann", "user:bob"}
    page = admin.get("/people").text
    assert "<b>ci</b>" not in page
    assert "stn_" not in page
    token = re.search(r'name="form" value="([0-9a-f]{64})"', page)[1]
    fields = {"form": token, "token": viewer.issued, "back": "people"}
    assert admin.post("/account/revoke", data=fields, headers=HERE, follow_redirects=False).headers["location"] == "/people"
    assert viewer.get("/account.json").json()["tokens"][0]["revoked"]


def test_a_session_ends_with_the_logout_and_one_by_token_with_the_token(open_as):
    ann, eve = open_as("ann", "viewer"), open_as("eve", "viewer", token=True)
    old = ann.cookies["stannary"]
    token = re.search(r'name="form" value="([0-9a-f]{64})"', ann.get("/models").text)[1]
    ann.post("/logout", data={"form": token}, headers=HERE)
    ann.cookies.set("stannary", old, domain="127.0.0.1")
    assert ann.get("/models", follow_redirects=False).status_code == 303
    assert eve.get("/models", follow_redirects=False).status_code == 200
    token = re.search(r'name="form" value="([0-9a-f]{64})"', eve.get("/account").text)[1]
    eve.post("/account/revoke", data={"form": token, "token": eve.issued}, headers=HERE, follow_redirects=False)
    assert eve.get("/models", follow_redirects=False).status_code == 303


def test_lineage_is_drawn_and_each_edge_names_its_statement(bench, open_as):
    browser = open_as("ann", "viewer", place="default/*")
    base, tuned, secret = bench.push(b"base", "base"), bench.push(b"tuned"), bench.push(b"secret", "secret/base")
    registry = bench.opened[0]
    edges = [
        {"relation": "fine-tuned-from", "resource": {"name": "base<script>", "digest": dict(registry.subject(base).digest)}},
        {"relation": "trained-from", "resource": {"name": "hush", "digest": dict(registry.subject(secret).digest)}},
    ]
    registry.chain.state(registry.subject(tuned), "lineage", {"edges": edges, "finishedOn": bench.clock().isoformat()})
    where = f"/artifacts/{tuned.digest.removeprefix('sha256:')}/lineage"
    found = browser.get(f"{where}.json").json()
    assert [line["relation"] for line in found["lines"]] == ["fine-tuned-from"]
    assert {node["name"] for node in found["nodes"]} == {"claims:1", "base:1"}
    assert found["hidden"] == 1
    text = browser.get(where).text
    assert text.count("<rect") == 2
    assert "1 is hidden" in text
    assert secret.digest[7:19] not in text
    assert "hush" not in browser.get("/models/default/claims/versions/1").text
    assert "base<script>" not in text
    assert f"/evidence/{found['lines'][0]['evidence']}/statement" in text


def test_shipped_policies_are_shown_as_they_are_written(site):
    browser = Browser(build(site, pages(site, SimulatedSessions())), base_url="http://127.0.0.1", cookies={"stannary": "nobody"})
    assert "high-risk" in browser.get("/policies").text
    assert set(browser.get("/policies.json").json()["shipped"]) == {"baseline", "production", "high-risk"}
    browser.close()
