"""Login in the console by an identity provider: a real one, over HTTP; and what may not let anybody in."""

import re
import urllib.error
import urllib.request
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.unit.server.console_bench import HERE, Browser

from stannary.access import accounts, federation, grants
from stannary.access.access import Access
from stannary.access.model import Owner, Provider
from stannary.evidence.ledger import entry
from stannary.server.app import build
from stannary.server.console.routes import pages
from stannary.server.console.sessions import AccessSessions
from stannary.server.guard_access import AccessGuard
from stannary.server.site import Site
from stannary.testing.oidc_provider import OidcProvider

OWNER = Owner(id="workspace")
BACK = "/login/provider/back"
COOKIE = "stannary-login"


class Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


@pytest.fixture(params=["public", "secret"])
def provider(request, monkeypatch):
    monkeypatch.setenv("OIDC_SECRET", "s/e cr:et")
    hosts = ("http://127.0.0.1", "https://127.0.0.1", "http://127.0.0.2")
    with OidcProvider(
        secret="s/e cr:et" if request.param == "secret" else "", redirects=tuple(f"{h}{BACK}" for h in hosts)
    ) as found:
        yield found


@pytest.fixture
def site(bench, provider):
    registry = bench.opened[0]

    def journal(kind, body):
        registry.chain.ledger.append([entry("access", body, time=bench.clock(), kind=kind)])

    access = Access(registry.database, journal, clock=bench.clock)
    place = "env:OIDC_SECRET" if provider.secret else ""
    federation.add_provider(access, OWNER, Provider(issuer=provider.url, client=provider.client, secret=place))
    accounts.add(access, OWNER, "ann", known_as=(provider.url, provider.user))
    grants.grant(access, OWNER, grants.read_grant("ann", "viewer", "*"))
    made = Site(registry, AccessGuard(access), version="test", rate=(0.0, 0))
    made.access = access
    return made


@pytest.fixture
def browser_at(site):
    app = build(site, pages(site, AccessSessions(site.access)))
    opened = []

    def make(base="http://127.0.0.1"):
        made = Browser(app, base_url=base, raise_server_exceptions=False, follow_redirects=False)
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


def begun(browser, after="/models?prefix=a"):
    """Press the button of the login page, and log in at the provider; return the address that it sends one back to."""
    page = browser.get("/login", params={"next": after}).text
    link = re.search(r'href="(/login/provider\?[^"]+)"', page)[1].replace("&amp;", "&")
    answer = browser.get(link, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 303, answer.text
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(Stays()).open(answer.headers["location"], timeout=20)
    with caught.value as error:
        assert error.code == 302, error.read()
        where = error.headers["location"]
    assert urlsplit(where).path == BACK
    return f"{urlsplit(where).path}?{urlsplit(where).query}"


def cookies_of(answer):
    return {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}


def test_somebody_logs_in_by_the_provider_and_is_led_on(browser_at):
    browser = browser_at()
    back = begun(browser)
    answer = browser.get(back, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0;url=/models?prefix=a">' in answer.text
    given = cookies_of(answer)
    assert {"HttpOnly", "SameSite=strict"} <= set(given["stannary"].split("; "))
    assert "Max-Age=0" in given[COOKIE]
    assert "user:ann" in browser.get("/models").text


def test_the_cookies_of_a_login_are_for_this_host_and_tls_alone(browser_at, provider):
    browser = browser_at("https://127.0.0.1")
    answer = browser.get("/login/provider", params={"issuer": provider.url})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"__Host-{COOKIE}=")
    assert {"HttpOnly", "SameSite=lax", "Secure", "Path=/"} <= set(cookie.split("; "))
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert asked["redirect_uri"] == [f"https://127.0.0.1{BACK}"]
    assert asked["code_challenge_method"] == ["S256"]


def test_an_answer_counts_in_the_browser_that_began_and_once(browser_at):
    mallory, victim = browser_at(), browser_at()
    planted = begun(mallory)
    answer = victim.get(planted)  # without the cookie, and then with one of another login
    assert (answer.status_code, "stannary" in cookies_of(answer)) == (401, False)
    planted = begun(mallory)
    begun(victim)
    answer = victim.get(planted)
    assert (answer.status_code, "stannary" in cookies_of(answer)) == (401, False)
    assert 'role="alert"' in answer.text
    own = begun(victim)
    kept = victim.cookies[COOKIE]
    assert victim.get(own).status_code == 200
    victim.cookies.set(COOKIE, kept, domain="127.0.0.1")
    assert victim.get(own).status_code == 401


def test_a_session_that_was_planted_is_not_taken_over(browser_at):
    browser = browser_at()
    back = begun(browser)
    browser.cookies.set("stannary", "stn_planted", domain="127.0.0.1")
    answer = browser.get(back)
    assert answer.status_code == 200
    value = cookies_of(answer)["stannary"].partition(";")[0].partition("=")[2]
    assert value != "stn_planted"
    again = begun(browser)
    second = browser.get(again)
    assert cookies_of(second)["stannary"].partition(";")[0].partition("=")[2] != value
    browser.cookies.clear()
    browser.cookies.set("stannary", value, domain="127.0.0.1")
    assert browser.get("/models").status_code == 303  # it ended with the login that followed it


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"])
def test_one_is_led_to_pages_of_ours_alone(browser_at, after):
    browser = browser_at()
    answer = browser.get(begun(browser, after))
    assert 'content="0;url=/models"' in answer.text
    secret = browser_at()
    back = begun(secret)
    import base64

    value = base64.urlsafe_b64encode(after.encode()).decode().rstrip("=")
    secret.cookies.set(COOKIE, f"{secret.cookies[COOKIE].partition('.')[0]}.{value}", domain="127.0.0.1")
    assert 'content="0;url=/models"' in secret.get(back).text


def test_who_has_no_account_or_was_not_let_in_there_is_not_let_in_here(browser_at, provider):
    browser = browser_at()
    provider.user = "somebody-else"
    answer = browser.get(begun(browser))
    assert (answer.status_code, "stannary" in cookies_of(answer)) == (401, False)
    state = parse_qs(urlsplit(begun(browser)).query)["state"][0]
    answer = browser.get(BACK, params={"state": state, "error": "access_denied"})
    assert (answer.status_code, "stannary" in cookies_of(answer)) == (401, False)
    for query in ("", "?state=x&code=y", "?code=y"):
        assert browser.get(f"{BACK}{query}").status_code == 401


def test_a_login_is_begun_from_here_at_a_provider_that_is_known(browser_at, provider, site):
    browser = browser_at()
    answer = browser.get("/login/provider", params={"issuer": provider.url}, headers={"sec-fetch-site": "cross-site"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    answer = browser.get("/login/provider", params={"issuer": "https://evil.example"})
    assert (answer.status_code, "location" in answer.headers) == (404, False)
    elsewhere = browser_at("http://stannary.example")
    answer = elsewhere.get("/login/provider", params={"issuer": provider.url})
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    site.logins.rate, site.logins.burst = 0.001, 2
    codes = [browser.get("/login/provider", params={"issuer": provider.url}).status_code for _ in range(3)]
    assert codes == [303, 303, 429]


def test_a_provider_that_is_down_is_said_to_be_so(browser_at, provider):
    browser = browser_at()
    back = begun(browser)
    provider.document["token_endpoint"] = None
    provider.__exit__(None, None, None)
    assert browser.get("/login/provider", params={"issuer": provider.url}).status_code in (303, 503)
    answer = browser.get(back)
    assert answer.status_code == 503
    assert "stannary" not in cookies_of(answer)


def test_the_page_of_a_login_names_the_providers_and_passwords_go_on(browser_at, provider, site):
    browser = browser_at()
    text = browser.get("/login").text
    assert f"Log in by {urlsplit(provider.url).netloc}" in text
    wrong = browser.post("/login", data={"name": "ann", "password": "x"}, headers=HERE)
    assert (wrong.status_code, "Log in by" in wrong.text) == (401, True)
    federation.remove_provider(site.access, OWNER, provider.url)
    assert "Log in by" not in browser.get("/login").text
