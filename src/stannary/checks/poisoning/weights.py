"""Channels that answer far more strongly than their layer's others (Zheng et al. 2022, channel Lipschitzness).

A trigger has to be loud: what carries it shows as an outlier of the weights, without any data. Clean networks have outliers, too:
the numbers are told and raise no alarm by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from stannary.checks.poisoning.activations import layers_of
from stannary.core.errors import UsageError

if TYPE_CHECKING:
    from stannary.checks.target.interface import Target

__all__ = ["Layer", "channel_bounds", "weight_statistics"]

_OUTLIER = 3.0  # standard deviations, as in the paper


@dataclass(frozen=True)
class Layer:
    """One layer: the upper bound of each channel's Lipschitz constant `(channels,)`, and how far the greatest lies out."""

    name: str
    bounds: torch.Tensor
    greatest: float  # in standard deviations above the mean of the layer
    outliers: int


def channel_bounds(weight: torch.Tensor) -> torch.Tensor:
    """Return the spectral norm of each output channel's weights: `(out, in, ...)` as a matrix `(in, rest)` for each channel."""
    if weight.ndim == 2:  # noqa: PLR2004 - of a dense layer: a vector's spectral norm is its length
        return weight.double().norm(dim=1)
    return torch.linalg.matrix_norm(weight.double().reshape(*weight.shape[:2], -1), ord=2)


def weight_statistics(target: Target) -> tuple[Layer, ...]:
    """Return the statistics of every layer with weights but the last, whose channels are the classes.

    A convolution followed at once by batch normalisation is scaled by it.

    Raises:
        UsageError: the target is no network, or has a single layer.
    """
    layers = layers_of(target)
    if len(layers) < 2:  # noqa: PLR2004 - the last and one before
        msg = "the model is no network of several layers: it has no channels to compare"
        raise UsageError(msg, where=target.name)
    found = []
    for name, weight in layers[:-1]:
        if weight is None:
            continue
        bounds = channel_bounds(weight.cpu())
        spread = float(bounds.std(correction=0))
        out = (bounds - bounds.mean()) / spread if spread > 0 else torch.zeros_like(bounds)
        found.append(Layer(name, bounds, float(out.max()), int((out > _OUTLIER).sum())))
    return tuple(found)
