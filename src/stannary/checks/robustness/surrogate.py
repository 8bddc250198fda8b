"""What attacks a network or function that shows no gradients: a surrogate that imitates it, and decisions alone.

The surrogate is given, or a small network that decides as the target does on the data; what fools it is tried on the target
(transfer). A target that gives labels alone is walked around by HopSkipJump, too: Square takes scores.
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
from stannary.checks.target.interface import Target
from stannary.core.errors import BackendError, InputError

__all__ = ["without_gradients"]

_ROWS = 1000  # on which the surrogate is made: three queries each
_SHARE, _FEWEST = 20, 32  # a budget that has 20 queries for each of so many rows is enough for a surrogate
_WALKS = {"gate": 10, "standard": 20, "paranoid": 40}  # steps of HopSkipJump
_LEAST = 0.6  # of the rows decided as the target does: below it nothing that fools the surrogate is expected to transfer


def without_gradients(
    plan: Plan, target: Counting, pool: Dataset, norm: str, seed: int, given: Target | None = None
) -> tuple[Plan, str]:
    """Return the plan with what a target without gradients is attacked by, and why there is no surrogate, if there is none.

    Args:
        plan: of a preset; its stages that take gradients are skipped later.
        target: any; with gradients the plan stays as it is.
        pool: rows that the surrogate is trained on, and decision attacks begin at.
        norm: of the radius.
        seed: of everything random.
        given: a surrogate; examples of it are tried first, on a target with gradients, too.
    """
    if given is not None and norm not in Transfer.norms:
        return plan, f"no transfer: examples are made on a surrogate within {' or '.join(Transfer.norms)}, not {norm}"
    if given is not None:
        plan = replace(plan, stages=(Transfer(given, 40), *plan.stages))
    if target.access == "white" or norm not in Transfer.norms:
        return plan, ""
    most = _ROWS if target.budget is None else min(_ROWS, target.budget // _SHARE)
    if most < _FEWEST:
        return plan, f"no transfer: of a budget of {target.budget} queries too few are left for a surrogate"
    rows = pool.take(torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))[:most])
    stages, unable = ([], "") if given is not None else _imitation(target, rows, seed)
    if target.access == "decision" and plan.id in _WALKS:
        stages = [*stages, HopSkipJump(_WALKS[plan.id], pool=(rows.x.to(target.device), rows.y.to(target.device)))]
    return replace(plan, stages=(*stages, *plan.stages)), unable


def _imitation(target: Counting, rows: Dataset, seed: int) -> tuple[list[Attack], str]:
    """Return the attack through a network that imitates the target on these rows, or why there is none."""
    try:
        x = rows.x.to(target.device)
        surrogate = imitate(target, x, seed=seed)
        agreed = float((surrogate.decide(x) == target.decide(x)).double().mean())
    except (InputError, BackendError) as error:  # the budget, or a target that is gone: the other attacks say so, too
        return [], f"no transfer: {error.message}"
    if agreed < _LEAST:
        return [], f"no transfer: the surrogate decides {agreed:.0%} of the data as the model does"
    return [Transfer(surrogate, 40)], ""
