"""Channels that answer far more strongly than their layer's others (Zheng et al. 2022, channel Lipschitzness).

A trigger has to be loud: what carries it shows as an outlier of the weights, without any data. Clean networks have outliers, too:
the numbers are told and raise no alarm by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from stannary.checks.poisoning.activations import module_of, weighted_layers
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
    module = module_of(target)
    layers = weighted_layers(module, torch.zeros((2, *target.shape), device=target.device)) if module is not None else []
    if module is None or len(layers) < 2:  # noqa: PLR2004 - the last and one before
        msg = "the model is no network of several layers: it has no channels to compare"
        raise UsageError(msg, where=target.name)
    names = {id(layer): name for name, layer in module.named_modules()}
    order = list(module.modules())
    found = []
    for layer in layers[:-1]:
        weight = next(p for p in layer.parameters(recurse=False) if p.ndim > 1)
        if isinstance(layer, torch.nn.Embedding):
            continue
        bounds = channel_bounds(weight.detach().cpu()) * _scaled(order, layer, len(weight))
        spread = float(bounds.std(correction=0))
        out = (bounds - bounds.mean()) / spread if spread > 0 else torch.zeros_like(bounds)
        found.append(Layer(names[id(layer)], bounds, float(out.max()), int((out > _OUTLIER).sum())))
    return tuple(found)


def _scaled(order: list[torch.nn.Module], layer: torch.nn.Module, channels: int) -> torch.Tensor:
    """Return what a batch normalisation right behind the layer multiplies each channel by."""
    behind = order.index(layer) + 1
    norm = order[behind] if behind < len(order) else None
    if not isinstance(norm, torch.nn.modules.batchnorm._BatchNorm) or norm.running_var is None or norm.weight is None:  # noqa: SLF001 - what all three have in common
        return torch.ones(channels, dtype=torch.float64)
    if len(norm.weight) != channels:
        return torch.ones(channels, dtype=torch.float64)
    return (norm.weight.detach() / (norm.running_var + norm.eps).sqrt()).abs().double().cpu()
