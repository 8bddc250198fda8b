"""What hardening did (`stannary.harden/1`): both report cards, and what a paired test says about them.

Standard library and msgspec alone, as report cards are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from stannary.checks.target.card import EvaluationResult, Tool
from stannary.checks.target.statistics import Rate
from stannary.core.model import Json

__all__ = ["Compared", "HardeningResult", "Latency", "Verdict"]

Verdict = Literal["hardened", "not shown", "weaker", "masking"]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Two models on the same samples: shares, samples that only one of them stood, the difference with its interval.

    `p` is McNemar's exact two-sided test; `low` to `high` the interval of the difference `after - before`, exact given how many
    samples differ.
    """

    before: Rate
    after: Rate
    gained: int
    lost: int
    difference: float
    low: float
    high: float
    p: float


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Median milliseconds of one forward pass, of a batch of so many samples."""

    batch: int
    before: float
    after: float


class HardeningResult(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it. `verdict` is *hardened* only where the interval says so and the method is none that masks."""

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
    latency: tuple[Latency, ...] = ()
    privacy: Mapping[str, float] | None = None  # epsilon, delta, noise and rate of training with differential privacy
    output: str = ""
    training: str = ""  # the file of training data, and its digest
    training_digest: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
