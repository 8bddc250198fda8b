"""Decisions about access: denied unless granted, duties apart, scopes that only narrow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.access.model import Grant, Scope
from stannary.access.roles import ACTIONS, PRIVILEGED, ROLES, WHOLE, Place, check_grant, check_scope, decide_access, places_of
from stannary.core.errors import PolicyDenied, UsageError

PARTS = st.sampled_from(["default", "team", "other"])
MODELS = st.sampled_from(["claims", "fraud"])
PLACES = st.one_of(st.just(WHOLE), st.builds(Place, PARTS, st.one_of(MODELS, st.just("*"))))
GRANTS = st.builds(
    lambda role, place: Grant("user:ann", role, *place),
    st.sampled_from([*ROLES, "root"]),
    st.one_of(st.just(("*", "*")), st.tuples(PARTS, st.one_of(MODELS, st.just("*")))),
)
SCOPES = st.builds(
    Scope,
    st.lists(st.sampled_from(["*", *ACTIONS]), min_size=1, max_size=4).map(tuple),
    st.lists(st.one_of(st.just("*"), PARTS), min_size=1, max_size=3).map(tuple),
)
ANY_ACTION = st.sampled_from([*ACTIONS, "own", "*", ""])


def may(action, place, grants, scope=None):
    return decide_access(action, place, grants, scope).allowed


@given(ANY_ACTION, PLACES)
def test_without_a_grant_nothing_is_allowed(action, place):
    assert not may(action, place, [])


@given(ANY_ACTION, PLACES, st.lists(GRANTS, max_size=5), SCOPES)
def test_a_scope_only_narrows(action, place, grants, scope):
    assert may(action, place, grants) >= may(action, place, grants, scope)


@given(ANY_ACTION, PLACES, st.lists(GRANTS, max_size=5), SCOPES, SCOPES)
def test_what_a_scope_covers_is_not_good_for_more(action, place, grants, one, other):
    if one.covers(other):
        assert may(action, place, grants, one) >= may(action, place, grants, other)


@given(ANY_ACTION, PLACES, st.lists(GRANTS, max_size=5), st.randoms())
def test_neither_order_nor_repetition_of_grants_matters(action, place, grants, random):
    shuffled = [*grants, *grants]
    random.shuffle(shuffled)
    assert may(action, place, grants) == may(action, place, shuffled)


@given(PLACES, st.lists(GRANTS, max_size=6))
def test_whoever_pushes_neither_puts_into_service_nor_approves(place, grants):
    if may("push", place, grants):
        assert not any(may(action, place, grants) for action in ("promote", "rollback", "approve"))


@given(ANY_ACTION, PLACES, st.lists(GRANTS, max_size=6))
def test_what_is_allowed_stands_in_a_role_that_covers_the_place(action, place, grants):
    if may(action, place, grants):
        covering = [g for g in grants if g.namespace in ("*", place.namespace) and g.model in ("*", place.model)]
        assert any(action in ROLES.get(g.role, ()) for g in covering)


@given(ANY_ACTION, st.lists(GRANTS.filter(lambda g: g.namespace != "*"), max_size=6))
def test_what_concerns_the_whole_registry_takes_a_grant_for_all_of_it(action, grants):
    assert not may(action, WHOLE, grants)


@given(ANY_ACTION, PLACES, st.lists(GRANTS, max_size=6), st.lists(GRANTS.filter(lambda g: g.role != "contributor"), max_size=3))
def test_more_grants_take_nothing_away_but_where_duties_are_apart(action, place, grants, more):
    assert may(action, place, [*grants, *more]) >= may(action, place, grants)


@given(st.sampled_from(["read", "jobs", "audit", "administer"]), PARTS, MODELS, st.lists(GRANTS, max_size=5), SCOPES)
def test_the_places_of_an_action_are_where_it_is_allowed(action, namespace, model, grants, scope):
    places = places_of(action, grants, scope)
    within = any(place.namespace in ("*", namespace) and place.model in ("*", model) for place in places)
    assert within == may(action, Place(namespace, model), grants, scope)


def test_a_grant_for_a_model_is_not_one_for_every_model():
    assert may("promote", Place("team", "claims"), [Grant("user:ann", "releaser", "team", "claims")])
    assert not may("promote", Place("team", "*"), [Grant("user:ann", "releaser", "team", "claims")])
    assert not may("promote", Place("team", "fraud"), [Grant("user:ann", "releaser", "team", "claims")])


def test_an_admin_administers_and_neither_pushes_promotes_nor_approves():
    grants = [Grant("user:ann", "admin")]
    assert may("administer", WHOLE, grants)
    assert not any(may(action, Place("team", "claims"), grants) for action in ("push", "promote", "rollback", "approve", "audit"))


def test_every_action_is_in_a_role_and_every_role_can_read():
    assert set().union(*ROLES.values()) == set(ACTIONS)
    assert all("read" in has for has in ROLES.values())
    assert set(ACTIONS) > PRIVILEGED
    assert not {"read", "push", "audit", "jobs"} & PRIVILEGED


@pytest.mark.parametrize(
    "grant, code",
    [
        (Grant("user:bob", "root"), "ACC011"),
        (Grant("user:bob", "viewer", "Team", "*"), "ACC011"),
        (Grant("user:bob", "viewer", "te*m", "*"), "ACC011"),
        (Grant("user:bob", "viewer", "team", "../x"), "ACC011"),
        (Grant("user:bob", "viewer", "*", "claims"), "ACC011"),
    ],
)
def test_a_grant_that_means_nothing_is_refused(grant, code):
    with pytest.raises(UsageError) as caught:
        check_grant(grant, "user:ann", (), [])
    assert caught.value.code == code


@pytest.mark.parametrize("holder", ["user:ann", "group:ops"])
def test_nobody_grants_to_themselves(holder):
    with pytest.raises(PolicyDenied) as caught:
        check_grant(Grant(holder, "viewer"), "user:ann", ("group:ops",), [])
    assert caught.value.code == "ACC003"


@pytest.mark.parametrize("have, want", [("contributor", "releaser"), ("releaser", "contributor"), ("contributor", "reviewer")])
def test_roles_that_are_apart_are_not_granted_where_they_overlap(have, want):
    existing = [Grant("user:bob", have, "team", "*")]
    with pytest.raises(PolicyDenied) as caught:
        check_grant(Grant("user:bob", want), "user:ann", (), existing)
    assert caught.value.code == "ACC004"
    assert caught.value.help == f"stannary access revoke user:bob {have} 'team/*'"  # as it has to be called
    check_grant(Grant("user:bob", want, "other", "*"), "user:ann", (), existing)


@pytest.mark.parametrize("scope", [Scope(("own",)), Scope(()), Scope(("read",), ()), Scope(("read",), ("Team",))])
def test_a_scope_that_means_nothing_is_refused(scope):
    with pytest.raises(UsageError):
        check_scope(scope)
