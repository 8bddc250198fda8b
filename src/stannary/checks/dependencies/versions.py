"""Version ordering of Python projects (PEP 440): keys that sort as versions do."""

from __future__ import annotations

import re
from typing import TypeAlias

__all__ = ["Key", "version_key"]

_VERSION = re.compile(
    r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)"
    r"(?:[-_.]?(alpha|beta|preview|pre|rc|a|b|c)[-_.]?(\d*))?"
    r"(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?"
    r"(?:[-_.]?(dev)[-_.]?(\d*))?"
    r"(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?",
    re.IGNORECASE,
)
_PRE = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
_LOW, _HIGH = -1, 9
_MAX_DIGITS, _MAX_TEXT = 40, 200

Key: TypeAlias = tuple[int, tuple[int, ...], tuple[int, int], int, tuple[int, int], tuple[tuple[int, int, str], ...]]


def version_key(text: str) -> Key | None:
    """Return a sort key, or None for a text that is no PEP 440 version.

    Order within a release: dev < pre < final < post; a local version sorts behind the same without one.
    """
    match = _VERSION.fullmatch(text.strip()) if len(text) <= _MAX_TEXT else None
    if match is None or any(len(number) > _MAX_DIGITS for number in re.findall(r"\d+", text)):
        return None
    epoch, release, pre, pre_number, implicit_post, post_word, post_number, dev, dev_number, local = match.groups()
    numbers = [int(n) for n in release.split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    post = int(implicit_post) if implicit_post else int(post_number or 0) if post_word else -1
    if pre:
        pre_key = (_PRE[pre.lower()], int(pre_number or 0))
    elif dev and post < 0:
        pre_key = (_LOW, 0)  # 1.0.dev1 comes before 1.0a1
    else:
        pre_key = (_HIGH, 0)
    dev_key = (0, int(dev_number or 0)) if dev else (1, 0)
    parts = tuple((1, int(p), "") if p.isdigit() else (0, 0, p.lower()) for p in re.split(r"[-_.]", local)) if local else ()
    return int(epoch or 0), tuple(numbers), pre_key, post, dev_key, parts
