"""The console in a real Chromium: log in, denied, fixed, promoted, rolled back; no serious violation by axe.

Needs Debian's `chromium` and `chromium-driver`, which `./dev test` installs as root or in CI (tools/dev_browser.py); where
they are not installed the tests say so.
"""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from tests.e2e.test_serve import Served, run

VENDOR = Path(__file__).with_name("vendor")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# It has to run as root, without a GPU, and reach for nobody but us.
QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PASSWORD = "nine quiet brown bears"
pytestmark = [pytest.mark.tree, pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver")]


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in QUIET:
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    made.set_page_load_timeout(60)
    yield made
    made.quit()


AXE = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"  # axe-core 4.14.1, axe.min.js, MPL-2.0


def violations(browser):
    source = (VENDOR / "axe.min.js").read_bytes()
    assert hashlib.sha256(source).hexdigest() == AXE
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": source.decode()})
    found = browser.execute_async_script("const done = arguments[0]; axe.run(document).then(r => done(r.violations))")
    return [(row["id"], [node["html"] for node in row["nodes"]]) for row in found if row["impact"] in ("serious", "critical")]


def press(browser, text):
    before = browser.find_element(By.TAG_NAME, "html")
    browser.find_element(By.XPATH, f"//main//*[self::a or self::button][normalize-space()='{text}']").click()
    WebDriverWait(browser, 30).until(lambda b: b.find_element(By.TAG_NAME, "html") != before)
    assert not violations(browser)


def heading(browser):
    return browser.find_element(By.TAG_NAME, "h1").text


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
        refused = [row["message"] for row in browser.get_log("browser") if "Content Security Policy" in row["message"]]
        assert not refused
    finally:
        server.end()
