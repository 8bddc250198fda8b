"""Two models on the same samples, by a paired test: what only one of them stood says more than two shares do."""

from __future__ import annotations

import torch

from stannary.checks.target.card import Compared
from stannary.checks.target.statistics import clopper_pearson, mcnemar, rate
from stannary.core.errors import UsageError

__all__ = ["compare"]


def compare(before: torch.Tensor, after: torch.Tensor) -> Compared:
    """Compare which samples stood on two models, `(n,)` bool each, in the same order: McNemar's exact test.

    The interval of the difference is made of two exact ones (Clopper and Pearson 1934): of how many samples differ, and of who
    stood on those that do, by which it leaves 0 out where McNemar's test does. Eight samples of which none differs say little.

    Raises:
        UsageError: they are not the same samples.
    """
    if before.shape != after.shape or before.ndim != 1 or not len(before):
        msg = f"{tuple(before.shape)} and {tuple(after.shape)}: a paired test takes the same samples"
        raise UsageError(msg)
    n, gained, lost = len(before), int((after & ~before).sum()), int((before & ~after).sum())
    differ = gained + lost
    low, high = ((2 * end - 1) for end in clopper_pearson(gained, differ)) if differ else (-1.0, 1.0)
    fewest, most = clopper_pearson(differ, n)
    return Compared(
        before=rate(int(before.sum()), n),
        after=rate(int(after.sum()), n),
        gained=gained,
        lost=lost,
        difference=(gained - lost) / n,
        low=low * (fewest if low > 0 else most),
        high=high * (most if high > 0 else fewest),
        p=mcnemar(lost, gained),
    )
