"""Models whose answer to an input depends on what else they are asked at the same time, or on nothing that is asked.

Attacks ask many inputs at once, and the checker asks those again that fooled the model, in other company. Of a model that works on
its batch (normalisation that was left in training, a vote, a scale that is taken from all rows) a success of one batch is none in
the next: it seems to stand attacks, and nobody who asks one input alone gets what was measured. So it is with a model that answers
differently each time, or by turns: an attack takes chance for progress. Of networks the signs of masked gradients tell that.
"""

from __future__ import annotations

import torch

from stannary.checks.target.counting import Counting
from stannary.checks.target.interface import BudgetSpent

__all__ = ["company_matters"]

_ASKED, _TOGETHER = 16, 64  # samples that are asked alone, too, and those among which they are asked
_NEAR = 0.05  # of the spread of a sample's scores: two classes nearer than that may change places by rounding
_MOVED = 0.5  # of the same: scores that are moved so far are no rounding, though the decision stays


def company_matters(target: Counting, x: torch.Tensor, *, chance: bool = False) -> str:
    """Tell what is wrong with a target that answers inputs `(n, *shape)` together otherwise than alone; "" if nothing is.

    One that answers the same batch differently is random: that is told of those without gradients, and with `chance` of others,
    too, where nobody looks for signs of masked gradients. Nothing is told of one with a budget, or one that is asked over a
    network, where an input costs, and each is its own.
    """
    if target.budget is not None or hasattr(target.inner, "calls") or len(x) < 2:  # noqa: PLR2004 - company
        return ""
    x = x[:_TOGETHER].to(target.device)
    ask = target.decide if target.access == "decision" else target.logits
    try:
        together, again = ask(x), ask(x)
        if other := _other(together, again):
            text = f"the model answers {other} of {len(x)} inputs otherwise when it is asked again: what it stands is chance"
            return text if chance or target.access != "white" else ""
        n = min(len(x), _ASKED)
    except BudgetSpent:
        return ""
    try:
        alone = torch.cat([ask(x[at : at + 1]) for at in range(n)])
    except Exception as error:  # noqa: BLE001 - a model is others' code, which may raise anything
        return f"the model cannot be asked about one input alone: {type(error).__name__}"
    other = _other(together[:n], alone)
    if not other:
        return ""
    told = "what attacks on batches say is not known to hold"
    return f"the model answers {other} of {n} inputs otherwise when it is asked alone: {told}"


def _other(together: torch.Tensor, alone: torch.Tensor) -> int:
    if together.ndim == 1:
        return int((together != alone).sum())
    a, b = together.double(), alone.double()
    spread = a.std(1)
    best = a.topk(2, dim=1).values
    clear = (best[:, 0] - best[:, 1]) > _NEAR * spread
    turned = (a.argmax(1) != b.argmax(1)) & clear
    moved = ((a - a.mean(1, keepdim=True)) - (b - b.mean(1, keepdim=True))).abs().amax(1) > _MOVED * spread
    silent = a.isnan().any(1) != b.isnan().any(1)
    return int((turned | moved | silent).sum())
