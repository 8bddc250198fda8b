"""Statistics of what was measured: intervals, a stop rule for gates that may look at any time, paired comparison.

Standard library alone, so that a report or a gate can use it where no array library is installed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from stannary.core.errors import UsageError

__all__ = ["Decision", "Rate", "StopRule", "beta_cdf", "clopper_pearson", "mcnemar", "mean_rate", "median_interval", "rate"]

Decision = Literal["pass", "fail", "inconclusive"]
_TINY = 1e-300
_WEIGHT = 20.0  # pseudo-samples of the prior around a threshold: tuned for shares ten points away, before they are seen


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A share `value` of `n` samples, with its interval `low` to `high`."""

    value: float
    low: float
    high: float
    n: int


def rate(hits: int, n: int, level: float = 0.95) -> Rate:
    """Return `hits` of `n` with the exact interval (Clopper and Pearson 1934). Of no samples nothing is known: 0 to 1."""
    low, high = clopper_pearson(hits, n, level)
    return Rate(value=hits / n if n else 0.0, low=low, high=high, n=n)


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a binomial share; it covers the truth in at least `level` of all cases.

    Raises:
        UsageError: `hits` is not between 0 and `n`, or `level` not between 0 and 1.
    """
    if not 0 <= hits <= n or not 0 < level < 1:
        msg = f"no interval of {hits} of {n} at {level}"
        raise UsageError(msg)
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else _beta_quantile(tail, hits, n - hits + 1)
    high = 1.0 if hits == n else _beta_quantile(1 - tail, hits + 1, n - hits)
    return low, high


def mean_rate(values: Sequence[float], level: float = 0.95) -> Rate:
    """Return the mean of values in [0, 1] with an interval that holds whatever their distribution (Hoeffding 1963, theorem 1).

    Raises:
        UsageError: a value lies outside of [0, 1], or is none.
    """
    if not all(0 <= value <= 1 for value in values):
        msg = "a mean of shares takes values from 0 to 1"
        raise UsageError(msg)
    n = len(values)
    if not n:
        return rate(0, 0, level)
    mean, most = min(1.0, math.fsum(values) / n), math.log(2 / (1 - level)) / n
    ends = []
    for inner, outer in ((mean, 0.0), (mean, 1.0)):
        near, far = inner, outer
        for _ in range(60):  # bisection: the divergence rises from the mean to either end
            middle = (near + far) / 2
            near, far = (middle, far) if _divergence(mean, middle) <= most else (near, middle)
        ends.append(far)
    return Rate(value=mean, low=ends[0], high=ends[1], n=n)


def _divergence(a: float, b: float) -> float:
    """Return the Kullback-Leibler divergence of two coins."""
    parts = [0.0 if p == 0 else math.inf if q == 0 else p * math.log(p / q) for p, q in ((a, b), (1 - a, 1 - b))]
    return sum(parts)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) (Lentz's continued fraction, DLMF 8.17.22)."""
    return math.exp(_log_beta_cdf(x, a, b)) if 0 < x < 1 else float(x >= 1)


def _log_beta_cdf(x: float, a: float, b: float) -> float:
    """Return log I_x(a, b) for 0 < x < 1: far tails, too, which a stop rule compares."""
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):
        return front + math.log(_fraction(x, a, b) / a)
    other = front + math.log(_fraction(1 - x, b, a) / b)
    return math.log1p(-math.exp(other)) if other < 0 else -math.inf


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), _TINY)
    result = d
    for m in range(1, 10_000):
        for even in (True, False):
            step = (
                m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
                if even
                else -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
            )
            d = 1 / (_far(1 + step * d))
            c = _far(1 + step / c)
            result *= c * d
        if abs(c * d - 1) < 1e-14:  # noqa: PLR2004 - the precision of a double
            break
    return result


def _far(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _beta_quantile(share: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if beta_cdf(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


class StopRule:
    """Decide whether a share is at least `threshold`, looking after every sample: wrong at most `alpha` of the time.

    Two e-processes, one against each side: the likelihood of what was seen, averaged over the shares on the other side of the
    threshold, over its likelihood at the threshold. Under any share on the refuted side each is a supermartingale (the
    likelihood ratio is monotone), so by Ville's inequality it ever exceeds 1/alpha with probability alpha at most, however
    often one looks (Howard et al. 2021; Robbins 1970). That holds for any average. This one is by a beta distribution around
    the threshold, cut off at it: shares near it are what takes samples, and those far away are told by either.

    Args:
        threshold: what the share has to reach, between 0 and 1.
        alpha: the probability of a wrong decision.
    """

    def __init__(self, threshold: float, alpha: float = 0.05) -> None:
        if not 0 < threshold < 1 or not 0 < alpha < 1:
            msg = f"no stop rule for a threshold of {threshold} at {alpha}: both lie between 0 and 1"
            raise UsageError(msg)
        self.threshold, self.alpha = threshold, alpha
        self.hits = self.n = 0
        self._a, self._b = _WEIGHT * threshold, _WEIGHT * (1 - threshold)
        whole = math.lgamma(self._a) + math.lgamma(self._b)
        self._above = whole + _log_beta_cdf(1 - threshold, self._b, self._a) - math.lgamma(_WEIGHT)
        self._below = whole + _log_beta_cdf(threshold, self._a, self._b) - math.lgamma(_WEIGHT)

    def see(self, hit: bool) -> Decision:  # noqa: FBT001 - one observation
        """Take one more sample into account and say what follows from all of them."""
        self.hits += hit
        self.n += 1
        return self.decision()

    def decision(self) -> Decision:
        """Return `pass` (the share is at least the threshold), `fail` (it is below), or `inconclusive`."""
        bar = -math.log(self.alpha)
        above, below = self.evidence()
        if above >= bar:
            return "pass"
        return "fail" if below >= bar else "inconclusive"

    def evidence(self) -> tuple[float, float]:
        """Return the logarithms of both e-values: for a share above the threshold, and for one below."""
        t, k, m = self.threshold, self.hits, self.n - self.hits
        at = k * math.log(t) + m * math.log1p(-t)
        a, b = k + self._a, m + self._b
        whole = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b) - at
        return whole + _log_beta_cdf(1 - t, b, a) - self._above, whole + _log_beta_cdf(t, a, b) - self._below


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value of a paired comparison: samples on which only the first, only the second succeeds."""
    n, least = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return 1.0
    tail = sum(
        math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2)) for i in range(least + 1)
    )
    return min(1.0, 2 * tail)


def median_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Return the median and its exact interval by order statistics (binomial with a half).

    Raises:
        UsageError: so few values support no interval at this level; six do at 95 %.
    """
    ordered = sorted(values)
    n = len(ordered)
    tail, below, cut = (1 - level) / 2, 0.0, 0
    while cut < n // 2:
        below += math.exp(math.lgamma(n + 1) - math.lgamma(cut + 1) - math.lgamma(n - cut + 1) - n * math.log(2))
        if below > tail:
            break
        cut += 1
    if cut == 0:
        msg = f"{n} values support no interval of the median at {level:.0%}"
        raise UsageError(msg)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return middle, ordered[cut - 1], ordered[n - cut]
