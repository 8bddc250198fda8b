"""A namespace is shredded in a real Chromium: what it means is said, its name typed, and its versions say so afterwards."""

import json

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from tests.e2e.browsing import CHROMIUM, PASSWORD, heading, loaded, log_in, press, refused, violations
from tests.e2e.test_console_looks import SCREENS, screen
from tests.e2e.test_serve import Served, run

__all__ = ["screen"]  # a fixture
pytestmark = [pytest.mark.tree, pytest.mark.skipif(not CHROMIUM, reason="needs chromium and chromium-driver")]
DESTROY = "Destroy the key of team for ever"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shred")
    run(folder, "keys", "generate", "w.key", "--algorithm", "wrapping", "--no-passphrase")
    run(folder, "init", "--no-passphrase", "--wrapping-key", "w.key")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    for name in ("team/claims", "other/claims", "kept/claims", "gone/claims"):
        run(folder, "registry", "push", "model", name)
    run(folder, "registry", "hold", "kept/claims:1", "--reason", "case 4711")
    for name, role in (("boss", "admin"), ("vera", "viewer")):
        run(folder, "access", "user", "add", name, "--password", stdin=PASSWORD + "\n")
        run(folder, "access", "grant", name, role)
    return folder


@pytest.fixture(scope="module")
def served(place):
    server = Served(place)
    yield f"http://127.0.0.1:{server.port}"
    server.end()


def typed(browser, reason, confirm):
    for field, text in (("reason", reason), ("confirm", confirm)):
        found = browser.find_element(By.ID, field)
        found.clear()
        found.send_keys(text)


@pytest.mark.parametrize("name", SCREENS)
def test_the_pages_fit_each_screen_before_anything_is_destroyed(served, browser, screen, name):
    width, _ = screen(name)
    log_in(browser, served, "boss")
    for page, said in (("/namespaces", "key of its own"), ("/namespaces/other/shred", "no way back"),
                       ("/namespaces/kept/shred", "is held: case 4711")):  # fmt: skip
        browser.get(f"{served}{page}")
        assert said in browser.find_element(By.TAG_NAME, "main").text
        assert not violations(browser), page
        assert browser.execute_script("return document.scrollingElement.scrollWidth") <= width, page
    assert browser.find_elements(By.ID, "confirm") == []  # what is held has no form
    assert not refused(browser)


def test_it_is_destroyed_when_its_name_was_typed_and_shown_so_ever_after(place, served, browser):
    log_in(browser, served, "boss")
    browser.get(f"{served}/namespaces")
    loaded(browser, browser.find_element(By.CSS_SELECTOR, "a[aria-label='Shred team']").click)
    assert heading(browser).startswith("Shred team")
    # Without a name the browser itself does not send it.
    browser.find_element(By.XPATH, f"//button[.='{DESTROY}']").click()
    assert browser.switch_to.active_element.get_attribute("id") == "reason"
    typed(browser, "the customer left", "tem")
    press(browser, DESTROY)
    assert "Nothing was destroyed" in browser.find_element(By.CSS_SELECTOR, "[role=alert]").text
    at = browser.switch_to.active_element
    assert (at.get_attribute("id"), at.get_attribute("aria-invalid")) == ("confirm", "true")
    assert browser.find_element(By.ID, "reason").get_attribute("value") == "the customer left"
    run(place, "registry", "pull", "team/claims:1", "before")
    loaded(browser, ActionChains(browser).send_keys("team", Keys.ENTER).perform)  # the keyboard is where it is needed
    assert heading(browser) == "Shred team shredded"
    assert browser.find_elements(By.ID, "confirm") == []
    assert "by user:boss: the customer left" in browser.find_element(By.TAG_NAME, "main").text
    assert not violations(browser)
    run(place, "registry", "pull", "team/claims:1", "after", code=2)
    run(place, "registry", "pull", "other/claims:1", "other")
    press(browser, browser.find_element(By.PARTIAL_LINK_TEXT, "entry ").text)
    assert "registry shred" in heading(browser)
    assert not refused(browser)


def test_whoever_reads_there_is_told_by_whom_and_why(place, served, browser):
    run(place, "registry", "shred", "gone", "--reason", "the customer left", "--confirm", "gone")
    log_in(browser, served, "vera")
    browser.get(f"{served}/models/gone/claims/versions/1")
    assert heading(browser) == "gone/claims:1 shredded"
    assert "the customer left" in browser.find_element(By.CSS_SELECTOR, ".problem").text
    assert not violations(browser)
    press(browser, browser.find_element(By.CSS_SELECTOR, ".problem a").text)
    browser.get(f"{served}/namespaces/other/shred")
    assert heading(browser) == "Not allowed"
    assert not violations(browser)
    assert not refused(browser)
