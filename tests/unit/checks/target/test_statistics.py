"""Intervals and the stop rule, against exact sums and simulation."""

from __future__ import annotations

import math
import random

import pytest

from stannary.checks.target.statistics import StopRule, beta_cdf, clopper_pearson, mcnemar, median_interval, rate
from stannary.core.errors import UsageError


def binomial_tail(k: int, n: int, p: float) -> float:
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize("a,b", [(1, 1), (3, 8), (40, 2), (250, 251)])
@pytest.mark.parametrize("x", [0.01, 0.3, 0.5, 0.93])
def test_the_beta_function_is_a_binomial_tail(a: int, b: int, x: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(binomial_tail(a, a + b - 1, x), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("k,n", [(0, 20), (1, 20), (93, 100), (460, 500), (500, 500)])
def test_intervals_end_where_their_tails_say(k: int, n: int) -> None:
    low, high = clopper_pearson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    if k:
        assert binomial_tail(k, n, low) == pytest.approx(0.025, rel=1e-6)
    if k < n:
        assert 1 - binomial_tail(k + 1, n, high) == pytest.approx(0.025, rel=1e-6)


def test_intervals_of_the_textbook() -> None:
    assert clopper_pearson(92, 100) == pytest.approx((0.8484, 0.9648), abs=1e-4)
    assert rate(0, 0).low == 0
    assert rate(0, 0).high == 1


@pytest.mark.parametrize("k,n", [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(UsageError):
        clopper_pearson(k, n)


@pytest.mark.parametrize("truth", [0.7, 0.8, 0.9])
def test_the_stop_rule_is_wrong_at_most_as_often_as_it_says(truth: float) -> None:
    """At the threshold itself `fail` is the wrong answer; looked at after each of 300 samples."""
    rng, wrong = random.Random(7), 0
    for _ in range(300):
        rule = StopRule(0.8)
        for _ in range(300):
            said = rule.see(rng.random() < truth)
            if said != "inconclusive":
                wrong += said != ("pass" if truth >= 0.8 else "fail")
                break
    assert wrong <= 15


@pytest.mark.parametrize("truth,most", [(0.93, 96), (0.9, 150), (0.7, 150), (0.5, 60), (0.24, 30)])
def test_clear_cases_take_few_samples(truth: float, most: int) -> None:
    rng, needed = random.Random(3), []
    for _ in range(101):
        rule = StopRule(0.8)
        while rule.see(rng.random() < truth) == "inconclusive":
            pass
        needed.append(rule.n)
    assert sorted(needed)[50] <= most


@pytest.mark.parametrize("threshold", [0.03, 0.5, 0.8, 0.99])
def test_evidence_is_a_fair_bet_at_the_threshold_and_a_bad_one_beyond_it(threshold: float) -> None:
    """The mean of an e-value over all outcomes is one at the threshold, and less for shares on the side that it speaks against."""
    n = 40

    def mean(truth: float, side: int) -> float:
        total = 0.0
        for k in range(n + 1):
            rule = StopRule(threshold)
            rule.hits, rule.n = k, n
            chance = math.comb(n, k) * truth**k * (1 - truth) ** (n - k)
            total += chance * math.exp(rule.evidence()[side])
        return total

    assert mean(threshold, 0) == pytest.approx(1, abs=1e-9)
    assert mean(threshold, 1) == pytest.approx(1, abs=1e-9)
    assert mean(threshold / 2, 0) < 1
    assert mean((1 + threshold) / 2, 1) < 1


def test_mcnemar_is_the_exact_binomial() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(10, 2) == pytest.approx(2 * sum(math.comb(12, i) for i in range(3)) / 2**12)
    assert mcnemar(5, 5) == 1


def test_the_median_lies_in_its_interval() -> None:
    values = [float(i) for i in range(101)]
    middle, low, high = median_interval(values)
    assert (middle, low, high) == (50.0, 40.0, 60.0)
    assert median_interval([6.0, 1.0, 2.0, 3.0, 4.0, 5.0]) == (3.5, 1.0, 6.0)  # 1 - 2/64 = 96.9 %


@pytest.mark.parametrize("values", [[], [3.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
def test_few_values_support_no_interval(values: list[float]) -> None:
    with pytest.raises(UsageError, match="support no interval"):
        median_interval(values)
