"""Torch7 (Lua) objects, binary and ASCII: class names, tensors, and dumped functions.

Format: torch7 `File.lua`. `torch.load` runs a dumped function's upvalues through `loadstring`, and calls the `read`
method of every class it names: Lua byte code in a model is code.
"""

from __future__ import annotations

import re
import struct

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.formats.embedded_text import note_code
from stannary.formats.interface import Sink, View, clip

__all__ = ["probe", "read"]

_NIL, _NUMBER, _STRING, _TABLE, _TORCH, _BOOLEAN, _FUNCTION, _FUNCTION_OLDER, _FUNCTION_RECURSIVE = 0, 1, 2, 3, 4, 5, 6, 7, 8
_WIDTH = {"Double": 8, "Float": 4, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Half": 2}
_ARRAY = re.compile(r"torch\.(?:Cuda)?(Double|Float|Long|Int|Short|Char|Byte|Half|)(Tensor|Storage)")
_WORD = re.compile(rb"\s*(\S{1,64})")
_MAX_DEPTH = 400
_MAX_OBJECTS = 500_000


def probe(view: View) -> bool:
    """Tell whether a torch object, a table or a string begins here as `torch.save` writes it in binary."""
    head = view.head(24)
    if len(head) < 16:
        return False
    kind, index = struct.unpack_from("<ii", head)
    if kind == _TABLE:
        size = struct.unpack_from("<i", head, 8)[0]
        first = struct.unpack_from("<i", head, 12)[0]
        return index == 1 and 0 <= size < 1 << 24 and (0 < first <= 8) and len(view) > 16
    if kind == _TORCH and index == 1:
        length = struct.unpack_from("<i", head, 8)[0]
        return 0 < length < 128 and bytes(view.data[12 : 12 + min(length, 4)]).isascii() and len(view) > 16 + length
    return False


def read(view: View, sink: Sink) -> None:
    """Report class names, functions with the texts in them, and what follows the object.

    Raises Truncated and FormatError; ASCII files are told by their first character.
    """
    reader = _Reader(view, sink, text=view.head(1).isdigit())
    try:
        reader.value(0)
    finally:
        reader.report()
    rest = view.data[reader.pos :]
    if len(rest) and bytes(rest[:64]).strip():
        sink.fact("torch7.trailing", reader.pos, size=len(rest))
        sink.child("trailing", rest, offset=reader.pos)


class _Reader:
    def __init__(self, view: View, sink: Sink, *, text: bool) -> None:
        self.view = view
        self.data = view.data
        self.end = len(view)
        self.pos = 0
        self.sink = sink
        self.ascii = text
        self.left = _MAX_OBJECTS
        self.known: set[int] = set()
        self.classes: dict[str, int] = {}

    def report(self) -> None:
        """Report the classes that were named."""
        for name, at in self.classes.items():
            self.sink.fact("torch7.class", at, name=clip(name))

    def _number(self, code: str) -> int:
        if self.ascii:
            match = _WORD.match(self.data, self.pos)
            if match is None:
                msg = "ends where a number is expected"
                raise Truncated(msg, self.pos)
            self.pos = match.end()
            try:
                return int(float(match.group(1)))
            except (ValueError, OverflowError) as exc:
                if code == "d":
                    return 0
                msg = f"{match.group(1)[:20]!r} where a number is expected"
                raise FormatError(msg, self.pos) from exc
        size = struct.calcsize("<" + code)
        if self.pos + size > self.end:
            msg = f"needs {size} bytes, {self.end - self.pos} are left"
            raise Truncated(msg, self.pos)
        value = struct.unpack_from("<" + code, self.data, self.pos)[0]
        self.pos += size
        return value if code != "d" else 0

    def _bytes(self) -> bytes:
        at = self.pos
        length = self._number("i")
        if self.ascii and self.pos < self.end:
            self.pos += 1  # the line end
        if length < 0 or length > self.end - self.pos:
            msg = f"a string of {length} bytes, {self.end - self.pos} are left"
            raise Truncated(msg, at)
        self.pos += length
        return bytes(self.data[self.pos - length : self.pos])

    def _skip(self, count: int, width: int) -> None:
        if count < 0 or count * (1 if self.ascii else width) > self.end - self.pos:
            msg = f"{count} numbers, {self.end - self.pos} bytes are left"
            raise Truncated(msg, self.pos)
        if not self.ascii:
            self.pos += count * width
            return
        for _ in range(count):
            self._number("d")

    def value(self, depth: int) -> None:
        """Read one object and everything below it."""
        if depth > _MAX_DEPTH:
            msg = f"nested deeper than {_MAX_DEPTH}"
            raise BudgetExceeded(msg, self.pos)
        self.sink.budget.take_operations(1)
        self.left -= 1
        if self.left < 0:
            msg = f"more than {_MAX_OBJECTS} objects"
            raise BudgetExceeded(msg, self.pos)
        at = self.pos
        kind = self._number("i")
        if kind == _NIL:
            return
        if kind == _NUMBER:
            self._number("d")
        elif kind == _BOOLEAN:
            self._number("i")
        elif kind == _STRING:
            note_code(self.sink, "string", self._bytes()[: 1 << 20].decode("utf-8", "replace"), at)
        elif kind in {_TABLE, _TORCH, _FUNCTION, _FUNCTION_OLDER, _FUNCTION_RECURSIVE}:
            if kind != _FUNCTION:
                index = self._number("i")
                if index in self.known:
                    return
                self.known.add(index)
            self._compound(kind, at, depth)
        else:
            msg = f"unknown object type {kind}"
            raise FormatError(msg, at)

    def _compound(self, kind: int, at: int, depth: int) -> None:
        if kind == _TORCH:
            self._object(at, depth)
        elif kind == _TABLE:
            size = self._number("i")
            if size < 0 or size > self.end - self.pos:
                msg = f"a table of {size} entries"
                raise FormatError(msg, at)
            for _ in range(2 * size):
                self.value(depth + 1)
        else:
            dump = self._bytes()
            texts = [t.decode("ascii") for t in re.findall(rb"[\x20-\x7e]{3,200}", dump[: 1 << 20])]
            self.sink.fact(
                "torch7.function", at, size=len(dump), bytecode=dump[:3] == b"\x1bLu" or dump[:3] == b"\x1bLJ", texts=texts[:60]
            )
            note_code(self.sink, "function", "\n".join(texts), at)
            self.value(depth + 1)  # the upvalues

    def _object(self, at: int, depth: int) -> None:
        name = self._bytes().decode("utf-8", "replace")
        if name.startswith("V "):
            name = self._bytes().decode("utf-8", "replace")
        self.classes.setdefault(name, at)
        array = _ARRAY.fullmatch(name)
        if array is None:
            self.value(depth + 1)
        elif array.group(2) == "Tensor":
            rank = self._number("i")
            if not 0 <= rank <= 64:
                msg = f"a tensor of {rank} dimensions"
                raise FormatError(msg, at)
            self._skip(2 * rank, 8)
            self._number("q")
            self.value(depth + 1)
        else:
            self._skip(self._number("q"), _WIDTH.get(array.group(1) or "Float", 4))
