"""The verdict of all detectors together: alarms on backdoors, none on clean networks, and never clean where nothing was seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from stannary.checks.poisoning.ensemble import ALARM, detect, row_scores
from stannary.checks.poisoning.suite import backdoor_suite
from stannary.checks.poisoning.view import View, ranks
from stannary.checks.target.callable_model import callable_target
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import InputError


def dataset(x, y):
    return Dataset(x, y, (), "", tuple(map(str, range(10))), "image")


@pytest.mark.parametrize("attack", ["badnets", "blended", "clean_label"])
def test_a_backdoor_raises_an_alarm_for_its_class(request, digits, attack):
    effect = request.getfixturevalue(attack)
    poisoned = effect.poisoned
    found = detect(View(effect.target, poisoned.x, poisoned.y), digits[1])
    assert found.word == "alarm"
    assert found.label == poisoned.parameters["target"]
    assert found.score >= ALARM
    assert all(f"class {found.label} " in text for text in found.reasons)
    assert roc_auc_score(poisoned.mask.numpy(), found.suspicion.numpy()) > 0.95


def test_clean_networks_raise_none(digits, clean, train):
    for target in (clean, train(*digits[0], 2), train(*digits[0], 3)):
        found = detect(View(target, *digits[0]), digits[1])
        assert found.word == "no alarm", found.reasons
        assert found.score < 0.42
        assert found.skipped == {}


def test_the_row_score_adds_up_what_is_left_above_each_rank():
    scores = {
        "strip": torch.tensor([3.0, 1, 2]),
        "neighbours": torch.tensor([0.9, 0.1, 0.1]),
        "clusters": torch.tensor([9.0, 0, 9]),
    }
    expected = sum(-np.log(1 - ranks(scores[name]).numpy()) for name in ("strip", "neighbours"))
    assert np.allclose(row_scores(scores, torch.zeros(3)).numpy(), expected)
    assert np.allclose(row_scores(scores, torch.tensor([0, 0.5, 1])).numpy(), expected * [1, 1.5, 2])


def unusable(digits, clean):
    x, y = digits[0]
    wrong = (y + 1) % 10
    silent = callable_target(lambda rows: np.full((len(rows), 10), np.nan), x)
    constant = callable_target(lambda rows: np.tile(np.eye(10)[4], (len(rows), 1)), x)
    return [
        (constant, x, y, "decides 4 for every row"),
        (silent, x, y, "gives no answer for 1300 of 1300 rows"),
        (clean, x[y == 3], y[y == 3], "all rows have the same label|decides 3 for every row"),
        (clean, x, wrong, "of the rows as they are labelled: it has not learned them"),
        (clean, x[:150], y[:150], "150 rows are too few"),
    ]


def test_where_nothing_can_be_seen_nothing_is_called_clean(digits, clean):
    for target, x, y, text in unusable(digits, clean):
        found = detect(View(target, x, y), digits[1])
        assert found.word == "inconclusive"
        assert any(piece in " ".join(found.reasons) for piece in text.split("|")), found.reasons


def test_a_forest_has_no_gradient_so_it_is_never_called_clean(digits):
    x, y = digits[0][0].flatten(1).double(), digits[0][1]
    forest = RandomForestClassifier(30, random_state=0).fit(x.numpy(), y.numpy())
    target = callable_target(forest.predict_proba, x)
    found = detect(View(target, x, y))
    assert found.word == "inconclusive"
    assert "no gradient" in found.skipped["neural cleanse"]
    assert not math.isnan(found.score)


def test_two_classes_have_no_middle(digits, train):
    x, y = (part[digits[0][1] < 2] for part in digits[0])
    found = detect(View(train(x, y, 1, classes=2), x, y))
    assert found.word == "inconclusive"
    assert "fewer than three classes" in found.skipped["neural cleanse"]


def test_the_suite_gives_what_policies_bound_and_names_rows(digits, badnets):
    poisoned = badnets.poisoned
    counted = Counting(badnets.target)
    found = backdoor_suite(counted, dataset(*digits[1]), dataset(poisoned.x, poisoned.y), seed=3)
    part = found.part
    assert (part.verdict, part.rows) == ("alarm", 1300)
    assert part.classes[0].label == "3"
    assert part.classes[0].by_model > ALARM > max(one.by_model for one in part.classes[1:])
    changed = set(poisoned.changed.tolist())
    assert sum(row in changed for row in part.suspects) >= 0.9 * len(part.suspects) > 0
    bounds = {row.metric: (row.low, row.value, row.high, row.n) for row in found.measurements}
    assert bounds["backdoor.alarm"] == (1, 1, 1, 1300)
    assert bounds["backdoor.score"] == (part.score, part.score, part.score, 1300)
    assert found.reasons
    assert not found.incomplete
    assert counted.spend.backward >= 400 * 10 * 32
    again = backdoor_suite(badnets.target, dataset(*digits[1]), dataset(poisoned.x, poisoned.y), seed=3)
    assert again.part == part


def test_what_is_inconclusive_may_be_an_alarm_and_is_bounded_so(digits):
    x = digits[1][0]
    constant = callable_target(lambda rows: np.tile(np.eye(10)[4], (len(rows), 1)), x)
    found = backdoor_suite(constant, dataset(*digits[1]))
    assert found.part.verdict == "inconclusive"
    assert found.part.score is None
    assert found.incomplete
    assert not found.reasons
    assert [(row.low, row.high) for row in found.measurements] == [(0.0, 1.0), (0.0, 1.0)]


def test_inputs_that_are_not_finite_are_an_error_and_no_verdict(digits, clean):
    x = digits[1][0].clone()
    x[3, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="1 of 497 inputs are not finite"):
        backdoor_suite(clean, dataset(x, digits[1][1]))


def test_the_score_does_not_hang_on_how_the_rows_are_ordered(digits, badnets):
    poisoned = badnets.poisoned
    order = torch.randperm(1300, generator=torch.Generator().manual_seed(9))
    found = detect(View(badnets.target, poisoned.x[order], poisoned.y[order]), digits[1])
    assert found.word == "alarm"
    assert isinstance(badnets.target, TorchTarget)
