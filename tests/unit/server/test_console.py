"""The console: how one is let in, what every page forbids, what the pages of models and versions show."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib import resources

import pytest
from tests.unit.registry.conftest import APPROVED
from tests.unit.registry.test_measured import LINF, evaluate
from tests.unit.server.console_bench import HERE, Browser, SimulatedSessions

from stannary.registry import promotion, retention
from stannary.registry.names import Name
from stannary.server.app import build
from stannary.server.console.frame import CSP
from stannary.server.console.render import manifest, static
from stannary.server.console.routes import pages
from stannary.server.console.sessions import local

CLAIMS = "/models/default/claims"


@pytest.fixture
def sessions():
    return SimulatedSessions()


@pytest.fixture
def browser_of(site, sessions):
    app = build(site, pages(site, sessions))
    opened = []

    def make(role=None):
        made = Browser(
            app, base_url="http://127.0.0.1", cookies={"stannary": role} if role else None, raise_server_exceptions=False
        )
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


def test_without_a_session_one_is_led_to_the_login_and_back(browser_of):
    browser = browser_of()
    answer = browser.get(f"{CLAIMS}/versions?before=3", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fmodels%2Fdefault%2Fclaims%2Fversions%3Fbefore%3D3"
    twin = browser.get(f"{CLAIMS}/versions.json")
    assert (twin.status_code, twin.headers["content-type"]) == (401, "application/problem+json")
    fields = {"name": "viewer", "password": "viewer", "next": "/models?prefix=a"}
    back = browser.post("/login", data=fields, headers=HERE, follow_redirects=False)
    assert (back.status_code, back.headers["location"]) == (303, "/models?prefix=a")
    cookie = next(line for line in back.headers.get_list("set-cookie") if line.startswith("stannary="))
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie


def test_the_cookie_is_secure_under_tls(site, sessions):
    browser = Browser(build(site, pages(site, sessions)), base_url="https://127.0.0.1")
    back = browser.post("/login", data={"name": "viewer", "password": "viewer"}, headers=HERE, follow_redirects=False)
    kept = [value for value in back.headers.get_list("set-cookie") if value.startswith("__Host-stannary=viewer")]
    assert [{"Secure", "HttpOnly", "Path=/", "SameSite=strict"} <= set(value.split("; ")) for value in kept] == [True]
    assert "domain" not in kept[0].lower()
    assert browser.get("/models").status_code == 200
    assert browser.get("/api/v1/whoami").json()["principal"] == "user:viewer"
    page = browser.get("/models").text
    token = re.search(r'name="form" value="([0-9a-f]{64})"', page)[1]
    browser.post("/logout", data={"form": token}, headers=HERE, follow_redirects=False)
    assert sessions.ended == ["viewer"]
    assert not browser.cookies
    # One without the prefix may have been planted by another host of the domain, or over plain http.
    for name in ("stannary", "stannary-token"):
        browser.cookies = {name: "viewer"}
        assert browser.get("/models", follow_redirects=False).status_code == 303
        assert browser.get("/api/v1/whoami").status_code == 401
    browser.close()


def test_a_wrong_password_or_token_is_told_and_kept_nowhere(browser_of):
    browser = browser_of()
    for fields in ({"name": "viewer", "password": "sesame-open"}, {"token": "sesame-open"}):
        answer = browser.post("/login", data=fields, headers=HERE)
        assert answer.status_code == 401
        assert 'role="alert"' in answer.text
        assert "sesame-open" not in answer.text
        assert "set-cookie" not in answer.headers


def test_a_token_is_its_own_session(browser_of, sessions):
    browser = browser_of()
    browser.post("/login", data={"name": "viewer", "password": "viewer"}, headers=HERE)
    answer = browser.post("/login", data={"token": "auditor"}, headers=HERE, follow_redirects=False)
    assert answer.status_code == 303
    assert sessions.ended == ["viewer"]
    assert browser.cookies["stannary-token"] == "auditor"
    assert "user:auditor" in browser.get("/models").text


@pytest.mark.parametrize(
    "where",
    [
        "//evil.example/x",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "evil.example",
        "",
        "/%0d\n",
    ],
)
def test_a_login_leads_to_our_pages_alone(browser_of, where):
    assert local(where) == "/models"
    answer = browser_of().post(
        "/login", data={"name": "viewer", "password": "viewer", "next": where}, headers=HERE, follow_redirects=False
    )
    assert answer.headers["location"] == "/models"


def test_a_login_from_another_site_is_refused(browser_of):
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"sec-fetch-site": "same-site"}, {}):
        answer = browser_of().post("/login", data={"name": "viewer", "password": "viewer"}, headers=headers, follow_redirects=False)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    ours = {"origin": "http://127.0.0.1"}
    assert (
        browser_of().post("/login", data={"name": "viewer", "password": "viewer"}, headers=ours, follow_redirects=False).status_code
        == 303
    )


def test_one_logs_out_by_a_form_of_ours(browser_of, sessions):
    browser = browser_of("viewer")
    assert browser.post("/logout", data={"form": "0" * 64}, headers=HERE, follow_redirects=False).status_code == 303
    assert not sessions.ended
    token = re.search(r'name="form" value="([0-9a-f]{64})"', browser.get("/models").text)[1]
    browser.post("/logout", data={"form": token}, headers=HERE)
    assert sessions.ended == ["viewer"]


class Markup(HTMLParser):
    """Collects what a policy of contents would have to forbid."""

    def __init__(self, text):
        super().__init__()
        self.bad, self.tags = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        names = dict(attrs)
        if tag == "style" or (tag == "script" and not names.get("integrity")):
            self.bad.append(tag)
        self.bad += [name for name in names if name.startswith("on") or name == "style"]


HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'{{7*7}}\u202e"


def test_nothing_that_somebody_wrote_is_markup(bench, browser_of):
    registry = bench.opened[0]
    version = bench.push(b"first", note=HOSTILE)
    bench.say(version)
    promotion.protect(registry, Name("default", "claims"), "production", APPROVED)
    promotion.promote(registry, Name("default", "claims"), 1, "production")
    promotion.freeze(registry, Name("default", "claims"), "production", HOSTILE)
    retention.hold(registry, Name("default", "claims"), 1, HOSTILE)
    retention.quarantine(registry, version.digest, HOSTILE)
    browser = browser_of("viewer")
    for path in ("/models", f"{CLAIMS}/versions", f"{CLAIMS}/versions/1"):
        answer = browser.get(path)
        assert answer.status_code == 200, answer.text
        found = Markup(answer.text)
        assert not found.bad
        assert "img" not in found.tags
        assert "\u202e" not in answer.text
        assert "{{7*7}}" in answer.text or path == "/models"
    for path in (
        "/models/default/%3Cscript%3Ealert(1)%3C%2Fscript%3E/versions",
        "/models?after=<script>x",
        f"{CLAIMS}/compare?first=<script>",
    ):
        answer = browser.get(path)
        assert answer.status_code in (400, 404)
        assert "<script>x" not in answer.text
        assert not Markup(answer.text).bad


def test_every_answer_forbids_what_is_not_ours(bench, browser_of):
    bench.push(b"first")
    stranger, browser = browser_of(), browser_of("viewer")
    for who, path in (
        (stranger, "/login"), (stranger, "/nowhere"), (stranger, "/models"), (browser, "/models"), (browser, "/models.json"),
        (browser, f"{CLAIMS}/versions"), (browser, f"{CLAIMS}/versions/1"), (browser, f"{CLAIMS}/versions/9"),
        (browser, "/models?after=%"),
    ):  # fmt: skip
        answer = who.get(path, follow_redirects=False)
        assert answer.headers["content-security-policy"] == CSP
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert not Markup(answer.text).bad


def test_the_vendored_files_are_those_of_the_manifest(browser_of):
    room = resources.files("stannary.server.console").joinpath("static")
    assert {item.name for item in room.iterdir()} == {*manifest(), "manifest.json"}
    browser = browser_of()
    for name, row in manifest().items():
        content = static(name)
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert row["integrity"] == "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode()
        answer = browser.get(f"/static/{name}")
        assert (answer.content, answer.headers["content-type"].partition(";")[0]) == (content, row["type"])
    assert browser.get("/static/manifest.json").status_code == 404
    assert browser.get("/static/..%2frender.py").status_code == 404


def test_errors_are_pages_with_a_next_step(bench, browser_of):
    bench.push(b"first")
    browser = browser_of("viewer")
    answer = browser.get(f"{CLAIMS}/versions/9")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "stannary registry list" in answer.text
    assert answer.headers["x-request-id"] in answer.text
    twin = browser.get(f"{CLAIMS}/versions/9.json")
    assert (twin.status_code, twin.json()["code"]) == (404, "REG010")
    assert browser.get("/api/v1/nothing").headers["content-type"] == "application/problem+json"


def test_models_are_shown_with_the_state_of_their_aliases(bench, browser_of):
    name = Name("default", "claims")
    promotion.protect(bench.opened[0], name, "production", APPROVED)
    version = bench.push(b"first")
    bench.push(b"other", "team/else")
    bench.push(b"hidden", "secret/else")
    assert not promotion.promote(bench.opened[0], name, 1, "production").moved
    browser = browser_of("viewer")
    rows = browser.get("/models.json").json()["models"]
    assert [row["model"]["name"]["name"] for row in rows] == ["claims", "else"]
    assert rows[0]["decision"]["verdict"] == "deny"
    assert "secret" not in browser.get("/models").text
    bench.say(version)
    assert promotion.promote(bench.opened[0], name, 1, "production").moved
    text = browser.get("/models?prefix=cla").text
    assert "@production :1" in text
    assert "team/else" not in text
    retention.quarantine(bench.opened[0], version.digest, "found a payload")
    assert browser.get("/models.json").json()["models"][0]["quarantined"] == {
        "latest": "found a payload",
        "production": "found a payload",
    }


def test_pages_of_models_go_on_over_those_that_one_may_not_see(bench, browser_of):
    for number in range(60):
        bench.push(b"same", f"{'secret' if number % 2 else 'default'}/m{number:02}")
    browser = browser_of("viewer")
    first = browser.get("/models.json").json()
    second = browser.get(f"/models.json?after={first['next']}").json()
    names = [row["model"]["name"]["name"] for row in first["models"] + second["models"]]
    assert names == [f"m{number:02}" for number in range(0, 60, 2)]
    assert second["next"] == ""


def test_a_version_shows_its_chain_and_every_link_opens_to_its_proof(bench, browser_of):
    name, registry = Name("default", "claims"), bench.opened[0]
    promotion.protect(registry, name, "production", APPROVED)
    version = bench.push(b"first")
    bench.say(version)
    promotion.promote(registry, name, 1, "production")
    browser = browser_of("viewer")
    page = browser.get(f"{CLAIMS}/versions/1.json").json()
    assert [step["what"] for step in page["chain"]] == ["source", "pushed", "statement", "gate approved", "@production"]
    assert [step["state"] for step in page["chain"]] == ["plain", "good", "good", "good", "good"]
    text = browser.get(f"{CLAIMS}/versions/1").text
    links = set(re.findall(r'href="(/evidence/[0-9a-f]{64}/statement)"', text))
    assert len(links) == 2
    for link in links:
        proof = browser.get(f"{link}.json").json()
        assert proof["signer"]
        assert not proof["problem"]
        assert proof["receipt"]["size"] == registry.chain.ledger.head().size
        assert "Proof that it is in the ledger" in browser.get(link).text


def test_two_versions_are_compared(bench, browser_of):
    bench.push(b"first")
    bench.push(b"second and longer")
    browser = browser_of("viewer")
    found = browser.get(f"{CLAIMS}/compare.json").json()
    assert (found["first"], found["second"]) == (1, 2)
    assert [row["path"] for row in found["difference"]["files"]] == ["weights.bin"]
    assert "weights.bin" in browser.get(f"{CLAIMS}/compare?first=1&second=2").text
    assert "the same artifact" in browser.get(f"{CLAIMS}/compare?first=2&second=2").text


def test_a_version_that_was_evaluated_has_a_report_card_beside_the_one_before(bench, browser_of):
    browser, first = browser_of("viewer"), bench.push(b"first")
    assert "Report card" not in browser.get(f"{CLAIMS}/versions/1").text
    assert browser.get(f"{CLAIMS}/versions/1.json").json()["card"] is None
    evaluate(bench, first, {LINF: (0.6, 0.65, 0.7)}, incomplete=["<b>nothing</b> else"])
    second = bench.push(b"second")
    said = evaluate(bench, second, {LINF: (0.2, 0.25, 0.3), "accuracy": (0.8, 0.9, 0.95)}, n=90)
    text = browser.get(f"{CLAIMS}/versions/2").text
    assert "Report card" in text
    assert "0.25 [0.2, 0.3]" in text
    assert "0.65 [0.6, 0.7]" in text
    assert "500 samples before, 90 now" in text
    assert f"/evidence/{str(said.id)[7:]}/statement" in text
    assert text.count('<svg class="interval"') == 2
    assert "style=" not in text
    card = browser.get(f"{CLAIMS}/versions/2.json").json()["card"]
    assert {row["metric"]: row["verdict"] for row in card["rows"]} == {"accuracy": "new", LINF: "worse"}
    assert "&lt;b&gt;nothing" in browser.get(f"{CLAIMS}/versions/1").text
    compared = browser.get(f"{CLAIMS}/compare?first=2&second=1").text
    assert "better" in compared
    assert "not measured" in compared


def test_what_was_measured_is_shown_over_versions_and_over_the_radius(bench, browser_of):
    browser, first = browser_of("viewer"), bench.push(b"first")
    page = f"{CLAIMS.replace('/versions', '')}/measurements"
    assert "Nothing was measured" in browser.get(page).text
    evaluate(bench, first, {LINF: (0.6, 0.65, 0.7), "accuracy": (0.8, 0.9, 0.95), "robustness.linf.eps_0.2": (0.1, 0.2, 0.3)})
    bench.push(b"second")
    evaluate(bench, bench.push(b"third"), {LINF: (0.2, 0.25, 0.3)})
    text, twin = browser.get(page).text, browser.get(f"{page}.json").json()
    lines = {row["metric"]: [(point["x"], point["value"]) for point in row["points"]] for row in twin["lines"]}
    assert lines == {LINF: [(1, 0.65), (3, 0.25)], "accuracy": [(1, 0.9)], "robustness.linf.eps_0.2": [(1, 0.2)]}
    assert twin["unmeasured"] == [2]
    assert text.count('<figure class="chart"') == 3
    assert 'data-text="version :3: 0.25, from 0.2 to 0.3"' in text
    assert "style=" not in text
    (curve,) = browser.get(f"{CLAIMS}/versions/1.json").json()["curves"]
    assert [(point["x"], point["low"], point["value"], point["high"]) for point in curve["points"]] == [
        (0, 0.8, 0.9, 0.95), (0.1, 0.6, 0.65, 0.7), (0.2, 0.1, 0.2, 0.3),
    ]  # fmt: skip
    assert browser.get(f"{CLAIMS}/versions/3.json").json()["curves"] == []
    assert "uplot" not in browser.get(f"{CLAIMS}/versions/3").text
    assert browser_of("nobody").get(page).status_code == 403


def test_what_an_attack_takes_is_a_curve_of_its_own_and_none_over_versions(bench, browser_of):
    browser, first = browser_of("viewer"), bench.push(b"first")
    budget = f"{LINF}.square-5000.queries"
    rows = {f"{budget}_{spent}": (left - 0.1, left, left + 0.1) for spent, left in ((1000, 0.4), (10, 0.8), (100, 0.5))}
    evaluate(bench, first, {LINF: (0.1, 0.2, 0.3), **rows, f"{LINF}.pgd-10.iterations_10": (0.2, 0.3, 0.4)})
    (curve,) = browser.get(f"{CLAIMS}/versions/1.json").json()["curves"]
    assert (curve["metric"], curve["over"]) == (f"robust accuracy, linf {LINF.rpartition('_')[2]}, square-5000", "queries")
    assert [(point["x"], point["value"]) for point in curve["points"]] == [(10, 0.8), (100, 0.5), (1000, 0.4)]
    lines = browser.get(f"{CLAIMS.replace('/versions', '')}/measurements.json").json()["lines"]
    assert [row["metric"] for row in lines] == [LINF]


def test_who_may_not_read_sees_no_page_of_it(bench, browser_of):
    bench.push(b"first")
    statement = bench.say(bench.opened[0].versions(Name("default", "claims"))[0])
    browser = browser_of("nobody")
    for path in (
        f"{CLAIMS}/versions",
        f"{CLAIMS}/versions/1",
        f"{CLAIMS}/compare?first=1&second=1",
        f"/evidence/{statement.id.hex}/statement",
    ):
        refused = 404 if path.startswith("/evidence/") else 403  # of a statement it is not told that there is one
        assert browser.get(path).status_code == refused, path
        head, _, query = path.partition("?")
        assert browser.get(f"{head}.json?{query}").status_code == refused, path
    assert browser.get("/models.json").json()["models"] == []
