"""Shredding a namespace in the console: by admins alone, told what it means, by its name typed, and shown from then on."""

import pytest
from tests.unit.server.console_bench import HERE
from tests.unit.server.test_namespaces import encrypted

from stannary.registry.names import Name, parse
from stannary.registry.retention import hold, quarantine
from stannary.registry.shredding import shred

__all__ = ["encrypted"]  # a fixture
WHERE = "/namespaces/team/shred"


@pytest.fixture
def filled(encrypted):
    """Return a bench with two versions in `team`, and one of the same content in `default`."""
    for content, name in ((b"one", "team/claims"), (b"two", "team/claims"), (b"one", "claims")):
        encrypted.push(content, name)
    return encrypted


def unreadable(bench, reference):
    registry = bench.opened[0]
    return registry.show(parse(reference)).dropped


def test_an_admin_types_the_name_and_what_was_destroyed_is_shown_from_then_on(filled, open_as):
    admin, ann, ledger = open_as("boss", "admin"), open_as("ann", "viewer"), filled.opened[0].chain.ledger
    before = admin.get(f"{WHERE}.json").json()
    assert (before["found"]["versions"], before["key"], before["kept"], before["shredded"]) == (2, "own", [], [])
    page = admin.get(WHERE).text
    for said in ("There is no way back", "2 versions of 1 model here", "Replicas", "old ones too: they hold no keys", "rekey"):
        assert said in page
    size = ledger.head().size
    assert admin.get(WHERE).status_code == 200
    assert ledger.head().size == size  # to look is no use of the privilege
    for reason, confirm, wrong in (
        ("", "", "reason"),
        (" ", "team", "reason"),
        ("x" * 2001, "team", "reason"),
        ("<b>gone", "", "confirm"),
        ("<b>gone", "default", "confirm"),
    ):
        answer = admin.submit(WHERE, reason=reason, confirm=confirm)
        assert (answer.status_code, "Nothing was destroyed" in answer.text) == (400, True)
        field = answer.text.partition('aria-invalid="true"')[0].rpartition("<input")[2]
        assert f'id="{wrong}"' in field
        assert "<b>gone" not in answer.text
    assert not unreadable(filled, "team/claims:1")
    done = admin.submit(WHERE, reason="the customer <left>", confirm="team")
    assert (done.status_code, done.headers["location"]) == (303, WHERE)
    after = admin.get(f"{WHERE}.json").json()
    assert (after["key"], after["key_id"], after["found"]["versions"]) == ("shredded", "", 0)
    told = after["shredded"][0]
    assert (told["actor"], told["reason"], told["versions"], told["key"]) == (
        "user:boss",
        "the customer <left>",
        2,
        before["key_id"],
    )
    assert ledger.read(told["entry"]).kind == "shred"
    assert [row.body["action"] for row in ledger.entries(size) if row.kind == "used"] == ["shred"]
    assert 'name="confirm"' not in admin.get(WHERE).text
    for number in (1, 2):
        shown = ann.get(f"/models/team/claims/versions/{number}.json").json()
        assert (shown["shredded"]["entry"], shown["files"]) == (told["entry"], [])
        assert [step["what"] for step in shown["chain"]][-2:] == ["shredded", "service"]
        text = ann.get(f"/models/team/claims/versions/{number}").text
        assert "the customer &lt;left&gt;" in text
        assert "/promote" not in text
        assert "/gate" not in text
    assert set(ann.get("/models/team/claims/versions.json").json()["shredded"].values()) == {told["entry"]}
    assert ann.get("/models/team/claims/versions").text.count('"badge bad">shredded') == 2
    assert ann.get(f"/ledger/{told['entry']}").status_code == 200
    assert ann.get("/models/default/claims/versions/1.json").json()["shredded"] is None
    assert not unreadable(filled, "claims:1")
    rows = {row["found"]["name"]: (row["key"], row["shred"]) for row in ann.get("/namespaces.json").json()["namespaces"]}
    assert rows == {"default": ("own", False), "team": ("shredded", False)}
    # It begins again, with another key, and that one version is not what was destroyed.
    filled.push(b"three", "team/claims")
    again = admin.get(f"{WHERE}.json").json()
    assert (again["key"], again["found"]["versions"], len(again["shredded"])) == ("own", 1, 1)
    assert again["key_id"] != before["key_id"]
    assert ann.get("/models/team/claims/versions/3.json").json()["shredded"] is None
    assert set(ann.get("/models/team/claims/versions.json").json()["shredded"]) == {"1", "2"}


def test_what_keeps_it_is_said_and_there_is_no_form_for_it(filled, open_as):
    admin, registry = open_as("boss", "admin"), filled.opened[0]
    name = Name("team", "claims")
    hold(registry, name, 1, "case <4711>")
    quarantine(registry, registry.show(parse("team/claims:2")).digest, "a payload")
    kept = admin.get(f"{WHERE}.json").json()["kept"]
    assert [(row["version"]["number"], row["why"]) for row in kept] == [
        (1, "is held: case <4711>"),
        (2, "is quarantined: a payload"),
    ]
    page = admin.get(WHERE).text
    assert "case &lt;4711&gt;" in page
    assert 'name="confirm"' not in page
    form = admin.get("/account").text.partition('name="form" value="')[2][:64]
    refused = admin.post(WHERE, data={"form": form, "reason": "x", "confirm": "team"}, headers=HERE, follow_redirects=False)
    assert (refused.status_code, "REG018" in refused.text) == (400, True)
    assert not unreadable(filled, "team/claims:1")


@pytest.mark.parametrize("role", ["viewer", "contributor", "reviewer", "releaser", "auditor", "fetcher"])
def test_whoever_is_no_admin_neither_sees_the_page_nor_destroys(filled, open_as, role):
    eve = open_as("eve", role)
    size = filled.opened[0].chain.ledger.head().size
    form = eve.get("/account").text.partition('name="form" value="')[2][:64]
    for path in (WHERE, f"{WHERE}.json"):
        assert eve.get(path).status_code == 403
    assert eve.post(WHERE, data={"form": form, "reason": "x", "confirm": "team"}, headers=HERE).status_code == 403
    assert not unreadable(filled, "team/claims:1")
    assert {row.kind for row in filled.opened[0].chain.ledger.entries(size)} <= {"denied", "deny"}
    assert [row["shred"] for row in eve.get("/namespaces.json").json()["namespaces"]] == [False, False]


def test_an_admin_of_one_namespace_shreds_that_and_sees_no_other(filled, open_as):
    ada = open_as("ada", "admin", place="team/*")
    assert [row["found"]["name"] for row in ada.get("/namespaces.json").json()["namespaces"]] == ["team"]
    assert ada.get("/namespaces/default/shred").status_code == 403
    assert ada.get("/namespaces/nobodys/shred").status_code == 403
    for odd in ("/namespaces/..%2Fteam/shred", "/namespaces/Team/shred", "/namespaces/%3Cb%3E/shred"):
        assert ada.get(odd).status_code in (400, 404), odd
    assert ada.submit(WHERE, reason="done", confirm="team").status_code == 303
    assert unreadable(filled, "team/claims:1")


def test_without_a_token_of_the_form_or_from_elsewhere_nothing_is_destroyed(filled, open_as):
    admin, other = open_as("boss", "admin"), open_as("aldo", "admin")
    own, foreign = (browser.get(WHERE).text.partition('name="form" value="')[2][:64] for browser in (admin, other))
    for token, headers in (("", HERE), (foreign, HERE), (own, {}), (own, {"sec-fetch-site": "same-site"})):
        answer = admin.post(WHERE, data={"form": token, "reason": "x", "confirm": "team"}, headers=headers)
        assert (answer.status_code, "API006" in answer.text) == (403, True)
    assert not unreadable(filled, "team/claims:1")


def test_a_registry_without_keys_of_namespaces_says_what_to_do(bench, open_as):
    bench.push(b"one", "team/claims")
    admin = open_as("boss", "admin")
    assert "init --wrapping-key" in admin.get("/namespaces").text
    page = admin.get(WHERE)
    assert (page.status_code, "It cannot be shredded" in page.text, 'name="confirm"' in page.text) == (200, True, False)
    refused = admin.post(
        WHERE,
        data={"form": admin.get("/account").text.partition('name="form" value="')[2][:64], "reason": "x", "confirm": "team"},
        headers=HERE,
    )
    assert (refused.status_code, "REG033" in refused.text) == (400, True)
    absent = admin.get("/namespaces/nobodys/shred")
    assert (absent.status_code, "/namespaces lists what there is" in absent.text) == (404, True)


def test_one_that_broke_off_behind_the_ledger_is_finished_from_here_and_a_lost_key_is_no_shredding(filled, open_as):
    admin, registry = open_as("boss", "admin"), filled.opened[0]
    key = registry.chain.workspace.root / "keys" / "namespaces" / "team.json"
    copy = key.read_bytes()
    shred(registry, "team", "the first time")
    key.write_bytes(copy)  # as if the process had died before the key was destroyed
    page = admin.get(f"{WHERE}.json").json()
    assert (page["unfinished"], page["key"]) == (True, "own")
    assert "goes on where it broke off" in admin.get(WHERE).text
    assert admin.submit(WHERE, reason="again", confirm="team").status_code == 303
    assert not key.exists()
    assert [row["reason"] for row in admin.get(f"{WHERE}.json").json()["shredded"]] == ["the first time"]
    (key.parent / "default.json").unlink()
    assert admin.get("/namespaces/default/shred.json").json()["key"] == "lost"
    assert "find out who removed it" in admin.get("/namespaces/default/shred").text


def test_a_page_that_is_older_than_the_key_destroys_nothing(filled, open_as):
    admin = open_as("boss", "admin")
    old = admin.get(f"{WHERE}.json").json()["key_id"]
    assert f'name="key" value="{old}"' in admin.get(WHERE).text
    assert admin.submit(WHERE, reason="gone", confirm="team", key=old).status_code == 303
    filled.push(b"again", "team/claims")
    late = admin.submit(WHERE, reason="gone", confirm="team", key=old)
    assert (late.status_code, "begun again" in late.text) == (400, True)
    assert not unreadable(filled, "team/claims:3")
