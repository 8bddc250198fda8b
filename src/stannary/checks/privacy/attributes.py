"""Attribute inference: who knows all but one column of a record, does the model tell them the rest?

Much of a column can be guessed from the others without any model. What counts is therefore the advantage over such a guess, made by
somebody with as much other data, on the same records; and how much greater it is for records that the model was trained on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from stannary.checks.privacy.seeds import generator
from stannary.checks.privacy.surrogates import train_surrogate
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.interface import Target
from stannary.checks.target.statistics import Rate, clopper_pearson, rate
from stannary.core.errors import InputError, UsageError

__all__ = ["ATTACKS", "AttributeResult", "Sensitive", "infer_attribute", "metric_of", "sensitive_of"]

ATTACKS = ("csmia", "black-box")
_MOST_VALUES = 20
_ASKED = 1024
_LEAST = -30.0  # log of a probability: of a certain tree


@dataclass(frozen=True)
class Sensitive:
    """A column and what it may be: `columns` of the encoded table, `values` `(k, len(columns))`, `words` for them."""

    name: str
    columns: tuple[int, ...]
    values: torch.Tensor
    words: tuple[str, ...]


@dataclass(frozen=True)
class AttributeResult:
    """What can be inferred of a column.

    - `baseline`: share of members guessed right without the model
    - `members`, `others`: share guessed right by the best attack, of members and of records that the model never saw
    - `advantage`: `members` less `baseline`, on the same records
    - `memorised`: `members` less `others`: what is owed to having been trained on
    """

    column: str
    attack: str
    baseline: Rate
    members: Rate
    others: Rate
    advantage: Rate
    memorised: Rate
    queries: int


def metric_of(column: str) -> str:
    """Return the name under which policies bound the advantage, as `privacy.attribute.income.advantage`."""
    return f"privacy.attribute.{re.sub(r'[^A-Za-z0-9._:@/+-]', '_', column)}.advantage"


def sensitive_of(data: Dataset, name: str) -> Sensitive:
    """Return a column by its name in the file. Raises UsageError if there is none, or it has too many values to guess at."""
    for encoding in data.encodings:
        if encoding.name == name:
            columns = tuple(data.names.index(one) for one in encoding.columns)
            size = len(encoding.words)
            values = (
                torch.eye(size, dtype=data.x.dtype)
                if encoding.kind == "onehot"
                else torch.arange(size, dtype=data.x.dtype)[:, None]
            )
            return Sensitive(name, columns, values, encoding.words)
    if name not in data.names:
        msg = f"there is no column {name!r}"
        raise UsageError(msg, where=data.source, help=f"there are {', '.join((data.raw_names or data.names)[:20])}")
    at = data.names.index(name)
    values = data.x[:, at].unique()
    if not 2 <= len(values) <= _MOST_VALUES:  # noqa: PLR2004 - something to guess
        msg = f"{name!r} has {len(values)} different values; 2 to {_MOST_VALUES} can be guessed at"
        raise UsageError(msg, where=data.source, help="put its values into bins")
    return Sensitive(name, (at,), values[:, None], tuple(f"{value:g}" for value in values.tolist()))


def infer_attribute(target: Target, members: Dataset, nonmembers: Dataset, name: str, *, seed: int = 0) -> AttributeResult:
    """Infer a column of members from the model's answers, and compare with a guess without them.

    Args:
        target: the model, or the counter around it; asked once for every value that the column may have.
        members: its training data, or a part of it; labels numbered as the target numbers them.
        nonmembers: records that it was not trained on: half of them is what attacker and guesser know, the other half is judged.
        name: the column, by its name in the file.
        seed: the result repeats.

    Raises:
        UsageError: there is no such column, or it cannot be guessed at.
        InputError: this is no table, there are too few records, or the target gives no answers.
    """
    if members.x.ndim != 2 or len(nonmembers) < 4 or len(members) < 2:  # noqa: PLR2004 - rows and columns; halves
        msg = f"{len(members)} members and {len(nonmembers)} others of shape {members.shape}: it takes a table, and some of each"
        raise InputError(msg, where=members.source)
    column = sensitive_of(members, name)
    counted = target if isinstance(target, Counting) else Counting(target)
    before = counted.spend.queries
    order = torch.randperm(len(nonmembers), generator=generator(seed, "attribute"))
    aux, held = nonmembers.take(order[: len(order) // 2]), nonmembers.take(order[len(order) // 2 :])
    truth = {key: _index(data, column) for key, data in (("aux", aux), ("members", members), ("held", held))}
    answers = {key: _answers(counted, data, column) for key, data in (("aux", aux), ("members", members), ("held", held))}
    plain = {key: _known(data, column, counted.classes) for key, data in (("aux", aux), ("members", members), ("held", held))}
    size = len(column.values)
    guess, _ = train_surrogate(plain["aux"], torch.nn.functional.one_hot(truth["aux"], size).double(), seed)
    guessed = guess.decide(plain["members"]) == truth["members"]
    full = {key: torch.cat((plain[key], answers[key][0]), 1) for key in plain}
    learned, _ = train_surrogate(full["aux"], torch.nn.functional.one_hot(truth["aux"], size).double(), seed)
    usual = int(torch.bincount(truth["aux"], minlength=size).argmax())
    right = {
        "csmia": {key: _csmia(*answers[key], usual) == truth[key] for key in ("members", "held")},
        "black-box": {key: learned.decide(full[key]) == truth[key] for key in ("members", "held")},
    }
    best = max(ATTACKS, key=lambda attack: int(right[attack]["members"].sum()))
    ours, theirs = right[best]["members"], right[best]["held"]
    return AttributeResult(
        column=name,
        attack=best,
        baseline=rate(int(guessed.sum()), len(guessed)),
        members=rate(int(ours.sum()), len(ours)),
        others=rate(int(theirs.sum()), len(theirs)),
        advantage=_paired(ours, guessed),
        memorised=_apart(ours, theirs),
        queries=counted.spend.queries - before,
    )


def _index(data: Dataset, column: Sensitive) -> torch.Tensor:
    """Return which value each record has, `(n,)`: the nearest, for a value that members do not have."""
    own = data.x[:, list(column.columns)]
    return (own[:, None] - column.values).abs().sum(2).argmin(1)


def _known(data: Dataset, column: Sensitive, classes: int) -> torch.Tensor:
    """Return what the attacker knows: all other columns, and the label."""
    rest = [at for at in range(data.x.shape[1]) if at not in column.columns]
    return torch.cat((data.x[:, rest], torch.nn.functional.one_hot(data.y, classes).to(data.x.dtype)), 1)


def _answers(target: Counting, data: Dataset, column: Sensitive) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log p of the true label with each value in the column, and whether it is what the model decides, `(n, k)` both."""
    shown, right = [], []
    for value in column.values:
        x = data.x.clone()
        x[:, list(column.columns)] = value
        log_p, hit = [], []
        for part, labels in zip(x.to(target.device).split(_ASKED), data.y.to(target.device).split(_ASKED), strict=True):
            if target.access == "decision":
                decided = target.decide(part)
                hit.append(decided == labels)
                log_p.append(hit[-1].double().masked_fill(decided < 0, torch.nan))
            else:
                logits = target.logits(part).double()
                log_p.append(logits.log_softmax(1).gather(1, labels[:, None])[:, 0])
                hit.append(logits.argmax(1) == labels)
        shown.append(torch.cat(log_p).cpu())
        right.append(torch.cat(hit).cpu())
    found = torch.stack(shown, 1)
    if found.isnan().any():
        msg = f"the model gives no answer for {int(found.isnan().any(1).sum())} of {len(found)} records"
        raise InputError(msg, where=target.name)
    return found.clamp_min(_LEAST).to(data.x.dtype), torch.stack(right, 1)


def _csmia(log_p: torch.Tensor, right: torch.Tensor, usual: int) -> torch.Tensor:
    """Return the guess of Mehnaz et al. (2022, section 5.1), from whether the model is right with each value, and how sure.

    1. It is right with one value alone: that one.
    2. With several: the one with which it is surest.
    3. With none: the one with which it is least sure of its wrong decision, here the one that gives the true label most.
    """
    guess = log_p.masked_fill(~right & right.any(1, keepdim=True), -torch.inf).argmax(1)
    same = (log_p == log_p[:, :1]).all(1) & (right == right[:, :1]).all(1)
    return torch.where(same, usual, guess)  # the column makes no difference: what is usual


def _paired(ours: torch.Tensor, theirs: torch.Tensor) -> Rate:
    """Return the difference of two shares on the same records; exact: both ends hold with 97.5 %, so the interval with 95 %."""
    n = len(ours)
    gained, lost = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    (low_gained, high_gained), (low_lost, high_lost) = (clopper_pearson(count, n, 0.975) for count in (gained, lost))
    return Rate(value=(gained - lost) / n, low=low_gained - high_lost, high=high_gained - low_lost, n=n)


def _apart(ours: torch.Tensor, theirs: torch.Tensor) -> Rate:
    """Return the difference of shares of two groups, with an interval that is exact in the same way."""
    first, second = (clopper_pearson(int(group.sum()), len(group), 0.975) for group in (ours, theirs))
    value = float(ours.double().mean() - theirs.double().mean())
    return Rate(value=value, low=first[0] - second[1], high=first[1] - second[0], n=len(ours) + len(theirs))
