"""Marshalled code objects, read for their names and constants and never loaded.

Format: CPython `Python/marshal.c`; the fields of a code object for 2.7, 3.6-3.7, 3.8-3.10 and 3.11-3.14. `marshal.loads`
crashes or worse on hostile input, so this is a reader of our own.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from stannary.core.errors import FormatError, Truncated
from stannary.core.model import Json
from stannary.formats.bytecode import Code

__all__ = ["LAYOUTS", "CodeNames", "read_marshal"]

_MAX_DEPTH = 200
_MAX_ITEMS = 500_000
_REF = 0x80
_DIGITS = 32  # of fifteen bits
_LOCAL, _CELL, _FREE = 0x20, 0x40, 0x80
_CONSTANTS: dict[str, Json] = {"0": None, "N": None, "S": None, ".": ..., "T": True, "F": False}

# The fields of `TYPE_CODE`: i a 32-bit number, o an object; names of the objects that are kept.
_START = (("i", "args"), ("i", "kwonly"), ("i", ""), ("i", ""), ("i", "flags"))
_POSITIONAL = (_START[0], ("i", ""), *_START[1:])
_END = (("o", "filename"), ("o", "name"), ("i", "line"), ("o", ""))
_CELLS = (("o", "free"), ("o", "cell"))
_BODY = (("o", "code"), ("o", "consts"), ("o", "names"), ("o", "locals"))
LAYOUTS: dict[str, tuple[tuple[str, str], ...]] = {
    "3.11": (
        *_POSITIONAL[:3],
        *_POSITIONAL[4:],
        *_BODY,
        ("o", "kinds"),
        *_END[:2],
        ("o", "qualname"),
        ("i", "line"),
        ("o", ""),
        ("o", "exceptions"),
    ),
    "3.8": (*_POSITIONAL, *_BODY, *_CELLS, *_END),
    "3.6": (*_START, *_BODY, *_CELLS, *_END),
    "2.7": (_START[0], *_START[2:], *_BODY, *_CELLS, *_END),
}


class CodeNames(NamedTuple):
    """What a code object says of itself. `names` are its globals and attributes, `nested` the functions inside."""

    name: str
    filename: str
    names: tuple[str, ...]
    consts: tuple[str, ...]  # string and bytes constants (bytes as latin-1)
    nested: tuple[CodeNames, ...]
    layout: str
    line: int = 0
    code: bytes = b""
    body: Code | None = None  # what a disassembler needs; None for Python 2

    def walk(self) -> list[CodeNames]:
        """Return this and all code inside it, outermost first."""
        found, stack = [], [self]
        while stack:
            item = stack.pop()
            found.append(item)
            stack.extend(reversed(item.nested))
        return found


class _Reader:
    def __init__(self, data: bytes, layout: str) -> None:
        self.data = data
        self.pos = 0
        self.layout = layout
        self.references: list[Json] = []
        self.items = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.pos + count > len(self.data):
            msg = f"needs {count} bytes, {len(self.data) - self.pos} are left"
            raise Truncated(msg, self.pos)
        self.pos += count
        return self.data[self.pos - count : self.pos]

    def long(self) -> int:
        return int(struct.unpack("<i", self.take(4))[0])

    def object(self, depth: int = 0) -> Any:  # noqa: ANN401 - str, bytes, int, tuple, CodeNames or None
        """Read one object."""
        self.items += 1
        if depth > _MAX_DEPTH or self.items > _MAX_ITEMS:
            msg = "nested too deeply, or too many objects"
            raise FormatError(msg, self.pos)
        byte = self.take(1)[0]
        kind = chr(byte & 0x7F)
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind in "Rr":
            index = self.long()
            if not 0 <= index < len(self.references):
                msg = f"a reference to object {index}"
                raise FormatError(msg, self.pos)
            return self.references[index]
        slot = -1
        if byte & _REF:
            slot = len(self.references)
            self.references.append(None)
        value = self.text(kind) if kind in "stuaAzZ" else self.number(kind) if kind in "iIlfgxy" else self.container(kind, depth)
        if slot >= 0:
            self.references[slot] = value
        return value

    def number(self, kind: str) -> float:
        """Read a number; complex ones, written-out ones and those of more than a hundred digits lose their value."""
        match kind:
            case "i":
                return self.long()
            case "l":
                count = self.long()
                raw = self.take(2 * abs(count))
                if abs(count) > _DIGITS:
                    return 0
                value = sum(digit << 15 * place for place, (digit,) in enumerate(struct.iter_unpack("<H", raw)))
                return int(-value if count < 0 else value)
            case "f":
                self.take(self.take(1)[0])
            case "x":
                self.take(self.take(1)[0])
                self.take(self.take(1)[0])
            case "y":
                self.take(16)
            case "g":
                return float(struct.unpack("<d", self.take(8))[0])
            case _:
                self.take(8)
        return 0

    def text(self, kind: str) -> str | bytes:
        """Read bytes or text."""
        if kind in "zZ":
            return self.take(self.take(1)[0]).decode("latin-1")
        raw = self.take(self.long())
        if kind == "s":
            return raw
        text = raw.decode("utf-8", "surrogatepass" if kind == "t" and self.layout != "2.7" else "replace")
        if kind == "t" and self.layout == "2.7":
            self.references.append(text)  # interned texts are what Python 2 refers to
        return text

    def container(self, kind: str, depth: int) -> Json:
        """Read a sequence, a set, a dictionary, a slice or a code object."""
        match kind:
            case "(" | "[" | "<" | ">":
                return self.sequence(self.long(), depth)
            case ")":
                return self.sequence(self.take(1)[0], depth)
            case ":":
                self.sequence(3, depth)
                return ...
            case "{":
                pairs: list[Json] = []
                while (self.data[self.pos : self.pos + 1] or b"0") != b"0":
                    pairs += [self.object(depth + 1), self.object(depth + 1)]
                self.take(1)
                return tuple(pairs)
            case "c":
                return self.code(depth)
        msg = f"unknown marshal type {kind!r}"
        raise FormatError(msg, self.pos - 1)

    def sequence(self, count: int, depth: int) -> tuple[Json, ...]:
        if count < 0 or count > len(self.data) - self.pos:
            msg = f"a sequence of {count} objects, {len(self.data) - self.pos} bytes are left"
            raise Truncated(msg, self.pos)
        return tuple(self.object(depth + 1) for _ in range(count))

    def code(self, depth: int) -> CodeNames:
        kept: dict[str, Json] = {}
        for kind, name in LAYOUTS[self.layout]:
            value = self.long() if kind == "i" else self.object(depth + 1)
            if name:
                kept[name] = value
        names = kept["names"]
        texts_there = all(isinstance(kept[key], (str, bytes)) for key in ("name", "filename"))
        tuples_there = all(isinstance(kept[key], tuple) for key in ("names", "consts", "locals", "free", "cell") if key in kept)
        bytes_there = all(isinstance(kept[key], bytes) for key in ("code", "kinds") if key in kept)
        if not (texts_there and tuples_there and bytes_there) or not all(isinstance(n, (str, bytes)) for n in names):
            msg = "not a code object of this version"
            raise FormatError(msg, self.pos)
        texts, nested = _constants(kept["consts"])
        return CodeNames(
            name=_text(kept["name"]), filename=_text(kept["filename"]), names=tuple(map(_text, names)), consts=tuple(texts),
            nested=tuple(nested), layout=self.layout, line=kept["line"], code=kept["code"], body=_body(kept, self.layout),
        )  # fmt: skip


def _body(kept: dict[str, Json], layout: str) -> Code | None:
    """Return what a disassembler needs of the fields of a code object."""
    if layout == "2.7":
        return None
    slots = tuple(map(_text, kept["locals"]))
    if "kinds" in kept:
        kinds = kept["kinds"].ljust(len(slots), b"\0")
        local, cell, free = (tuple(n for n, k in zip(slots, kinds, strict=False) if k & kind) for kind in (_LOCAL, _CELL, _FREE))
    else:
        local, cell, free = slots, tuple(map(_text, kept["cell"])), tuple(map(_text, kept["free"]))
    consts = tuple((item.body or ...) if isinstance(item, CodeNames) else item for item in kept["consts"])
    table = kept.get("exceptions", b"")
    return Code(
        _text(kept["name"]), kept["code"], consts, tuple(map(_text, kept["names"])), local, cell, free, kept["args"],
        kept["kwonly"],
        kept["flags"], kept["line"], table if isinstance(table, bytes) else b"", layout,
    )  # fmt: skip


def _constants(consts: tuple[Json, ...]) -> tuple[list[str], list[CodeNames]]:
    texts: list[str] = []
    nested: list[CodeNames] = []
    stack = list(reversed(consts))
    while stack and len(texts) < 100_000:
        item = stack.pop()
        if isinstance(item, CodeNames):
            nested.append(item)
        elif isinstance(item, tuple):
            stack.extend(reversed(item))
        elif isinstance(item, (str, bytes)):
            texts.append(_text(item))
    return texts, nested


def _text(value: Json) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def read_marshal(data: bytes, layout: str = "") -> tuple[CodeNames, int]:
    """Return the code object at the start of `data` and the offset behind it.

    Without a layout each is tried, newest first, and the first that reads a consistent object wins.
    Raises FormatError when there is no code object in any layout.
    """
    problem: FormatError | None = None
    for candidate in (layout,) if layout else LAYOUTS:
        reader = _Reader(data, candidate)
        try:
            value = reader.object()
        except FormatError as exc:
            problem = exc if problem is None or (exc.offset or 0) > (problem.offset or 0) else problem
            continue
        except (UnicodeDecodeError, RecursionError) as exc:
            problem = problem or FormatError(f"broken: {type(exc).__name__}", reader.pos)
            continue
        if isinstance(value, CodeNames):
            return value, reader.pos
        problem = problem or FormatError("not a code object", 0)
    raise problem or FormatError("not a code object", 0)
