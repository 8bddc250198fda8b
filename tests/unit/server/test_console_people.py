"""People, services, tokens and rights in the console: by admins, by forms of ours, and a token's value once."""

import re

from tests.unit.server.console_bench import HERE, PASSWORD

from stannary.access import accounts, grants
from stannary.access.model import Owner
from stannary.server.console.views.people import PAGES

OWNER = Owner(id="workspace")
PEOPLE = {page.id.removeprefix("do.") for page in PAGES if page.method == "POST"}
# What only admins do: to bob, who is another one.
ADMINISTERED = {
    "/people": {"name": "new", "kind": "user"},
    "/people/user:bob/remove": {},
    "/people/user:bob/groups": {"groups": "ml"},
    "/people/user:bob/password": {"password": "seven odd green kettles"},
    "/people/user:bob/grant": {"role": "admin", "on": "*"},
    "/people/ungrant": {"holder": "user:bob", "role": "viewer", "on": "*"},
    "/people/service:ci/tokens": {"days": "1"},
}


def form_of(browser, path="/account"):
    return re.search(r'name="form" value="([0-9a-f]{64})"', browser.get(path).text)[1]


def send(browser, path, **fields):
    return browser.post(path, data={"form": form_of(browser), **fields}, headers=HERE, follow_redirects=False)


def test_people_log_in_see_their_own_and_end_tokens(open_as):
    viewer, admin = open_as("ann", "viewer"), open_as("bob", "admin")
    own = viewer.get("/account.json").json()
    assert {row["account"] for row in own["tokens"]} == {"user:ann"}
    assert [row["role"] for row in own["grants"]] == ["viewer"]
    assert viewer.get("/people").status_code == 403
    everybody = admin.get("/people.json").json()
    assert {row["id"] for row in everybody["accounts"]} == {"user:ann", "user:bob"}
    page = admin.get("/people").text
    assert "<b>ci</b>" not in page
    assert "stn_" not in page
    token = re.search(r'name="form" value="([0-9a-f]{64})"', page)[1]
    fields = {"form": token, "token": viewer.issued, "back": "people"}
    assert admin.post("/account/revoke", data=fields, headers=HERE, follow_redirects=False).headers["location"] == "/people"
    assert viewer.get("/account.json").json()["tokens"][0]["revoked"]


def test_a_session_ends_with_the_logout_and_one_by_token_with_the_token(open_as):
    ann, eve = open_as("ann", "viewer"), open_as("eve", "viewer", token=True)
    old = ann.cookies["stannary"]
    token = re.search(r'name="form" value="([0-9a-f]{64})"', ann.get("/models").text)[1]
    ann.post("/logout", data={"form": token}, headers=HERE)
    ann.cookies.set("stannary", old, domain="127.0.0.1")
    assert ann.get("/models", follow_redirects=False).status_code == 303
    assert eve.get("/models", follow_redirects=False).status_code == 200
    token = re.search(r'name="form" value="([0-9a-f]{64})"', eve.get("/account").text)[1]
    eve.post("/account/revoke", data={"form": token, "token": eve.issued}, headers=HERE, follow_redirects=False)
    assert eve.get("/models", follow_redirects=False).status_code == 303


def test_an_admin_makes_accounts_grants_and_takes_away(open_as):
    admin = open_as("boss", "admin")
    made = send(admin, "/people", name="ci", kind="service", display="<b>nightly</b>")
    assert (made.status_code, made.headers["location"]) == (303, "/people/service:ci/rights")
    assert send(admin, "/people", name="ci", kind="service").status_code == 409
    assert send(admin, "/people/service:ci/grant", role="contributor", on="team/*").status_code == 303
    assert send(admin, "/people/service:ci/grant", role="releaser", on="team/claims").status_code == 403  # duties are apart
    assert send(admin, "/people/service:ci/groups", groups="ml ops").status_code == 303
    page = admin.get("/people/service:ci/rights.json").json()
    assert [(row["role"], row["namespace"], row["model"]) for row in page["grants"]] == [("contributor", "team", "*")]
    assert page["account"]["groups"] == ["ml", "ops"]
    assert "<b>nightly" not in admin.get("/people").text + admin.get("/people/service:ci/rights").text
    assert send(admin, "/people/ungrant", holder="service:ci", role="contributor", on="team/*").status_code == 303
    assert admin.get("/people/service:ci/rights.json").json()["grants"] == []
    assert send(admin, "/people/service:ci/remove").headers["location"] == "/people"
    assert admin.get("/people/service:ci/rights.json").json()["account"]["disabled"]
    assert admin.get("/people/service:nobody/rights").status_code == 404
    assert admin.get("/people/..%2Faccount/rights").status_code in (400, 404)


def test_the_value_of_a_token_is_shown_once_and_is_good_for_what_was_chosen(open_as):
    admin = open_as("boss", "admin")
    send(admin, "/people", name="ci", kind="service")
    send(admin, "/people/service:ci/grant", role="contributor", on="*")
    fields = {"label": "nightly", "days": "3", "action-read": "yes", "action-jobs": "yes", "namespaces": "team"}
    shown = send(admin, "/people/service:ci/tokens", **fields)
    secret = re.search(r"stn_[A-Za-z0-9_-]+", shown.text)[0]
    assert shown.headers["cache-control"] == "no-store"
    for path in ("/people", "/people.json", "/people/service:ci/rights", "/people/service:ci/rights.json"):
        assert secret not in admin.get(path).text
    row = admin.get("/people/service:ci/rights.json").json()["tokens"][0]
    assert row["scope"] == {"actions": ["read", "jobs"], "namespaces": ["team"]}
    admin.cookies.clear()
    me = admin.get("/api/v1/whoami", headers={"authorization": f"Bearer {secret}"}).json()
    assert me == {"principal": "service:ci"}


def test_one_makes_a_token_and_a_password_for_oneself_and_for_no_other_person(open_as):
    admin, ann = open_as("boss", "admin"), open_as("ann", "viewer")
    assert "stn_" in send(ann, "/account/tokens", days="1").text
    assert send(ann, "/account/tokens", days="0").status_code == 400
    assert send(ann, "/account/tokens", days="9999").status_code == 400
    assert send(admin, "/people/user:ann/tokens", days="1").status_code == 403
    assert send(ann, "/account/password", old="wrong", password="seven odd green kettles").status_code == 403
    assert send(ann, "/account/password", old=PASSWORD, password="seven odd green kettles").status_code == 303
    assert ann.get("/models", follow_redirects=False).status_code == 303  # the session ended with the password
    fields = {"name": "ann", "password": "seven odd green kettles"}
    assert ann.post("/login", data=fields, headers=HERE, follow_redirects=False).status_code == 303


def test_nobody_grants_to_themselves_nor_removes_themselves(open_as):
    admin = open_as("boss", "admin")
    assert send(admin, "/people/user:boss/grant", role="releaser", on="*").status_code == 403
    assert send(admin, "/people/user:boss/remove").status_code == 403
    assert send(admin, "/people/user:boss/groups", groups="ml").status_code == 403


def test_who_is_no_admin_changes_nobody_and_a_form_needs_its_token(bench, open_as):
    roles = ("viewer", "contributor", "reviewer", "releaser", "auditor")
    admin, others = open_as("boss", "admin"), [open_as(f"x{role}", role) for role in roles]
    bob = open_as("bob", "viewer")
    access = admin.app_access
    accounts.add(access, OWNER, "ci", "service")
    before = (accounts.accounts(access, OWNER), grants.grants(access, OWNER))
    for browser in [*others, bob]:
        token = form_of(browser)
        for path, fields in ADMINISTERED.items():
            answer = browser.post(path, data={"form": token, **fields}, headers=HERE, follow_redirects=False)
            assert answer.status_code == 403, (path, answer.status_code)
        for path in ("/people", "/people/user:bob/rights"):
            assert browser.get(path).status_code == 403
            assert browser.get(f"{path}.json").status_code == 403
    token = form_of(admin)
    for path, fields in ADMINISTERED.items():
        for form, headers in (("0" * 64, HERE), (form_of(bob), HERE), (token, {}), (token, {"sec-fetch-site": "same-site"})):
            assert admin.post(path, data={"form": form, **fields}, headers=headers).status_code == 403, path
    assert (accounts.accounts(access, OWNER), grants.grants(access, OWNER)) == before


def test_rights_of_groups_are_listed_and_taken_away(open_as):
    admin = open_as("boss", "admin")
    grants.grant(admin.app_access, OWNER, grants.read_grant("group:ml", "viewer", "team/claims"))
    page = admin.get("/people").text
    assert "group:ml" in page
    done = send(admin, "/people/ungrant", holder="group:ml", role="viewer", on="team/claims", back="people")
    assert done.headers["location"] == "/people"
    assert "group:ml" not in admin.get("/people").text
