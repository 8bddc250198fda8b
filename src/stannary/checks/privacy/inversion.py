"""Model inversion (Fredrikson et al. 2015): inputs that the model takes for typical of a class, and what they show.

A model that is sure of something is not yet inverted: adversarial noise does that, too. What is made is therefore shown to another
classifier, which was trained on other data, and held against the means of the training data; it has to pass both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stannary.checks.privacy.seeds import generator
from stannary.checks.privacy.surrogates import Surrogate, train_surrogate
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.interface import BudgetSpent, Target
from stannary.checks.target.statistics import Rate, rate
from stannary.core.errors import InputError, UsageError

__all__ = ["InversionOptions", "InversionResult", "invert"]

_DIRECTIONS = 16  # pairs, for a gradient from scores
_SMALL = 0.05  # of a feature's span: the step of a difference


@dataclass(frozen=True, kw_only=True)
class InversionOptions:
    """How hard to try.

    Args:
        starts: random places to start from for each class; the one counts of which the model is surest.
        steps: of ascent.
        rate: of a feature's span, for each step.
        smooth: weight of the total variation of a picture.
        prior: weight of the squared distance from the middle of the attacker's data, in spreads; what tells nothing stays there.
    """

    starts: int = 4
    steps: int = 150
    rate: float = 0.02
    smooth: float = 0.05
    prior: float = 0.02


@dataclass(frozen=True)
class InversionResult:
    """What was made: `inputs` `(classes, *shape)`, one for each of the classes `labels`.

    - `recognised`: share to which a classifier trained on other data gives the class, and which lie nearer to the mean of the
      class's training data than to that of any other class
    - `judged`, `nearest`: share that passes either; guessing passes in a share of `chance`
    - `confidence`: the model's own, the mean over all
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    recognised: Rate
    judged: Rate
    nearest: Rate
    confidence: float
    chance: float
    judge_accuracy: float  # share of the attacker's own data that the classifier gets right
    queries: int
    backward: int


def invert(
    target: Target, members: Dataset, nonmembers: Dataset, *, options: InversionOptions | None = None, seed: int = 0
) -> InversionResult:
    """Make inputs typical of every class, by gradients where the target has any, by its scores otherwise, and judge them.

    Args:
        target: the model, or the counter around it.
        members: its training data; only their means are used, to judge.
        nonmembers: what the attacker has: bounds of the features, and what the judging classifier is trained on.
        options: how hard to try.
        seed: the result repeats.

    Raises:
        UsageError: the target gives labels alone.
        InputError: a class has no training data, or there are too few others.
    """
    options = options or InversionOptions()
    counted = target if isinstance(target, Counting) else Counting(target)
    if counted.access == "decision":
        msg = "inversion takes scores, and the target gives labels alone"
        raise UsageError(msg, where=counted.name)
    present = members.y.unique()
    if len(present) < 2 or len(nonmembers) < 10:  # noqa: PLR2004 - something to tell apart
        msg = f"{len(present)} classes among members and {len(nonmembers)} others: it takes two, and ten"
        raise InputError(msg, where=members.source)
    before = counted.spend.copy()
    starts = present.repeat_interleave(options.starts)
    made = _ascend(counted, nonmembers.x, starts, options, seed)
    sure = counted.logits(made.to(counted.device)).double().softmax(1).cpu().gather(1, starts[:, None])[:, 0]
    spent = counted.spend.since(before)
    sure, best = sure.nan_to_num(0.0).reshape(len(present), -1).max(1)
    made = made.unflatten(0, (len(present), -1))[torch.arange(len(present)), best]
    judge, share = _judge(nonmembers, counted.classes, seed)
    judged = judge.decide(made).cpu() == present
    means = torch.stack([members.x[members.y == label].mean(0) for label in present]).flatten(1).double()
    scale = nonmembers.x.flatten(1).double().std(0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    nearest = torch.cdist(made.flatten(1).double() / scale, means / scale).argmin(1) == torch.arange(len(present))
    return InversionResult(
        inputs=made,
        labels=present,
        recognised=rate(int((judged & nearest).sum()), len(present)),
        judged=rate(int(judged.sum()), len(present)),
        nearest=rate(int(nearest.sum()), len(present)),
        confidence=float(sure.mean()),
        chance=1 / len(present),
        judge_accuracy=share,
        queries=spent.queries,
        backward=spent.backward,
    )


def _judge(data: Dataset, classes: int, seed: int) -> tuple[Surrogate, float]:
    """Return a classifier trained on the attacker's data, and how much of what it was not trained on it gets right."""
    order = torch.randperm(len(data), generator=generator(seed, "judge"))
    held, rest = order[: len(order) // 5], order[len(order) // 5 :]
    judge, _ = train_surrogate(data.x[rest], torch.nn.functional.one_hot(data.y[rest], classes).double(), seed)
    return judge, float((judge.decide(data.x[held]).cpu() == data.y[held]).double().mean())


def _ascend(target: Counting, pool: torch.Tensor, labels: torch.Tensor, options: InversionOptions, seed: int) -> torch.Tensor:
    """Return inputs `(n, *shape)` of which the model says `labels`, in the bounds of the attacker's data."""
    low, high = pool.amin(0), pool.amax(0)
    span = high - low
    middle, spread = pool.mean(0), pool.std(0)
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    draw = generator(seed, "inversion")
    x = middle + 0.3 * spread * torch.randn((len(labels), *pool.shape[1:]), generator=draw, dtype=torch.float64).to(pool.dtype)
    x = x.clamp(low, high)
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(1, options.steps + 1):
        try:
            grad = _gradient(target, x, labels, (span, draw))
        except BudgetSpent:
            break
        grad = grad * span - _pull(x, (middle, spread), options) * span
        first, second = 0.9 * first + 0.1 * grad, 0.99 * second + 0.01 * grad.square()  # Adam (Kingma and Ba 2015)
        move = first / (1 - 0.9**step) / ((second / (1 - 0.99**step)).sqrt() + 1e-12)
        x = (x + options.rate * span * move).clamp(low, high)
    return x


def _pull(x: torch.Tensor, centre: tuple[torch.Tensor, torch.Tensor], options: InversionOptions) -> torch.Tensor:
    """Return the gradient of what keeps inputs natural: near the middle, and pictures smooth."""
    middle, spread = centre
    pull = options.prior * 2 * (x - middle) / spread.square()
    if x.ndim == 4 and options.smooth:  # noqa: PLR2004 - pictures
        with torch.enable_grad():
            inputs = x.detach().clone().requires_grad_(True)  # noqa: FBT003 - torch's
            rough = (inputs.diff(dim=2).square() + 1e-6).sqrt().sum() + (inputs.diff(dim=3).square() + 1e-6).sqrt().sum()
            (grad,) = torch.autograd.grad(rough, inputs)
        pull = pull + options.smooth * grad
    return pull


def _gradient(
    target: Counting, x: torch.Tensor, labels: torch.Tensor, context: tuple[torch.Tensor, torch.Generator]
) -> torch.Tensor:
    """Return the gradient of log p of the labels: the target's own, or one of differences along random directions (NES)."""
    wanted = labels.to(target.device)
    if target.access == "white":
        _, _, grad = target.gradient(x.to(target.device), lambda z: z.log_softmax(1).gather(1, wanted[:, None])[:, 0])
        return grad.cpu()
    span, draw = context
    noise = torch.randn((_DIRECTIONS, *x.shape), generator=draw, dtype=torch.float64).to(x.dtype)
    rows = torch.cat((x + _SMALL * span * noise, x - _SMALL * span * noise)).flatten(0, 1).to(target.device)
    said = target.logits(rows).log_softmax(1).cpu().unflatten(0, (2 * _DIRECTIONS, len(x)))
    log_p = said.gather(2, labels.expand(len(said), -1)[..., None])[..., 0].clamp_min(-50.0).to(x.dtype)
    gain = (log_p[:_DIRECTIONS] - log_p[_DIRECTIONS:]).reshape(_DIRECTIONS, len(x), *[1] * (x.ndim - 1))
    estimate = (gain * noise).mean(0) / (2 * _SMALL)
    return estimate / torch.where(span > 0, span, torch.ones_like(span))
