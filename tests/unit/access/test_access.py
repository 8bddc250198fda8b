"""Who is let in: tokens, passwords, sessions; what is told of it, and what never is."""

import logging
import re
import threading
from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa
from tests.unit.access.conftest import OWNER, PASSWORD

from stannary.access import accounts, grants, login, rows, secret, tokens
from stannary.access.access import CACHED, IDLE
from stannary.access.diary import Diary
from stannary.access.model import Scope
from stannary.access.roles import Place
from stannary.core.errors import PolicyDenied, StannaryError, UsageError
from stannary.store import tables as t

CLAIMS = Place("default", "claims")


def bearer(text):
    return f"Bearer {text}"


def refused(access, *shown):
    with pytest.raises(PolicyDenied) as caught:
        access.authenticate(*shown)
    assert caught.value.code == "ACC001"
    return caught.value


def test_a_token_lets_in_and_says_with_which_rights(desk):
    ann = desk.account("ann", "contributor@team/*")
    issued = tokens.issue(desk.access, OWNER, ann, label="laptop")
    found = desk.access.authenticate(bearer(issued.secret))
    assert (found.id, found.credential) == ("user:ann", f"token:{issued.token.id}")
    desk.access.check(found, "push", Place("team", "claims"))
    with pytest.raises(PolicyDenied, match="no grant for push"):
        desk.access.check(found, "push", CLAIMS)
    assert desk.access.authenticate(f"bearer  {issued.secret} ") == found


def test_only_a_digest_of_a_token_is_stored_and_it_is_told_nowhere(desk, caplog):
    caplog.set_level(logging.DEBUG)
    ann = desk.account("ann", "viewer", password=PASSWORD)
    issued = tokens.issue(desk.access, OWNER, ann)
    desk.access.authenticate(bearer(issued.secret))
    session = login.log_in(desk.access, "ann", PASSWORD)
    tokens.revoke(desk.access, OWNER, issued.token.id)
    desk.wait(seconds=CACHED + 1)
    error = refused(desk.access, bearer(issued.secret))
    shown = [issued.secret, session.secret, PASSWORD]
    with desk.database.reading() as connection:
        stored = [
            str(row)
            for table in t.metadata.tables.values()
            for row in connection.execute(sa.select(table))
            if "access_" in table.name
        ]
    everything = [*stored, str(desk.told), caplog.text, str(error), repr(error), repr(issued), repr(session)]
    for text in everything:
        assert not any(item in text for item in shown)
        assert not any(item[8:30] in text for item in shown)


@pytest.mark.parametrize(
    "shown",
    ["", "Bearer", "Bearer ", "Basic YW5uOnB3", "Bearer stn_short", "Bearer stn_new", "Bearer a.b.c",
     "Bearer \u00e9", f"Bearer {'x' * 30_000}", "stn_", "Bearer ../../etc", "Bearer null", "Bearer {}.{}.{}"],
)  # fmt: skip
def test_what_is_no_credential_lets_nobody_in(local, shown):
    shown = shown.replace("stn_new", f"{secret.new()}x")  # made here: the names of tests are the same in every process
    local.account("ann", "viewer")
    refused(local.access, shown)
    refused(local.access, "", shown)


def test_a_mistyped_token_is_refused_without_asking_a_table(local):
    made = secret.new()
    for index in range(len(made)):
        other = "A" if made[index] != "A" else "B"
        assert not secret.is_token(made[:index] + other + made[index + 1 :])
    local.database.close()
    refused(local.access, bearer(made[:-1] + ("A" if made[-1] != "A" else "B")))


def test_tokens_are_different_and_of_one_form():
    made = {secret.new() for _ in range(500)}
    assert len(made) == 500
    assert all(re.fullmatch(r"stn_[0-9A-Za-z]{49}", item) and secret.is_token(item) for item in made)
    assert repr(next(iter(made))) == "Secret(…)"


def test_a_revoked_token_holds_no_more_at_once_here_and_soon_elsewhere(desk):
    ann = desk.account("ann", "viewer")
    issued = tokens.issue(desk.access, OWNER, ann)
    elsewhere = desk.another()
    for access in (desk.access, elsewhere):
        access.authenticate(bearer(issued.secret))
    tokens.revoke(desk.access, OWNER, issued.token.id)
    refused(desk.access, bearer(issued.secret))
    assert elsewhere.remembered(bearer(issued.secret)).id == ann
    desk.wait(seconds=CACHED + 0.1)
    assert CACHED < 5
    assert elsewhere.remembered(bearer(issued.secret)) is None
    refused(elsewhere, bearer(issued.secret))


def test_a_revocation_while_a_token_is_looked_up_is_not_forgotten(local, monkeypatch):
    ann = local.account("ann", "viewer")
    issued = tokens.issue(local.access, OWNER, ann)
    real = rows.grants_of

    def slow(connection, holders):
        found = real(connection, holders)
        thread = threading.Thread(target=tokens.revoke, args=(local.access, OWNER, issued.token.id))
        thread.start()
        thread.join()
        return found

    monkeypatch.setattr(rows, "grants_of", slow)
    local.access.authenticate(bearer(issued.secret))
    monkeypatch.undo()
    assert local.access.remembered(bearer(issued.secret)) is None
    refused(local.access, bearer(issued.secret))


def test_rights_that_were_taken_away_are_gone_with_the_next_request(desk):
    ann = desk.account("ann", "viewer")
    issued = tokens.issue(desk.access, OWNER, ann)
    desk.access.check(desk.access.authenticate(bearer(issued.secret)), "read", CLAIMS)
    grants.revoke(desk.access, OWNER, grants.read_grant("ann", "viewer"))
    with pytest.raises(PolicyDenied):
        desk.access.check(desk.access.authenticate(bearer(issued.secret)), "read", CLAIMS)


def test_a_token_ends_also_while_it_is_remembered(local):
    ann = local.account("ann", "viewer")
    issued = tokens.issue(local.access, OWNER, ann, lasts=timedelta(minutes=1))
    local.wait(seconds=58)
    local.access.authenticate(bearer(issued.secret))
    local.wait(seconds=2.5)
    assert local.access.remembered(bearer(issued.secret)) is None
    refused(local.access, bearer(issued.secret))
    assert [body["reason"] for body in local.events("refused")] == ["expired"]


def test_a_scope_narrows_what_a_token_is_good_for(local):
    ann = local.account("ann", "contributor")
    issued = tokens.issue(local.access, OWNER, ann, scope=Scope(("read",), ("team",)))
    found = local.access.authenticate(bearer(issued.secret))
    local.access.check(found, "read", Place("team", "claims"))
    for action, place in (("push", Place("team", "claims")), ("read", CLAIMS)):
        with pytest.raises(PolicyDenied, match="the token is not for"):
            local.access.check(found, action, place)


def test_a_token_makes_no_token_that_is_good_for_more_or_longer(local):
    ann = local.account("ann", "contributor")
    small = tokens.issue(local.access, OWNER, ann, scope=Scope(("read",)), lasts=timedelta(days=1))
    me = local.access.authenticate(bearer(small.secret))
    for more in ({}, {"scope": Scope(("read", "push"))}, {"scope": Scope(("read",)), "lasts": timedelta(days=2)}):
        with pytest.raises(PolicyDenied):
            tokens.issue(local.access, me, ann, **more)
    tokens.issue(local.access, me, ann, scope=Scope(("read",), ("team",)), lasts=timedelta(hours=1))


def test_an_admin_makes_tokens_for_services_and_not_in_the_name_of_people(local):
    admin = local.principal(local.account("root", "admin"))
    bob, ci = local.account("bob"), local.account("ci", kind="service")
    assert tokens.issue(local.access, admin, ci).token.account == "service:ci"
    with pytest.raises(PolicyDenied, match="made by themselves"):
        tokens.issue(local.access, admin, bob)


def test_one_sees_and_revokes_ones_own_tokens_alone(local):
    ann, bob = local.account("ann"), local.account("bob")
    hers = tokens.issue(local.access, local.principal(ann), ann)
    mallory = local.principal(bob)
    with pytest.raises(PolicyDenied):
        tokens.revoke(local.access, mallory, hers.token.id)
    with pytest.raises(PolicyDenied):
        tokens.tokens(local.access, mallory, ann)
    with pytest.raises(PolicyDenied):
        tokens.revoke(local.access, mallory, "nothing")
    assert [item.id for item in tokens.tokens(local.access, local.principal(ann), ann)] == [hers.token.id]
    assert tokens.revoke(local.access, local.principal(ann), hers.token.id).revoked


def test_a_password_begins_a_session_with_a_new_cookie(desk):
    desk.account("ann", "viewer", password=PASSWORD)
    planted = secret.new()
    first = login.log_in(desk.access, "ann", PASSWORD, previous=planted)
    assert first.secret != planted
    refused(desk.access, "", planted)
    assert desk.access.authenticate("", first.secret).id == "user:ann"
    second = login.log_in(desk.access, "ann", PASSWORD, previous=first.secret)
    refused(desk.access, "", first.secret)
    assert desk.access.authenticate("", second.secret).id == "user:ann"
    refused(desk.access, bearer(second.secret))  # a cookie is no token
    login.end_session(desk.access, second.secret)
    refused(desk.access, "", second.secret)


def test_a_session_ends_by_itself(local):
    local.account("ann", password=PASSWORD)
    idle = login.log_in(local.access, "ann", PASSWORD)
    local.wait(seconds=IDLE.total_seconds() + 1)
    refused(local.access, "", idle.secret)
    used = login.log_in(local.access, "ann", PASSWORD)
    for _ in range(11):
        local.wait(hours=1)
        local.access.authenticate("", used.secret)
    local.wait(hours=1, seconds=1)
    refused(local.access, "", used.secret)


def test_guessing_a_password_has_to_wait_and_is_told(local):
    local.account("ann", password=PASSWORD)
    for _ in range(5):
        with pytest.raises(PolicyDenied):
            login.log_in(local.access, "ann", "wrong wrong wrong")
    with pytest.raises(PolicyDenied):
        login.log_in(local.access, "ann", PASSWORD)
    assert {body["reason"] for body in local.events("refused")} == {"wrong", "too many failures"}
    local.wait(minutes=16)
    assert login.log_in(local.access, "ann", PASSWORD).account == "user:ann"
    for _ in range(4):  # a success has set the count back
        with pytest.raises(PolicyDenied):
            login.log_in(local.access, "ann", "wrong wrong wrong")
    assert login.log_in(local.access, "ann", PASSWORD)


def test_many_guesses_at_once_are_counted_each(local):
    local.account("ann", password=PASSWORD)
    outcomes = []

    def guess(index):
        try:
            login.log_in(local.access, "ann", PASSWORD if index == 11 else f"guess number {index}")
            outcomes.append("in")
        except PolicyDenied:
            outcomes.append("out")

    for index in range(5):
        guess(index)
    threads = [threading.Thread(target=guess, args=(index,)) for index in range(5, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["out"] * 12


@pytest.mark.parametrize("name", ["nobody", "../ann", "", "ANN", "user:ann\x00", "x" * 3000])
def test_a_name_that_is_not_there_is_answered_as_a_wrong_password_is(local, name):
    local.account("ann", password=PASSWORD)
    with pytest.raises(PolicyDenied) as caught:
        login.log_in(local.access, name, PASSWORD)
    assert caught.value.code == "ACC001"


def test_an_account_without_a_password_has_no_login(local):
    local.account("ann")
    local.account("ci", kind="service")
    for name in ("ann", "service:ci", "ci"):
        with pytest.raises(PolicyDenied):
            login.log_in(local.access, name, "")


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "ann is my name", "x" * 2000])
def test_a_weak_password_is_refused(local, password):
    with pytest.raises(UsageError):
        accounts.add(local.access, OWNER, "ann", password=password)


def test_a_removed_account_has_nothing_left_and_its_name_is_not_given_again(desk):
    ann = desk.account("ann", "releaser", password=PASSWORD)
    issued, session = tokens.issue(desk.access, OWNER, ann), login.log_in(desk.access, "ann", PASSWORD)
    accounts.remove(desk.access, OWNER, "ann")
    refused(desk.access, bearer(issued.secret))
    refused(desk.access, "", session.secret)
    with pytest.raises(PolicyDenied):
        login.log_in(desk.access, "ann", PASSWORD)
    assert grants.grants(desk.access, OWNER) == []
    with pytest.raises(UsageError, match="or was"):
        accounts.add(desk.access, OWNER, "ann")


def test_changing_a_password_ends_sessions(local):
    ann = local.account("ann", password=PASSWORD)
    session = login.log_in(local.access, "ann", PASSWORD)
    me = local.access.authenticate("", session.secret)
    with pytest.raises(PolicyDenied, match="another one"):
        accounts.change_password(local.access, me, "not this one at all", "eleven tin whistles")
    accounts.change_password(local.access, me, PASSWORD, "eleven tin whistles")
    refused(local.access, "", session.secret)
    token = tokens.issue(local.access, OWNER, ann)
    with pytest.raises(PolicyDenied, match="whoever logged in"):
        accounts.change_password(local.access, local.access.authenticate(bearer(token.secret)), "eleven tin whistles", PASSWORD)


def test_only_admins_administer(local):
    me = local.principal(local.account("ann", "contributor", "auditor"))
    other = local.account("bob")
    attempts = [
        lambda: accounts.add(local.access, me, "eve"),
        lambda: accounts.remove(local.access, me, "bob"),
        lambda: accounts.accounts(local.access, me),
        lambda: accounts.set_password(local.access, me, "bob", PASSWORD),
        lambda: accounts.set_groups(local.access, me, "bob", ["ops"]),
        lambda: grants.grant(local.access, me, grants.read_grant("bob", "viewer")),
        lambda: grants.revoke(local.access, me, grants.read_grant("bob", "viewer")),
        lambda: tokens.issue(local.access, me, other),
    ]
    for attempt in attempts:
        with pytest.raises(PolicyDenied):
            attempt()
    assert grants.grants(local.access, me)  # an auditor sees who may what


def test_nobody_gives_themselves_rights(local):
    me = local.principal(local.account("root", "admin"))
    local.access.check(me, "administer")
    grants.grant(local.access, OWNER, grants.read_grant("group:ops", "releaser"))
    for attempt in (
        lambda: grants.grant(local.access, me, grants.read_grant("root", "releaser")),
        lambda: accounts.set_groups(local.access, me, "root", ["ops"]),
        lambda: grants.revoke(local.access, me, grants.read_grant("root", "admin")),
        lambda: accounts.remove(local.access, me, "root"),
    ):
        with pytest.raises(PolicyDenied) as caught:
            attempt()
        assert caught.value.code == "ACC003"


def test_a_group_does_not_bring_together_what_is_apart(local):
    local.account("ann", "contributor@team/*")
    grants.grant(local.access, OWNER, grants.read_grant("group:ops", "releaser"))
    with pytest.raises(PolicyDenied) as caught:
        accounts.set_groups(local.access, OWNER, "ann", ["ops"])
    assert caught.value.code == "ACC004"
    accounts.set_groups(local.access, OWNER, "ann", ["late"])
    grants.grant(local.access, OWNER, grants.read_grant("group:late", "releaser"))  # granted after they joined
    assert not local.access.decide(local.principal("user:ann"), "promote", Place("team", "claims")).allowed
    assert local.access.decide(local.principal("user:ann"), "promote", CLAIMS).allowed


def test_what_has_to_be_told_is_told_and_reading_is_not(desk):
    me = desk.principal(desk.account("rae", "releaser@default/*"))
    desk.access.check(me, "read", CLAIMS)
    assert desk.events("used") == []
    desk.access.check(me, "promote", CLAIMS, "production")
    assert [(b["actor"], b["action"], b["on"]) for b in desk.events("used")] == [
        ("user:rae", "promote", "default/claims@production")
    ]
    for _ in range(3):
        with pytest.raises(PolicyDenied):
            desk.access.check(me, "push", CLAIMS)
    assert [(b["actor"], b["action"]) for b in desk.events("denied")] == [("user:rae", "push")]
    assert [(b["change"], b["holder"], b["role"]) for b in desk.events("grant")] == [("granted", "user:rae", "releaser")]
    assert [b["account"] for b in desk.events("account")] == ["user:rae"]


def test_a_change_that_cannot_be_told_does_not_happen(desk):
    def broken(kind, body):
        msg = "the ledger is full"
        raise StannaryError(msg)

    desk.account("ann")
    desk.access.diary = Diary(broken)
    for attempt in (
        lambda: grants.grant(desk.access, OWNER, grants.read_grant("ann", "admin")),
        lambda: accounts.add(desk.access, OWNER, "eve"),
        lambda: tokens.issue(desk.access, OWNER, "user:ann"),
    ):
        with pytest.raises(StannaryError, match="full"):
            attempt()
    assert grants.grants(desk.access, OWNER) == []
    assert [item.id for item in accounts.accounts(desk.access, OWNER)] == ["user:ann"]
    assert tokens.tokens(desk.access, OWNER, "user:ann") == []


def test_denials_without_end_are_counted_and_not_written_without_end():
    told, now = [], [0.0]
    diary = Diary(lambda _, body: told.append(body), lambda: now[0])
    for index in range(1000):
        diary.deny("user:eve", action="read", on=f"default/m{index}")
    assert len(told) == 60
    now[0] = 61.0
    diary.deny("user:eve", action="read", on="default/last")
    assert told[-1]["repeated"] == 940
    diary.deny("user:eve", action="read", on="default/last")
    diary.close()
    assert told[-1] == {"schema": "stannary.access-event/1", "event": "denied", "actor": "user:eve", "repeated": 1}


def test_when_a_token_was_used_is_known_to_ten_minutes(local):
    ann = local.account("ann")
    issued = tokens.issue(local.access, OWNER, ann)
    used = []
    for _ in range(2):
        local.access.authenticate(bearer(issued.secret))
        used.append(tokens.tokens(local.access, OWNER, ann)[0].used)
        local.wait(minutes=11)
    assert used[0] < used[1]
    assert msgspec.structs.replace(issued.token, used=used[1]) in tokens.tokens(local.access, OWNER, ann)
