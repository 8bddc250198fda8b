"""Jobs in the console: asked for, seen as they go, cancelled, by whom has the right and by a form of ours."""

import pytest
from tests.unit.server.console_bench import HERE, Browser, SimulatedSessions

from stannary.app.jobs import open_table
from stannary.server.app import build
from stannary.server.console.routes import pages


@pytest.fixture
def browser_of(site):
    app = build(site, pages(site, SimulatedSessions()))
    opened = []

    def make(role):
        made = Browser(app, base_url="http://127.0.0.1", cookies={"stannary": role}, raise_server_exceptions=False)
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


def asked(browser, target, **more):
    answer = browser.submit("/jobs", kind="scan", target=target, **more)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_a_job_is_asked_for_watched_and_cancelled(bench, browser_of):
    bench.push(b"first")
    browser, table = browser_of("contributor"), open_table(bench.opened[0])
    where = asked(browser, "registry:claims:1")
    assert asked(browser, "registry:claims:1") == where
    key = f"sha256:{where.rpartition('/')[2]}"
    assert browser.get("/jobs.json").json()["jobs"][0]["about"] == "claims:1"
    assert 'hx-trigger="every 3s"' in browser.get("/jobs").text
    table.claim("worker", 1, 60)
    table.beat("worker", 60, {key: {"items": 1, "items_total": 4, "bytes": 25, "bytes_total": 100, "current": "weights<1>.bin"}})
    page = browser.get(where).text
    assert 'hx-trigger="every 2s"' in page
    assert 'value="25"' in page
    assert "1 of 4 files" in page
    assert "weights<1>" not in page
    shown = browser.get(f"{where}.json").json()
    assert (shown["row"]["percent"], shown["cancel"]) == (25, True)
    assert [line["what"] for line in shown["log"]] == ["asked for by user:contributor", "taken up by a worker"]
    token = page.partition('name="form" value="')[2][:64]
    for form, headers in (("0" * 64, HERE), (token, {})):
        assert browser.post(f"{where}/cancel", data={"form": form}, headers=headers).status_code == 403
    assert table.get(key).state == "running"
    done = browser.post(f"{where}/cancel", data={"form": token}, headers=HERE, follow_redirects=False)
    assert done.headers["location"] == where
    page = browser.get(where).text
    assert "hx-trigger" not in page
    assert "cancelled" in page
    assert browser.post(f"{where}/cancel", data={"form": token}, headers=HERE).status_code == 409


def test_a_failure_is_told_where_it_happened(bench, browser_of):
    bench.push(b"first")
    browser, table = browser_of("contributor"), open_table(bench.opened[0])
    where = asked(browser, "registry:claims:1")
    key = f"sha256:{where.rpartition('/')[2]}"
    table.claim("worker", 1, 60)
    table.failed("worker", key, "the content <is> gone")
    log = browser.get(f"{where}.json").json()["log"]
    assert [line["what"] for line in log[-2:]] == ["the content <is> gone", "failed"]
    assert "<is>" not in browser.get(where).text


def test_who_has_not_the_right_neither_asks_nor_cancels_nor_sees(bench, browser_of):
    bench.push(b"first")
    contributor, viewer, nobody = browser_of("contributor"), browser_of("viewer"), browser_of("nobody")
    where = asked(contributor, "registry:claims:1")
    assert viewer.submit("/jobs", kind="scan", target="registry:claims:1").status_code == 403
    assert viewer.submit("/jobs", kind="scan", target="https://example.com/m.pkl").status_code == 403
    assert viewer.get(where).status_code == 200
    assert "Cancel it" not in viewer.get(where).text
    token = viewer.get("/jobs").text.partition('name="form" value="')[2][:64]
    assert viewer.post(f"{where}/cancel", data={"form": token}, headers=HERE).status_code == 403
    assert nobody.get(where).status_code == 404
    assert nobody.get("/jobs.json").json()["jobs"] == []


def test_what_cannot_be_asked_for_is_said_so(browser_of):
    browser = browser_of("contributor")
    for kind, target in (
        ("scan", "/etc/passwd"),
        ("train", "registry:claims:1"),
        ("scan", "http://169.254.169.254/latest"),
        ("gate", "x"),
    ):
        answer = browser.submit("/jobs", kind=kind, target=target)
        assert answer.status_code in (400, 404, 422), (kind, target, answer.status_code)
    assert browser.get("/jobs?state=nonsense").status_code == 400
    assert browser.get("/jobs?after=nonsense").status_code == 400
    assert browser.get("/jobs/none").status_code == 404


def test_pages_of_jobs_go_on_over_those_that_one_may_not_see(bench, browser_of):
    bench.push(b"own")
    bench.push(b"foreign", "secret/m")
    browser, registry = browser_of("contributor"), bench.opened[0]
    from stannary.app.jobs import Asked, describe

    table = open_table(registry)
    for _ in range(60):
        for target in ("registry:claims:1", "registry:secret/m:1"):
            table.add(describe(registry, Asked("scan", target, again=True)))
    first = browser.get("/jobs.json").json()
    second = browser.get(f"/jobs.json?after={first['next']}").json()
    assert [len(first["jobs"]), len(second["jobs"]), second["next"]] == [50, 10, ""]
    assert {row["about"] for row in first["jobs"] + second["jobs"]} == {"claims:1"}


def test_the_workers_credentials_are_offered_to_whom_may_use_them_and_their_use_is_logged(bench, open_as):
    ledger = bench.opened[0].chain.ledger
    carl, fay, nora = open_as("carl", "contributor"), open_as("fay", "fetcher"), open_as("nora", "fetcher", place="team/*")
    for browser, may in ((carl, False), (fay, True), (nora, False)):
        assert browser.get("/jobs.json").json()["fetch"] is may
        assert ('name="credentials"' in browser.get("/jobs").text) is may
    bucket = {"kind": "scan", "target": "s3://private-bucket/model"}
    for browser in (carl, nora):  # who sends the field all the same
        assert browser.submit("/jobs", **bucket, credentials="yes").status_code == 403
    assert fay.submit("/jobs", kind="scan", target="https://models.example/w.bin", credentials="yes").status_code == 400
    size = ledger.head().size
    plain, own = fay.submit("/jobs", **bucket), fay.submit("/jobs", **bucket, credentials="yes")
    assert plain.headers["location"] != own.headers["location"]
    used = [row.body for row in ledger.entries(size) if row.kind == "used"]
    assert [(row["actor"], row["action"]) for row in used] == [("user:fay", "fetch")]
    table = open_table(bench.opened[0])
    found = {
        table.get(f"sha256:{answer.headers['location'].rpartition('/')[2]}").params.get("credentials") for answer in (plain, own)
    }
    assert found == {None, True}
    assert "the worker&#39;s own" in fay.get(own.headers["location"]).text
    assert "the worker&#39;s own</span>" not in fay.get(plain.headers["location"]).text


def test_a_bill_of_materials_is_asked_for_in_either_format(bench, browser_of):
    bench.push(b"first")
    browser, table = browser_of("contributor"), open_table(bench.opened[0])
    where = browser.submit("/jobs", kind="bom", target="registry:claims:1", format="spdx").headers["location"]
    assert table.get(f"sha256:{where.rpartition('/')[2]}").params["format"] == "spdx"
    assert browser.submit("/jobs", kind="bom", target="registry:claims:1", format="pdf").status_code == 400


def test_what_came_to_nothing_is_asked_for_again_from_its_page(bench, browser_of):
    bench.push(b"first")
    browser, table = browser_of("contributor"), open_table(bench.opened[0])
    where = browser.submit("/jobs", kind="bom", target="registry:claims:1", format="spdx").headers["location"]
    key = f"sha256:{where.rpartition('/')[2]}"
    assert browser.get(f"{where}.json").json()["again"] == {}
    table.claim("worker", 1, 60)
    table.failed("worker", key, "no " + "long" * 200)
    fields = browser.get(f"{where}.json").json()["again"]
    assert fields == {"kind": "bom", "target": "registry:claims:1", "again": "", "format": "spdx"}
    assert browser_of("viewer").get(f"{where}.json").json()["again"] == {}
    assert browser.submit("/jobs", **fields).headers["location"] == where
    assert table.get(key).state == "queued"
    for _ in range(3):
        table.claim("worker", 1, 60)
        table.crashed("worker", key, "it was killed", 3)
    assert table.get(key).state == "poisoned"
    other = browser.submit("/jobs", **browser.get(f"{where}.json").json()["again"]).headers["location"]
    assert other != where
    assert table.get(key).state == "poisoned"
