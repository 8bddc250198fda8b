"""Lineage as a picture, policies, and people with the real accounts."""

from tests.unit.server.console_bench import Browser, SimulatedSessions

from stannary.access.model import Owner
from stannary.server.app import build
from stannary.server.console.routes import pages

OWNER = Owner(id="workspace")
PASSWORD = "nine quiet brown bears"


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
