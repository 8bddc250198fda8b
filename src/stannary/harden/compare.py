"""Two models on the same samples: paired tests, what is called hardened, and what it costs."""

from __future__ import annotations

import statistics
import time

import torch

from stannary.checks.target.card import Compared
from stannary.checks.target.data import Dataset
from stannary.checks.target.interface import Target
from stannary.checks.target.statistics import Rate
from stannary.harden.card import Latency, Price, Verdict

__all__ = ["correct", "latencies", "verdict_of"]

_BATCHES = (1, 64)
_RUNS = 15
_CHUNK = 1000


def verdict_of(
    stood: Compared | None, leaks: tuple[Rate | None, Rate | None], *, masking: bool, complete: bool, price: Price = "fair"
) -> Verdict:
    """Say what came out: *hardened* only where an interval says so, of a whole evaluation, by a method that masks nothing.

    Args:
        stood: the paired comparison under attack; None where attacks on privacy judge.
        leaks: the area under the curve of the strongest membership attack, before and after, with its interval.
        masking: the method hides gradients or answers.
        complete: nothing of either evaluation is missing.
        price: what it cost in accuracy, see `price_of`.
    """
    if masking:
        return "masking"
    found = _by_attacks(stood, leaks, complete=complete)
    if found != "weaker" and price == "dear":
        return "too costly"
    return "not shown" if found == "hardened" and price == "unsure" else found


def _by_attacks(stood: Compared | None, leaks: tuple[Rate | None, Rate | None], *, complete: bool) -> Verdict:
    if stood is not None:
        if stood.high < 0:
            return "weaker"
        return "hardened" if complete and stood.low > 0 else "not shown"
    before, after = leaks
    if before is None or after is None:
        return "not shown"
    if after.low > before.high:
        return "weaker"
    return "hardened" if complete and after.high < before.low else "not shown"


def correct(target: Target, data: Dataset) -> torch.Tensor:
    """Return which samples a target gets right, `(n,)` bool."""
    parts = [target.decide(x.to(target.device)).cpu() for x in data.x.split(_CHUNK)]
    return torch.cat(parts) == data.y


def latencies(before: Target, after: Target, data: Dataset) -> tuple[Latency, ...]:
    """Return how long one answer takes, for one sample and for a batch, of both models in turns (other work slows both)."""
    found = []
    for size in _BATCHES:
        x = data.x[torch.arange(size) % len(data)]
        times: tuple[list[float], list[float]] = ([], [])
        for run in range(_RUNS + 1):
            for target, seconds in zip((before, after), times, strict=True):
                given = x.to(target.device)
                started = time.perf_counter()
                target.decide(given)
                if run:  # the first warms up
                    seconds.append(time.perf_counter() - started)
        first, second = (statistics.median(seconds) * 1000 for seconds in times)
        found.append(Latency(batch=size, before=first, after=second))
    return tuple(found)
