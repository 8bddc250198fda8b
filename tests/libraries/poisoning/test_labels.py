"""Confident learning: counted again by loops, on labels that were flipped, and on what are no probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stannary.checks.poisoning.attacks import LabelFlip
from stannary.checks.poisoning.labels import confident_joint, label_errors, out_of_sample
from stannary.checks.target.callable_model import callable_target
from stannary.core.errors import InputError, UsageError


def random_probabilities(n=200, classes=4, seed=1):
    draw = np.random.default_rng(seed)
    p = draw.dirichlet(np.ones(classes), n)
    return torch.tensor(p), torch.tensor([draw.choice(classes, p=row) for row in p])


def test_the_confident_joint_is_that_of_the_definition():
    p, y = random_probabilities()
    expected = np.zeros((4, 4))
    threshold = [np.mean([row[k] for row, label in zip(p.tolist(), y.tolist(), strict=True) if label == k]) for k in range(4)]
    for row, label in zip(p.tolist(), y.tolist(), strict=True):
        sure = [k for k in range(4) if row[k] >= threshold[k]]
        if sure:
            expected[label, max(sure, key=lambda k: row[k])] += 1
    assert np.array_equal(confident_joint(p, y).numpy(), expected)
    found = label_errors(p, y)
    rows = expected / expected.sum(1, keepdims=True) * np.bincount(y.numpy())[:, None] / 200
    assert np.allclose(found.joint.numpy(), rows)
    assert float(found.joint.sum()) == pytest.approx(1)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_flipped_digits_are_found(digits, train, share):
    """cleanlab 2.9 has an F1 of 0.82 to 0.93 on such flips."""
    flipped = LabelFlip(share=share, seed=1).poison(*digits[0])
    found = label_errors(out_of_sample(train, flipped.x, flipped.y, 10), flipped.y)
    hits = int(flipped.mask[found.rows].sum())
    precision, recall = hits / len(found.rows), hits / len(flipped.changed)
    assert 2 * precision * recall / (precision + recall) > 0.8
    right = found.suggested[flipped.mask[found.rows]] == digits[0][1][found.rows[flipped.mask[found.rows]]]
    assert float(right.double().mean()) > 0.9
    assert bool((found.quality[found.rows].diff() >= 0).all())


def test_sure_and_right_labels_have_no_errors():
    p = torch.eye(3, dtype=torch.float64).repeat(20, 1) * 0.94 + 0.02
    found = label_errors(p, torch.arange(60) % 3)
    assert len(found.rows) == 0
    assert torch.allclose(found.joint, torch.eye(3, dtype=torch.float64) / 3)


def test_one_wrong_label_among_sure_ones_is_named():
    p = torch.eye(3, dtype=torch.float64).repeat(20, 1) * 0.94 + 0.02
    y = torch.arange(60) % 3
    y[7] = 2
    found = label_errors(p, y)
    assert (found.rows.tolist(), found.suggested.tolist()) == ([7], [1])


def test_a_constant_model_and_a_single_class_name_nothing():
    y = torch.arange(30) % 3
    assert len(label_errors(torch.full((30, 3), 1 / 3), y).rows) == 0
    assert len(label_errors(torch.tensor([[0.9, 0.1]]).repeat(30, 1), torch.zeros(30, dtype=torch.int64)).rows) == 0


@pytest.mark.parametrize(
    "p, y, text",
    [
        (torch.full((5, 2), 0.5), torch.zeros(4, dtype=torch.int64), "for 4 labels"),
        (torch.full((5,), 0.5), torch.zeros(5, dtype=torch.int64), "of shape"),
        (torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), "for 0 labels"),
        (torch.full((5, 2), torch.nan), torch.zeros(5, dtype=torch.int64), "no probabilities"),
        (torch.tensor([[1.5, -0.5]]), torch.zeros(1, dtype=torch.int64), "no probabilities"),
        (torch.full((5, 2), 0.7), torch.zeros(5, dtype=torch.int64), "no probabilities"),
        (torch.full((5, 2), 0.5), torch.full((5,), 2), "labels from 2 to 2"),
    ],
)
def test_what_are_no_probabilities_is_refused(p, y, text):
    with pytest.raises(InputError, match=text):
        label_errors(p, y)


def test_each_row_is_judged_by_a_model_that_did_not_see_it(digits):
    x, y = digits[0][0][:100], digits[0][1][:100]
    seen: list[set[bytes]] = []

    def train(x, _y, _seed):
        known = {row.numpy().tobytes() for row in x}
        seen.append(known)
        return callable_target(
            lambda rows: np.array([[0.9 if row.astype("float32").tobytes() in known else 0.1] * 2 for row in rows]) * [1.0, 0.5], x
        )

    found = out_of_sample(train, x, y % 2, 2, folds=4, seed=3)
    assert len(seen) == 4
    assert sum(100 - len(known) for known in seen) == 100
    assert torch.equal(found[:, 0], found[:1, 0].expand(100))  # of a row that was seen it would be another


def test_folds_that_cannot_be_had_are_refused(digits, train):
    x, y = digits[0]
    with pytest.raises(UsageError, match="in 1 folds"):
        out_of_sample(train, x, y, 10, folds=1)
    rows = torch.cat([(y == 0).nonzero()[:, 0], (y == 9).nonzero()[:3, 0]])
    with pytest.raises(InputError, match="class 9 has 3 rows"):
        out_of_sample(train, x[rows], y[rows], 10)
    silent = lambda x, _y, _seed: callable_target(lambda rows: np.full((len(rows), 2), np.nan), x)  # noqa: E731 - one line says it
    with pytest.raises(InputError, match="no answer for 100 of 100"):
        out_of_sample(silent, x[:100], y[:100] % 2, 2)
