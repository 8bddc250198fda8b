"""How the pages of the console look and are used in a real Chromium: on a phone, in the dark, by the keyboard alone, by axe.

STANNARY_SCREENSHOTS names a folder to write pictures into: those of docs/images are made so.
"""

import json
import os
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support import expected_conditions
from tests.e2e.browsing import CHROMIUM, PASSWORD, heading, loaded, log_in, refused, until, violations
from tests.e2e.test_serve import Served, run

pytestmark = [pytest.mark.tree, pytest.mark.skipif(not CHROMIUM, reason="needs chromium and chromium-driver")]
SCREENS = {"phone": (375, 740, "light"), "phone in the dark": (375, 740, "dark"), "desk in the dark": (1200, 900, "dark")}
PAGES = (
    "/models", "/models/default/claims/versions", "/models/default/claims/versions/2",
    "/models/default/claims/measurements",
    "/models/default/claims/versions/2/gate", "/models/default/claims/compare?first=1&second=2",
    "/search?q=claims", "/search?q=eval-result", "/search?q=nothing-like-it",
    "/ledger?actor=workspace&since=2020-01-01", "/ledger/0", "/approvals", "/jobs", "/account", "/people",
    "/people/user:boss/rights", "/policies?model=claims&alias=production", "/protections",
    "/namespaces", "/namespaces/default/shred",
)  # fmt: skip
POLICY = "name: approved\nrequire:\n  - kind: statement\n    check: approval\n    approvals: 1\n"


def card(*rows):
    results = [
        {"metric": name, "value": value, "interval": {"low": low, "high": high, "level": 0.95}, "sampleSize": n, "seed": 7}
        for name, low, value, high, n in rows
    ]
    return {
        "check": {"id": "evaluate", "version": "0.1"},
        "outcome": "passed",
        "results": results,
        "finishedOn": "2026-11-24T09:00:00Z",
    }


LONG = "a-name-of-many-parts-" + "x" * 90
LINF = "robustness.linf.eps_0.1"
CARDS = {
    1: card(("accuracy", 0.91, 0.93, 0.95, 500), (LINF, 0.55, 0.6, 0.64, 500), ("privacy.membership.auc", 0.5, 0.52, 0.55, 500)),
    2: card(("accuracy", 0.92, 0.94, 0.96, 500), (LINF, 0.7, 0.74, 0.78, 1000), ("privacy.membership.auc", 0.58, 0.61, 0.65, 500)),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looks")
    run(folder, "init", "--no-passphrase")
    for number in (1, 2):
        model = folder / f"model{number}"
        model.mkdir()
        (model / "config.json").write_text(json.dumps({"model_type": "bert", "layers": number}))
        (folder / "card.json").write_text(json.dumps(CARDS[number]))
        run(folder, "registry", "push", f"model{number}", "claims", "--note", f"claims of cars, round {number}")
        run(folder, "attest", f"model{number}", "--kind", "eval-result", "--predicate", "card.json")
        run(folder, "scan", f"model{number}", "--record")
    run(folder, "registry", "push", "model1", f"team/{LONG}", "--note", "unbroken" * 20)
    (folder / "approved.yaml").write_text(POLICY)
    run(folder, "registry", "protect", "claims@production", "--policy", "approved.yaml")
    run(folder, "registry", "approve", "claims:1", "--statement", "looked at")
    run(folder, "registry", "promote", "claims:1", "production")
    run(folder, "registry", "promote", "claims:2", "production", code=1)
    run(folder, "jobs", "add", "scan", "registry:claims:1")
    run(folder, "jobs", "work", "--drain")
    run(folder, "jobs", "add", "scan", "registry:claims:2")
    for name, roles in (("boss", ("admin", "auditor", "reviewer")), ("eve", ("viewer",))):
        run(folder, "access", "user", "add", name, "--password", stdin=PASSWORD + "\n")
        for role in roles:
            run(folder, "access", "grant", name, role)
    server = Served(folder)
    yield f"http://127.0.0.1:{server.port}"
    server.end()


@pytest.fixture
def screen(browser):
    """Return what makes the window a screen; afterwards it is the desk's again."""

    def be(name):
        width, height, scheme = SCREENS[name]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        return width, scheme

    yield be
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("name", SCREENS)
def test_every_page_fits_the_screen_is_of_its_scheme_and_has_no_violation(served, browser, screen, name):
    width, scheme = screen(name)
    log_in(browser, served, "boss")
    for page in PAGES:
        browser.get(f"{served}{page}")
        assert heading(browser) not in ("Log in", "Not found", "Not allowed"), page
        assert not violations(browser), page
        assert browser.execute_script("return document.scrollingElement.scrollWidth") <= width, page
        colours = browser.execute_script("return getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
        assert (max(colours[:3]) < 60) == (scheme == "dark"), (page, colours)
        # Targets are large enough for a finger: the height of a line at least.
        small = browser.execute_script(
            "return [...document.querySelectorAll('main :is(button, .button, select, input:not([type=hidden], [type=checkbox]))')]"
            ".filter(e => e.offsetParent && e.getBoundingClientRect().height < 24).map(e => e.outerHTML)"
        )
        assert small == [], page
    assert not refused(browser)


@pytest.mark.parametrize("name", SCREENS)
def test_a_long_name_leaves_room_for_what_stands_beside_it(served, browser, screen, name):
    width, _ = screen(name)
    log_in(browser, served, "eve")
    for page in ("/models", f"/models/team/{LONG}/versions", f"/models/team/{LONG}/versions/1", f"/search?q={LONG[:9]}"):
        browser.get(f"{served}{page}")
        assert browser.execute_script("return document.scrollingElement.scrollWidth") <= width, page
        assert not violations(browser), page
    browser.get(f"{served}/models")
    cell = browser.find_element(By.PARTIAL_LINK_TEXT, LONG[:20]).find_element(By.XPATH, "ancestor::th")
    room = browser.find_element(By.CSS_SELECTOR, "[aria-label=Models]").size["width"]
    assert cell.size["width"] < 0.67 * room, (cell.size, room)  # one sees that there is more, and on a desk all of it
    right = browser.find_element(By.XPATH, "//th[.='Newest decision']").rect
    assert width < 600 or right["x"] + right["width"] <= width


def tab_to(browser, wanted, most=60):
    """Press Tab until the element with the focus is wanted; each one on the way can be seen to have it."""
    for _ in range(most):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        at = browser.switch_to.active_element
        outline = at.value_of_css_property("outline-style"), at.value_of_css_property("outline-width")
        assert outline[0] != "none", at.get_attribute("outerHTML")
        if wanted(at):
            return at
    pytest.fail(f"nothing like that has the focus after {most} tabs")


def test_a_version_is_found_and_opened_by_the_keyboard_alone(served, browser):
    log_in(browser, served, "eve")
    browser.get(f"{served}/models")
    first = tab_to(browser, lambda _: True)
    assert first.text == "Skip to the content"
    tab_to(browser, lambda at: at.text == "Search")
    loaded(browser, ActionChains(browser).send_keys(Keys.ENTER).perform)
    assert heading(browser) == "Search"
    assert browser.switch_to.active_element.get_attribute("id") == "q"  # one can type at once
    loaded(browser, ActionChains(browser).send_keys("round 2", Keys.ENTER).perform)
    assert "q=round+2" in browser.current_url
    tab_to(browser, lambda at: at.text == "claims:2")
    loaded(browser, ActionChains(browser).send_keys(Keys.ENTER).perform)
    assert heading(browser).startswith("claims:2")
    step = tab_to(browser, lambda at: at.tag_name == "summary")
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert step.find_element(By.XPATH, "..").get_attribute("open") is not None
    tab_to(browser, lambda at: at.get_attribute("aria-labelledby") == "card")  # a wide table is scrolled by the arrows
    assert not violations(browser)


def test_the_report_card_is_there_and_pictures_are_made_of_it(served, browser):
    log_in(browser, served, "boss")
    browser.get(f"{served}/models/default/claims/versions/2")
    rows = {
        row.find_element(By.TAG_NAME, "th").text.split()[0]: row.text
        for row in browser.find_elements(By.CSS_SELECTOR, "[aria-labelledby=card] tbody tr")
    }
    assert {name: next(word for word in ("better", "worse", "no difference") if word in text) for name, text in rows.items()} == {
        "accuracy": "no difference", "robustness.linf.eps_0.1": "better", "privacy.membership.auc": "worse",
    }  # fmt: skip
    assert "500 samples before, 1,000 now" in rows["robustness.linf.eps_0.1"]
    assert len(browser.find_elements(By.CSS_SELECTOR, "svg.interval")) == 3
    folder = os.environ.get("STANNARY_SCREENSHOTS")
    if folder:
        browser.save_screenshot(str(Path(folder) / "console.png"))
        browser.execute_script("document.getElementById('card').scrollIntoView()")
        browser.save_screenshot(str(Path(folder) / "console-card.png"))


def canvas_of(browser, figure):
    """Return the size of what a chart is drawn on; it is another element after a window has changed its size."""
    return until(browser, lambda _: figure.find_element(By.TAG_NAME, "canvas").size)


@pytest.mark.parametrize("name", SCREENS)
def test_charts_are_drawn_of_their_tables_and_read_by_the_keyboard(served, browser, screen, name):
    _, scheme = screen(name)
    log_in(browser, served, "eve")
    browser.get(f"{served}/models/default/claims/measurements")
    figures = browser.find_elements(By.CSS_SELECTOR, "figure.chart")
    assert [figure.find_element(By.TAG_NAME, "figcaption").text.split()[0] for figure in figures] == [
        "accuracy", "privacy.membership.auc", LINF,
    ]  # fmt: skip
    for figure in figures:
        assert canvas_of(browser, figure)["height"] > 150
        assert len(figure.find_elements(By.CSS_SELECTOR, "tbody tr")) == 2
    # Something is drawn, in the ink of the scheme.
    ink = browser.execute_script(
        "const c = document.querySelector('figure.chart canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let light = 0, all = 0; for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) { all++; light += d[i] > 220; }"
        "return [light, all]"
    )
    assert ink[1] > 500
    assert (ink[0] > 0) == (scheme == "dark"), ink
    plot = tab_to(browser, lambda at: "plot" in (at.get_attribute("class") or ""))
    said = plot.find_element(By.XPATH, "following-sibling::output")
    for key, text in (
        (Keys.ARROW_RIGHT, "version :1: 0.93, from 0.91 to 0.95"),
        (Keys.ARROW_RIGHT, "version :2: 0.94"),
        (Keys.HOME, "version :1"),
    ):
        ActionChains(browser).send_keys(key).perform()
        assert said.text.startswith(text)
    assert not violations(browser)
    browser.get(f"{served}/models/default/claims/versions/2")
    (curve,) = browser.find_elements(By.CSS_SELECTOR, "figure.chart")
    assert [row.text.split()[:2] for row in curve.find_elements(By.CSS_SELECTOR, "tbody tr")] == [["0", "0.94"], ["0.1", "0.74"]]
    assert canvas_of(browser, curve)["width"] > 200
    assert not violations(browser)
    assert not refused(browser)


def ink_of(browser, number):
    """Return how many points of the chart of a page are of which colour, those that are there often."""
    found = browser.execute_script(
        "const c = document.querySelectorAll('figure.chart')[arguments[0]].querySelector('canvas'), n = {};"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255) {"
        "  const k = `${d[i]},${d[i + 1]},${d[i + 2]}`; n[k] = (n[k] || 0) + 1; }"
        "return n",
        number,
    )
    return {colour: count for colour, count in found.items() if count > 50}


def swatches(browser, number):
    """Return the colours of the legend of a chart, in the order of the columns."""
    return browser.execute_script(
        "return [...document.querySelectorAll('figure.chart')[arguments[0]].querySelectorAll('.swatch')]"
        ".map(e => getComputedStyle(e).backgroundColor.match(/[0-9]+/g).join(','))",
        number,
    )


@pytest.mark.parametrize("name", SCREENS)
def test_the_ledger_and_the_jobs_are_charts_of_days_over_tables_that_lead_on(served, browser, screen, name):
    width, _ = screen(name)
    log_in(browser, served, "boss")
    browser.get(f"{served}/ledger")
    (figure,) = browser.find_elements(By.CSS_SELECTOR, "figure.chart")
    assert canvas_of(browser, figure)["height"] > 150
    drawn, legend = ink_of(browser, 0), swatches(browser, 0)
    assert len(set(legend)) == len(legend) > 4
    assert len(set(legend) & set(drawn)) > 3, (legend, drawn)  # a kind with one entry may be a line too thin
    plot = tab_to(browser, lambda at: "plot" in (at.get_attribute("class") or ""))
    ActionChains(browser).send_keys(Keys.END).perform()
    said = plot.find_element(By.XPATH, "following-sibling::output").text
    total = int(said.partition(": ")[2].split()[0])
    assert total == int(browser.find_element(By.CSS_SELECTOR, "main > p").text.split()[0].replace(",", ""))  # all of it is of today
    tab_to(browser, lambda at: at.tag_name == "summary")
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    row = figure.find_element(By.CSS_SELECTOR, "tbody tr")
    assert int(row.find_element(By.CSS_SELECTOR, "td:last-child").text) == total
    assert not violations(browser)
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= width
    column = [cell.text for cell in figure.find_elements(By.CSS_SELECTOR, "thead th")].index("eval-result")
    count = row.find_elements(By.CSS_SELECTOR, "td")[column - 1]
    wanted = int(count.text)
    loaded(browser, count.find_element(By.TAG_NAME, "a").click)
    assert len(browser.find_elements(By.CSS_SELECTOR, "[aria-label=Entries] tbody tr")) == wanted == 2
    assert not browser.find_elements(By.CSS_SELECTOR, "figure.chart")
    browser.get(f"{served}/jobs")
    states, runs = browser.find_elements(By.CSS_SELECTOR, "figure.chart")
    assert canvas_of(browser, states)["height"] > 150
    assert canvas_of(browser, runs)["height"] > 150
    names = [item.text for item in states.find_elements(By.CSS_SELECTOR, ".legend li")]
    shown = dict(zip(names, swatches(browser, 0), strict=True))
    drawn = ink_of(browser, 0)
    assert {state for state, colour in shown.items() if colour in drawn} == {"queued", "done"}
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= width
    assert not violations(browser)
    assert not refused(browser)


def test_the_focus_stays_where_it_is_when_the_list_of_jobs_asks_for_news(served, browser):
    log_in(browser, served, "boss")
    browser.get(f"{served}/jobs")

    def focused(_):
        list_of_jobs = browser.find_element(By.ID, "live")
        link = list_of_jobs.find_element(By.CSS_SELECTOR, "tbody a")
        browser.execute_script("arguments[0].focus()", link)
        return list_of_jobs, link.get_attribute("href"), link.get_attribute("id")

    list_of_jobs, where, name = until(browser, focused)  # the list may ask for news at any moment
    until(browser, expected_conditions.staleness_of(list_of_jobs))
    assert browser.switch_to.active_element.get_attribute("id") == name
    loaded(browser, ActionChains(browser).send_keys(Keys.ENTER).perform)
    assert browser.current_url == where
