"""Searching: what one may see and nothing else, paged; the ledger by who, what and when, against reading all of it."""

from datetime import timedelta

import msgspec
import pytest
from tests.unit.registry.conftest import APPROVED
from tests.unit.server.console_bench import Browser, SimulatedSessions

from stannary.core.evidence import Resource
from stannary.crypto import keys
from stannary.evidence import actors
from stannary.evidence.actors import Asked, find_entries
from stannary.evidence.chain import Chain
from stannary.registry import promotion
from stannary.registry.names import Name
from stannary.server.app import build
from stannary.server.console.routes import pages


def trust_only(chain, trust):
    chain.workspace.trust_path.write_bytes(msgspec.json.encode(trust))


def say(bench, version, signer=None):
    chain = bench.opened[0].chain
    predicate = {
        "topic": "approval",
        "statement": "x",
        "author": "x",
        "decision": "approve",
        "finishedOn": bench.clock().isoformat(),
    }
    return chain.state(bench.opened[0].subject(version), "statement", predicate, signer)


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


def numbers(hits):
    return [(row["name"]["name"], row["number"]) for row in hits["versions"]]


def test_models_versions_and_evidence_are_found_by_what_one_knows(bench, client_of):
    first, second = bench.push(b"first", note="Trained for the Spring claims"), bench.push(b"second", "team/fraud")
    said = bench.say(first)
    search = client_of("viewer")

    def found(q, **more):
        answer = search.get("/api/v1/search", params={"q": q, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert [row["name"]["name"] for row in found("laim")["models"]] == ["claims"]
    assert [row["name"]["name"] for row in found("TEAM/")["models"]] == ["fraud"]
    assert numbers(found("spring")) == [("claims", 1)]
    assert numbers(found(second.digest[7:13])) == numbers(found(second.digest)) == [("fraud", 1)]
    assert numbers(found("team/fraud:1")) == [("fraud", 1)]
    assert numbers(found(first.creator)) == [("fraud", 1), ("claims", 1)]
    assert [row["id"] for row in found(str(said.id)[:19])["evidence"]] == [str(said.id)]
    assert [row["id"] for row in found(first.digest[:15])["evidence"]] == [str(said.id)]
    assert [row["id"] for row in found("statement")["evidence"]] == [str(said.id)]
    assert found("")["models"] == found("100%")["models"] == found("no_such")["models"] == []
    assert found("claims:99")["versions"] == []
    one = found("claims", group="versions")
    assert (one["models"], one["evidence"]) == ([], [])
    for bad in ({"group": "files"}, {"group": "versions", "after": "x"}, {"group": "evidence", "after": "-1"}, {"limit": 0}):
        assert search.get("/api/v1/search", params={"q": "claims", **bad}).status_code in (400, 422)
    assert search.get("/api/v1/search", params={"q": "x" * 201}).status_code in (400, 422)


def test_each_group_is_paged_to_its_end_and_no_row_comes_twice(bench, client_of):
    for n in range(7):
        version = bench.push(b"%d" % n, f"m{n}", note="the same note")
        bench.push(b"hidden %d" % n, f"secret/m{n}", note="the same note")
        bench.say(version)
    search = client_of("viewer")

    def walked(q, group):
        rows, after = [], ""
        while True:
            page = search.get("/api/v1/search", params={"q": q, "group": group, "after": after, "limit": 2}).json()
            assert len(page[group]) <= 2
            rows += page[group]
            after = page["next"].get(group, "")
            if not after:
                return rows

    assert [row["name"]["name"] for row in walked("m", "models")] == [f"m{n}" for n in range(7)]
    assert [row["name"] for row in walked("same", "versions")] == [
        {"namespace": "default", "name": f"m{n}"} for n in range(6, -1, -1)
    ]
    evidence = walked("statement", "evidence")
    assert len({row["id"] for row in evidence}) == len(evidence) == 7
    assert search.get("/api/v1/search", params={"q": "m", "limit": 2}).json()["next"]["models"] == "default/m1"


def test_nobody_finds_what_they_may_not_read(bench, client_of, open_as):
    secret = bench.push(b"secret", "secret/plan", note="hush")
    said = bench.say(secret)
    unknown = "sha256:" + "ab" * 32
    resource = {"name": "never registered", "digest": {"sha256": "ab" * 32}}
    predicate = {
        "topic": "approval",
        "statement": "x",
        "author": "x",
        "decision": "approve",
        "finishedOn": bench.clock().isoformat(),
    }
    bench.opened[0].chain.state(Resource(**resource), "statement", predicate)
    browser, owner = open_as("ann", "viewer", place="team/*"), open_as("all", "viewer")
    for q in (
        "secret",
        "plan",
        "hush",
        secret.digest,
        secret.digest[7:15],
        str(said.id),
        "statement",
        "secret/plan:1",
        unknown,
        secret.creator,
    ):
        page = browser.get("/search.json", params={"q": q}).json()["hits"]
        assert (page["models"], page["versions"], page["evidence"], page["next"]) == ([], [], [], {}), q
        found = owner.get("/search.json", params={"q": q}).json()["hits"]
        assert found["models"] or found["versions"] or found["evidence"], q
    assert client_of("nobody").get("/api/v1/search", params={"q": "secret"}).json()["models"] == []
    assert client_of().get("/api/v1/search", params={"q": "secret"}).status_code == 401


def test_the_page_shows_hits_as_links_and_escapes_them(bench, browser_of):
    version = bench.push(b"first", note="<script>alert(1)</script> note")
    said = bench.say(version)
    page = browser_of("viewer").get("/search", params={"q": "note"})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "/models/default/claims/versions/1" in page.text
    assert f"/evidence/{str(said.id)[7:]}/statement" in browser_of("viewer").get("/search", params={"q": version.digest}).text
    assert "Nothing that you may see" in browser_of("viewer").get("/search", params={"q": "zebra"}).text
    assert 'action="/search"' in browser_of("viewer").get("/search").text


def test_a_search_of_the_ledger_is_what_reading_all_of_it_gives(bench, client_of, monkeypatch):
    monkeypatch.setattr(actors, "_EXAMINED", 5)
    registry = bench.opened[0]
    chain = registry.chain
    alice = keys.generate("ed25519")
    trust_only(chain, chain.workspace.trust.with_key("alice@example.com", alice.public))
    ann = registry.seen_by("user:ann", lambda *_: None)
    promotion.protect(registry, Name("default", "claims"), "production", APPROVED)
    for n in range(9):
        version = bench.push(b"%d" % n)
        say(bench, version, alice if n % 2 else None)
        promotion.freeze(ann, version.name, "staging", f"because {n}", lifted=bool(n % 2))
    every = [(row, actors.actor_of(chain, row)) for row in chain.ledger.entries()]
    assert {"alice@example.com", "user:ann"} <= {who for _, who in every}
    middle = every[len(every) // 2][0].time
    for asked in (
        Asked(actor="user:ann"), Asked(actor="ann"), Asked(actor="alice@example.com"),
        Asked(actor="alice@example.com", kind="statement"),
        Asked(actor="ann", kind="statement"), Asked(type="registry"), Asked(kind="freeze", since=middle), Asked(until=middle),
        Asked(actor="ann", since=middle), Asked(actor="nobody"), Asked(kind="statement", subject=version.digest), Asked(),
    ):  # fmt: skip
        wanted = [
            row.index
            for row, who in reversed(every)
            if (not asked.actor or asked.actor in (who, who.partition(":")[2]))
            and all(not getattr(asked, name) or getattr(row, name) == getattr(asked, name) for name in ("type", "kind", "subject"))
            and (asked.since is None or row.time >= asked.since)
            and (asked.until is None or row.time < asked.until)
        ]
        found, before = [], None
        for _ in range(100):
            page = find_entries(chain, asked, 4, before=before)
            found += [row.index for row in page.entries]
            before = page.before
            if not before:
                break
        assert found == wanted, asked
    page = client_of("auditor").get("/api/v1/ledger/search", params={"actor": "ann", "limit": 3}).json()
    assert {row["actor"] for row in page["entries"]} == {"ann", "user:ann"}
    assert client_of("viewer").get("/api/v1/ledger/search").status_code == 403


def test_who_is_not_trusted_any_more_stands_in_nothing_and_a_new_log_is_read_anew(bench):
    chain = bench.opened[0].chain
    alice = keys.generate("ed25519")
    trust = chain.workspace.trust
    trust_only(chain, trust.with_key("alice", alice.public))
    say(bench, bench.push(b"first"), alice)
    assert len(find_entries(chain, Asked(actor="alice"), 9).entries) == 1
    (chain.workspace.root / "actors.db").unlink()
    assert len(find_entries(chain, Asked(actor="alice"), 9).entries) == 1
    trust_only(chain, trust)
    assert find_entries(Chain(chain.workspace), Asked(actor="alice"), 9).entries == []


def test_an_index_takes_in_so_much_at_once_and_says_what_is_left(bench, monkeypatch):
    chain = bench.opened[0].chain
    version = bench.push(b"first")
    for _ in range(10):
        bench.say(version)
    monkeypatch.setattr(actors, "_AT_ONCE", 4)
    size, left = chain.ledger.head().size, []
    while not left or left[-1]:
        left.append(find_entries(chain, Asked(actor="x"), 9).unread)
    assert left == [*range(size - 4, 0, -4), 0]


def test_days_and_times_are_read_and_nonsense_is_refused(bench, browser_of, client_of):
    bench.push(b"first")
    today = bench.clock().date()
    browser = browser_of("auditor")
    size = bench.opened[0].chain.ledger.head().size
    for since, until, count in (
        (today, today, size), (today + timedelta(days=1), "", 0), ("", today - timedelta(days=1), 0), ("", today, size),
    ):  # fmt: skip
        found = browser.get("/ledger.json", params={"since": str(since), "until": str(until)}).json()
        assert len(found["entries"]) == count
    for bad in ("yesterday", "2026-13-01", "9999-12-31T23:59:59-23:59"):
        assert browser.get("/ledger", params={"since": bad}).status_code in (400, 422)
        assert client_of("auditor").get("/api/v1/ledger/search", params={"until": bad}).status_code in (400, 422)
