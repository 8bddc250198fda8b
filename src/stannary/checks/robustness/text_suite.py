"""The robustness of a classifier of texts as part of a report card: the worst case for each text over all attacks.

What an attack claims is asked once more by itself; a claim that is refuted, or that nobody could ask about, is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stannary.checks.robustness.attacks.text import TextFound, TextOptions, attack_texts, words_of
from stannary.checks.target.card import AttackRun, Change, Distance, Example, Robustness, Threat
from stannary.checks.target.interface import BudgetSpent
from stannary.checks.target.statistics import Rate, clopper_pearson, median_interval, rate
from stannary.checks.target.text_model import TextTarget
from stannary.core.errors import BackendError, UsageError

__all__ = ["text_robustness"]

_EXAMPLES = 20
_AROUND = 80  # characters of a text that are shown before the first change
_FEWEST = 6  # values that support an interval of their median


def text_robustness(
    target: TextTarget,
    texts: Sequence[str],
    labels: Sequence[int],
    attacks: Sequence[TextOptions],
    names: Sequence[str] = (),
    *,
    preset: str = "text",
) -> Robustness:
    """Attack the texts that the target gets right, each attack those that stood the ones before.

    A text counts as robust only where every attack went through with it and every query was answered; one that was wrong from the
    start counts against the model, and one that was not attacked to the end, too, but for the upper end of the interval.

    Args:
        target: of texts.
        texts: as they are.
        labels: the true ones.
        attacks: one after the other; the share of words that may change is that of the widest.
        names: of the classes.
        preset: for the record.

    Raises:
        UsageError: there is no text or no attack.
        BudgetSpent: the budget does not suffice for asking the texts as they are.
    """
    if not texts or not attacks:
        msg = "there is no text, or no attack"
        raise UsageError(msg, where=target.name)
    decided = _decided(target, texts)
    right = (decided >= 0) & (decided == np.asarray(labels))
    standing = np.flatnonzero(right).tolist()
    unfinished, runs, fooled, examples, stopped = set(np.flatnonzero(decided < 0).tolist()), [], [], [], ""
    for options in attacks:
        if stopped or not standing:
            runs.append(AttackRun(id=_id(options), skipped=stopped or "no text is left"))
            continue
        found = attack_texts(target, [texts[at] for at in standing], [labels[at] for at in standing], options)
        now, stopped = _checked(target, found)
        hit = [at for at, done in enumerate(found.success) if done and now[at] >= 0 and now[at] != labels[standing[at]]]
        unfinished |= {standing[at] for at, done in enumerate(found.finished) if not done or (found.success[at] and now[at] < 0)}
        fooled += [len(found.changes[place]) for place in hit]
        examples += [_example(standing[at], found, at, options, (names, labels[standing[at]], int(now[at]))) for at in hit]
        left = [at for place, at in enumerate(standing) if place not in set(hit)]
        runs.append(_run(options, found, len(standing), len(left)))
        standing, stopped = left, found.stopped or stopped
    unfinished -= {example.sample for example in examples}
    robust = [at for at in standing if at not in unfinished]
    return Robustness(
        preset=preset,
        threat=Threat(norm="words", eps=max(options.share for options in attacks), knowledge=target.access),
        clean=rate(int(right.sum()), len(texts)),
        robust=_bounded(len(robust), len(unfinished), len(texts)),
        attacks=tuple(runs),
        distance=_distance(fooled),
        examples=tuple(sorted(examples, key=lambda one: one.distance)[:_EXAMPLES]),
        unfinished=len(unfinished),
    )


def _decided(target: TextTarget, texts: Sequence[str]) -> Any:  # noqa: ANN401 - numpy
    """Return the decision about each text, -1 where there was no answer."""
    scores = target.scores(texts)
    answered = ~np.isnan(scores).any(1)
    return np.where(answered, np.nan_to_num(scores).argmax(1), -1)


def _checked(target: TextTarget, found: TextFound) -> tuple[Any, str]:
    """Ask about each claim again; return what is decided, -1 where nothing is claimed or answered, and why nobody could ask."""
    now = np.full(len(found.texts), -1)
    claimed = np.flatnonzero(found.success)
    try:
        now[claimed] = _decided(target, [found.texts[at] for at in claimed]) if len(claimed) else []
    except (BudgetSpent, BackendError) as exc:
        return now, str(exc)
    return now, ""


def _bounded(stood: int, unfinished: int, n: int) -> Rate:
    """Return the robust accuracy: what is unfinished counts as broken, and might all have stood."""
    low, _ = clopper_pearson(stood, n)
    _, high = clopper_pearson(stood + unfinished, n)
    return Rate(value=stood / n if n else 0.0, low=low, high=high, n=n)


def _run(options: TextOptions, found: TextFound, stood: int, left: int) -> AttackRun:
    spend = found.spend
    params = {"share": options.share, "units": options.units, "candidates": options.candidates, "rounds": options.rounds}
    return AttackRun(
        id=_id(options), params=params, survivors_in=stood, survivors_out=left, forward=spend.forward, queries=spend.queries,
        calls=spend.calls, seconds=found.seconds, stopped=found.stopped,
    )  # fmt: skip


def _id(options: TextOptions) -> str:
    return f"text-{options.edits.id}"


def _example(sample: int, found: TextFound, place: int, options: TextOptions, said: tuple[Sequence[str], int, int]) -> Example:
    """Return an example; `said`: names of the classes, the label, and what is decided now."""
    changes, text = found.changes[place], found.texts[place]
    names, label, decided = said
    first = min((at for one in changes.values() if (at := text.find(one)) >= 0), default=0)
    start = max(0, first - _AROUND)
    return Example(
        sample=sample,
        attack=_id(options),
        label=_name(label, names),
        decided=_name(decided, names),
        distance=float(len(changes)),
        cost=len(changes) / max(1, len(words_of(text))),
        changes=tuple(Change(column="word", before=word, after=one) for word, one in changes.items()),
        text=("…" if start else "") + text[start : start + 3 * _AROUND] + ("…" if start + 3 * _AROUND < len(text) else ""),
    )


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else str(label)


def _distance(changes: Sequence[int]) -> Distance | None:
    if len(changes) < _FEWEST:
        return None
    median, low, high = median_interval([float(count) for count in changes])
    return Distance(norm="words", median=median, low=low, high=high, n=len(changes))
