"""What people do in the console in a real Chromium: sign approvals with a key that stays there, watch a job, log in elsewhere."""

import json
import subprocess

import pytest
from selenium.webdriver.common.by import By
from tests.e2e.browsing import CHROMIUM, PASSWORD, heading, loaded, log_in, press, refused, until, violations
from tests.e2e.test_serve import STANNARY, Served, clean, run

from stannary.testing.oidc_provider import OidcProvider

pytestmark = [pytest.mark.tree, pytest.mark.skipif(not CHROMIUM, reason="needs chromium and chromium-driver")]
SECRET = "pass phrase ünïcode"
POLICY = "name: approved\nrequire:\n  - kind: statement\n    check: approval\n    approvals: {}\n"
KEYS = {"ann": "p256", "bob": "ed25519", "cy": "p521", "dee": "p384"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    run(folder, "init", "--no-passphrase")
    for name in ("claims", "fraud"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps({"model_type": "bert", "name": name}))
        run(folder, "registry", "push", name, name)
        (folder / f"{name}.yaml").write_text(POLICY.format(len(KEYS) if name == "claims" else 1))
        run(folder, "registry", "protect", f"{name}@production", "--policy", f"{name}.yaml")
    for name, algorithm in KEYS.items():
        line = [STANNARY, "keys", "generate", f"{name}.pem", "--algorithm", algorithm]
        line += ["--no-passphrase"] if name == "bob" else []
        subprocess.run(line, cwd=folder, env=clean() | {"STANNARY_PASSPHRASE": SECRET}, check=True, capture_output=True)
        run(folder, "trust", "add", name, f"{name}.pub")
    for name, role in (("rae", "reviewer"), ("boss", "admin")):
        run(folder, "access", "user", "add", name, "--password", stdin=PASSWORD + "\n")
        run(folder, "access", "grant", name, role)
    return folder


@pytest.fixture(scope="module")
def served(place):
    server = Served(place, "--job-workers", "1")
    yield f"http://127.0.0.1:{server.port}"
    server.end()


def sign(browser, n, key, passphrase, decision):
    browser.find_element(By.ID, f"said{n}").send_keys("looked at it: “fine”")
    browser.find_element(By.ID, f"key{n}").send_keys(str(key))
    browser.find_element(By.ID, f"pass{n}").send_keys(passphrase)
    browser.find_element(By.XPATH, f"//section[{n}]//button[@data-decision='{decision}']").click()


def opened(browser, served, model):
    browser.get(f"{served}/approvals")
    titles = [found.text for found in browser.find_elements(By.CSS_SELECTOR, "section h2")]
    n = titles.index(f"{model}:1 for @production") + 1
    browser.find_element(By.XPATH, f"//section[{n}]//summary").click()
    assert not violations(browser)
    return n


def test_approvals_are_signed_in_the_browser_with_keys_of_each_kind(place, served, browser):
    log_in(browser, served, "rae")
    for number, name in enumerate(KEYS):
        n = opened(browser, served, "claims")
        assert f"{number} of {len(KEYS)} approvals" in browser.find_element(By.XPATH, f"//section[{n}]").text
        loaded(browser, lambda n=n, name=name: sign(browser, n, place / f"{name}.pem", SECRET if name != "bob" else "", "approve"))
        assert heading(browser) == "Approvals"
    assert "claims:1" not in browser.find_element(By.TAG_NAME, "main").text
    done = json.loads(run(place, "registry", "promote", "claims:1", "production", "--format", "json").stdout)
    assert done["moved"]
    assert not refused(browser)


def test_a_wrong_passphrase_sends_nothing_and_declining_is_a_decision(place, served, browser):
    log_in(browser, served, "rae")
    n = opened(browser, served, "fraud")
    sign(browser, n, place / "ann.pem", "another one", "reject")
    problem = browser.find_element(By.XPATH, f"//section[{n}]//p[@role='alert']")
    until(browser, lambda _: problem.text)
    assert problem.text == "The passphrase is another one, or the file is damaged."
    assert browser.find_element(By.ID, f"envelope{n}").get_attribute("value") == ""
    browser.find_element(By.ID, f"pass{n}").clear()
    loaded(browser, lambda: sign(browser, n, place / "ann.pem", SECRET, "reject"))
    assert "fraud" not in browser.find_element(By.TAG_NAME, "main").text
    denied = json.loads(run(place, "registry", "promote", "fraud:1", "production", "--format", "json", code=1).stdout)
    assert [row["message"] for row in denied["reasons"]] == ["ann rejected it"]


def test_a_job_is_asked_for_and_seen_to_its_end_without_reloading(served, browser):
    log_in(browser, served, "rae")
    browser.get(f"{served}/jobs")
    assert not violations(browser)
    browser.find_element(By.ID, "target").send_keys("registry:fraud:1")
    press(browser, "Ask for it")
    assert heading(browser) == "scan of fraud:1"
    page = browser.find_element(By.TAG_NAME, "html")
    until(browser, lambda b: "done" in b.find_element(By.CSS_SELECTOR, "#live .badge").text)
    assert browser.find_element(By.TAG_NAME, "html") == page
    assert browser.find_elements(By.CSS_SELECTOR, "#live[hx-trigger]") == []
    assert not violations(browser)
    press(browser, browser.find_element(By.CSS_SELECTOR, "#live dd a").text)
    assert heading(browser).startswith("model-scan")
    assert not refused(browser)


def test_somebody_logs_in_by_their_provider_and_lands_where_they_wanted_to_be(place, served, browser):
    with OidcProvider(redirects=(f"{served}/login/provider/back",)) as provider:
        run(place, "access", "federate", "people", "--issuer", provider.url, "--client", provider.client)
        run(place, "access", "user", "add", "oda", "--issuer", provider.url, "--subject", provider.user)
        run(place, "access", "grant", "oda", "viewer")
        browser.delete_all_cookies()
        browser.get(f"{served}/models/default/fraud/versions")
        assert heading(browser) == "Log in"
        assert not violations(browser)
        browser.find_element(By.PARTIAL_LINK_TEXT, "Log in by 127.0.0.1").click()
        until(browser, lambda b: heading(b) == "fraud model")
        assert browser.find_element(By.CSS_SELECTOR, ".who span").text == "user:oda"
        assert browser.current_url == f"{served}/models/default/fraud/versions"
        kept = {cookie["name"]: cookie for cookie in browser.get_cookies()}
        assert set(kept) == {"stannary"}
        assert (kept["stannary"]["httpOnly"], kept["stannary"]["sameSite"]) == (True, "Strict")
        assert not refused(browser)
