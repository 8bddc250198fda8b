"""What poison makes of models that are fine-tuned from this network: its layers are kept, and the last one is trained anew.

Poison frogs (Shafahi et al. 2018) are meant for that: who knows the network that others begin with knows what their models will
see. A few test samples are chosen, rows of another class are moved to where the network sees those, and the labels stay right.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from stannary.checks.poisoning.activations import activations
from stannary.checks.poisoning.attacks import FeatureCollision
from stannary.checks.poisoning.seeds import generator
from stannary.checks.target.card import PoisonPoint
from stannary.checks.target.data import Dataset
from stannary.checks.target.interface import Target
from stannary.checks.target.statistics import Rate, rate
from stannary.core.errors import BackendError, InputError, UsageError

__all__ = ["NAME", "RADIUS", "VICTIMS", "FineTuned", "fine_tuned"]

NAME = "feature-collision"
VICTIMS = 20  # each is a sample that the attacker wants decided otherwise, by rows of its own
RADIUS = 0.2  # of the span of inputs, as the other poison whose labels are right: people would see more
_BETA = 0.01  # closeness to the row as it was, in the units of the features
_STEPS = 200
_DECAY = 1e-4
_TURNS = 200  # of L-BFGS


class FineTuned(NamedTuple):
    """Points of the card, the accuracy of the last layer that was trained on clean rows, and why nothing could be said."""

    points: tuple[PoisonPoint, ...] = ()
    accuracy: Rate | None = None
    unable: str = ""


def fine_tuned(
    target: Target,
    data: tuple[Dataset, Dataset],
    aim: int,
    shares: tuple[float, ...],
    bounds: tuple[float, float] = (0.0, 1.0),
    *,
    seed: int = 0,
) -> FineTuned:
    """Poison what the last layer is trained on, and count which of the chosen test samples are decided as `aim` then.

    Args:
        target: a network that can be looked into, which attacker and victim begin with.
        data: clean rows to train on, and rows of the same kind to test on.
        aim: the class whose rows are changed.
        shares: of the training rows that the attacker changes.
        bounds: between which values inputs lie.
        seed: of everything random.
    """
    training, test = data
    radius = RADIUS * (bounds[1] - bounds[0])
    try:
        seen, asked = activations(target, training.x).double(), activations(target, test.x).double()
        if not bool(seen.isfinite().all() & asked.isfinite().all()):
            return FineTuned(unable="the network gives no answer for some rows")
        classes = int(max(target.classes, int(training.y.max()) + 1))
        before = _head(seen, training.y, asked, classes)
        right = ((before == test.y) & (test.y != aim)).nonzero()[:, 0]
        if not len(right):
            return FineTuned(unable="a last layer that is trained on clean rows gets no row of another class right")
        order = right[torch.randperm(len(right), generator=generator(seed, "victims"))]
        points = []
        for share in shares:
            victims = order[: max(1, min(VICTIMS, int(share * len(training))))]
            attack = FeatureCollision(
                target, test.x[victims], aim, share, _BETA, _STEPS, low=bounds[0], high=bounds[1], eps=radius, seed=seed
            )  # fmt: skip
            poisoned = attack.poison(training.x, training.y)
            moved = seen.clone()
            moved[poisoned.changed] = activations(target, poisoned.x[poisoned.changed]).double()
            after = _head(moved, training.y, asked, classes)
            won, without = (int(attack.wanted(one[victims], test.y[victims]).sum()) for one in (after, before))
            points.append(
                PoisonPoint(
                    attack=NAME, share=share, changed=len(poisoned.changed), accuracy=rate(int((after == test.y).sum()), len(test)),
                    success=rate(won, len(victims)), without=rate(without, len(victims)),
                )
            )  # fmt: skip
    except (UsageError, InputError, BackendError) as error:  # no network, no such rows, a budget that is spent
        return FineTuned(unable=error.message)
    return FineTuned(tuple(points), rate(int((before == test.y).sum()), len(test)))


def _head(seen: torch.Tensor, labels: torch.Tensor, asked: torch.Tensor, classes: int) -> torch.Tensor:
    """Train a last layer on activations `(n, features)`, and return what it decides of others, `(m,)`."""
    mean, wide = seen.mean(0), seen.std(0, correction=0).clamp_min(1e-6)
    x, y = (seen - mean) / wide, labels
    weight = torch.zeros(x.shape[1] + 1, classes, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=_TURNS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weight[:-1] + weight[-1], y) + _DECAY * weight[:-1].square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    held = weight.detach()
    return (((asked - mean) / wide) @ held[:-1] + held[-1]).argmax(1)
