"""The console in a real Chromium: log in, denied, fixed, promoted, rolled back; no serious violation by axe.

Needs Debian's `chromium` and `chromium-driver`, which `./dev test` installs as root or in CI (tools/dev_browser.py); where
they are not installed the tests say so.
"""

import json

import pytest
from selenium.webdriver.common.by import By
from tests.e2e.browsing import CHROMIUM, PASSWORD, heading, press, refused, violations
from tests.e2e.test_serve import Served, run

pytestmark = [pytest.mark.tree, pytest.mark.skipif(not CHROMIUM, reason="needs chromium and chromium-driver")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("console")
    run(folder, "init", "--no-passphrase")
    for number in (1, 2):
        model = folder / f"model{number}"
        model.mkdir()
        (model / "config.json").write_text(json.dumps({"model_type": "bert", "layers": number}))
    run(folder, "registry", "push", "model1", "claims", "--note", "first")
    policy = "name: approved\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n"
    (folder / "approved.yaml").write_text(policy)
    run(folder, "registry", "protect", "claims@production", "--policy", "approved.yaml")
    run(folder, "access", "user", "add", "rel", "--password", stdin=PASSWORD + "\n")
    run(folder, "access", "grant", "rel", "releaser")
    return folder


def test_denied_fixed_promoted_and_rolled_back(place, browser):
    server = Served(place)
    approve = ("--topic", "approval", "--decision", "approve", "--statement", "looked at")
    where = f"http://127.0.0.1:{server.port}"
    try:
        browser.get(f"{where}/models/default/claims/versions/1")
        assert heading(browser) == "Log in"
        assert not violations(browser)
        browser.find_element(By.ID, "name").send_keys("rel")
        browser.find_element(By.ID, "password").send_keys(PASSWORD)
        press(browser, "Log in")
        assert heading(browser).startswith("claims:1")
        press(browser, "Promote")
        press(browser, "Promote")
        assert heading(browser) == "claims@production did not move"
        run(place, "attest", "registry:claims:1", *approve)
        browser.get(f"{where}/models/default/claims/versions/1/promote?alias=production")
        press(browser, "Promote")
        assert heading(browser) == "claims@production is at :1"
        run(place, "registry", "push", "model2", "claims", "--note", "second")
        run(place, "attest", "registry:claims:2", *approve)
        browser.get(f"{where}/models/default/claims/versions/2/promote?alias=production")
        press(browser, "Promote")
        assert heading(browser) == "claims@production is at :2"
        browser.get(f"{where}/models/default/claims/versions")
        assert not violations(browser)
        press(browser, "Roll back")
        press(browser, "Roll back @production")
        assert heading(browser) == "claims@production is at :1"
        browser.get(f"{where}/models")
        assert not violations(browser)
        assert not refused(browser)
    finally:
        server.end()
