"""What an attack climbs: functions of logits `(n, classes)` and labels `(n,)` that give one loss a sample, greater is worse."""

from __future__ import annotations

import torch

__all__ = ["cross_entropy", "dlr", "margin", "targeted_dlr"]


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy."""
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return by how much the best other class beats the label: positive where the sample is fooled."""
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return others.amax(1) - own[:, 0]


def dlr(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the difference-of-logits ratio (Croce and Hein 2020, equation 6); the plain margin where there are two classes."""
    if logits.shape[1] < 3:  # noqa: PLR2004 - its denominator takes three classes
        return margin(logits, labels)
    ordered = logits.sort(1, descending=True).values
    return margin(logits, labels) / (ordered[:, 0] - ordered[:, 2] + 1e-12)


def targeted_dlr(logits: torch.Tensor, labels: torch.Tensor, towards: torch.Tensor) -> torch.Tensor:
    """Return the targeted ratio (Croce and Hein 2020, equation 7): rises as `towards` `(n,)` beats `labels`. Takes four classes."""
    ordered = logits.sort(1, descending=True).values
    gap = logits.gather(1, towards[:, None]) - logits.gather(1, labels[:, None])
    return gap[:, 0] / (ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2 + 1e-12)
