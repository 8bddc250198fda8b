"""Paired comparison: what few samples do not say, and whether the interval covers the truth."""

from __future__ import annotations

import pytest
import torch

from stannary.checks.target.paired import compare
from stannary.core.errors import UsageError


def test_samples_that_all_agree_bound_the_difference_by_how_many_they_are() -> None:
    for n, most in ((1, 0.98), (8, 0.38), (1000, 0.005)):
        same = torch.ones(n, dtype=torch.bool)
        found = compare(same, same)
        assert (found.difference, found.p) == (0, 1)
        assert -most < found.low < 0 < found.high < most
        assert -found.low > most / 2, "nothing that differs is not nothing known"


def test_the_interval_leaves_zero_out_where_the_test_does() -> None:
    n = 40
    for gained in range(12):
        for lost in range(12):
            before, after = torch.arange(n) < 20, torch.cat((torch.arange(20) >= lost, torch.arange(20) < gained))
            found = compare(before, after)
            assert (found.gained, found.lost) == (gained, lost)
            assert found.low <= found.difference <= found.high
            assert (not found.low <= 0 <= found.high) == (found.p < 0.05 and gained != lost)


@pytest.mark.parametrize("gains, losses, n", [(0.3, 0.05, 60), (0.02, 0.02, 100), (0.0, 0.08, 30), (0.5, 0.3, 40)])
def test_the_interval_covers_the_truth(gains, losses, n) -> None:
    draw = torch.Generator().manual_seed(3)
    covered = 0
    for _ in range(400):
        kind = torch.rand(n, generator=draw)
        after = kind < gains
        before = (kind >= gains) & (kind < gains + losses)
        found = compare(before, after)
        covered += found.low <= gains - losses <= found.high
    assert covered >= 374  # of 380 expected at 95 %; one that takes as given how many differ covered 185 to 399


def test_other_samples_are_refused() -> None:
    with pytest.raises(UsageError):
        compare(torch.ones(3, dtype=torch.bool), torch.ones(4, dtype=torch.bool))
    with pytest.raises(UsageError):
        compare(torch.ones(0, dtype=torch.bool), torch.ones(0, dtype=torch.bool))
