"""The suite: what `stannary evaluate --suite labels` says of a data set, put together into a part of the report card.

    found = label_suite(outputs, data, classes, recipe="...")
    found.part            # `card.Labels`: how many, which rows, what they probably are
    found.measurements    # `labels.wrong`: what policies bound by its worse end

Where models that were trained on the data do not themselves decide most of it as it is labelled, they say nothing of labels: the
interval of what is wrong is then everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import torch

from stannary.checks.poisoning.labels import label_errors, out_of_sample_by
from stannary.checks.poisoning.seeds import generator
from stannary.checks.target.card import LabelError, Labels
from stannary.checks.target.data import Dataset
from stannary.checks.target.statistics import rate
from stannary.core.evidence import Measurement

__all__ = ["Measured", "drawn", "label_suite"]

ROWS = 10_000  # that are looked at, at most
_SHOWN = 500
_LEAST_AGREED = 0.6  # of the rows: below it models that were trained on them have not learned what labels mean
_ATLAS, _OWASP = ("AML.T0020",), ("ML02:2023",)


@dataclass(frozen=True)
class Measured:
    """The part of the card, what policies bound, what could not be said, what to do."""

    part: Labels
    measurements: tuple[Measurement, ...]
    incomplete: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    atlas: tuple[str, ...] = _ATLAS
    owasp: tuple[str, ...] = _OWASP


def drawn(data: Dataset, seed: int = 0) -> Dataset:
    """Return the rows that are looked at: all, or a random ten thousand, in their order."""
    if len(data) <= ROWS:
        return data
    return data.take(torch.randperm(len(data), generator=generator(seed, "labels"))[:ROWS].sort().values)


def label_suite(
    outputs: Callable[[torch.Tensor, int], torch.Tensor], data: Dataset, classes: int, *, recipe: str = "", seed: int = 0
) -> Measured:
    """Find labels that are probably wrong, by five models of which each judges the rows that it did not see.

    Args:
        outputs: trains on the rows `(m,)` of `data` with a seed, and returns logits `(n, classes)` for all of them.
        data: labelled rows.
        classes: of the model.
        recipe: how models are trained, for the record.
        seed: of everything random.

    Raises:
        InputError: a class has fewer than five rows.
    """
    probabilities = out_of_sample_by(outputs, data.y, classes, seed=seed)
    found = label_errors(probabilities, data.y)
    agreed = rate(int((probabilities.argmax(1) == data.y).sum()), len(data))
    wrong = rate(len(found.rows), len(data))
    usable = agreed.low >= max(_LEAST_AGREED, _commonest(data))
    if not usable:
        wrong = msgspec.structs.replace(wrong, low=0.0, high=1.0)
    pairs = [
        (_name(data, int(data.y[row])), _name(data, int(other)))
        for row, other in zip(found.rows.tolist(), found.suggested.tolist(), strict=True)
    ]
    part = Labels(
        rows=len(data),
        wrong=wrong,
        expected=max(0.0, 1 - float(found.joint.diagonal().sum())),
        agreed=agreed,
        confused=tuple((given, other, count) for (given, other), count in Counter(pairs).most_common(_SHOWN)),
        errors=tuple(
            LabelError(row=int(data.rows[row]), label=given, suggested=other, trust=float(found.quality[row]))
            for row, (given, other) in zip(found.rows.tolist(), pairs, strict=True)
        )[:_SHOWN],
        recipe=recipe,
    )
    missed = f"labels: models that are trained on the data decide {agreed.value:.0%} of it as labelled: too little to judge labels"
    after = ("look at the rows that are named, correct or drop them, and train again",) if part.errors and usable else ()
    measured = Measurement(metric="labels.wrong", value=wrong.value, low=wrong.low, high=wrong.high, n=wrong.n, seed=seed)
    return Measured(part, (measured,), () if usable else (missed,), after)


def _commonest(data: Dataset) -> float:
    """Return the share of the commonest label: who always says it has learned nothing."""
    return float(torch.bincount(data.y).max()) / len(data)


def _name(data: Dataset, label: int) -> str:
    return data.label_names[label] if label < len(data.label_names) else str(label)
