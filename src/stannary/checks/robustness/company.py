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
from stannary.core.errors import BackendError

__all__ = ["company_matters", "costs"]

_ASKED, _TOGETHER = 16, 64  # samples that are asked alone, too, and those among which they are asked
_NEAR = 0.05  # of the spread of a sample's scores: two classes nearer than that may change places by rounding
_PART, _REMOTE = 20, 8  # of a budget a twentieth; samples that an endpoint is asked alone, too
_MOVED = 0.5  # of the same: scores that are moved so far are no rounding, though the decision stays


def costs(target: Counting) -> bool:
    """Tell whether a query has a price: a budget ends them, or they go over a network. Such a target is looked at first."""
    return target.budget is not None or hasattr(target.inner, "calls")


def company_matters(target: Counting, x: torch.Tensor, *, chance: bool = False) -> str:
    """Tell what is wrong with a target that answers inputs `(n, *shape)` together otherwise than alone; "" if nothing is.

    One that answers the same batch differently is random: that is told of those without gradients, and with `chance` of others,
    too, where nobody looks for signs of masked gradients. Where a query has a price few are made (a twentieth of the budget), and
    a target's `notes` say so where they are too few. An endpoint that takes one row a request gives each its own answer.
    """
    if len(x) < 2 or getattr(getattr(target.inner, "request", None), "batch", 2) < 2:  # noqa: PLR2004 - company
        return ""
    if costs(target):
        return _for_little(target, x.to(target.device))
    x = x[:_TOGETHER].to(target.device)
    ask = target.decide if target.access == "decision" else target.logits
    together, again = ask(x), ask(x)
    if other := _other(together, again):
        return _by_chance(other, len(x)) if chance or target.access != "white" else ""
    return _alone(target, x, together)


def _for_little(target: Counting, x: torch.Tensor) -> str:
    """Look with few queries: each sample together with the others and alone, and together once more only if these differ."""
    share = _REMOTE * 3 if target.budget is None else target.budget // _PART
    n = min(len(x), _ASKED if not hasattr(target.inner, "calls") else _REMOTE, share // 3)
    if n < 2:  # noqa: PLR2004 - company
        text = (
            f"whether its answers depend on what else is asked was not checked: a twentieth of {target.budget} queries is too few"
        )
        getattr(target.inner, "notes", []).append(text)
        return ""
    x = x[:n]
    ask = target.decide if target.access == "decision" else target.logits
    try:
        together = ask(x)
        if not (told := _alone(target, x, together)):
            return ""
        other = _other(together, ask(x))
    except (BudgetSpent, BackendError) as exc:  # the attacks meet that, too, but an endpoint may have come back by then
        text = f"whether its answers depend on what else is asked was not checked: {exc}"
        getattr(target.inner, "notes", []).append(text)
        return ""
    return _by_chance(other, n) if other and target.access != "white" else told


def _by_chance(other: int, n: int) -> str:
    return f"the model answers {other} of {n} inputs otherwise when it is asked again: what it stands is chance"


def _alone(target: Counting, x: torch.Tensor, together: torch.Tensor) -> str:
    ask = target.decide if target.access == "decision" else target.logits
    n = min(len(x), _ASKED)
    try:
        alone = torch.cat([ask(x[at : at + 1]) for at in range(n)])
    except (BudgetSpent, BackendError):
        raise
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
