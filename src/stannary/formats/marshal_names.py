"""Names and texts in marshalled code of an unknown Python version, for readers that meet it inside other things.

A thin view of `marshal_code.py`: one flat list of each, over the code object and everything nested in it.
"""

from __future__ import annotations

from typing import NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.interface import clip
from stannary.formats.marshal_code import read_marshal

__all__ = ["Names", "code_names"]

_MAX_NAMES = 500


class Names(NamedTuple):
    """`names`: globals, attributes and imports. `strings`: constants. `parsed`: whether all of it was understood."""

    names: tuple[str, ...]
    strings: tuple[str, ...]
    parsed: bool


def code_names(raw: bytes) -> Names:
    """Return what a marshalled code object names; empty with `parsed` False when it is none. Never raises for content."""
    try:
        code, _ = read_marshal(raw)
    except FormatError:
        return Names((), (), parsed=False)
    found = code.walk()
    names = dict.fromkeys(clip(name) for item in found for name in item.names)
    strings = dict.fromkeys(clip(text) for item in found for text in item.consts)
    whole = len(names) <= _MAX_NAMES and len(strings) <= _MAX_NAMES
    return Names(tuple(names)[:_MAX_NAMES], tuple(strings)[:_MAX_NAMES], parsed=whole)
