"""The robustness of a classifier of texts as part of a report card: the worst case for each text over all attacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stannary.checks.robustness.attacks.text import TextFound, TextOptions, attack_texts, words_of
from stannary.checks.target.card import AttackRun, Change, Distance, Example, Robustness, Threat
from stannary.checks.target.statistics import median_interval, rate
from stannary.checks.target.text_model import TextTarget
from stannary.core.errors import UsageError

__all__ = ["text_robustness"]

_EXAMPLES = 20
_FEWEST = 6  # values that support an interval of their median


def text_robustness(
    target: TextTarget, texts: Sequence[str], labels: Sequence[int], attacks: Sequence[TextOptions], names: Sequence[str] = ()
) -> Robustness:
    """Attack the texts that the target gets right, each attack those that stood the ones before.

    A text counts as robust only where every attack went through with it and every query was answered; one that was wrong from the
    start counts against the model, one that was not attacked to the end for nobody.

    Args:
        target: of texts.
        texts: as they are.
        labels: the true ones.
        attacks: one after the other; the share of words that may change is that of the widest.
        names: of the classes.

    Raises:
        UsageError: there is no text or no attack.
        BudgetSpent: the budget does not suffice for asking the texts as they are.
    """
    if not texts or not attacks:
        msg = "there is no text, or no attack"
        raise UsageError(msg, where=target.name)
    scores = target.scores(texts)
    answered = ~np.isnan(scores).any(1)
    decided = np.where(answered, np.nan_to_num(scores).argmax(1), -1)
    right = answered & (decided == np.asarray(labels))
    standing = np.flatnonzero(right).tolist()
    unfinished, runs, fooled, examples, stopped = set(np.flatnonzero(~answered).tolist()), [], [], [], ""
    for options in attacks:
        if stopped or not standing:
            runs.append(AttackRun(id=_id(options), skipped=stopped or "no text is left"))
            continue
        found = attack_texts(target, [texts[at] for at in standing], [labels[at] for at in standing], options)
        hit = [place for place, done in enumerate(found.success) if done]
        unfinished |= {standing[place] for place, done in enumerate(found.finished) if not done}
        fooled += [len(found.changes[place]) for place in hit]
        examples += [_example(standing[place], found, place, options, _name(labels[standing[place]], names)) for place in hit]
        left = [at for place, at in enumerate(standing) if not found.success[place]]
        runs.append(_run(options, found, len(standing), len(left)))
        standing, stopped = left, found.stopped
    unfinished -= {example.sample for example in examples}
    robust = [at for at in standing if at not in unfinished]
    widest = max(options.share for options in attacks)
    return Robustness(
        preset="text",
        threat=Threat(norm="words", eps=widest, knowledge=target.access),
        clean=rate(int(right.sum()), int(answered.sum())),
        robust=rate(len(robust), len(texts) - len(unfinished)),
        attacks=tuple(runs),
        distance=_distance(fooled),
        examples=tuple(sorted(examples, key=lambda one: one.distance)[:_EXAMPLES]),
        unfinished=len(unfinished),
    )


def _run(options: TextOptions, found: TextFound, stood: int, left: int) -> AttackRun:
    spend = found.spend
    params = {"share": options.share, "units": options.units, "candidates": options.candidates, "rounds": options.rounds}
    return AttackRun(
        id=_id(options), params=params, survivors_in=stood, survivors_out=left, forward=spend.forward, queries=spend.queries,
        calls=spend.calls, seconds=found.seconds, stopped=found.stopped,
    )  # fmt: skip


def _id(options: TextOptions) -> str:
    return f"text-{options.edits.id}"


def _example(sample: int, found: TextFound, place: int, options: TextOptions, label: str) -> Example:
    changes = found.changes[place]
    return Example(
        sample=sample,
        attack=_id(options),
        label=label,
        decided="another",
        distance=float(len(changes)),
        cost=len(changes) / max(1, len(words_of(found.texts[place]))),
        changes=tuple(Change(column="word", before=word, after=one) for word, one in changes.items()),
    )


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else str(label)


def _distance(changes: Sequence[int]) -> Distance | None:
    if len(changes) < _FEWEST:
        return None
    median, low, high = median_interval([float(count) for count in changes])
    return Distance(norm="words", median=median, low=low, high=high, n=len(changes))
