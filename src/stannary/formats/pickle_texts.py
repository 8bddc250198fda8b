"""Texts of a pickle that nothing looks at, and streams that differ in them and in what a shape leaves out.

Models of one kind that have a name each, of a run or of a data set, have the same opcodes and the same names, and texts of
other lengths. `free_texts` finds the texts that may be any: values in the state of an instance of a common library, or in
what the stream builds, that are given to no call, name nothing, are no key and stand under no key that a library acts upon.
A `Template` is a shape (`pickle_shape.py`) that is cut at these texts. What depends on them is looked at in each file:
whether they open like something encoded, and what CPython's unpickler makes of the whole.

Whoever makes a reader or a judge look at texts in a state (`pickle_telling.py`, `Told`) must keep them out of `free_texts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.interface import Budget
from stannary.formats.pickle_credentials import may_hold
from stannary.formats.pickle_embedded import encoded_head
from stannary.formats.pickle_machine import Machine
from stannary.formats.pickle_real import read_for_real
from stannary.formats.pickle_shape import Shape, Watcher, is_plain_head, shape_of
from stannary.formats.pickle_telling import WATCHED
from stannary.formats.pickle_traits import EXECUTED, is_common
from stannary.formats.pickle_values import Global, Made, Map, Opaque

__all__ = ["Template", "free_texts", "template_of"]

_LONGEST = 4096  # bytes; longer ones the machine keeps by reference
_LOOKED_AT = 24  # bytes from which the machine looks for an encoding
_HEAD = 64
_NODES = 20_000
_FRAME = 11  # PROTO and FRAME with their arguments
_SHORT_BINUNICODE = 0x8C


class Piece(NamedTuple):
    """What stands between two free texts: length, mask, content under it, parts of byte strings, width of the next length."""

    length: int
    mask: int
    masked: int
    heads: tuple[tuple[int, int], ...]
    width: int


class Template(NamedTuple):
    """Streams that have the same in all pieces, and any texts between them."""

    pieces: tuple[Piece, ...]
    framed: bool  # one frame holds all of it
    names: tuple[tuple[str, str], ...]
    texts: tuple[bytes, ...]  # in the stream it was made of

    def spans(self, content: bytes) -> list[tuple[int, int]]:
        """Return from where to where the texts stand in a stream that fits."""
        found, at = [], 0
        for piece in self.pieces[:-1]:
            start = at + piece.length + piece.width
            at = start + int.from_bytes(content[start - piece.width : start], "little")
            found.append((start, at))
        return found

    def narrowed(self, content: bytes) -> Shape | Template | None:
        """Return what leaves free only the texts in which a stream that fits differs: fewer pieces are faster to compare."""
        shape = shape_of(content, self.names)
        slots = [begin for (begin, end), text in zip(self.spans(content), self.texts, strict=True) if content[begin:end] != text]
        return shape if shape is None or not slots else _cut(content, shape, slots, framed=self.framed)

    def fits(self, content: bytes, number: int = 0) -> bool:
        """Tell whether a file is such a stream, in both readings, with nothing to follow in its texts and byte strings."""
        del number
        size = len(content)
        if self.framed and int.from_bytes(content[3:_FRAME], "little") != size - _FRAME:
            return False
        at = 0
        for length, mask, masked, heads, width in self.pieces:
            end = at + length
            if end > size or int.from_bytes(content[at:end], "little") & mask != masked:
                return False
            for start, stop in heads:
                if not is_plain_head(content[at + start : at + stop]):
                    return False
            at = end
            if width:
                start = end + width
                long = int.from_bytes(content[end:start], "little")
                at = start + long
                if long > _LONGEST or (long >= _LOOKED_AT and encoded_head(content[start : start + _HEAD])):
                    return False
                if may_hold(content[start:at]):
                    return False
        if at != size:
            return False
        reading = read_for_real(memoryview(content), 0, size, [])
        return not reading.error and tuple(reading.names) == self.names


class Tracer(Machine):
    """A machine that takes every text by the table, and remembers which value it made of it."""

    def __init__(self, content: bytes, watcher: Watcher) -> None:
        self.texts: dict[int, Any] = {}  # by where they begin
        self.frames: list[tuple[int, int]] = []
        super().__init__(memoryview(content), 0, watcher, Budget())

    def _window(self, at: int) -> None:
        super()._window(at)
        self.safe = -1

    def frame(self, offset: int, length: int) -> None:
        """Take note of a frame."""
        self.frames.append((offset, length))
        super().frame(offset, length)
        self.safe = -1

    def leave_frame(self) -> None:
        """Take note of its end."""
        super().leave_frame()
        self.safe = -1

    def long_value(self, kind: str, length: int) -> None:
        """Push a string."""
        at = self.base + self.pos
        super().long_value(kind, length)
        if kind == "text" and type(self.stack[-1]) is str:
            self.texts[at] = self.stack[-1]


def template_of(content: bytes, shape: Shape) -> tuple[Watcher, Template | None] | None:
    """Return what watched a stream that has a shape, and its template if any of its texts is free; None when it breaks off."""
    watcher = Watcher()
    tracer = Tracer(content, watcher)
    try:
        tracer.run()
    except FormatError:
        return None
    framed = tracer.frames == [(2, len(content) - _FRAME)]
    slots = free_texts(tracer, watcher) if framed or not tracer.frames else []
    return watcher, _cut(content, shape, slots, framed=framed) if slots else None


def free_texts(tracer: Tracer, watcher: Watcher) -> list[int]:
    """Return where the texts begin that nothing looks at; none when that cannot be told."""
    for target, _ in watcher.built:
        if type(target) is not Made or type(target.func) is not Global or not is_common(target.func.module):
            return []
    walk = _Walk()
    walk.use(watcher.used)
    for func, args, _ in watcher.given_to:
        walk.use((func, args))
    walk.hold((tracer.result, *(state for _, state in watcher.built)))
    if walk.left <= 0:
        return []
    return sorted(at for at, text in tracer.texts.items() if id(text) in walk.held and id(text) not in walk.used)


class _Walk:
    """Sorts texts, by identity, into those that are used for something and those that are only held."""

    def __init__(self) -> None:
        self.used: set[int] = set()
        self.held: set[int] = set()
        self.left = _NODES

    def use(self, value: Any) -> None:  # noqa: ANN401 - symbolic
        """Everything in a value is used."""
        seen: set[int] = set()
        todo = [value]
        while todo and self.left > 0:
            self.left -= 1
            item = todo.pop()
            kind = type(item)
            if kind is str:
                self.used.add(id(item))
            elif kind in (tuple, list, Map, Made, Opaque) and id(item) not in seen:
                seen.add(id(item))
                todo += (item.func, item.args, item.state) if kind is Made else (item.value,) if kind is Opaque else _members(item)

    def hold(self, values: Iterable[Any]) -> None:
        """What is only a value in a dictionary or list, under no key that means something, is held."""
        seen: set[int] = set()
        todo = list(values)
        while todo and self.left > 0:
            self.left -= 1
            item = todo.pop()
            kind = type(item)
            if kind is str:
                self.held.add(id(item))
            elif kind in (tuple, list, Map) and id(item) not in seen:
                seen.add(id(item))
                if kind is not Map:
                    todo += item
                    continue
                for key, value in zip(item.items[::2], item.items[1::2], strict=False):
                    self.use(key)
                    if type(key) is str and (key in WATCHED or key in EXECUTED):
                        self.use(value)
                    else:
                        todo.append(value)


def _members(item: Any) -> Any:  # noqa: ANN401 - symbolic
    return item.items if type(item) is Map else item


def _cut(content: bytes, shape: Shape, slots: list[int], *, framed: bool) -> Template:
    """Cut a shape at the texts that begin at `slots`."""
    kept = bytearray(shape.mask.to_bytes(len(content), "little"))
    if framed:
        kept[3:_FRAME] = bytes(_FRAME - 3)
    pieces: list[Piece] = []
    texts: list[bytes] = []
    begin = 0
    for slot in (*slots, None):
        width = 0 if slot is None else 1 if content[slot - 2] == _SHORT_BINUNICODE else 4
        end = len(content) if slot is None else slot - width
        mask = int.from_bytes(kept[begin:end], "little")
        heads = tuple((start - begin, stop - begin) for start, stop in shape.heads if begin <= start < end)
        pieces.append(Piece(end - begin, mask, int.from_bytes(content[begin:end], "little") & mask, heads, width))
        if slot is not None:
            begin = slot + int.from_bytes(content[end:slot], "little")
            texts.append(content[slot:begin])
    return Template(tuple(pieces), framed, shape.names, tuple(texts))
