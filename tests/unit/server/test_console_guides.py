"""What the console says to whoever does not know it: where one is, what one may, what to do next, when something was."""

import re

from tests.unit.registry.conftest import APPROVED
from tests.unit.server.console_bench import OWNER

from stannary.access import grants
from stannary.registry import promotion
from stannary.registry.names import Name
from stannary.server.console.render import render

CLAIMS = "/models/default/claims"


def said(text):
    """Return a page as it is read: without tags, spaces as one."""
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_where_one_is_stands_in_the_navigation(bench, open_as):
    bench.push(b"one")
    boss = open_as("boss", "admin")
    for path, name, how in (
        ("/models", "Models", "page"),
        (f"{CLAIMS}/versions/1", "Models", "true"),
        ("/people", "People", "page"),
        ("/people/user:boss/rights", "People", "true"),
        ("/namespaces/default/shred", "Namespaces", "true"),
    ):
        assert re.findall(r'<a href="[^"]+" aria-current="(\w+)">(\w+)</a>', boss.get(path).text) == [(how, name)], path


def test_who_has_no_rights_is_told_so_and_whom_to_ask(bench, open_as):
    bench.push(b"one")
    eve = open_as("eve", "viewer", place="nowhere/*")
    nora = open_as("nora", "viewer")
    assert "There is nothing here that you may see" in said(eve.get("/models").text)
    assert "Nothing that you may see is like that" in said(nora.get("/models?prefix=x").text)
    assert "You may not ask for any" in said(nora.get("/jobs").text)
    assert 'id="target"' not in nora.get("/jobs").text
    assert 'id="target"' in open_as("carl", "contributor", place="nowhere/*").get("/jobs").text
    for grant in grants.grants(nora.app_access, OWNER, "user:nora"):
        grants.revoke(nora.app_access, OWNER, grant)
    assert "You may not see anything yet" in said(nora.get("/models").text)
    refused = nora.get("/ledger")
    assert refused.status_code == 403
    assert '<a href="/account">Your rights</a>' in refused.text
    assert "<code>stannary access roles</code> shows who may what; an admin grants it" in refused.text


def test_commands_stand_out_of_what_an_error_says_to_do_and_nothing_of_it_is_markup():
    def shown(help_):
        data = {"title": "x", "detail": "y", "where": "", "help": help_, "code": "", "request": "", "errors": (), "status": 404}
        page = render("problem.html", data=data, title="x", frame={"who": "", "token": "", "rights": {}, "twin": "", "path": ""})
        return re.search(r"<dt>Next</dt><dd>(.*?)</dd>", page)[1]

    assert shown("stannary scan TARGET --record") == "<code>stannary scan TARGET --record</code>"
    assert shown("?alias=production") == "<code>?alias=production</code>"
    assert shown("go back and fill it in") == "go back and fill it in"
    assert shown("see `a <b>` or <i>") == "see <code>a &lt;b&gt;</code> or &lt;i&gt;"
    assert shown("turned \u202e `around \u202e`").count("\u202e") == 0


def test_a_frozen_alias_is_said_to_be_before_one_tries(bench, open_as):
    registry, version = bench.opened[0], bench.push(b"one")
    promotion.protect(registry, Name("default", "claims"), "production", APPROVED)
    bench.say(version)
    rel = open_as("rel", "releaser")
    assert "<button>Promote</button>" in rel.get(f"{CLAIMS}/versions/1/promote").text
    promotion.freeze(registry, Name("default", "claims"), "production", "incident <7>")
    for page in ("promote", "gate"):
        text = rel.get(f"{CLAIMS}/versions/1/{page}").text
        assert "is frozen: incident &lt;7&gt;" in text
        assert "<button>Promote</button>" not in text
        assert "Promote to @production" not in text
        assert rel.get(f"{CLAIMS}/versions/1/{page}.json").json()["frozen"] == "incident <7>"


def test_what_would_make_it_pass_is_a_command_about_this_very_version(bench, open_as):
    bench.push(b"one", "team/claims")
    page = said(open_as("ann", "viewer").get("/models/team/claims/versions/1/gate?alias=production").text)
    assert "stannary scan registry:team/claims:1 --record" in page
    assert "stannary bom registry:team/claims:1 --record" in page
    assert "stannary sign TARGET --record" in page  # which takes files


def test_a_version_says_where_it_is_in_service_and_what_was_decided_last(bench, open_as):
    registry, version = bench.opened[0], bench.push(b"one")
    promotion.protect(registry, Name("default", "claims"), "production", APPROVED)
    ann = open_as("ann", "viewer")
    page = said(ann.get(f"{CLAIMS}/versions/1").text)
    assert "In service by no alias Decision none yet" in page
    assert not promotion.promote(registry, version.name, 1, "production").moved
    assert "In service by no alias Decision deny by policy approved" in said(ann.get(f"{CLAIMS}/versions/1").text)
    bench.say(version)
    assert promotion.promote(registry, version.name, 1, "production").moved
    assert "In service @production Decision allow by policy approved" in said(ann.get(f"{CLAIMS}/versions/1").text)
    assert ann.get(f"{CLAIMS}/versions/1.json").json()["decision"]["verdict"] == "allow"


def test_the_ledger_says_who_and_times_are_whole_for_who_wants_them(bench, open_as):
    version = bench.push(b"one")
    bench.say(version)
    auditor = open_as("aud", "auditor")
    rows = auditor.get("/ledger.json").json()["entries"]
    assert {row["kind"]: row["who"] for row in rows if row["kind"] in ("version", "statement", "login")} == {
        "version": "ann", "statement": "workspace", "login": "user:aud",
    }  # fmt: skip
    text = auditor.get("/ledger").text
    assert '<a href="/ledger?actor=user%3Aaud">user:aud</a>' in text
    whole = next(row["time"] for row in rows if row["kind"] == "version").replace("+", "&#43;")
    assert re.search(r'<time datetime="(\S+)" title="\1">\d{4}-\d\d-\d\d \d\d:\d\d</time>', text)
    assert whole.replace("&#43;", "+") in text
    assert "Times are UTC" in text


def test_before_one_rolls_back_or_quarantines_one_sees_what_that_is_about(bench, open_as):
    registry = bench.opened[0]
    promotion.protect(registry, Name("default", "claims"), "production", APPROVED)
    rel = open_as("rel", "releaser")
    first = bench.push(b"one")
    assert "nothing to go back from" in rel.get(f"{CLAIMS}/rollback?alias=production").text
    for version in (first, bench.push(b"two"), bench.push(b"three")):
        bench.say(version)
        assert promotion.promote(registry, version.name, version.number, "production").moved
    page = rel.get(f"{CLAIMS}/rollback?alias=production")
    assert "Roll back claims@production" in page.text
    assert "is at :3 . It goes back to the last version it was at" in said(page.text)
    assert "it was at :2 , :1 before" in said(page.text)
    assert rel.get(f"{CLAIMS}/rollback.json?alias=production").json()["before"] == [2, 1]
    bench.push(b"three", "team/copy")
    assert "In service as claims@production : whoever asks" in said(rel.get("/models/team/copy/versions/1/quarantine").text)
    assert "in service nowhere that you may see" in rel.get(f"{CLAIMS}/versions/1/quarantine").text
    ron = open_as("ron", "releaser", place="team/*")
    assert ron.get("/models/team/copy/versions/1/quarantine").status_code == 403  # it is everywhere or nowhere
    promotion.freeze(registry, Name("default", "claims"), "production", "incident <7>")
    frozen = rel.get(f"{CLAIMS}/rollback?alias=production").text
    assert "is frozen: incident &lt;7&gt;" in frozen
    assert "<button class" not in frozen.partition("<main")[2]
    assert "Lift the freeze of claims@production" in rel.get(f"{CLAIMS}/freeze?alias=production").text
