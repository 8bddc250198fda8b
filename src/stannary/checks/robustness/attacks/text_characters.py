"""Words that people still read as the same: typing errors, look-alike letters, characters without width.

Typing errors keep the first letter, and the last one where there are more than four: so readers hardly notice (Rawlinson 1976;
Pruthi et al. 2019).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

__all__ = ["KINDS", "CharacterEdits", "Kind"]

Kind = Literal["swap", "delete", "insert", "keyboard", "double", "homoglyph", "zero-width", "hyphen"]
_SHORTEST = 3  # letters of a word that may have a typing error
_KEYS = {
    "a": "qsz", "b": "vgn", "c": "xdv", "d": "sfe", "e": "wrd", "f": "dgr", "g": "fht", "h": "gjy", "i": "uok",
    "j": "hku", "k": "jli", "l": "ko", "m": "n", "n": "bm", "o": "ipl", "p": "o", "q": "wa", "r": "etf",
    "s": "adw", "t": "ryg", "u": "yij", "v": "cbf", "w": "qes", "x": "zcs", "y": "tuh", "z": "xa",
}  # fmt: skip
_LOOK = dict(zip("aceopxyijsACEHIKMOPTXB", "асеорхуіјѕАСЕНІКМОРТХВ", strict=True))  # noqa: RUF001 - look-alike letters are the point
_ZERO_WIDTH = "\u200b"


def _inner(word: str, rng: random.Random, width: int = 1) -> int:
    """Return where inside a word something may happen to `width` letters."""
    last = len(word) - width - (len(word) > 4)  # noqa: PLR2004 - longer words keep their last letter
    return rng.randint(1, max(1, last))


def _swap(word: str, rng: random.Random) -> str:
    at = _inner(word, rng, 2)
    return word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :]


def _delete(word: str, rng: random.Random) -> str:
    at = _inner(word, rng)
    return word[:at] + word[at + 1 :]


def _insert(word: str, rng: random.Random) -> str:
    at = _inner(word, rng)
    return word[:at] + rng.choice(_KEYS.get(word[at].lower(), "e")) + word[at:]


def _keyboard(word: str, rng: random.Random) -> str:
    at = _inner(word, rng)
    return word[:at] + rng.choice(_KEYS.get(word[at].lower(), "e")) + word[at + 1 :]


def _double(word: str, rng: random.Random) -> str:
    at = _inner(word, rng)
    return word[:at] + word[at] + word[at:]


def _homoglyph(word: str, rng: random.Random) -> str:
    at = [place for place, letter in enumerate(word) if letter in _LOOK]
    if not at:
        return word
    place = rng.choice(at)
    return word[:place] + _LOOK[word[place]] + word[place + 1 :]


def _zero_width(word: str, rng: random.Random) -> str:
    at = rng.randint(1, len(word) - 1)
    return word[:at] + _ZERO_WIDTH + word[at:]


def _hyphen(word: str, rng: random.Random) -> str:
    at = rng.randint(1, len(word) - 1)
    return f"{word[:at]}-{word[at:]}"


KINDS: Mapping[Kind, Callable[[str, random.Random], str]] = {
    "swap": _swap, "delete": _delete, "insert": _insert, "keyboard": _keyboard, "double": _double, "homoglyph": _homoglyph,
    "zero-width": _zero_width, "hyphen": _hyphen,
}  # fmt: skip


class CharacterEdits:
    """One change of one word's characters.

    Args:
        kinds: of change: all but `hyphen` when empty.
    """

    def __init__(self, kinds: Sequence[Kind] = ()) -> None:
        self.kinds = tuple(kinds) or tuple(kind for kind in KINDS if kind != "hyphen")
        self.id = f"characters({','.join(self.kinds)})"

    def candidates(self, words: Sequence[str], rng: random.Random, most: int) -> list[list[str]]:
        """Return for each word at most `most` others; numbers and short words have none."""
        return [self._of(word, rng, most) for word in words]

    def _of(self, word: str, rng: random.Random, most: int) -> list[str]:
        if len(word) < _SHORTEST or not any(letter.isalpha() for letter in word):
            return []
        made: dict[str, None] = {}
        for turn in range(most * 3):
            made.setdefault(KINDS[self.kinds[turn % len(self.kinds)]](word, rng))
            made.pop(word, None)
            if len(made) >= most:
                break
        return list(made)
