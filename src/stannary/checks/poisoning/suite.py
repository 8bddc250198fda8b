"""The suite: what `stannary evaluate --suite backdoor` looks for, put together into a part of the report card.

found = backdoor_suite(target, data, training)
found.part            # `card.Backdoor`: alarm, no alarm or inconclusive, with reasons, class by class
found.measurements    # `backdoor.alarm` and `backdoor.score`: what policies bound by their worse end
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from stannary.checks.poisoning.ensemble import Verdict, detect
from stannary.checks.poisoning.neural_cleanse import Cleanse
from stannary.checks.poisoning.seeds import generator
from stannary.checks.poisoning.view import View
from stannary.checks.poisoning.weights import weight_statistics
from stannary.checks.target.card import Backdoor, BackdoorClass
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.interface import Target
from stannary.core.errors import StannaryError
from stannary.core.evidence import Measurement

__all__ = ["Measured", "Options", "backdoor_suite"]

_SUSPECTS = 50
_ATLAS = ("AML.T0018", "AML.T0020")
_OWASP = ("ML02:2023", "ML10:2023")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How thorough: rows that are looked at, and samples on which patches are sought, at most; a random part of each."""

    rows: int = 5000
    samples: int = 1000
    steps: int = 400


@dataclass(frozen=True)
class Measured:
    """The part of the card, what policies bound, what could not be said, and the reasons of an alarm."""

    part: Backdoor
    measurements: tuple[Measurement, ...]
    incomplete: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    atlas: tuple[str, ...] = _ATLAS
    owasp: tuple[str, ...] = _OWASP


def backdoor_suite(
    target: Target, data: Dataset, training: Dataset | None = None, *, options: Options | None = None, seed: int = 0
) -> Measured:
    """Look for a backdoor in a model and in the rows that it may have learned it from.

    Args:
        target: the model, or the counter around it.
        data: labelled samples, on which patches are sought; labels are numbered as the model numbers them.
        training: its training data, or a random part of it, in which poisoned rows are sought; `data` without it.
        options: how thorough.
        seed: of everything random; the result repeats.

    Raises:
        InputError: inputs that are not finite, or that the model does not take.
    """
    options = options or Options()
    counted = target if isinstance(target, Counting) else Counting(target)
    rows = _drawn(training if training is not None else data, options.rows, seed, "rows")
    patched = _drawn(data, options.samples, seed, "patches")
    found = detect(View(counted, rows.x, rows.y, seed), (patched.x, patched.y), Cleanse(steps=options.steps, seed=seed))
    part = _part(found, rows, _loudest(counted))
    inconclusive = tuple(f"backdoor: {text}" for text in found.reasons) if found.word == "inconclusive" else ()
    alarmed = tuple(f"backdoor: {text}" for text in found.reasons) if found.word == "alarm" else ()
    after = ("look at the rows that are named, train again without them, and evaluate again",) if part.suspects else ()
    return Measured(part, _measurements(found, len(rows), seed), inconclusive, alarmed, after)


def _drawn(data: Dataset, most: int, seed: int, purpose: str) -> Dataset:
    if len(data) <= most:
        return data
    return data.take(torch.randperm(len(data), generator=generator(seed, f"suite/{purpose}"))[:most].sort().values)


def _loudest(target: Target) -> float | None:
    try:
        return max((layer.greatest for layer in weight_statistics(target)), default=None)
    except StannaryError:
        return None  # no network: it has no channels, and nothing hangs on them


def _part(found: Verdict, rows: Dataset, loudest: float | None) -> Backdoor:
    patches = found.patches
    classes = [
        BackdoorClass(
            label=rows.label_names[k] if k < len(rows.label_names) else str(k),
            patch=_said(float(patches.sizes[k])) if patches else None,
            deviations=_said(float(patches.indices[k])) if patches else None,
            by_model=_said(float(found.model[k])),
            by_rows=_said(float(found.rows[k])),
            odd=int(found.odd[k]),
        )
        for k in range(len(found.model))
    ]
    worst = sorted(classes, key=lambda one: -max(one.by_model or 0, one.by_rows or 0))
    return Backdoor(
        verdict=found.word,
        score=_said(found.score),
        reasons=found.reasons,
        classes=tuple(worst),
        rows=len(rows),
        suspects=_suspects(found, rows) if found.word == "alarm" else (),
        loudest=_said(loudest) if loudest is not None else None,
        skipped=found.skipped,
    )


def _suspects(found: Verdict, rows: Dataset) -> tuple[int, ...]:
    """Return rows of the class that raised the alarm, by their numbers in the data, the most suspicious first."""
    own = (rows.y.cpu() == found.label).nonzero()[:, 0]
    order = found.suspicion[own].argsort(descending=True, stable=True)[:_SUSPECTS]
    return tuple(rows.rows[own[order]].tolist())


def _said(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _measurements(found: Verdict, n: int, seed: int) -> tuple[Measurement, ...]:
    """Return the alarm (0 or 1) and the score; where it is inconclusive, each may be anything that is worse, too."""
    unknown = found.word == "inconclusive"
    alarm = 0.5 if unknown else float(found.word == "alarm")
    score = found.score if math.isfinite(found.score) else 0.5
    low = score if math.isfinite(found.score) else 0.0
    return (
        Measurement(
            metric="backdoor.alarm", value=alarm, low=0.0 if unknown else alarm, high=1.0 if unknown else alarm, n=n, seed=seed
        ),
        Measurement(metric="backdoor.score", value=score, low=low, high=1.0 if unknown else score, n=n, seed=seed),
    )
