"""How spends add up, which reservations hold, and what a policy makes of it."""

import math
import random
from datetime import UTC, datetime, timedelta

import pytest

from stannary.core.errors import UsageError
from stannary.core.evidence import Check, Evidence, seal
from stannary.core.model import Digest
from stannary.policy.decide import decide
from stannary.policy.model import Measure, Policy, Requirement
from stannary.policy.privacy_budget import DELTA, EPSILON, SampledGaussian, Spent, balance_of, compose
from stannary.policy.rego import module_of
from stannary.testing.statements import EXAMPLES

NOW, DAY = datetime(2026, 11, 25, 12, tzinfo=UTC), timedelta(days=1)
MODEL, DATA, OTHER = Digest("a" * 64), Digest("d" * 64), Digest("e" * 64)


def gaussian(noise=1.1, rate=0.01, steps=3000, epsilon=2.9, delta=1e-5, **more):
    return Spent(
        epsilon=epsilon, delta=delta, gaussian=SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=steps), **more
    )


def said(number, epsilon, *, data=DATA, limit=None, delta=1e-6, by="ci", params=None, kind="privacy-spend", **more):
    predicate = {"mechanism": "dp-sgd", "epsilon": epsilon, "delta": delta, "accountant": "prv", "finishedOn": str(NOW)}
    predicate |= {"limit": {"epsilon": limit}} if limit else {}
    predicate |= {"gaussian": params} if params else {}
    made = Evidence(
        id=Digest(f"{number:064x}"), subject=data, subject_name=more.pop("name", "claims"), kind=kind, predicate_type="t",
        check=Check(id=kind, version="1"), outcome="passed", issued=NOW - DAY, predicate=more.pop("predicate", predicate), **more,
    )  # fmt: skip
    return seal(made, keyid=by, identity=by, index=number)


def trained(number, *data):
    edges = [{"relation": "trained-from", "resource": {"name": name, "digest": digest}} for name, digest in data]
    return said(number, 1, data=MODEL, kind="training-run", predicate={"edges": edges})


def rules(most=8.0, **more):
    return Policy(name="p", require=(Requirement(kind="privacy-spend", measures=(Measure(metric=EPSILON, max=most),), **more),))


def test_nothing_is_nothing() -> None:
    assert compose([]) == (0, 0, "basic composition")


def test_without_parameters_epsilons_are_added() -> None:
    assert compose([Spent(epsilon=1.5, delta=1e-6), Spent(epsilon=2, delta=2e-6)]) == (
        3.5,
        pytest.approx(3e-6),
        "basic composition",
    )


def test_every_sample_in_every_step_is_the_gaussian_mechanism() -> None:
    """Its divergence is order / 2 sigma^2 (Mironov 2017); the best order is found by hand."""
    epsilon, delta, by = compose([gaussian(noise=10, rate=1.0, steps=50, epsilon=99, delta=1e-5)])
    exact = min(
        50 * a / 200 + math.log1p(-1 / a) - (math.log(1e-5) + math.log(a)) / (a - 1) for a in (n / 10 for n in range(11, 2560))
    )
    assert exact <= epsilon <= exact * 1.01
    assert (delta, by) == (1e-5, "Renyi divergences")


def test_many_trainings_cost_less_than_their_sum() -> None:
    single = compose([gaussian()])[0]
    epsilon, delta, by = compose([gaussian()] * 16)
    assert single <= 2.9
    assert single < epsilon < 16 * 2.9 / 2
    assert delta == pytest.approx(16e-5)
    assert by == "Renyi divergences"


def test_the_order_does_not_matter_and_more_costs_more() -> None:
    rng = random.Random(3)
    spends = [gaussian(rng.uniform(0.8, 3), rng.uniform(0.001, 0.2), rng.randrange(1, 5000), 3, 1e-6) for _ in range(6)]
    spends += [Spent(epsilon=0.7, delta=1e-7)]
    whole = compose(spends)
    rng.shuffle(spends)
    assert compose(spends)[0] == pytest.approx(whole[0])
    assert compose(spends[:-1])[0] < whole[0]
    assert whole[0] <= sum(one.epsilon for one in spends)


def test_of_two_reservations_the_first_holds() -> None:
    found = balance_of([said(2, 5, limit=8), said(1, 5, limit=8), said(3, 2, limit=8)])
    assert found.counted == (str(Digest(f"{1:064x}")), str(Digest(f"{3:064x}")))
    assert found.refused == (str(Digest(f"{2:064x}")),)
    assert found.epsilon == 7


def test_what_was_spent_without_asking_counts_in_any_case() -> None:
    found = balance_of([said(1, 5, limit=8), said(2, 5), said(3, 1, limit=8)])
    assert found.epsilon == 10
    assert len(found.refused) == 1


def test_a_statement_that_was_logged_twice_is_one() -> None:
    twice = said(1, 3)
    again = seal(twice.value, keyid="ci", identity="ci", index=9)
    assert balance_of([twice, again]).epsilon == 3


def test_tenths_add_up_to_their_limit() -> None:
    assert balance_of([said(n, 0.1, limit=1.0) for n in range(10)]).refused == ()
    assert len(balance_of([said(n, 0.1, limit=1.0) for n in range(11)]).refused) == 1


def test_a_policy_bounds_the_sum() -> None:
    made = trained(1, ("claims", {"dirHash1": DATA.hex}))
    inside = decide(rules(), MODEL, [made, said(2, 3), said(3, 4.9)], (), NOW)
    assert inside.verdict == "allow", inside.reasons
    beyond = decide(rules(), MODEL, [made, said(2, 3), said(3, 5.1)], (), NOW)
    assert beyond.verdict == "deny"
    assert any("claims: privacy.budget.epsilon = 8.1" in reason.message for reason in beyond.reasons if not reason.ok)


def test_the_bound_is_on_delta_too() -> None:
    policy = Policy(name="p", require=(Requirement(kind="privacy-spend", measures=(Measure(metric=DELTA, max=1e-5),)),))
    items = [trained(1, ("claims", {"sha256": DATA.hex})), said(2, 1, delta=9e-6)]
    assert decide(policy, MODEL, items, (), NOW).verdict == "allow"
    assert decide(policy, MODEL, [*items, said(3, 1, delta=9e-6)], (), NOW).verdict == "deny"


def test_old_spends_and_those_of_other_signers_count() -> None:
    made = trained(1, ("claims", {"dirHash1": DATA.hex}))
    items = [made, said(2, 5, by="ann", expires=NOW - DAY), said(3, 5, by="bob")]
    assert decide(rules(signers=("bob",), max_age="2d"), MODEL, items, (), NOW).verdict == "deny"


def test_data_that_was_learned_without_privacy_fails_it() -> None:
    made = trained(1, ("claims", {"dirHash1": DATA.hex}), ("letters", {"dirHash1": OTHER.hex}))
    found = decide(rules(), MODEL, [made, said(2, 1)], (), NOW)
    assert found.verdict == "deny"
    assert any("letters is trained from" in reason.message for reason in found.reasons)
    nameless = trained(1, ("claims", {"dirHash1": DATA.hex}), ("stream", {"gitCommit": "f" * 40}))
    assert decide(rules(), MODEL, [nameless, said(2, 1)], (), NOW).verdict == "deny"
    assert decide(rules(), MODEL, [made, said(2, 1), said(3, 1, data=OTHER)], (), NOW).verdict == "allow"


def test_without_any_spend_there_is_no_evidence() -> None:
    found = decide(rules(), MODEL, [], (), NOW)
    assert found.verdict == "deny"
    assert "nothing says what was spent" in found.reasons[-1].message


def test_data_further_up_counts_and_is_not_named() -> None:
    found = decide(rules(), MODEL, [said(2, 9, name="secret-project")], (), NOW)
    assert found.verdict == "deny"
    assert "secret-project" not in str(found.reasons)
    assert "a data set further up" in str(found.reasons)


def test_a_data_set_itself_can_be_judged() -> None:
    assert decide(rules(), DATA, [said(2, 3)], (), NOW).verdict == "allow"
    assert decide(rules(2.0), DATA, [said(2, 3)], (), NOW).verdict == "deny"


def test_it_cannot_be_said_in_rego() -> None:
    with pytest.raises(UsageError, match="cannot be said in Rego"):
        module_of(rules())


def test_the_example_is_read() -> None:
    item = said(1, 1, predicate=EXAMPLES["privacy-spend"])
    assert balance_of([item]).epsilon <= 2.9
