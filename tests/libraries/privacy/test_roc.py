"""The curve: its area and rates against scipy's and scikit-learn's, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stannary.checks.privacy.roc import advantage, area, at_rate, curve


def two_groups(n, m, shift, seed=0, ties=False):
    draw = torch.Generator().manual_seed(seed)
    ours = torch.randn(n, generator=draw, dtype=torch.float64) + shift
    theirs = torch.randn(m, generator=draw, dtype=torch.float64)
    return (ours.round(decimals=1), theirs.round(decimals=1)) if ties else (ours, theirs)


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_is_scikit_learns(ties) -> None:
    from sklearn.metrics import roc_auc_score

    ours, theirs = two_groups(300, 500, 0.7, ties=ties)
    found = area(ours, theirs, rounds=300)
    assert found.value == pytest.approx(roc_auc_score([1] * 300 + [0] * 500, torch.cat((ours, theirs)).numpy()), abs=1e-12)
    assert found.low < found.value < found.high
    assert found.n == 800


def test_the_areas_interval_covers_the_truth_and_is_as_wide_as_theory_says() -> None:
    from scipy.stats import norm

    truth = norm.cdf(0.5 / np.sqrt(2))
    found = [area(*two_groups(200, 200, 0.5, seed), seed=seed, rounds=200) for seed in range(60)]
    assert sum(one.low <= truth <= one.high for one in found) >= 52  # 57 expected
    # Hanley and McNeil (1982), equation 1
    q1, q2 = truth / (2 - truth), 2 * truth**2 / (1 + truth)
    error = np.sqrt((truth * (1 - truth) + 199 * (q1 - truth**2) + 199 * (q2 - truth**2)) / 200**2)
    assert np.mean([one.high - one.low for one in found]) == pytest.approx(2 * 1.96 * error, rel=0.1)


@pytest.mark.parametrize("shift, value", [(0.0, 0.5), (1.0, 1.0), (-1.0, 0.0)])
def test_the_area_of_few_scores_that_are_alike_is_not_known_for_certain(shift, value) -> None:
    few, many = torch.zeros(5, dtype=torch.float64), torch.zeros(1000, dtype=torch.float64)
    for ours, theirs, least in ((few + shift, many, 0.25), (many + shift, few, 0.25), (many + shift, many, 0.0015)):
        found = area(ours, theirs, rounds=50)
        assert found.value == value
        assert found.high - found.low > least  # a bootstrap alone gives no width at all
        assert found.high - found.low < 3 * least


def test_a_rate_at_a_low_false_positive_rate_is_counted_exactly() -> None:
    from scipy.stats import binomtest

    theirs = torch.arange(1000, dtype=torch.float64)
    ours = torch.tensor([989.0, 989.5, 990.0, 995.5, 2000.0], dtype=torch.float64)
    found = at_rate(ours, theirs, 0.01)  # ten of a thousand, 990 to 999, may lie above: the threshold is 989
    assert found.rate.value == 4 / 5
    exact = binomtest(4, 5).proportion_ci(0.95, "exact")
    assert (found.rate.low, found.rate.high) == (pytest.approx(exact.low), pytest.approx(exact.high))


def test_a_rate_that_the_sample_cannot_support_is_refused() -> None:
    ours, theirs = two_groups(5000, 999, 3)
    refused = at_rate(ours, theirs, 0.01)
    assert refused.rate is None
    assert "999 non-members cannot support" in refused.refused
    assert "it takes 1000" in refused.refused
    assert at_rate(ours, torch.cat((theirs, theirs[:1])), 0.01).rate is not None
    assert at_rate(ours, theirs, 0.001).rate is None


def test_of_equal_scores_the_attack_draws_as_many_as_it_may() -> None:
    same = torch.zeros(1000, dtype=torch.float64)
    assert at_rate(same, same, 0.01).rate.value == pytest.approx(0.01)  # as by chance
    assert area(same, same, rounds=50).value == 0.5
    # labels alone, of a model that is right on all members and on a tenth of the others: who is right is a member, or one of those
    right = torch.cat((torch.ones(100), torch.zeros(900))).double()
    found = at_rate(same + 1, right, 0.01).rate
    assert found.value == pytest.approx(0.1)  # as on the line from the origin to (0.1, 1), which is what the area is of
    assert found.low < 0.1 < found.high
    mixed = at_rate(torch.cat((same[:500] + 2, same[:500] + 1)), torch.cat((right, torch.full((4,), 2.0))), 0.01).rate
    assert mixed.value == pytest.approx(0.5 + 0.5 * 6 / 100)  # four are above: six of the hundred are drawn


def test_noise_has_no_advantage_however_small_the_sample() -> None:
    found = [advantage(*two_groups(40, 40, 0.0, seed), seed=seed) for seed in range(200)]
    assert abs(np.mean([one.value for one in found])) < 0.03  # a threshold chosen on the same samples would find 0.2
    assert sum(one.low <= 0 <= one.high for one in found) >= 180


def test_the_advantage_is_that_of_the_best_threshold() -> None:
    from scipy.stats import norm

    found = advantage(*two_groups(20_000, 20_000, 1.0))
    truth = 2 * norm.cdf(0.5) - 1
    assert found.low < truth < found.high
    assert found.high - found.low < 0.03


def test_the_curve_is_for_a_logarithmic_axis() -> None:
    from sklearn.metrics import roc_curve

    ours, theirs = two_groups(2000, 2000, 1.0)
    points = curve(ours, theirs)
    assert points[0][0] == 1 / 2000
    assert points[-1] == (1.0, 1.0)
    assert len(points) <= 60
    assert sum(fpr < 0.01 for fpr, _ in points) >= 10
    fpr, tpr, _ = roc_curve([1] * 2000 + [0] * 2000, torch.cat((ours, theirs)).numpy(), drop_intermediate=False)
    exact = dict(zip(fpr.round(9), tpr, strict=True))  # the last of equal rates: the highest
    assert all(exact[round(a, 9)] >= b >= exact[round(a, 9)] - 0.02 for a, b in points)
