"""What hardening did (`stannary.harden/1`): both report cards, and what a paired test says about them.

Standard library and msgspec alone, as report cards are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from stannary.checks.target.card import Compared, EvaluationResult, Tool
from stannary.core.model import Json

__all__ = ["HardeningResult", "Latency", "Price", "Verdict", "price_of"]

Verdict = Literal["hardened", "not shown", "weaker", "too costly", "masking"]
Price = Literal["fair", "unsure", "dear"]
_ROUNDING = 1e-9


def price_of(accuracy: Compared, most: float | None, chance: float | None = None) -> Price:
    """Say whether what hardening cost in accuracy is within a bound: the worse end of the difference's interval counts.

    Args:
        accuracy: both models on the same clean samples.
        most: the share of accuracy that may be lost; None for any.
        chance: what a model gets right that always decides for the commonest class. Who falls to that, and was above it, has
            lost everything that it knew, whatever may be lost: a model that always says the same cannot be attacked.

    Returns:
        `dear`: it fell by more; `unsure`: it may have fallen by more, the samples are too few to tell.
    """
    if chance is not None and accuracy.after.value <= chance < accuracy.before.value:
        return "dear"
    if most is None or accuracy.low >= -most - _ROUNDING:
        return "fair"
    return "dear" if accuracy.difference < -most else "unsure"


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Median milliseconds of one forward pass, of a batch of so many samples."""

    batch: int
    before: float
    after: float


class HardeningResult(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it.

    `verdict` is *hardened* only where the interval says so, the method is none that masks, and accuracy was not the price.
    """

    schema: Literal["stannary.harden/1"] = "stannary.harden/1"
    tool: Tool
    method: str
    parameters: Mapping[str, Json] = {}
    judged_by: Literal["robustness", "privacy"] = "robustness"
    verdict: Verdict
    before: EvaluationResult
    after: EvaluationResult
    standing: Compared | None = None
    accuracy: Compared
    max_accuracy_loss: float | None = None  # the share of accuracy that may be lost, by the worse end of the interval
    chance: float | None = None  # what always deciding for the commonest class of the test samples gets right
    latency: tuple[Latency, ...] = ()
    privacy: Mapping[str, float] | None = None  # epsilon, delta, noise and rate of training with differential privacy
    output: str = ""
    training: str = ""  # the file of training data, and its digest
    training_digest: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
