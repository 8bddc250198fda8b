"""Two models on the same samples, by a paired test: what only one of them stood says more than two shares do."""

from __future__ import annotations

import torch

from stannary.checks.target.card import Compared
from stannary.checks.target.statistics import clopper_pearson, mcnemar, rate
from stannary.core.errors import UsageError

__all__ = ["compare"]


def compare(before: torch.Tensor, after: torch.Tensor) -> Compared:
    """Compare which samples stood on two models, `(n,)` bool each, in the same order: McNemar's exact test.

    The interval of the difference is exact given how many samples differ (a binomial share of them, Clopper and Pearson 1934).

    Raises:
        UsageError: they are not the same samples.
    """
    if before.shape != after.shape or before.ndim != 1 or not len(before):
        msg = f"{tuple(before.shape)} and {tuple(after.shape)}: a paired test takes the same samples"
        raise UsageError(msg)
    n, gained, lost = len(before), int((after & ~before).sum()), int((before & ~after).sum())
    differ = gained + lost
    low, high = clopper_pearson(gained, differ) if differ else (0.5, 0.5)
    return Compared(
        before=rate(int(before.sum()), n),
        after=rate(int(after.sum()), n),
        gained=gained,
        lost=lost,
        difference=(gained - lost) / n,
        low=(2 * low - 1) * differ / n,
        high=(2 * high - 1) * differ / n,
        p=mcnemar(lost, gained),
    )
