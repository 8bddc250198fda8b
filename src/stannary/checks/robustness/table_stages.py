"""The stages of tables, by preset: pull-back, the attack on trees where they can be read, HopSkipJump."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stannary.checks.robustness.attacks.hopskipjump import HopSkipJump
from stannary.checks.robustness.attacks.pullback import PullBack
from stannary.checks.robustness.attacks.trees import TreeAttack
from stannary.checks.robustness.engine import Attack
from stannary.checks.robustness.tree_model import Ensemble
from stannary.core.errors import UsageError

__all__ = ["TABLE_PRESETS", "table_stages"]


@dataclass(frozen=True)
class _Budget:
    """`rounds` of pull-back; `beam` and turns (`again`) on trees; `steps` of HopSkipJump: 20 are some 6,400 queries."""

    rounds: int
    beam: int
    again: int
    steps: int


TABLE_PRESETS = {
    "smoke": _Budget(2, 4, 1, 0),
    "gate": _Budget(8, 8, 6, 10),
    "standard": _Budget(8, 8, 6, 20),
    "paranoid": _Budget(32, 32, 12, 40),
}


def table_stages(preset: str, pool: tuple[torch.Tensor, torch.Tensor], trees: Ensemble | None = None) -> tuple[Attack, ...]:
    """Return the attacks of a preset.

    - `smoke`: pull-back from two rows a sample, a short search of trees: says that a model is weak, never that it is strong
    - `gate`: pull-back from eight rows, the attack on trees, ten steps of HopSkipJump
    - `standard`: the same with twenty steps
    - `paranoid`: pull-back from 32 rows, a wider search of trees, forty steps

    Args:
        preset: its name.
        pool: rows `(m, columns)` and their labels `(m,)` from which attacks begin.
        trees: of the model, where they can be read.

    Raises:
        UsageError: there is no such preset.
    """
    budget = TABLE_PRESETS.get(preset)
    if budget is None:
        msg = f"no such preset: {preset} (there are {', '.join(TABLE_PRESETS)})"
        raise UsageError(msg)
    stages: list[Attack] = [PullBack(pool, rounds=budget.rounds)]
    if trees is not None:
        stages.append(TreeAttack(trees, beam=budget.beam, again=budget.again))
    if budget.steps:
        stages.append(HopSkipJump(budget.steps, pool=pool))
    return tuple(stages)
