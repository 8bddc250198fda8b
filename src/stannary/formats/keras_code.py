"""Names and strings in the marshalled bytecode of a Keras lambda."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.interface import clip
from stannary.formats.marshal_names import code_names

if TYPE_CHECKING:
    from stannary.core.model import Json
    from stannary.formats.interface import Sink

__all__ = ["Followed", "LambdaCode", "follow", "lambda_code"]

# What a lambda finds among the globals of Keras and of the scripts that models are written in.
_NAMES = {
    "tf": "tensorflow", "tensorflow": "tensorflow", "keras": "keras", "K": "keras.backend", "backend": "keras.backend",
    "np": "numpy", "numpy": "numpy", "ops": "keras.ops", "layers": "keras.layers", "math": "math",
}  # fmt: skip
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


class Followed(NamedTuple):
    """What bytecode does: outside names that it uses, members of what it is given, `clear` when there is no more to know."""

    read: bool
    uses: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    clear: bool = False


class _Noting:
    """A sink that passes facts on and keeps those of code."""

    def __init__(self, sink: Sink) -> None:
        self.budget, self.siblings = sink.budget, sink.siblings
        self.child, self.inflate, self.incomplete, self.inert = sink.child, sink.inflate, sink.incomplete, sink.inert
        self._fact = sink.fact
        self.kept: list[tuple[str, dict[str, Any]]] = []

    def fact(self, kind: str, offset: int | None = None, /, **data: Json) -> None:
        """Keep a fact, and pass it on."""
        self.kept.append((kind, data))
        self._fact(kind, offset, **data)


def follow(raw: bytes, sink: Sink) -> Followed:
    """Report what marshalled code does, as of code in a pickle."""
    from stannary.formats.marshal_code import read_marshal
    from stannary.formats.pickle_code import report_code  # few models carry code

    try:
        body = read_marshal(raw)[0].body
    except FormatError:
        return Followed(read=False)
    noting = _Noting(sink)
    if body is None or not report_code(body, noting, _NAMES):
        return Followed(read=False)
    whole = [data for kind, data in noting.kept if kind == "pickle.code"]
    clear = not any(data[key] for data in whole for key in ("missing", "unclear", "broken", "more"))
    return Followed(
        read=True,
        uses=tuple(dict.fromkeys(name for data in whole for name in data["touched"])),
        members=tuple(dict.fromkeys(name for data in whole for name in data["attributes"])),
        clear=bool(whole) and clear and not any(kind == "pickle.code_inner" for kind, _ in noting.kept),
    )


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
