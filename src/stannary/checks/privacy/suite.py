"""The suite: what `stannary evaluate --suite privacy` measures, put together into a part of the report card.

measured = privacy_suite(target, members, nonmembers, shadows=32, seed=7)
measured.part            # `card.Privacy`: the strongest attack's curve, rates with intervals, what was refused and why
measured.measurements    # `privacy.membership.auc`, `privacy.membership.tpr_at_1pct`, ...: what policies bound
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from stannary.checks.privacy import membership
from stannary.checks.privacy.attributes import infer_attribute
from stannary.checks.privacy.attributes import metric_of as attribute_metric
from stannary.checks.privacy.extraction import Extraction, extract
from stannary.checks.privacy.inversion import invert
from stannary.checks.privacy.membership import AuditOptions
from stannary.checks.privacy.recipes import Recipe, Train, recipe_for
from stannary.checks.privacy.result import AttackResult, PrivacyResult
from stannary.checks.privacy.roc import RATES
from stannary.checks.privacy.seeds import generator
from stannary.checks.target.card import Privacy
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.interface import Target
from stannary.checks.target.statistics import Rate
from stannary.core.errors import InputError
from stannary.core.evidence import Measurement

__all__ = ["Measured", "Options", "metric_of", "privacy_suite"]

PREFIX = "privacy.membership."
_FAR = 1.7  # times half of the interval at 95 %: some 3.3 standard deviations, which chance has of a thousand models once
_IDS = {
    "membership": ("AML.T0024.000", "ML04:2023"),
    "inversion": ("AML.T0024.001", "ML03:2023"),
    "extraction": ("AML.T0024.002", "ML05:2023"),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure.

    Args:
        shadows: models to train, an even number; 0 for attacks that need none.
        samples: members, and non-members, to ask about at most: a random sample of each.
        rates: false-positive rates at which members are counted.
        workers: groups of shadows that are trained at one time.
        checkpoint: a folder in which trained shadows' confidences are kept, to go on after an interruption.
        bootstrap: rounds for the interval of the area.
        group: networks that are trained as one stack.
        extraction: budgets of queries at which copies of the model are made, of half the non-members; none by default, as they
            cost queries. Copies are judged on the other half.
        attributes: columns of a table that members would not have known, to be inferred.
        inversion: whether inputs typical of every class are made, and what they show is judged.
    """

    shadows: int = 32
    samples: int = 2000
    rates: tuple[float, ...] = RATES
    workers: int = 1
    checkpoint: Path | None = None
    bootstrap: int = 1000
    group: int = 8
    extraction: tuple[int, ...] = ()
    attributes: tuple[str, ...] = ()
    inversion: bool = False


@dataclass(frozen=True)
class Measured:
    """The part of the card, what policies bound, all attacks by themselves, and what could not be measured."""

    part: Privacy
    measurements: tuple[Measurement, ...]
    attacks: tuple[AttackResult, ...]
    incomplete: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()


def metric_of(fpr: float) -> str:
    """Return the name under which policies bound the share of members that are found, as `privacy.membership.tpr_at_1pct`."""
    return f"{PREFIX}tpr_at_{fpr * 100:g}pct"


def privacy_suite(
    target: Target,
    members: Dataset,
    nonmembers: Dataset,
    *,
    train: Train | None = None,
    options: Options | None = None,
    seed: int = 0,
) -> Measured:
    """Measure what a model gives away of who was in its training data.

    Args:
        target: the model, or the counter around it; one query a sample. Labels of both data sets are numbered as it numbers them
            (`Dataset.aligned`).
        members: its training data, or a random part of it.
        nonmembers: data of the same distribution that it was not trained on, as its test data. Rows that members have, too, are
            left out, and counted in a note.
        train: how it was trained, as a function of inputs, labels and a seed; without it see `recipes.recipe_for`.
        options: how thorough.
        seed: of everything random; the result repeats.

    Raises:
        UsageError: no samples are left, or an option makes no sense.
        InputError: the target gives no answer for some samples, or the data sets have different shapes.
    """
    options = options or Options()
    if members.shape != nonmembers.shape:
        msg = f"members have the shape {members.shape}, non-members {nonmembers.shape}"
        raise InputError(msg, where=nonmembers.source)
    counted = target if isinstance(target, Counting) else Counting(target)
    others, notes = _distinct(members, nonmembers)
    ours, theirs = (_drawn(one, options.samples, seed, at) for at, one in enumerate((members, others)))
    found, more_notes = _membership(counted, (ours, theirs), train, options, seed)
    notes += more_notes
    rates, refused = _rates(found)
    worst = found.worst
    copied = _copied(counted, theirs, options, seed)
    more = _others(counted, (ours, theirs), options, seed)
    part = Privacy(
        attack=worst.attack,
        auc=worst.auc,
        rates=rates | more.rates,
        refused=refused,
        roc=worst.roc,
        extraction=copied.curve if copied else (),
        shadows=found.shadows,
        notes=notes + (copied.notes if copied else ()) + more.notes,
    )
    named = {f"{PREFIX}auc": worst.auc} | {f"{PREFIX}{name}": one for name, one in rates.items()} | more.named
    named |= {f"privacy.extraction.fidelity_at_{point.eps:g}": point.accuracy for point in part.extraction}
    measurements = tuple(
        Measurement(metric=name, value=one.value, low=one.low, high=one.high, n=one.n, seed=seed) for name, one in named.items()
    )
    ids = [_IDS["membership"], *([_IDS["extraction"]] if copied else []), *more.ids]
    atlas, owasp = (tuple(names) for names in zip(*ids, strict=True))
    return Measured(part, measurements, found.attacks, _exchanged(found), atlas, owasp)


def _membership(
    target: Counting, data: tuple[Dataset, Dataset], train: Train | None, options: Options, seed: int
) -> tuple[PrivacyResult, tuple[str, ...]]:
    """Run the attacks on membership that mean something; return what they found, and with which shadows."""
    ours, theirs = data
    recipe = None
    if options.shadows and target.access != "decision":
        recipe = recipe_for(target, ours, train, seed=seed, group=options.group)
    found = membership.audit(
        target, (ours.x, ours.y), (theirs.x, theirs.y), recipe.factory if recipe else None,
        options=AuditOptions(
            attacks=_attacks(recipe), shadows=options.shadows or 2, rates=options.rates, bootstrap=options.bootstrap,
            workers=options.workers, checkpoint=options.checkpoint,
        ),
        seed=seed,
    )  # fmt: skip
    return found, _notes(recipe, target)


class _Others(NamedTuple):
    """Rates by what a report calls them, and by what a policy does; notes; ids in ATLAS and OWASP's list."""

    rates: dict[str, Rate]
    named: dict[str, Rate]
    notes: tuple[str, ...]
    ids: tuple[tuple[str, str], ...]


def _others(target: Counting, data: tuple[Dataset, Dataset], options: Options, seed: int) -> _Others:
    """Infer attributes and invert, as far as it is asked for."""
    rates: dict[str, Rate] = {}
    named: dict[str, Rate] = {}
    notes: list[str] = []
    ours, theirs = data
    for name in options.attributes:
        found = infer_attribute(target, ours, theirs, name, seed=seed)
        rates |= {f"{name}: inferred of members": found.members, f"{name}: guessed without the model": found.baseline}
        rates[f"{name}: advantage"] = named[attribute_metric(name)] = found.advantage
        notes.append(f"{name} was inferred by {found.attack}; of records that the model never saw, {found.others.value:.1%}")
    if options.inversion and target.access == "decision":
        notes.append("no inversion: it takes scores, and the target gives labels alone")
    elif options.inversion:
        made = invert(target, ours, theirs, seed=seed)
        rates["classes shown by inversion"] = named["privacy.inversion.recognised"] = made.recognised
        notes.append(f"inverted with {made.queries} queries, judged by a classifier that is right on {made.judge_accuracy:.1%}")
    done = "privacy.inversion.recognised" in named
    return _Others(rates, named, tuple(notes), (_IDS["inversion"],) if done or options.attributes else ())


def _copied(target: Counting, pool: Dataset, options: Options, seed: int) -> Extraction | None:
    """Copy the model with half of the data that its owner holds back, and judge the copies by the other half."""
    if not options.extraction:
        return None
    order = torch.randperm(len(pool), generator=generator(seed, "extraction"))
    half = len(pool) // 2
    return extract(target, pool.x[order[:half]], pool.x[order[half:]], budgets=options.extraction, seed=seed)


def _distinct(members: Dataset, nonmembers: Dataset) -> tuple[Dataset, tuple[str, ...]]:
    """Return the non-members without those that are members, too: what the model learned of one it knows of the other."""
    known = {row.tobytes() for row in members.x.cpu().numpy()}
    new = torch.tensor([row.tobytes() not in known for row in nonmembers.x.cpu().numpy()], dtype=torch.bool)
    left = int((~new).sum())
    if not left:
        return nonmembers, ()
    note = f"{left} of {len(nonmembers)} non-members are members, too, and were left out"
    return nonmembers.take(new.nonzero()[:, 0]), (note,)


def _drawn(data: Dataset, most: int, seed: int, index: int) -> Dataset:
    if len(data) <= most:
        return data
    return data.take(torch.randperm(len(data), generator=generator(seed, "sample", index))[:most])


def _attacks(recipe: Recipe | None) -> tuple[str, ...]:
    """Return the attacks that mean something: LiRA compares with shadows of the target's own kind, RMIA takes any reference."""
    return tuple(membership.ATTACKS) if recipe and recipe.faithful else ("loss", "rmia") if recipe else ("loss",)


def _notes(recipe: Recipe | None, target: Counting) -> tuple[str, ...]:
    if target.access == "decision":
        return ("the target gives labels alone: what is measured is the gap between its accuracy on members and on others",)
    if recipe is None:
        return ("no shadows were trained: attacks with them may find more",)
    return (recipe.note,)


def _exchanged(found: PrivacyResult) -> tuple[str, ...]:
    """Tell that the model knows the non-members better than the members: of data that was exchanged no leak is seen."""
    for one in found.attacks:
        if one.attack == "loss" and one.auc.value + _FAR * (one.auc.high - one.auc.value) < 0.5:  # noqa: PLR2004 - guessing
            text = "the model is surer of non-members than of members: they may have been exchanged, and no leak would be seen"
            return (text,)
    return ()


def _rates(found: PrivacyResult) -> tuple[dict[str, Rate], dict[str, str]]:
    """Return, for each metric, what the attack achieves that achieves most, and what is refused."""
    rates: dict[str, Rate] = {}
    refused: dict[str, str] = {}
    for at, point in enumerate(found.attacks[0].tpr):
        name = metric_of(point.fpr).removeprefix(PREFIX)
        if point.rate is None:
            refused[name] = point.refused
        else:
            rates[name] = max((one.tpr[at].rate or point.rate for one in found.attacks), key=lambda rate: rate.value)
    rates["advantage"] = max((one.advantage for one in found.attacks), key=lambda rate: rate.value)
    return rates, refused
