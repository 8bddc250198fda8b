"""Attacks on classifiers of texts: a few words change, and the decision with them.

For each text, in rounds that are few and wide (all texts of a run share each call of the model):

1. Each word is left out once: what that costs the right class is its importance. A word is changed wherever it stands.
2. For the most important words all candidates are tried one by one; the best of a word is its gain.
3. Words are changed together, by gain: the first one, the first two, and so on; all of these are asked at once, and the shortest
   that succeeds is taken. If none does, the best of them is the start of the next round.
4. What succeeded is put back word by word, as long as it still succeeds.

On a model that adds up words this finds the smallest number of changes that there is (tests hold it against sorting). A model that
gives only labels has no importance and no gain: words are then taken in an order of the seed, and put back as well as can be.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from stannary.checks.target.interface import BudgetSpent, Spend
from stannary.checks.target.text_model import TextTarget
from stannary.core.errors import BackendError

__all__ = ["Edits", "Limit", "TextFound", "TextOptions", "attack_texts", "rewritten", "words_of"]

_WORD = re.compile(r"[^\W_](?:[^\W_]|['\u2019-](?=[^\W_]))*")
Ask: TypeAlias = Generator[list[str], Any, "_Found"]  # yields texts, is sent their margins


class Edits(Protocol):
    """What a word may become."""

    id: str

    def candidates(self, words: Sequence[str], rng: random.Random, most: int) -> list[list[str]]:
        """Return for each word at most `most` others, in the spelling that would stand in its place."""
        ...


class Limit(Protocol):
    """What a changed text must keep."""

    def holds(self, original: str, changes: Mapping[str, str]) -> bool:
        """Tell whether `original` with these changes still means the same."""
        ...


@dataclass(frozen=True)
class TextOptions:
    """How texts are attacked.

    Args:
        edits: what a word may become.
        share: of a text's different words that may change at most; at least one may.
        units: words a text that are tried, the most important ones.
        candidates: for a word.
        rounds: of steps 2 and 3.
        seed: of the order and of the candidates.
        limit: what a changed text must keep; None: nothing but `share`.
    """

    edits: Edits
    share: float = 0.2
    units: int = 60
    candidates: int = 6
    rounds: int = 2
    seed: int = 0
    limit: Limit | None = None


@dataclass
class _Found:
    changes: dict[str, str] = field(default_factory=dict)
    success: bool = False
    silent: bool = False  # an answer was missing on the way


@dataclass
class TextFound:
    """What was found for each text, in their order."""

    texts: list[str]  # changed, or as they were
    changes: list[dict[str, str]]  # word → what stands in its place
    success: list[bool]
    finished: list[bool]  # attacked to the end, with an answer to every query
    spend: Spend
    seconds: float
    stopped: str = ""
    cost: list[int] = field(default_factory=list)  # texts that were asked about: until the first success, or at all


def words_of(text: str) -> list[str]:
    """Return the different words of a text in the order in which they first stand there."""
    return list(dict.fromkeys(_WORD.findall(text)))


def rewritten(text: str, changes: Mapping[str, str]) -> str:
    """Return a text with each word that is a key of `changes` replaced wherever it stands as a word."""
    return _WORD.sub(lambda found: changes.get(found[0], found[0]), text)


def attack_texts(target: TextTarget, texts: Sequence[str], labels: Sequence[int], options: TextOptions) -> TextFound:
    """Attack texts that the target gets right as they are.

    The result for a text does not depend on the others. A budget that is used up, or a target that is gone, ends the attack with
    what was found; the rest is not finished.
    """
    before, started = target.spend.copy(), time.perf_counter()
    found = TextFound(list(texts), [{} for _ in texts], [False] * len(texts), [False] * len(texts), Spend(), 0.0)
    found.cost = [0] * len(texts)
    states = [_Found() for _ in texts]
    running = {at: _attack(text, target.access == "score", options, states[at]) for at, text in enumerate(texts)}
    asked: dict[int, list[str]] = {at: next(one) for at, one in running.items()}
    try:
        while asked:
            flat = [text for part in asked.values() for text in part]
            scores = target.scores(flat)
            start = 0
            following: dict[int, list[str]] = {}
            for at, part in asked.items():
                margins = _margins(scores[start : start + len(part)], labels[at])
                start += len(part)
                found.cost[at] += 0 if states[at].success else len(part)
                try:
                    following[at] = running[at].send(margins)
                except StopIteration as end:
                    _take(found, at, texts[at], end.value)
            asked = following
    except (BudgetSpent, BackendError) as exc:
        found.stopped = str(exc)
    found.spend, found.seconds = target.spend.since(before), time.perf_counter() - started
    return found


def _take(found: TextFound, at: int, text: str, result: _Found) -> None:
    found.finished[at] = result.success or not result.silent
    if result.success:
        found.success[at], found.changes[at] = True, result.changes
        found.texts[at] = rewritten(text, result.changes)


def _margins(scores: Any, label: int) -> Any:  # noqa: ANN401 - numpy
    """Return by how much the label's score exceeds the best other one, `(n,)`: below 0 is a success, NaN no answer."""
    others = np.delete(scores, label, axis=1).max(1)
    return scores[:, label] - others


def _attack(text: str, scored: bool, options: TextOptions, state: _Found) -> Ask:  # noqa: FBT001 - what the target offers
    rng = random.Random(hashlib.sha256(f"{options.seed}/{options.edits.id}/{text}".encode()).digest())  # noqa: S311 - not for secrets
    words = words_of(text)
    most = max(1, math.floor(options.share * len(words)))
    order, silent = yield from _important(text, words, rng, scored)
    state.silent |= silent
    order = order[: options.units]
    offers = dict(zip(order, options.edits.candidates(order, rng, options.candidates), strict=True))
    for _ in range(options.rounds):
        room = most - len(state.changes)
        left = [word for word in order if word not in state.changes and offers[word]]
        if room <= 0 or not left:
            break
        ranked = yield from _ranked(text, left, offers, state, scored)
        prefixes = [dict(ranked[: count + 1]) for count in range(min(room, len(ranked)))]
        if not prefixes:
            break
        margins = yield [rewritten(text, state.changes | part) for part in prefixes]
        state.silent |= bool(np.isnan(margins).any())
        hits = np.flatnonzero(margins < 0)
        if len(hits):
            state.changes |= prefixes[int(hits[0])]
            state.success = True
            break
        if not scored or np.isnan(margins).all():
            break
        state.changes |= prefixes[int(np.nanargmin(margins))]
    if state.success:
        yield from _put_back(text, state)
        if options.limit is not None and not options.limit.holds(text, state.changes):
            state.success = False
    return state


def _important(
    text: str,
    words: list[str],
    rng: random.Random,
    scored: bool,  # noqa: FBT001 - what the target offers
) -> Generator[list[str], Any, tuple[list[str], bool]]:
    """Return the words, the most important first, and whether an answer was missing."""
    if not scored:
        order = list(words)
        rng.shuffle(order)
        yield []
        return order, False
    margins = yield [rewritten(text, {word: ""}) for word in words]
    rank = np.argsort(np.where(np.isnan(margins), np.inf, margins), kind="stable")
    return [words[at] for at in rank], bool(np.isnan(margins).any())


def _ranked(
    text: str,
    words: Sequence[str],
    offers: Mapping[str, list[str]],
    state: _Found,
    scored: bool,  # noqa: FBT001 - the same
) -> Generator[list[str], Any, list[tuple[str, str]]]:
    """Return (word, its best candidate) by gain; without scores as the words stand."""
    pairs = [(word, one) for word in words for one in offers[word]]
    if not scored:
        return [(word, offers[word][0]) for word in words]
    margins = yield [rewritten(text, state.changes | {word: one}) for word, one in pairs]
    state.silent |= bool(np.isnan(margins).any())
    best: dict[str, tuple[float, str]] = {}
    for (word, one), margin in zip(pairs, margins, strict=True):
        if not np.isnan(margin) and margin < best.get(word, (math.inf, ""))[0]:
            best[word] = (float(margin), one)
    return [(word, one) for word, (_, one) in sorted(best.items(), key=lambda item: item[1][0])]


def _put_back(text: str, state: _Found) -> Generator[list[str], Any, None]:
    """Put back what the success does not need, each time the word after which it is clearest."""
    while len(state.changes) > 1:
        fewer = [{word: one for word, one in state.changes.items() if word != left} for left in state.changes]
        margins = yield [rewritten(text, part) for part in fewer]
        if np.isnan(margins).all() or np.nanmin(margins) >= 0:
            return
        state.changes = fewer[int(np.nanargmin(margins))]
