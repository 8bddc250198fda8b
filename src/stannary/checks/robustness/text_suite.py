"""The robustness of a classifier of texts as part of a report card: the worst case for each text over all attacks.

What an attack claims is asked once more by itself; a claim that is refuted, or that nobody could ask about, is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

from stannary.checks.robustness.attacks.text import TextFound, TextOptions, attack_texts, words_of
from stannary.checks.robustness.budget import NOT_GIVEN, STOOD, Unit, budget_curves
from stannary.checks.robustness.cascade import BROKEN, ROBUST, STORED, UNFINISHED, WRONG
from stannary.checks.robustness.checkpoint import Checkpoint
from stannary.checks.robustness.text_replay import ChangedText, KnownTexts, store_texts
from stannary.checks.target.card import AttackRun, Change, Distance, Example, Robustness, Stop, Threat
from stannary.checks.target.interface import BudgetSpent
from stannary.checks.target.statistics import Rate, StopRule, clopper_pearson, median_interval, rate
from stannary.checks.target.text_model import TextTarget
from stannary.core.errors import BackendError, InputError, UsageError
from stannary.core.model import Json

__all__ = ["TextRun", "text_robustness"]

_BLOCK = 64  # texts that are attacked together: what is kept, and after which the stop rule is asked

_EXAMPLES = 20
_AROUND = 80  # characters of a text that are shown before the first change
_FEWEST = 6  # values that support an interval of their median


@dataclass(frozen=True)
class TextRun:
    """How a run goes on, ends early and is kept.

    Args:
        rule: decides about the robust accuracy, looking at the texts in their order; the run ends when it has.
        checkpoint: folder from which an interrupted run goes on.
        identity: of the target, by which a checkpoint knows it.
        known: examples of an earlier version, tried first.
        folder: where examples are stored, by digest.
    """

    rule: StopRule | None = None
    checkpoint: Path | None = None
    identity: str = ""
    known: KnownTexts | None = None
    folder: Path | None = None


def text_robustness(
    target: TextTarget,
    texts: Sequence[str],
    labels: Sequence[int],
    attacks: Sequence[TextOptions],
    names: Sequence[str] = (),
    *,
    preset: str = "text",
    run: TextRun | None = None,
) -> Robustness:
    """Attack the texts that the target gets right, each attack those that stood the ones before.

    A text counts as robust only where every attack went through with it and every query was answered; one that was wrong from the
    start counts against the model, and one that was not attacked to the end, too, but for the upper end of the interval.

    Args:
        target: of texts.
        texts: as they are, in the order in which the stop rule sees them.
        labels: the true ones.
        attacks: one after the other; the share of words that may change is that of the widest.
        names: of the classes.
        preset: for the record.
        run: how it goes on, ends early and is kept.

    Raises:
        UsageError: there is no text or no attack, or the checkpoint is of another run.
        InputError: what the checkpoint holds is damaged.
        BudgetSpent: the budget does not suffice for asking the texts as they are.
    """
    if not texts or not attacks:
        msg = "there is no text, or no attack"
        raise UsageError(msg, where=target.name)
    run = run or TextRun()
    kept = None if run.checkpoint is None else Checkpoint(run.checkpoint, _identity(run, texts, labels, attacks, target))
    decided = _decided(target, texts)
    parts: list[_Block] = []
    stopped = ""
    for number, start in enumerate(range(0, len(texts), _BLOCK)):
        some = slice(start, start + _BLOCK)
        part = _stored(kept, number)
        if part is None:
            given = _Given(start, texts[some], labels[some], decided[some], (names, attacks, run.known, stopped))
            part = _block(target, given)
            if kept is not None and not part.stopped:
                kept.save(number, {"json": np.frombuffer(msgspec.json.encode(part), np.uint8)})
        parts.append(part)
        stopped = part.stopped
        if run.rule is not None and _seen(run.rule, part.status):
            break
    return _whole(parts, run, Threat(norm="words", eps=max(one.share for one in attacks), knowledge=target.access), preset)


def _seen(rule: StopRule, status: Sequence[int]) -> bool:
    """Show a rule the texts of a block, in their order, as long as they are finished; tell whether it has decided."""
    for one in status:
        if one == UNFINISHED or rule.decision() != "inconclusive":
            break
        rule.see(one == ROBUST)
    return rule.decision() != "inconclusive"


def _whole(parts: Sequence[_Block], run: TextRun, threat: Threat, preset: str) -> Robustness:
    rule = run.rule
    status = [one for part in parts for one in part.status]
    stood, unfinished, n = status.count(ROBUST), status.count(UNFINISHED), len(status)
    cost = torch.tensor([row for part in parts for row in zip(*part.cost, strict=True)], dtype=torch.int64)
    ways = [_Way(run.id, "queries", max(part.longest[at] for part in parts)) for at, run in enumerate(parts[0].attacks)]
    examples = [one for part in parts for one in part.examples]
    changed = [one for part in parts for one in part.changed]
    return Robustness(
        preset=preset,
        threat=threat,
        clean=rate(sum(part.right for part in parts), n),
        robust=_bounded(stood, unfinished, n),
        attacks=tuple(reduce(_added, runs) for runs in zip(*(part.attacks for part in parts), strict=True)),
        budgets=budget_curves(ways, cost, torch.tensor([one == UNFINISHED for one in status])),
        stop=None
        if rule is None
        else Stop(
            rule="beta-binomial e-process", alpha=rule.alpha, threshold=rule.threshold, decision=rule.decision(), samples=rule.n
        ),
        distance=_distance([len(one.changes) for one in changed]),
        examples=tuple(sorted(examples, key=lambda one: one.distance)[:_EXAMPLES]),
        adversarials=store_texts(run.folder, changed) if run.folder is not None and changed else "",
        replayed=run.known.most if run.known else 0,
        unfinished=unfinished,
    )


def _added(first: AttackRun, second: AttackRun) -> AttackRun:
    """Return what an attack did on two blocks."""
    fields = ("survivors_in", "survivors_out", "forward", "queries", "calls", "seconds")
    sums = {name: getattr(first, name) + getattr(second, name) for name in fields}
    done = first if second.skipped else second
    return msgspec.structs.replace(done, **sums, stopped=first.stopped or second.stopped)


class _Way(NamedTuple):
    """One attack, as far as its budget goes."""

    id: str
    unit: Unit | None
    longest: int


class _Block(msgspec.Struct, frozen=True, kw_only=True):
    """What came of some texts: the status of each, how many were right as they are, attacks, examples, why it ended early.

    `cost`: of each attack what it took for each text, as `budget.budget_curves` has it; `longest`: the most that a text took.
    """

    status: tuple[int, ...]
    right: int
    attacks: tuple[AttackRun, ...]
    examples: tuple[Example, ...]
    changed: tuple[ChangedText, ...]
    cost: tuple[tuple[int, ...], ...]
    longest: tuple[int, ...]
    stopped: str = ""


class _Given(NamedTuple):
    start: int
    texts: Sequence[str]
    labels: Sequence[int]
    decided: Any
    how: tuple[Sequence[str], Sequence[TextOptions], KnownTexts | None, str]


def _block(target: TextTarget, given: _Given) -> _Block:
    """Attack some texts, first by what is known of them."""
    _, texts, labels, decided, (names, attacks, known, stopped) = given
    right = (decided >= 0) & (decided == np.asarray(labels))
    standing = np.flatnonzero(right).tolist()
    unfinished, runs, examples, changed = set(np.flatnonzero(decided < 0).tolist()), [], [], []
    steps: list[TextOptions | KnownTexts] = [*([known] if known else []), *attacks]
    cost, longest = [[NOT_GIVEN] * len(texts) for _ in steps], [0] * len(steps)
    for turn, options in enumerate(steps):
        if stopped or not standing:
            runs.append(AttackRun(id=_id(options), skipped=stopped or "no text is left"))
            unfinished |= set(standing) if stopped else set()
            continue
        found = _attacked(target, [texts[at] for at in standing], [labels[at] for at in standing], options, attacks)
        now, stopped = _checked(target, found)
        hit = [at for at, done in enumerate(found.success) if done and now[at] >= 0 and now[at] != labels[standing[at]]]
        unfinished |= {standing[at] for at, done in enumerate(found.finished) if not done or (found.success[at] and now[at] < 0)}
        if found.cost:
            longest[turn] = max(found.cost)
            for place, at in enumerate(standing):
                cost[turn][at] = found.cost[place] if place in hit else STOOD
        said = [(names, labels[standing[at]], int(now[at])) for at in hit]
        examples += [
            (standing[at], _example(given.start + standing[at], found, at, options, one)) for at, one in zip(hit, said, strict=True)
        ]
        changed += [_changed(options, texts[standing[at]], found.changes[at]) for at in hit]
        left = [at for place, at in enumerate(standing) if place not in set(hit)]
        runs.append(_run(options, found, len(standing), len(left)))
        standing, stopped = left, found.stopped or stopped
    broken = {at for at, _ in examples}
    status = [WRONG if not right[at] else BROKEN if at in broken else ROBUST for at in range(len(texts))]
    for at in unfinished - broken:
        status[at] = UNFINISHED
    return _Block(
        status=tuple(status), right=int(right.sum()), attacks=tuple(runs), examples=tuple(one for _, one in examples),
        changed=tuple(changed), cost=tuple(map(tuple, cost)), longest=tuple(longest), stopped=stopped,
    )  # fmt: skip


def _attacked(
    target: TextTarget, texts: list[str], labels: list[int], what: TextOptions | KnownTexts, attacks: Sequence[TextOptions]
) -> TextFound:
    return what.ask(target, texts, labels, attacks) if isinstance(what, KnownTexts) else attack_texts(target, texts, labels, what)


def _changed(how: TextOptions | KnownTexts, text: str, changes: dict[str, str]) -> ChangedText:
    edits = how.edits_of(text, changes) if isinstance(how, KnownTexts) else how.edits.id
    return ChangedText(text=text, changes=changes, edits=edits)


def _identity(
    run: TextRun, texts: Sequence[str], labels: Sequence[int], attacks: Sequence[TextOptions], target: TextTarget
) -> dict[str, object]:
    content = hashlib.sha256(msgspec.json.encode((texts, list(labels))))
    stages = [{**_params(one), "id": _id(one), "seed": one.seed, "least": getattr(one.limit, "least", None)} for one in attacks]
    known = run.known.id if run.known else ""
    named = {"target": run.identity or target.name, "replay": known, "block": _BLOCK, "stored": STORED}
    return {"texts": content.hexdigest(), "stages": stages, **named}


def _stored(kept: Checkpoint | None, number: int) -> _Block | None:
    if kept is None or (found := kept.load(number)) is None:
        return None
    try:
        return msgspec.json.decode(found["json"].tobytes(), type=_Block)
    except (KeyError, msgspec.MsgspecError) as exc:
        msg = f"a stored block of texts cannot be read: {exc}"
        raise InputError(msg, where=str(kept.folder), help="remove the checkpoint: it is computed again") from exc


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


def _run(options: TextOptions | KnownTexts, found: TextFound, stood: int, left: int) -> AttackRun:
    spend = found.spend
    return AttackRun(
        id=_id(options),
        params=_params(options),
        survivors_in=stood,
        survivors_out=left,
        forward=spend.forward,
        queries=spend.queries,
        calls=spend.calls,
        seconds=found.seconds,
        stopped=found.stopped,
    )


def _params(options: TextOptions | KnownTexts) -> dict[str, Json]:
    if isinstance(options, KnownTexts):
        return {}
    return {"share": options.share, "units": options.units, "candidates": options.candidates, "rounds": options.rounds}


def _id(options: TextOptions | KnownTexts) -> str:
    return options.id if isinstance(options, KnownTexts) else f"text-{options.edits.id}"


def _example(
    sample: int, found: TextFound, place: int, options: TextOptions | KnownTexts, said: tuple[Sequence[str], int, int]
) -> Example:
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
