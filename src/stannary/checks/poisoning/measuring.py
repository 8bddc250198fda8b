"""What an attack on training data achieves: the model that the given training function makes of it, beside one of clean data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from stannary.checks.poisoning.interface import Attack, Poisoned, Train
from stannary.checks.target.statistics import Rate, rate
from stannary.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from stannary.checks.target.interface import Target

__all__ = ["Effect", "decisions", "measure"]

Samples = tuple[torch.Tensor, torch.Tensor]
_BATCH = 512


@dataclass(frozen=True)
class Effect:
    """What came of it. Every rate with its exact interval.

    - `accuracy`: of the poisoned model on clean test data; `accuracy_before`: of the model of clean data
    - `success`: victims on which the attacker got what was wanted; `success_before`: the same of the clean model, which is what
      the trigger or chance alone do
    - `changed`: rows of `rows`; `target`, `clean`: both models
    """

    attack: str
    changed: int
    rows: int
    accuracy: Rate
    accuracy_before: Rate
    success: Rate
    success_before: Rate
    seed: int
    poisoned: Poisoned
    target: Target
    clean: Target


def measure(
    train: Train, attack: Attack, training: Samples, test: Samples, *, clean: Target | None = None, seed: int = 0
) -> Effect:
    """Poison `training`, train on it, and count on `test` what the attacker won.

    Args:
        train: what makes a model of inputs, labels and a seed.
        attack: see `stannary.checks.poisoning.attacks`.
        training: inputs `(n, *shape)` and labels `(n,)`.
        test: clean samples of the same kind.
        clean: the model of the clean data, if there is one already; else it is trained here with the same seed.
        seed: of the training.

    Raises:
        UsageError: no victims are in the test data, or the attack cannot be made on this data.
        InputError: a model gives no answer for some of the test samples.
    """
    x, y = test
    if len(x) != len(y) or not len(x):
        msg = f"{len(x)} inputs and {len(y)} labels of the test"
        raise UsageError(msg)
    victims = attack.victims(x, y).cpu()
    if not bool(victims.any()):
        msg = f"none of the {len(x)} test samples is one that {attack.id} is aimed at"
        raise UsageError(msg)
    poisoned = attack.poison(*training)
    clean = train(*training, seed) if clean is None else clean
    target = train(poisoned.x, poisoned.y, seed)
    presented, truth = attack.trigger(x[victims]), y[victims]
    found = [
        (_hits(decisions(model, x) == y.cpu()), _hits(attack.wanted(decisions(model, presented), truth.cpu())))
        for model in (target, clean)
    ]
    return Effect(
        attack=attack.id, changed=len(poisoned.changed), rows=len(training[0]),
        accuracy=found[0][0], accuracy_before=found[1][0], success=found[0][1], success_before=found[1][1],
        seed=seed, poisoned=poisoned, target=target, clean=clean,
    )  # fmt: skip


def _hits(hit: torch.Tensor) -> Rate:
    return rate(int(hit.sum()), len(hit))


def decisions(target: Target, x: torch.Tensor) -> torch.Tensor:
    """Return the labels `(n,)` on the CPU, asked in batches. Raises InputError where there is no answer (-1)."""
    found = torch.cat([target.decide(part.to(target.device)).cpu() for part in x.split(_BATCH)])
    silent = int((found < 0).sum())
    if silent:
        msg = f"the model gives no answer for {silent} of {len(found)} samples"
        raise InputError(msg, where=target.name)
    return found
