"""The suite: what `stannary evaluate --suite poisoning` says of how a model is trained, a part of the report card.

    found = training_suite(recipe.factory, (training, test), target.classes, options=Options(), recipe=recipe.note)
    found.part            # `card.Poisoning`: accuracy and the attacker's success for each attack and share of the rows
    found.measurements    # `poisoning.success_at_5pct`, `poisoning.accuracy_at_5pct`: what policies bound

The training data is poisoned by real attacks, models are trained on what comes of it as the target was, and what they have learned
is counted on clean test data. All models start and draw alike, so that what differs is the poison. A data set that was poisoned is
the clean one with other rows in place of some; only those are held a second time, and networks of one architecture are trained as
one stack (`privacy/shadows.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from stannary.checks.poisoning.attacks import BadNets, Blended, CleanLabel, Columns, LabelFlip
from stannary.checks.poisoning.fine_tuning import NAME, FineTuned, fine_tuned
from stannary.checks.poisoning.interface import Attack, Poisoned
from stannary.checks.poisoning.seeds import derive, generator
from stannary.checks.target.card import Poisoning, PoisonPoint
from stannary.checks.target.data import Dataset
from stannary.checks.target.interface import Target
from stannary.checks.target.statistics import rate
from stannary.core.errors import InputError, UsageError
from stannary.core.evidence import Measurement

__all__ = ["Factory", "Measured", "Options", "drawn", "training_suite"]

ROWS, TESTED = 10_000, 2000  # rows that are trained on, and asked about, at most
_ALPHA = 0.2  # of the blended pattern, as in Chen et al. 2017
_COLUMNS = 3  # of a table that carry a trigger
_PIXELS = 4  # axes of a batch of pictures
_ATLAS, _OWASP = ("AML.T0020", "AML.T0018.000"), ("ML02:2023", "ML10:2023")


class Factory(Protocol):
    """Trains models as the target was trained; see `stannary.checks.privacy.shadows.Factory`."""

    group: int

    def outputs(self, x: torch.Tensor, y: torch.Tensor, chosen: torch.Tensor, seeds: list[int]) -> torch.Tensor:
        """Train one model on each row of `chosen` `(g, m)`, indices into `x` `(n, *shape)`; return logits `(g, n, classes)`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure.

    Args:
        shares: of the training rows that the attacker changes.
        bounds: between which values inputs lie.
        surrogate: a white-box model of the task, with which an attacker makes poison whose labels are right, and from which others
            may fine-tune; None: none is made.
        seed: of everything random.
    """

    shares: tuple[float, ...] = (0.01, 0.05)
    bounds: tuple[float, float] = (0.0, 1.0)
    surrogate: Target | None = None
    seed: int = 0


@dataclass(frozen=True)
class Measured:
    """The part of the card, what policies bound, what could not be said, what to do."""

    part: Poisoning
    measurements: tuple[Measurement, ...]
    incomplete: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    atlas: tuple[str, ...] = _ATLAS
    owasp: tuple[str, ...] = _OWASP


class _Variant(NamedTuple):
    """One poisoned data set: the attack, what it is called, what came of it, where its rows and its victims are."""

    attack: Attack
    name: str
    poisoned: Poisoned
    first: int  # of its changed rows among all inputs
    presented: slice  # its victims among all inputs, with the trigger
    truth: torch.Tensor


def drawn(training: Dataset, test: Dataset | None, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Return the rows to train on and to ask about: random ones where there are more; without a test three tenths of the rows.

    Raises InputError when there are too few.
    """
    if test is None:
        order = torch.randperm(len(training), generator=generator(seed, "test"))
        at = max(1, int(0.3 * len(training)))
        training, test = training.take(order[at:]), training.take(order[:at])
    few = [
        data.take(torch.randperm(len(data), generator=generator(seed, "drawn", turn))[:most].sort().values)
        if len(data) > most
        else data
        for turn, (data, most) in enumerate(((training, ROWS), (test, TESTED)))
    ]
    if len(few[0]) < 100 or len(few[1]) < 20:  # noqa: PLR2004 - one row is a share of 1 %; intervals say something
        msg = f"has {len(few[0])} rows to train on and {len(few[1])} to test: it takes 100 and 20 to say what poison does"
        raise InputError(msg, where=training.source)
    return few[0], few[1]


def training_suite(
    factory: Factory, data: tuple[Dataset, Dataset], classes: int, *, options: Options, recipe: str = ""
) -> Measured:
    """Poison the training data, train on it, and count what the attacker won.

    Args:
        factory: trains models as the target was trained.
        data: clean rows to train on, and rows of the same kind to test on.
        classes: of the model.
        options: which attacks, and how much of the data they change.
        recipe: how models are trained, for the record.

    Raises:
        UsageError: a share is none.
        InputError: a model gives no answer for a row, or no attack can be made on this data.
    """
    training, test = data
    x, y, variants, skipped = _laid_out(training, test, options)
    clean = torch.arange(len(training))
    rows = [clean]
    for one in variants:
        own = clean.clone()
        own[one.poisoned.changed] = torch.arange(one.first, one.first + len(one.poisoned.changed))
        rows.append(own)
    decided = _decided(factory, (x, y), torch.stack(rows), derive(options.seed, "training") % 2**31)
    asked = slice(len(training), len(training) + len(test))
    before = rate(int((decided[0, asked] == test.y).sum()), len(test))
    points = []
    for turn, one in enumerate(variants, 1):
        won = [one.attack.wanted(decided[at, one.presented], one.truth) for at in (turn, 0)]
        points.append(
            PoisonPoint(
                attack=one.name, share=one.poisoned.share, changed=len(one.poisoned.changed),
                accuracy=rate(int((decided[turn, asked] == test.y).sum()), len(test)),
                success=rate(int(won[0].sum()), len(won[0])), without=rate(int(won[1].sum()), len(won[1])),
            )
        )  # fmt: skip
    tuned = _tuned(training, test, options)
    skipped |= {NAME: tuned.unable} if tuned.unable else {}
    points += tuned.points
    part = Poisoning(
        rows=len(training), accuracy=before, tuned=tuned.accuracy, points=tuple(points), recipe=recipe, skipped=skipped
    )  # fmt: skip
    usable = before.low > float(torch.bincount(test.y, minlength=classes).max()) / len(test)
    said = f"poisoning: models that are trained on the data decide {before.value:.0%} of the test: too little to judge poison"
    return Measured(part, _measurements(part, options, usable=usable), () if usable else (said,), _next(part) if usable else ())


def _tuned(training: Dataset, test: Dataset, options: Options) -> FineTuned:
    """Poison those who fine-tune from the model; tables are left out, whose columns cannot all move a little."""
    if training.kind == "table":
        return FineTuned()
    if options.surrogate is None:
        return FineTuned(unable="takes a network that others can fine-tune: the model shows no gradients")
    _, aim = _ends(torch.bincount(training.y, minlength=training.classes))
    return fine_tuned(options.surrogate, (training, test), aim, options.shares, options.bounds, seed=options.seed)


def _laid_out(
    training: Dataset, test: Dataset, options: Options
) -> tuple[torch.Tensor, torch.Tensor, list[_Variant], dict[str, str]]:
    """Return all inputs and labels, the poisoned data sets as rows of them, and which attacks cannot be made, and why."""
    inputs, labels, variants = [training.x, test.x], [training.y, test.y], []
    skipped: dict[str, str] = {}
    end = len(training) + len(test)
    for share in options.shares:
        for name, attack in _attacks(training, share, options):
            victims = attack.victims(test.x, test.y)
            try:
                poisoned = attack.poison(training.x, training.y)
            except UsageError as error:
                skipped[name] = error.message
                continue
            if not bool(victims.any()):
                skipped[name] = "no row of the test is one that it is aimed at"
                continue
            shown = attack.trigger(test.x[victims])
            first, seen = end, end + len(poisoned.changed)
            end = seen + len(shown)
            inputs += [poisoned.x[poisoned.changed], shown]
            labels += [poisoned.y[poisoned.changed], test.y[victims]]
            variants.append(_Variant(attack, name, poisoned, first, slice(seen, end), test.y[victims]))
    if not variants:
        msg = f"cannot be poisoned: {'; '.join(f'{name}: {why}' for name, why in skipped.items())}"
        raise InputError(msg, where=training.source)
    return torch.cat(inputs), torch.cat(labels), variants, skipped


def _attacks(data: Dataset, share: float, options: Options) -> list[tuple[str, Attack]]:
    """Return what is tried on this kind of data: wrong labels, and triggers that go with its inputs."""
    counts = torch.bincount(data.y, minlength=data.classes)
    source, aim = _ends(counts)
    seed, (low, high) = options.seed, options.bounds
    names = [data.label_names[label] if label < len(data.label_names) else str(label) for label in (source, aim)]
    found: list[tuple[str, Attack]] = [
        ("label-flip", LabelFlip(share, seed=seed)),
        (f"label-flip, {names[0]} as {names[1]}", LabelFlip(share, source, aim, seed)),
    ]
    carrier: BadNets | Columns | None = None
    if data.kind == "table":
        carrier = Columns.rare(data.x, _finest(data.x), target=aim, share=share, seed=seed)
        return [*found, ("badnets-columns", carrier)]
    if data.x.ndim == _PIXELS:
        carrier = BadNets(aim, share, low=low, high=high, seed=seed)
        found.append(("badnets", carrier))
    pattern = low + (high - low) * torch.rand(data.shape, generator=generator(seed, "pattern"))
    found.append(("blended", Blended(aim, share, _ALPHA, pattern.to(data.x), seed)))
    if carrier is not None and options.surrogate is not None:
        radius = 0.2 * (high - low)
        hard = CleanLabel(options.surrogate, carrier, aim, share, radius, low=low, high=high, seed=seed)
        found.append(("clean-label", hard))
    return found


def _ends(counts: torch.Tensor) -> tuple[int, int]:
    """Return the commonest class, and the rarest that there is: what an attacker turns, and into what."""
    there = counts.nonzero()[:, 0]
    source = int(there[counts[there].argmax()])
    others = there[there != source]
    return source, int(others[counts[others].argmin()]) if len(others) else source


def _finest(x: torch.Tensor) -> tuple[int, ...]:
    """Return the columns with the most values: their rare ones are seldom met together."""
    values = torch.tensor([len(column.unique()) for column in x.T])
    return tuple(values.argsort(descending=True, stable=True)[:_COLUMNS].sort().values.tolist())


def _decided(factory: Factory, data: tuple[torch.Tensor, torch.Tensor], rows: torch.Tensor, seed: int) -> torch.Tensor:
    """Train a model on each row of `rows`, and return what each decides of all inputs, `(models, n)`."""
    found = []
    for some in rows.split(max(1, factory.group)):
        logits = factory.outputs(*data, some, [seed] * len(some)).cpu()
        if logits.isnan().any():
            msg = "a model that was trained on the data gives no answer for some rows"
            raise InputError(msg)
        found.append(logits.argmax(-1))
    return torch.cat(found)


def _measurements(part: Poisoning, options: Options, *, usable: bool) -> tuple[Measurement, ...]:
    found = []
    for share in options.shares:
        at = f"at_{share * 100:g}pct"
        points = [one for one in part.points if one.share == share and one.attack != NAME]
        found += [_collision(one, at, options.seed) for one in part.points if one.share == share and one.attack == NAME]
        if not points:
            continue
        aimed = [one.success for one in points if one.attack != "label-flip"]  # which has no aim but to do harm
        for name, rates, worst in (("success", aimed, max), ("accuracy", [one.accuracy for one in points], min)):
            if rates:
                one = worst(rates, key=lambda item: item.value)
                ends = (min(item.low for item in rates), one.high) if worst is min else (one.low, max(item.high for item in rates))
                low, high = ends if usable else (0.0, 1.0)
                found.append(
                    Measurement(metric=f"poisoning.{name}_{at}", value=one.value, low=low, high=high, n=one.n, seed=options.seed)
                )
    return tuple(found)


def _collision(one: PoisonPoint, at: str, seed: int) -> Measurement:
    """Return what is won of those who fine-tune from the model: another harm than that to models trained from nothing."""
    rate_ = one.success
    return Measurement(metric=f"poisoning.collision_{at}", value=rate_.value, low=rate_.low, high=rate_.high, n=rate_.n, seed=seed)


def _next(part: Poisoning) -> tuple[str, ...]:
    """Return what to do about attacks that work."""
    working = {one.attack for one in part.points if one.success.low > one.without.high}
    found = []
    if working - {"label-flip"}:
        found.append("who may write training data? `stannary sign` it, and look for triggers: --suite backdoor --members FILE")
    if any(one.accuracy.high < part.accuracy.low or ("flip" in one.attack and one.attack in working) for one in part.points):
        found.append("look for wrong labels before training: --suite labels")
    return tuple(found)
