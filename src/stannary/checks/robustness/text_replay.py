"""Changed texts that fooled one version are the first that the next one is asked about."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from stannary.checks.robustness.attacks.text import TextFound, TextOptions, rewritten, words_of
from stannary.checks.robustness.replay import keep, kept
from stannary.checks.target.interface import BudgetSpent, Spend
from stannary.checks.target.text_model import TextTarget
from stannary.core.errors import BackendError, InputError

__all__ = ["ChangedText", "KnownTexts", "load_texts", "store_texts"]


class ChangedText(msgspec.Struct, frozen=True, kw_only=True):
    """A text that fooled a model: as it was, what stands in place of its words, and by which edits that was found."""

    text: str
    changes: Mapping[str, str]
    edits: str


def store_texts(folder: Path, examples: Sequence[ChangedText]) -> str:
    """Write changed texts to `folder` under the digest of what is written; return it, `sha256:…`."""
    return keep(folder, msgspec.json.encode(list(examples), order="deterministic"), ".json")


def load_texts(folder: Path, digest: str) -> list[ChangedText]:
    """Return the changed texts that are stored under a digest.

    Raises:
        InputError: they are not there, or no such texts.
        IntegrityError: the content is not that of the digest.
    """
    path, content = kept(folder, digest, ".json")
    try:
        return msgspec.json.decode(content, type=list[ChangedText])
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        msg = f"the file holds no changed texts: {exc}"
        raise InputError(msg, where=str(path)) from exc


class KnownTexts:
    """What is known to fool an earlier version, by text: asked about before any attack, one query for each.

    What is stored has to keep to the threat of this run: it changes no more words than the attack with the same edits may, and
    stays near to the text where that attack has a limit of meaning. The rest is not asked about.
    """

    def __init__(self, examples: Sequence[ChangedText]) -> None:
        self._known: dict[str, list[ChangedText]] = {}
        for one in examples:
            self._known.setdefault(one.text, []).append(one)
        self.most = max(map(len, self._known.values()), default=0)
        self.id = f"replay-{hashlib.sha256(msgspec.json.encode(list(examples), order='deterministic')).hexdigest()[:12]}"

    def ask(self, target: TextTarget, texts: Sequence[str], labels: Sequence[int], attacks: Sequence[TextOptions]) -> TextFound:
        """Ask about what is known of texts, each in its turn, as `attack_texts` does about what it makes.

        Of a text of which several examples fool the target the one with the fewest changes is taken. Every text is *finished*:
        attacks follow.
        """
        before, started = target.spend.copy(), time.perf_counter()
        found = TextFound(list(texts), [{} for _ in texts], [False] * len(texts), [True] * len(texts), Spend(), 0.0)
        allowed = [(at, one) for at, text in enumerate(texts) for one in self._known.get(text, ()) if _allowed(one, attacks)]
        allowed.sort(key=lambda pair: len(pair[1].changes))
        try:
            scores = target.scores([rewritten(one.text, one.changes) for _, one in allowed]) if allowed else []
            for (at, one), row in zip(allowed, scores, strict=True):
                if not found.success[at] and not any(map(math.isnan, row)) and int(row.argmax()) != labels[at]:
                    found.success[at], found.changes[at] = True, dict(one.changes)
                    found.texts[at] = rewritten(one.text, one.changes)
        except (BudgetSpent, BackendError) as exc:
            found.stopped, found.finished = str(exc), [False] * len(texts)
        found.spend, found.seconds = target.spend.since(before), time.perf_counter() - started
        return found

    def edits_of(self, text: str, changes: Mapping[str, str]) -> str:
        """Return by which edits a known example was found."""
        return next(one.edits for one in self._known[text] if one.changes == changes)


def _allowed(one: ChangedText, attacks: Sequence[TextOptions]) -> bool:
    words = words_of(one.text)
    options = next((options for options in attacks if options.edits.id == one.edits), None)
    if options is None or not one.changes or not set(one.changes) <= set(words):
        return False
    within = len(one.changes) <= max(1, math.floor(options.share * len(words)))
    return within and (options.limit is None or options.limit.holds(one.text, one.changes))
