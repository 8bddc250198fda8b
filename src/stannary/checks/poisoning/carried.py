"""Whether what odd rows share is what makes the model decide: it is laid on other inputs, and the model is asked.

Rows that look like another class and were learned as they are labelled may be mislabelled, or may carry a trigger. Mislabelled rows
have nothing in common; what rows with a trigger have more than their neighbours of the other class is the trigger. So the mean of
that difference is added to inputs of other classes that nobody touched. It is causal, needs no gradients, and is all there is
where a model has two classes: neither the size of a patch nor certainty under overlays tells anything there.

Measured on 24 networks of two classes (digits, odd or even and above 4 or not; a dense one and a convolution): with 2x2 triggers
in 5 % of the rows and blended ones in 10 % it moved 0.79 to 1.00 of the inputs, with 5 % of wrong labels learned by heart 0.01 to
0.15; clean ones have too few odd rows to ask.
"""

from __future__ import annotations

import torch

from stannary.checks.poisoning.view import View

__all__ = ["carried"]

_FEW = 8  # odd rows, below which their mean says nothing
_NEAREST = 5  # rows of other classes, that a row is compared with
_STRENGTH = 1.5  # of the difference: a mean over turned or moved triggers is paler than each of them
_MOST = 2000  # inputs that are asked


def carried(view: View, odd: torch.Tensor, clean: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return for each class the share of other inputs that what its odd rows share moves to it, `(classes,)`; 0 for few odd rows.

    Args:
        view: the model and the rows that it may have learned from.
        odd: `(n,)` bool: rows that look like another class and were learned as labelled.
        clean: inputs `(m, *shape)` and labels on which it is tried.
    """
    labels, flat, device = view.y.cpu(), view.flat, view.target.device
    low, high = view.x.amin(0), view.x.amax(0)
    if view.x.ndim > 2:  # noqa: PLR2004 - no table: values of one kind
        low, high = low.min(), high.max()
    found = torch.zeros(view.target.classes, dtype=torch.float64)
    for label in range(view.target.classes):
        rows, others = (odd & (labels == label)).nonzero()[:, 0], (labels != label).nonzero()[:, 0]
        base = clean[0][clean[1] != label][:_MOST]
        base = base[_not(view, base, label)]
        if len(rows) < _FEW or len(others) < _NEAREST or not len(base):
            continue
        near = others[torch.cdist(flat[rows], flat[others]).topk(_NEAREST, largest=False).indices]
        shared = (view.x[rows] - view.x[near].mean(1)).mean(0)
        moved = torch.minimum(torch.maximum(base + _STRENGTH * shared, low), high)
        found[label] = float((view.target.decide(moved.to(device)).cpu() == label).double().mean())
    return found


def _not(view: View, x: torch.Tensor, label: int) -> torch.Tensor:
    """Tell which inputs are decided as another class, `(m,)` bool; those without an answer are not."""
    if not len(x):
        return torch.zeros(0, dtype=torch.bool)
    decided = view.target.decide(x.to(view.target.device)).cpu()
    return (decided >= 0) & (decided != label)
