"""Detectors on networks that our own attacks poisoned: what each finds, and what it does not."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score

from stannary.checks.poisoning.neighbours import neighbours
from stannary.checks.poisoning.neural_cleanse import neural_cleanse
from stannary.checks.poisoning.spectral import spectral_signatures, whitened_activations
from stannary.checks.poisoning.strip import strip
from stannary.checks.poisoning.view import View


def area(detector, effect):
    """Return the area under the ROC of a detector's scores for the rows that were poisoned."""
    poisoned = effect.poisoned
    return roc_auc_score(poisoned.mask.numpy(), detector(View(effect.target, poisoned.x, poisoned.y)).numpy())


@pytest.mark.parametrize(
    "attack, least",
    [
        # noise of low contrast hardly shows in activations of so small a network, and survives every overlay
        ("badnets", {neighbours: 0.95, strip: 0.7, whitened_activations: 0.75, spectral_signatures: 0.6}),
        ("blended", {neighbours: 0.95, strip: 0.95, whitened_activations: 0.7, spectral_signatures: 0.6}),
        ("clean_label", {strip: 0.95, spectral_signatures: 0.6}),
    ],
)
def test_detectors_find_rows_of_backdoors_that_work(request, attack, least):
    effect = request.getfixturevalue(attack)
    assert effect.success.low > 0.6
    assert effect.success_before.high < 0.05
    for detector, floor in least.items():
        assert area(detector, effect) > floor, detector.__name__


def test_neighbours_do_not_see_what_has_the_right_label(clean_label):
    """The limit that the documentation names: with right labels a row lies among its like."""
    assert area(neighbours, clean_label) < 0.6


def test_on_clean_data_no_score_follows_rows_picked_at_random(digits, clean):
    view = View(clean, *digits[0])
    picked = torch.rand(len(view.x), generator=torch.Generator().manual_seed(4)) < 0.05
    for detector in (neighbours, strip, whitened_activations, spectral_signatures):
        assert 0.35 < roc_auc_score(picked.numpy(), detector(view).nan_to_num(0).numpy()) < 0.65


@pytest.mark.parametrize("attack", ["badnets", "blended", "clean_label"])
def test_the_class_of_a_backdoor_has_the_smallest_patch_and_stands_out(request, digits, attack):
    effect = request.getfixturevalue(attack)
    found = neural_cleanse(effect.target, *digits[1])
    label = effect.poisoned.parameters["target"]
    assert int(found.sizes.argmin()) == label
    assert float(found.indices[label]) > 2
    assert float(found.sizes[label]) * 1.9 < float(found.sizes.median())


def test_no_class_of_clean_networks_stands_out(digits, clean, train):
    for target in (clean, train(*digits[0], 2)):
        found = neural_cleanse(target, *digits[1])
        assert float(found.indices.max()) < 1.5
