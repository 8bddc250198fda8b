"""What attacks a network or function that shows no gradients: a surrogate that imitates it, and decisions alone.

The surrogate is a small network that decides as the target does on the data; what fools it is tried on the target (transfer). A
target that gives labels alone is walked around by HopSkipJump, too: Square takes scores.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from stannary.checks.robustness.attacks.hopskipjump import HopSkipJump
from stannary.checks.robustness.attacks.transfer import Transfer, imitate
from stannary.checks.robustness.engine import Attack
from stannary.checks.robustness.presets import Plan
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.core.errors import BackendError, InputError

__all__ = ["without_gradients"]

_ROWS = 1000  # on which the surrogate is made: three queries each
_SHARE, _FEWEST = 20, 32  # a budget that has 20 queries for each of so many rows is enough for a surrogate
_WALKS = {"gate": 10, "standard": 20, "paranoid": 40}  # steps of HopSkipJump
_LEAST = 0.6  # of the rows decided as the target does: below it nothing that fools the surrogate is expected to transfer


def without_gradients(plan: Plan, target: Counting, pool: Dataset, norm: str, seed: int) -> tuple[Plan, str]:
    """Return the plan with what a target without gradients is attacked by, and why there is no surrogate, if there is none.

    Args:
        plan: of a preset; its stages that take gradients are skipped later.
        target: any; with gradients the plan stays as it is.
        pool: rows that the surrogate is trained on, and decision attacks begin at.
        norm: of the radius.
        seed: of everything random.
    """
    if target.access == "white" or norm not in Transfer.norms:
        return plan, ""
    most = _ROWS if target.budget is None else min(_ROWS, target.budget // _SHARE)
    if most < _FEWEST:
        return plan, f"no transfer: of a budget of {target.budget} queries too few are left for a surrogate"
    rows = pool.take(torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))[:most])
    stages: list[Attack] = []
    unable = ""
    try:
        x = rows.x.to(target.device)
        surrogate = imitate(target, x, seed=seed)
        agreed = float((surrogate.decide(x) == target.decide(x)).double().mean())
        if agreed >= _LEAST:
            stages.append(Transfer(surrogate, 40))
        else:
            unable = f"no transfer: the surrogate decides {agreed:.0%} of the data as the model does"
    except (InputError, BackendError) as error:  # the budget, or a target that is gone: the other attacks say so, too
        unable = f"no transfer: {error.message}"
    if target.access == "decision" and plan.id in _WALKS:
        stages.append(HopSkipJump(_WALKS[plan.id], pool=(rows.x.to(target.device), rows.y.to(target.device))))
    return replace(plan, stages=(*stages, *plan.stages)), unable
