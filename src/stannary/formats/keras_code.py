"""Names and strings in the marshalled bytecode of a Keras lambda."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.interface import clip
from stannary.formats.marshal_names import code_names

if TYPE_CHECKING:
    from stannary.formats.interface import Sink

__all__ = ["LambdaCode", "follow", "lambda_code"]

_SHORT = b"zZ"
_LONG = b"uaAts"
_SHOWN = 200


class LambdaCode(NamedTuple):
    """What bytecode mentions. `parsed` is False when no code object could be read and strings were only collected."""

    names: tuple[str, ...]
    strings: tuple[str, ...]
    parsed: bool


def lambda_code(raw: bytes) -> LambdaCode:
    """Return the names and string constants of marshalled code and of all code nested in it."""
    found = code_names(raw)
    if found.parsed or found.names:
        return LambdaCode(found.names[:_SHOWN], found.strings[:_SHOWN], parsed=True)
    return LambdaCode((), tuple(clip(text) for text in list(_loose(raw))[:_SHOWN]), parsed=False)


def follow(raw: bytes, sink: Sink) -> bool:
    """Report what marshalled code does, as of code in a pickle. Returns whether all of it was read and adds up."""
    from stannary.formats.marshal_code import read_marshal
    from stannary.formats.pickle_code import report_code  # few models carry code

    try:
        body = read_marshal(raw)[0].body
    except FormatError:
        return False
    return body is not None and report_code(body, sink)


def _loose(raw: bytes) -> dict[str, None]:
    """Collect every string that a type byte announces, whatever surrounds it."""
    found: dict[str, None] = {}
    position = 0
    while position < len(raw) and len(found) < 10 * _SHOWN:
        kind = bytes((raw[position] & 0x7F,))
        width = 1 if kind in _SHORT else 4 if kind in _LONG else 0
        size = int.from_bytes(raw[position + 1 : position + 1 + width], "little")
        text = raw[position + 1 + width : position + 1 + width + size]
        if width and 1 < size <= 1000 and len(text) == size and text.isascii() and text.decode().isprintable():
            found[text.decode()] = None
            position += size + width
        position += 1
    return found
