"""The usual command lines of `stannary scan`, read without click, whose import is a fifth of a start.

Takes what it knows for certain, whole words and plain values, and nothing else: for everything
else, and for whatever is wrong, it returns None and click reads the line, explains and completes.
A test holds that both read a line in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from stannary.core.model import SEVERITIES

__all__ = ["Line", "read_line"]


class Line(NamedTuple):
    """The options of `scan` by the names that `scan.py` declares, and what is common to all commands."""

    given: dict[str, Any]
    verbosity: int
    color: str | None


_FLAGS: dict[str, tuple[str, bool]] = {
    "--exit-zero": ("exit_zero", True),
    "--digest": ("digest", True),
    "--no-digest": ("digest", False),
    "--no-cache": ("no_cache", True),
    "--offline": ("offline", True),
    "--record": ("record", True),
}
_WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "--fail-on": ("fail_on", (*SEVERITIES, "never")),
    "--show": ("show", ("findings", "clean", "all")),
    "--jail": ("jail", ("auto", "process", "landlock", "bwrap")),
    "--color": ("color", ("auto", "always", "never")),
}
_TEXTS = {
    "--format": "formats",
    "-o": "output",
    "--output": "output",
    "--baseline": "baseline",
    "--advisories": "advisories",
    "--write-baseline": "write_baseline",
    "--cache": "cache",
    "--workspace": "workspace",
}
_UNSET = (
    *(name for name, _ in _FLAGS.values()), *(name for name, _ in _WORDS.values() if name != "color"), *_TEXTS.values(), "jobs",
    "limit_depth", "limit_members", "limit_inflated", "limit_seconds", "limit_processor",
)  # fmt: skip
_LOUDNESS = {"-q": -1, "--quiet": -1, "-v": 1, "--verbose": 1}
_MOST_JOBS = 1024


def read_line(arguments: Sequence[str]) -> Line | None:
    """Return what `scan` is asked for by the words after it; None when that takes click to tell."""
    if "_STANNARY_COMPLETE" in os.environ or "STANNARY_WORKSPACE" in os.environ:
        return None
    given: dict[str, Any] = {**dict.fromkeys(_UNSET), **dict.fromkeys(("exit_zero", "no_cache", "record"), False), "formats": ()}
    targets: list[str] = []
    loudness: set[int] = set()
    words = iter(arguments)
    for word in words:
        if word in _FLAGS:
            name, value = _FLAGS[word]
            given[name] = value
        elif word in _LOUDNESS:
            loudness.add(_LOUDNESS[word])
        elif word[:1] != "-" or word == "-":
            targets.append(word)
        else:
            option, equals, text = word.partition("=")
            if not equals or option == "-o":
                option, text = word, next(words, "-")
            if text[:1] == "-" or not _valued(given, option, text):
                return None
    if not targets or len(loudness) > 1:
        return None
    color = given.pop("color", None)
    return Line({**given, "targets": tuple(targets)}, next(iter(loudness), 0), color)


def _valued(given: dict[str, Any], option: str, text: str) -> bool:
    """Take note of an option with its value; return whether both are known."""
    if not text:  # click says what is wrong with nothing
        return False
    if option in _WORDS:
        name, choices = _WORDS[option]
        given[name] = text
        return text in choices
    if option == "--format":
        given["formats"] = (*given["formats"], text)
    elif option in _TEXTS:
        given[_TEXTS[option]] = text
    elif option == "--jobs" and text.isascii() and text.isdigit() and len(text) < 5 and int(text) <= _MOST_JOBS:  # noqa: PLR2004 - digits
        given["jobs"] = int(text)
    else:
        return False
    return True
