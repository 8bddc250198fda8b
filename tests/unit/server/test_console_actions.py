"""What one does in the console: only by a form of ours, only with the right for it, and the reasons are shown."""

import msgspec
import pytest
from tests.unit.registry.conftest import APPROVED
from tests.unit.server.conftest import RIGHTS
from tests.unit.server.console_bench import HERE, Browser, SimulatedSessions
from tests.unit.server.test_console_people import PEOPLE

from stannary.registry import promotion
from stannary.registry.names import Name
from stannary.server.app import build
from stannary.server.console.routes import pages
from stannary.server.console.views import PAGES

NAME = Name("default", "claims")
CLAIMS = "/models/default/claims"
ACTIONS = {
    f"{CLAIMS}/versions/1/promote": ("promote", {"alias": "production"}),
    f"{CLAIMS}/versions/1/quarantine": ("quarantine", {"reason": "bad"}),
    f"{CLAIMS}/versions/1/approve": ("approve", {"envelope": "{}"}),
    f"{CLAIMS}/rollback": ("rollback", {"alias": "production"}),
    f"{CLAIMS}/protect": ("protect", {"alias": "production", "policy": "baseline"}),
    f"{CLAIMS}/freeze": ("freeze", {"alias": "production", "reason": "incident"}),
}


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


def test_denied_with_what_would_make_it_pass_then_promoted_then_rolled_back(bench, browser_of):
    promotion.protect(bench.opened[0], NAME, "production", APPROVED)
    first, browser = bench.push(b"first"), browser_of("releaser")
    denied = browser.submit(f"{CLAIMS}/versions/1/promote?alias=production", alias="production")
    assert denied.status_code == 409
    assert "did not move" in denied.text
    assert "What would make it pass: <code>stannary attest" in denied.text
    bench.say(first)
    assert browser.submit(f"{CLAIMS}/versions/1/promote?alias=production", alias="production").status_code == 200
    bench.say(bench.push(b"second"))
    assert browser.submit(f"{CLAIMS}/versions/2/promote?alias=production", alias="production").status_code == 200
    back = browser.submit(f"{CLAIMS}/rollback?alias=production", alias="production")
    assert "is at :1" in back.text
    assert [move.number for move in bench.opened[0].moves(NAME)] == [1, 2, 1]


def test_an_alias_is_frozen_and_an_artifact_quarantined_until_that_is_lifted(bench, browser_of):
    bench.push(b"first")
    browser, registry = browser_of("releaser"), bench.opened[0]
    assert browser.submit(f"{CLAIMS}/freeze?alias=production", alias="production", reason="incident 7").status_code == 303
    assert registry.protection(NAME, "production").frozen == "incident 7"
    assert browser.submit(f"{CLAIMS}/versions/1/promote?alias=production", alias="production").status_code == 403
    assert browser.submit(f"{CLAIMS}/freeze?alias=production", alias="production", lift="yes").status_code == 303
    assert not registry.protection(NAME, "production").frozen
    assert browser.submit(f"{CLAIMS}/versions/1/quarantine", reason=" ").status_code == 400
    done = browser.submit(f"{CLAIMS}/versions/1/quarantine", reason="a payload")
    assert done.headers["location"] == f"{CLAIMS}/versions/1"
    assert registry.versions(NAME)[0].quarantined == "a payload"
    browser.submit(f"{CLAIMS}/versions/1/quarantine", lift="yes")
    assert not registry.versions(NAME)[0].quarantined


def test_a_form_without_its_token_or_from_elsewhere_changes_nothing(bench, browser_of):
    bench.push(b"first")
    browser, size = browser_of("releaser"), bench.opened[0].chain.ledger.head().size
    foreign = browser_of("reviewer").get(f"{CLAIMS}/versions/1/approve").text.partition('name="form" value="')[2][:64]
    own = browser.get(f"{CLAIMS}/versions/1/promote").text.partition('name="form" value="')[2][:64]
    for path, (_, fields) in ACTIONS.items():
        for token, headers in (("", HERE), ("0" * 64, HERE), (foreign, HERE), (own, {}), (own, {"sec-fetch-site": "cross-site"})):
            answer = browser.post(path, data={"form": token, **fields}, headers=headers)
            assert answer.status_code == 403, (path, token)
            assert "API006" in answer.text
    assert bench.opened[0].chain.ledger.head().size == size


@pytest.mark.parametrize("role", sorted(RIGHTS))
def test_who_has_not_the_right_neither_sees_nor_does(bench, browser_of, role):
    bench.push(b"first")
    browser, size = browser_of(role), bench.opened[0].chain.ledger.head().size
    token = browser.get("/models").text.partition('name="form" value="')[2][:64]
    for path, (action, fields) in ACTIONS.items():
        if action in RIGHTS[role]:
            continue
        query = "?alias=production"
        assert browser.get(path + query).status_code == 403, path
        assert browser.get(f"{path}.json{query}").status_code == 403, path
        assert browser.post(path, data={"form": token, **fields}, headers=HERE).status_code == 403, path
    assert bench.opened[0].chain.ledger.head().size == size
    for path in ("/ledger", "/ledger.json"):
        assert browser.get(path).status_code == (200 if "audit" in RIGHTS[role] else 403), path


def test_a_row_stands_here_for_everything_that_is_done():
    done = {page.id for page in PAGES if page.method == "POST"}
    # Jobs are in test_console_jobs.py, a namespace in test_console_shredding.py; real accounts in test_console_people.py.
    assert done == {f"do.{path.rpartition('/')[2]}" for path in ACTIONS} | {"do.jobs", "do.cancel", "do.shred"} | {
        f"do.{name}" for name in PEOPLE
    }


def test_an_approval_is_an_envelope_about_this_version(bench, browser_of):
    first, second = bench.push(b"first"), bench.push(b"second")
    recorded = bench.say(first)
    envelope = msgspec.json.encode(recorded.envelope).decode()
    browser, ledger = browser_of("reviewer"), bench.opened[0].chain.ledger
    size = ledger.head().size
    assert browser.submit(f"{CLAIMS}/versions/2/approve", envelope=envelope).status_code == 422
    assert browser.submit(f"{CLAIMS}/versions/1/approve", envelope="nonsense").status_code == 422
    assert ledger.head().size == size
    assert browser.submit(f"{CLAIMS}/versions/1/approve", envelope=envelope).status_code == 303
    assert ledger.head().size == size + 1
    assert second.number == 2


def test_the_inbox_lists_what_waits_and_takes_the_decision_there(bench, browser_of):
    promotion.protect(bench.opened[0], NAME, "production", APPROVED)
    first, hidden = bench.push(b"first", note="<b>new</b>"), bench.push(b"other", "secret/x")
    promotion.protect(bench.opened[0], hidden.name, "production", APPROVED)
    browser = browser_of("reviewer")
    rows = browser.get("/approvals.json").json()["waiting"]
    assert [(row["waiting"]["version"]["number"], row["waiting"]["alias"]) for row in rows] == [(1, "production")]
    assert rows[0]["form"]["statement"]["predicate"] == {"topic": "approval", "author": "reviewer"}
    assert rows[0]["form"]["statement"]["subject"][0]["digest"] == {"dirHash1": first.digest.removeprefix("sha256:")}
    page = browser.get("/approvals").text
    assert "0 of 1 approvals (nobody yet)" in page
    assert "<b>new" not in page
    assert browser_of("releaser").get("/approvals.json").json()["waiting"] == []
    envelope = msgspec.json.encode(bench.say(first, "reject").envelope).decode()
    token = page.partition('name="form" value="')[2][:64]
    fields = {"form": token, "envelope": envelope, "back": "approvals"}
    done = browser.post(f"{CLAIMS}/versions/1/approve", data=fields, headers=HERE, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/approvals")
    assert "Nothing waits for you" in browser.get("/approvals").text


def test_another_policy_is_tried_and_nothing_is_recorded(bench, browser_of):
    bench.push(b"first")
    browser, size = browser_of("viewer"), bench.opened[0].chain.ledger.head().size
    found = browser.get(f"{CLAIMS}/versions/1/gate.json?policy=high-risk").json()
    assert (found["verdict"], found["policy_name"]) == ("deny", "high-risk")
    assert "What would make it pass" in browser.get(f"{CLAIMS}/versions/1/gate").text
    assert browser.get(f"{CLAIMS}/versions/1/gate?policy=/etc/passwd").status_code in (400, 422)
    assert bench.opened[0].chain.ledger.head().size == size


def test_the_ledger_is_searched_and_paged_and_each_entry_proven(bench, browser_of):
    version = bench.push(b"first")
    for _ in range(60):
        bench.say(version)
    browser, ledger = browser_of("auditor"), bench.opened[0].chain.ledger
    first = browser.get("/ledger.json").json()
    assert [row["index"] for row in first["entries"]] == list(range(ledger.head().size - 1, ledger.head().size - 51, -1))
    second = browser.get(f"/ledger.json?before={first['before']}").json()
    assert second["entries"][0]["index"] == first["entries"][-1]["index"] - 1
    said = browser.get(f"/ledger.json?subject={version.digest}&kind=statement").json()
    assert len(said["entries"]) == 50
    assert len(browser.get(f"/ledger.json?kind=statement&before={said['before']}").json()["entries"]) == 10
    one = browser.get(f"/ledger.json?id={first['entries'][0]['id']}").json()
    assert len(one["entries"]) == 1
    proof = browser.get(f"/ledger/{version.entry}.json").json()
    assert proof["receipt"]["root"] == ledger.head().root.hex()
    assert browser.get("/ledger").status_code == 200
    assert browser.get(f"/ledger/{version.entry}").status_code == 200
    assert browser.get("/ledger/99999").status_code == 404


def test_who_reads_a_model_reads_its_own_entries_and_no_others(bench, browser_of):
    own, foreign = bench.push(b"first"), bench.push(b"other", "secret/x")
    statement = bench.say(own)
    browser = browser_of("viewer")
    assert browser.get(f"/ledger/{own.entry}").status_code == 200
    for index in (foreign.entry, statement.receipt.index, 99999):
        assert browser.get(f"/ledger/{index}").status_code == 403


def test_another_policy_is_said_and_the_effective_one_shown(bench, browser_of):
    bench.push(b"first")
    admin, viewer = browser_of("admin"), browser_of("viewer")
    before = viewer.get("/policies.json?model=claims").json()["effective"]
    assert (before["policy_name"], before["entry"], before["protect"]) == ("production", None, False)
    assert {"statement:approval", "model-scan"} <= {rule["name"] for rule in before["rules"]}
    assert admin.submit(f"{CLAIMS}/protect?alias=production", alias="production", policy="require: [").status_code in (400, 422)
    own = "name: own<b>\nrequire: []\n"
    assert admin.submit(f"{CLAIMS}/protect?alias=production", alias="production", policy=own).status_code in (400, 422)
    own = "name: own\nextends: baseline\nrequire:\n  - {kind: statement, check: approval, approvals: 2, max_age: 9d}\n"
    done = admin.submit(f"{CLAIMS}/protect?alias=production", alias="production", policy=own, separate="yes")
    assert (done.status_code, done.headers["location"]) == (303, f"{CLAIMS}/versions")
    after = viewer.get("/policies.json?model=default/claims&alias=production").json()["effective"]
    assert (after["policy_name"], after["separate"], after["protect"]) == ("own", True, False)
    terms = {rule["name"]: rule["terms"] for rule in after["rules"]}
    assert terms["statement:approval"] == ["check approval", "2 approvals", "not older than 9d"]
    assert "2 approvals" in viewer.get("/policies?model=claims").text
    for path in ("/policies?model=secret/x", "/policies?model=claims&alias=%3Cb%3E", "/policies?model=../x"):
        assert viewer.get(path).status_code in (400, 403), path


def test_what_is_protected_and_frozen_is_listed_for_who_may_read_it(bench, browser_of):
    registry = bench.opened[0]
    for name in ("claims", "secret/x"):
        version = bench.push(b"first", name)
        promotion.protect(registry, version.name, "production", APPROVED, separate=True)
        promotion.freeze(registry, version.name, "production", f"incident of <i>{name}</i>")
    found = browser_of("viewer").get("/protections.json").json()
    assert [(row["name"]["name"], row["policy"], row["separate"]) for row in found["protections"]] == [("claims", "approved", True)]
    assert [row["reason"] for row in found["freezes"]] == ["incident of <i>claims</i>"]
    assert "<i>" not in browser_of("viewer").get("/protections").text
    assert browser_of("nobody").get("/protections.json").json()["protections"] == []
