"""A real Chromium: what the tests of the console do in it, and what they look for on every page."""

import hashlib
import shutil
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

_BINARY, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# It has to run as root, without a GPU, and reach for nobody but us.
_QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
CHROMIUM = bool(_BINARY and _DRIVER)
PASSWORD = "nine quiet brown bears"
AXE = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"  # axe-core 4.14.1, axe.min.js, MPL-2.0


def opened(profile):
    """Start a browser with its profile in a folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = _BINARY
    for argument in (*_QUIET, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(_DRIVER))
    made.set_page_load_timeout(120)
    return made


def violations(browser):
    """Return the serious violations that axe finds on the page."""
    source = Path(__file__).with_name("vendor").joinpath("axe.min.js").read_bytes()
    assert hashlib.sha256(source).hexdigest() == AXE
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": source.decode()})
    found = browser.execute_async_script("const done = arguments[0]; axe.run(document).then(r => done(r.violations))")
    return [(row["id"], [node["html"] for node in row["nodes"]]) for row in found if row["impact"] in ("serious", "critical")]


def refused(browser):
    """Return what the policy of contents kept the page from."""
    return [row["message"] for row in browser.get_log("browser") if "Content Security Policy" in row["message"]]


def until(browser, holds, seconds=100):
    """Wait until something holds of a page, parts of which may be replaced while it is looked at."""
    ignored = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(browser, seconds, ignored_exceptions=ignored).until(holds)


def loaded(browser, act):
    """Do something, and wait for the page that follows, all of it."""
    before = browser.find_element(By.TAG_NAME, "html")
    act()
    until(browser, lambda b: b.find_element(By.TAG_NAME, "html") != before)
    until(browser, lambda b: b.execute_script("return document.readyState") == "complete")


def press(browser, text):
    found = browser.find_element(By.XPATH, f"//main//*[self::a or self::button][normalize-space()='{text}']")
    loaded(browser, found.click)
    assert not violations(browser)


def heading(browser):
    return browser.find_element(By.TAG_NAME, "h1").text


def log_in(browser, where, name, password=PASSWORD):
    browser.delete_all_cookies()
    browser.get(f"{where}/login")
    browser.find_element(By.ID, "name").send_keys(name)
    browser.find_element(By.ID, "password").send_keys(password)
    press(browser, "Log in")
