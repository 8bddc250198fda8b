"""Two classes: triggers raise an alarm by what odd rows share; wrong labels learned by heart and clean data do not."""

from __future__ import annotations

import pytest
import torch

from stannary.checks.poisoning.attacks import BadNets, Blended
from stannary.checks.poisoning.ensemble import detect
from stannary.checks.poisoning.neural_cleanse import Cleanse
from stannary.checks.poisoning.view import View
from stannary.checks.target.counting import Counting


def verdict(digits, train, change, *, epochs=15):
    """Train on odd or even digits after `change` of (x, y); return what is said of it, and the changed rows."""
    (x, y), (held, labels) = digits
    x, y, changed = change(x[:1200], y[:1200] % 2)
    target = Counting(train(x, y, 1, classes=2, epochs=epochs))
    return detect(View(target, x, y, 0), (held, labels % 2), Cleanse(steps=20)), changed


@pytest.mark.parametrize(
    "attack",
    [
        BadNets(target=0, share=0.05, size=2, seed=2),
        BadNets(target=1, share=0.05, size=2, seed=4),
        Blended(target=1, share=0.1, seed=2),
    ],
    ids=["badnets-0", "badnets-1", "blended"],
)
def test_a_trigger_in_two_classes_raises_an_alarm_and_names_its_rows(digits, train, attack):
    def poison(x, y):
        made = attack.poison(x, y)
        return made.x, made.y, made.changed

    found, changed = verdict(digits, train, poison)
    assert found.word == "alarm"
    assert any("what they share moves other inputs" in text for text in found.reasons)
    assert found.label == attack.target
    assert float(found.rows[attack.target]) > 0.7
    worst = found.suspicion.argsort(descending=True)[:20]
    assert int(torch.isin(worst, changed).sum()) >= 10


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_clean_data_and_wrong_labels_learned_by_heart_raise_none(digits, train, share):
    def flip(x, y):
        rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(3))[: int(share * len(y))]
        y = y.clone()
        y[rows] = 1 - y[rows]
        return x, y, rows

    found, changed = verdict(digits, train, flip, epochs=60 if share else 15)
    assert found.word == "inconclusive"
    assert float(found.rows.max()) < 0.3
    if share:  # there are odd rows that were learned, and they share nothing
        assert int(found.odd.sum()) >= 30
        assert len(changed) == 60
