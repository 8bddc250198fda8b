"""Attacks on membership, as functions: from confidences to one score a sample, greater for members.

Confidences are `(n, 2)` for the target and `(shadows, n, 2)` for shadows: log p of the true label, and log(p / (1 - p)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

__all__ = ["Confidences", "lira", "lira_offline", "loss", "rmia"]

_PRIOR = 8.0  # degrees of freedom that the common variance counts for beside a sample's own
_BEYOND = 1.0  # where a confidence without end is put: this far beyond the greatest that has one


@dataclass(frozen=True)
class Confidences:
    """What is known of all samples: the target's `(n, 2)`, the shadows' `(k, n, 2)`, who was trained on whom `(k, n)` bool."""

    target: torch.Tensor
    shadows: torch.Tensor | None = None
    inside: torch.Tensor | None = None

    def log_odds(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the log-odds of target and shadows, all finite: a tree may be certain, a Gaussian cannot."""
        assert self.shadows is not None  # noqa: S101 - who calls this has trained them
        both = torch.cat((self.target[None, :, 1], self.shadows[..., 1]))
        known = both[both.isfinite()]
        low, high = (float(known.min()) - _BEYOND, float(known.max()) + _BEYOND) if len(known) else (-_BEYOND, _BEYOND)
        both = both.clamp(low, high)
        return both[0], both[1:]


def loss(known: Confidences) -> torch.Tensor:
    """Return log p of the true label (Yeom et al. 2018): members have the smaller loss."""
    return known.target[:, 0]


def lira(known: Confidences) -> torch.Tensor:
    """Return the likelihood ratio of Carlini et al. (2022), online: how much better "in" explains the target than "out"."""
    phi, shadows = known.log_odds()
    inside = known.inside
    assert inside is not None  # noqa: S101 - who calls this has trained shadows
    mean_in, var_in = _gaussian(shadows, inside)
    mean_out, var_out = _gaussian(shadows, ~inside)
    return _log_density(phi, mean_in, var_in) - _log_density(phi, mean_out, var_out)


def lira_offline(known: Confidences) -> torch.Tensor:
    """Return how far the target's log-odds lie above those of shadows that never saw the sample, in standard deviations."""
    phi, shadows = known.log_odds()
    assert known.inside is not None  # noqa: S101 - who calls this has trained shadows
    mean, variance = _gaussian(shadows, ~known.inside)
    return (phi - mean) / variance.sqrt()


def rmia(known: Confidences) -> torch.Tensor:
    """Return log of p(x | target) / mean of p(x | reference) (Zarifzadeh et al. 2024, equations 2 and 3).

    Their score is the share of population samples z that this ratio of x exceeds by a factor. That share rises with the
    ratio, so both order samples alike and have one ROC; it does without a population.
    """
    assert known.shadows is not None  # noqa: S101 - who calls this has trained shadows
    mean = known.shadows[..., 0].logsumexp(0) - math.log(len(known.shadows))
    return (known.target[:, 0] - mean).nan_to_num(0.0)  # certain to be wrong, all of them: it says nothing


def _gaussian(phi: torch.Tensor, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and variance of `phi` `(k, n)` over the shadows `which` `(k, n)`, each `(n,)`.

    The variance is drawn towards the common one, as if that had been seen in some more shadows: a sample's own, from a
    handful, is mostly chance (Carlini et al. take the common one below 64 shadows, their own above; this is between).
    """
    weight = which.double()
    count = weight.sum(0).clamp_min(1)
    mean = (phi * weight).sum(0) / count
    squares = ((phi - mean).square() * weight).sum(0)
    free = (count - 1).clamp_min(0)
    common = squares.sum() / free.sum().clamp_min(1)
    variance = (squares + _PRIOR * common) / (free + _PRIOR)
    return mean, variance.clamp_min(1e-12)


def _log_density(value: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    return -(value - mean).square() / (2 * variance) - variance.log() / 2
