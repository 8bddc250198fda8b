"""What the rows most like a row are called (after Peri et al. 2020, deep k-NN): a relabelled row lies among those of its old class.

Likeness is measured in the inputs, not in the poisoned network. It means something for tables and small or centred pictures; of
large photographs it means little.
"""

from __future__ import annotations

import torch

from stannary.checks.poisoning.view import View

__all__ = ["neighbour_labels", "neighbours"]

_CHUNK = 512
K = 10


def neighbour_labels(view: View, k: int = K) -> torch.Tensor:
    """Return for each row the share of each label among its `k` nearest other rows, `(n, classes)` float64."""
    rows = view.flat
    k = min(k, len(rows) - 1)
    out = torch.zeros(len(rows), view.target.classes, dtype=torch.float64)
    if k < 1:
        return out
    labels = view.y.cpu()
    squares = rows.square().sum(1)
    for at in torch.arange(len(rows)).split(_CHUNK):
        far = squares - 2 * rows[at] @ rows.T  # the row's own square is the same for all
        far[torch.arange(len(at)), at] = torch.inf
        near = far.topk(k, largest=False).indices
        out[at] = out[at].scatter_add(1, labels[near], torch.full(near.shape, 1 / k, dtype=torch.float64))
    return out


def neighbours(view: View, k: int = K) -> torch.Tensor:
    """Return the share of a row's nearest rows that have another label, `(n,)`."""
    return 1 - neighbour_labels(view, k)[torch.arange(len(view.y)), view.y.cpu()]
