"""The ROC of scores, where it matters: at low false-positive rates (Carlini et al. 2022, "from first principles").

Scores are `float64` tensors `(n,)`, greater for members. An area or an average accuracy says little about privacy: an attack
that finds three people for certain, and guesses about the rest, has an area of one half.
"""

from __future__ import annotations

import math

import torch

from stannary.checks.privacy.result import AtRate
from stannary.checks.privacy.seeds import generator
from stannary.checks.target.statistics import Rate, clopper_pearson

__all__ = ["RATES", "advantage", "area", "at_rate", "curve"]

RATES = (0.01, 0.001)
NEEDED = 10  # non-members expected above the threshold; with fewer the rate is that of chance
_CHUNK = 4_000_000  # elements of a bootstrap's matrix


def area(members: torch.Tensor, others: torch.Tensor, *, seed: int = 0, rounds: int = 1000, level: float = 0.95) -> Rate:
    """Return the area under the curve (ties count half), with a percentile interval of a bootstrap of both groups.

    A bootstrap of scores that are all equal, or all apart, has no width. The interval therefore goes at least to what the area
    would be if the share of a group that so many samples may have missed altogether lay at one end.
    """
    scores = torch.cat((members, others))
    _, place = scores.unique(return_inverse=True)  # ties share a place
    order = place.argsort()
    place = place[order]
    is_member = (order < len(members)).double()
    draw = generator(seed, "bootstrap")
    value = float(_areas(place, is_member[None], 1 - is_member[None])[0])
    found = []
    step = max(1, _CHUNK // len(scores))
    for start in range(0, rounds, step):
        count = min(step, rounds - start)
        weights = torch.zeros(count, len(scores), dtype=torch.float64)
        for offset, size in ((0, len(members)), (len(members), len(others))):
            picks = torch.randint(size, (count, size), generator=draw) + offset
            weights.scatter_add_(1, picks, torch.ones(1, dtype=torch.float64).expand(count, size))
        weights = weights[:, order]
        found.append(_areas(place, weights * is_member, weights * (1 - is_member)))
    draws = torch.cat(found)
    tail = (1 - level) / 2
    low, high = (float(torch.quantile(draws, q)) for q in (tail, 1 - tail))
    missed = max(clopper_pearson(0, len(group), level)[1] for group in (members, others))
    low, high = min(low, value * (1 - missed)), max(high, value + (1 - value) * missed)
    return Rate(value=value, low=low, high=high, n=len(scores))


def _areas(place: torch.Tensor, ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Return the Mann-Whitney share for rows of weights `(rounds, n)` in the order of `place`."""
    count = int(place[-1]) + 1
    groups = (len(ours), count)
    mine = torch.zeros(groups, dtype=torch.float64).index_add_(1, place, ours)
    other = torch.zeros(groups, dtype=torch.float64).index_add_(1, place, theirs)
    below = other.cumsum(1) - other / 2
    return (mine * below).sum(1) / (mine.sum(1) * other.sum(1))


def at_rate(members: torch.Tensor, others: torch.Tensor, fpr: float) -> AtRate:
    """Return the share of members that an attack finds with at most `fpr` of the others; refused if they are too few.

    Of scores that are equal at the threshold the attack draws as many as it may: answers that are rounded, or labels alone, leave
    it nothing above them, and a strict threshold would call the model private.
    """
    wanted = math.ceil(NEEDED / fpr)
    if len(others) < wanted:
        reason = f"{len(others)} non-members cannot support a false-positive rate of {fpr:g}: it takes {wanted}"
        return AtRate(fpr=fpr, rate=None, refused=reason)
    allowed = int(fpr * len(others) + 1e-9)
    cut = float(others.sort(descending=True).values[min(allowed, len(others) - 1)])
    drawn = (allowed - int((others > cut).sum())) / int((others == cut).sum())  # of those at the threshold
    hits, n = int((members > cut).sum()) + drawn * int((members == cut).sum()), len(members)
    low, high = clopper_pearson(math.floor(hits + 1e-9), n)[0], clopper_pearson(math.ceil(hits - 1e-9), n)[1]
    return AtRate(fpr=fpr, rate=Rate(value=hits / n, low=low, high=high, n=n))


def curve(members: torch.Tensor, others: torch.Tensor, points: int = 60) -> tuple[tuple[float, float], ...]:
    """Return (FPR, TPR) from one false positive to all, evenly spaced by logarithm."""
    mine, theirs = members.sort().values, others.sort(descending=True).values
    n = len(others)
    steps = sorted({round(math.exp(math.log(n) * i / (points - 1))) for i in range(points)}) if n > 1 else [1]
    found = []
    for allowed in steps:
        if allowed < n:
            cut = theirs[allowed]
            fpr = float((theirs > cut).sum()) / n
            found.append((fpr, float(len(mine) - torch.searchsorted(mine, cut, right=True)) / len(mine)))
    found.append((1.0, 1.0))
    return tuple(dict.fromkeys(pair for pair in found if pair[0] > 0))


def advantage(members: torch.Tensor, others: torch.Tensor, *, seed: int = 0) -> Rate:
    """Return TPR - FPR at a threshold chosen on the other half, by both halves in turn; interval by Newcombe (1998, method 10).

    A threshold that is chosen on the samples that it is judged by finds an advantage in noise.
    """
    halves = []
    for index, group in enumerate((members, others)):
        mixed = group[torch.randperm(len(group), generator=generator(seed, "halves", index))]
        halves.append((mixed[::2], mixed[1::2]))
    hits = false = 0
    for here, there in ((0, 1), (1, 0)):
        cut = _best_cut(halves[0][there], halves[1][there])
        hits += int((halves[0][here] > cut).sum())
        false += int((halves[1][here] > cut).sum())
    tpr, fpr = hits / len(members), false / len(others)
    (low1, high1), (low2, high2) = _wilson(hits, len(members)), _wilson(false, len(others))
    gap = tpr - fpr
    low = gap - math.hypot(tpr - low1, high2 - fpr)
    high = gap + math.hypot(high1 - tpr, fpr - low2)
    return Rate(value=gap, low=max(-1.0, low), high=min(1.0, high), n=len(members) + len(others))


def _best_cut(members: torch.Tensor, others: torch.Tensor) -> float:
    scores = torch.cat((members, others))
    if not len(members) or not len(others):
        return float(scores.max()) if len(scores) else 0.0
    values = scores.unique()
    above = [1 - torch.searchsorted(group.sort().values, values, right=True).double() / len(group) for group in (members, others)]
    return float(values[(above[0] - above[1]).argmax()])


def _wilson(hits: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + spread)
    return middle - half, middle + half
