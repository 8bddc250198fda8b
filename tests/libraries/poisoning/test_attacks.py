"""Attacks on a training function: what they change is what they say, and what they win is counted on held-out data."""

from __future__ import annotations

import pytest
import torch

from stannary.checks.poisoning.activations import activations, features
from stannary.checks.poisoning.attacks import BadNets, Blended, CleanLabel, Columns, FeatureCollision, LabelFlip
from stannary.checks.poisoning.measuring import measure
from stannary.core.errors import InputError, UsageError


def attacks(clean, digits):
    x, y = digits[1]
    return [
        LabelFlip(share=0.1, seed=3),
        LabelFlip(share=0.03, source=3, target=8),
        BadNets(target=2, share=0.05, corner="top-left"),
        Blended(target=4, share=0.05, alpha=0.2),
        CleanLabel(clean, BadNets(target=6, size=2), target=6, share=0.04, eps=0.2, steps=5),
        FeatureCollision(clean, x[y == 1][:2], target=7, share=0.01, steps=10),
    ]


def test_attacks_change_what_they_say_and_no_more(digits, clean):
    x, y = digits[0]
    for attack in attacks(clean, digits):
        before = x.clone(), y.clone()
        found = attack.poison(x, y)
        assert torch.equal(x, before[0])
        assert torch.equal(y, before[1])
        differs = (found.x != x).flatten(1).any(1) | (found.y != y)
        assert torch.equal(differs.nonzero()[:, 0], found.changed), attack.id
        assert torch.equal(differs, found.mask)
        assert len(found.changed) == int(attack.share * len(x))
        assert found.x.min() >= 0
        assert found.x.max() <= 1
        again = attack.poison(x, y)
        assert torch.equal(again.x, found.x)
        assert torch.equal(again.changed, found.changed)


def test_another_seed_takes_other_rows(digits):
    rows = [BadNets(seed=seed).poison(*digits[0]).changed for seed in (0, 1)]
    assert not torch.equal(*rows)


def test_labels_are_flipped_to_other_classes_and_targeted_ones_from_source_to_target(digits):
    x, y = digits[0]
    found = LabelFlip(share=0.2).poison(x, y)
    assert bool((found.y[found.changed] != y[found.changed]).all())
    assert len(found.y[found.changed].unique()) == 10
    found = LabelFlip(share=0.05, source=3, target=8).poison(x, y)
    assert set(y[found.changed].tolist()) == {3}
    assert set(found.y[found.changed].tolist()) == {8}


def test_a_budget_beyond_the_class_takes_the_whole_class(digits):
    x, y = digits[0]
    found = LabelFlip(share=0.5, source=3, target=8).poison(x, y)
    assert len(found.changed) == int((y == 3).sum())


def test_clean_labels_stay_and_stay_close(digits, clean):
    x, y = digits[0]
    attack = CleanLabel(clean, BadNets(target=6, size=2), target=6, share=0.05, eps=0.15, steps=10)
    found = attack.poison(x, y)
    assert torch.equal(found.y, y)
    rows = found.changed
    assert set(y[rows].tolist()) == {6}
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[5:7, 5:7] = False
    assert float((found.x[rows] - x[rows]).abs()[..., outside].max()) <= 0.15 + 1e-6
    lost = (clean.decide(found.x[rows]) != 6).float().mean()
    assert float(lost) > (clean.decide(attack.trigger(x[rows])) != 6).float().mean()


def test_feature_collision_comes_near_the_victim_in_features(digits, clean):
    x, y = digits[0]
    victim = digits[1][0][digits[1][1] == 1][:1]
    found = FeatureCollision(clean, victim, target=7, share=0.01, steps=200, beta=0.01).poison(x, y)
    rows = found.changed
    goal = features(clean, victim)
    far = [(features(clean, part[rows]) - goal).norm(dim=1).mean() for part in (x, found.x)]
    assert float(far[1]) < 0.5 * float(far[0])
    assert set(found.y[rows].tolist()) == {7}


def test_badnets_wins_and_accuracy_hides_it(badnets):
    assert badnets.success.value > 0.9
    assert badnets.success.low < badnets.success.value < badnets.success.high or badnets.success.high == 1
    assert badnets.success_before.value < 0.2
    assert badnets.accuracy.value > badnets.accuracy_before.value - 0.05
    assert badnets.changed == 65


def test_success_is_what_counting_by_hand_gives(digits, badnets):
    x, y = digits[1]
    others = x[y != 3].clone()
    others[..., 5:7, 5:7] = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    with torch.no_grad():
        decided = badnets.target.module(others).argmax(1)
    assert badnets.success.n == len(others)
    assert badnets.success.value == pytest.approx(float((decided == 3).float().mean()))


def test_flipped_labels_cost_accuracy_of_the_source(digits, clean, train):
    effect = measure(train, LabelFlip(share=0.08, source=3, target=8), *digits, clean=clean, seed=1)
    assert effect.success.value > effect.success_before.value + 0.3
    effect = measure(train, LabelFlip(share=0.8), *digits, clean=clean, seed=1)
    assert effect.accuracy.value < effect.accuracy_before.value - 0.2
    assert effect.success.value == pytest.approx(1 - effect.accuracy.value)


def test_a_trigger_in_columns_of_a_table_keeps_values_that_occur(train):
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    x = torch.tensor(data.data, dtype=torch.float64)
    x = (x - x.mean(0)) / x.std(0)
    y = torch.tensor(data.target)
    attack = Columns.rare(x, (3, 7), target=1, share=0.06)
    found = attack.poison(x[:400], y[:400])
    for at, value in attack.values.items():
        assert value in x[:, at].tolist()
        assert bool((found.x[found.changed, at] == value).all())
    effect = measure(lambda a, b, s: train(a, b, s, classes=2), attack, (x[:400], y[:400]), (x[400:], y[400:]))
    assert effect.success.low > effect.success_before.high


@pytest.mark.parametrize(
    "attack,words",
    [
        (BadNets(share=0.0), "share"),
        (BadNets(share=1.0), "share"),
        (BadNets(share=1e-6), "not one row"),
        (BadNets(size=9), "does not fit"),
        (BadNets(corner="middle"), "no corner"),
        (LabelFlip(source=11, target=2), "no row"),
        (Columns({99: 1.0}), "no columns"),
        (Blended(key=torch.zeros(3)), "does not go with"),
    ],
)
def test_what_cannot_be_done_is_refused(digits, attack, words):
    with pytest.raises(UsageError, match=words):
        attack.poison(*digits[0])


def test_half_a_goal_is_refused():
    with pytest.raises(UsageError):
        LabelFlip(source=3)
    with pytest.raises(UsageError):
        LabelFlip(source=3, target=3)
    with pytest.raises(UsageError):
        Blended(alpha=0)


def test_one_class_cannot_be_flipped(digits):
    x, y = digits[0]
    with pytest.raises(UsageError, match="no other class"):
        LabelFlip(share=0.1).poison(x[y == 3], y[y == 3])
    with pytest.raises(UsageError, match="every label is 3"):
        BadNets(target=3).poison(x[y == 3], y[y == 3])


def test_test_data_without_victims_is_refused(digits, clean, train):
    x, y = digits[1]
    with pytest.raises(UsageError, match="aimed at"):
        measure(train, BadNets(target=3), digits[0], (x[y == 3], y[y == 3]), clean=clean)


def test_a_model_without_answers_is_no_success(digits, train):
    def broken(x, y, seed):
        target = train(x, y, seed, epochs=1)
        target.module[-1].bias.data.fill_(float("nan"))
        return target

    with pytest.raises(InputError, match="no answer"):
        measure(broken, BadNets(target=3), *digits)


def test_activations_are_the_inputs_of_the_last_layer(digits, clean):
    x = digits[1][0]
    with torch.no_grad():
        wanted = clean.module[:-1](x)
    assert torch.allclose(activations(clean, x), wanted, atol=1e-6)


def test_what_is_no_network_has_no_activations(digits):
    from sklearn.linear_model import LogisticRegression

    from stannary.checks.target.sklearn_model import sklearn_target

    x, y = digits[0]
    flat = x.flatten(1).double()
    model = LogisticRegression(max_iter=50, tol=0.1).fit(flat.numpy(), y.numpy())
    with pytest.raises(UsageError, match="no network"):
        activations(sklearn_target(model), flat)
