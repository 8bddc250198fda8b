"""MAT-files of level 5 (MATLAB 5 to 7.2): the texts, function handles and objects in them.

Reading one as data (scipy, Octave, `load`) runs nothing but the `loadobj` of a class and the constructors of Java; what a text or a
handle holds is run by the script that evaluates it. Files of 7.3 are HDF5.
Reference: "MAT-File Format", The MathWorks.

Facts: `matlab.file`: arrays (how many). `matlab.text`: text, name, handle (whether it is the code of a function handle): a text
that calls something outside of mathematics. `matlab.object`: system (`matlab`, `java`, `MCOS`, ...), name of the class.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

from stannary.core.errors import FormatError, Truncated
from stannary.formats.embedded_payload import note_payload
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip

__all__ = ["read"]

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_CHAR, _OBJECT, _HANDLE, _OPAQUE = 4, 3, 16, 17
_BYTES = frozenset({8, 9})  # int8 and uint8 arrays
_DEPTH = 24
_MOST = 200_000  # elements
_TEXT = 1 << 20
_CALLS = re.compile(
    r"\b(?:system|unix|dos|perl|python|eval|evalc|evalin|assignin|feval|urlread|urlwrite|webread|websave|webwrite|ftp|mex|loadlibrary|javaaddpath)\("
    r"|\bjava\.(?:lang|io|net)\.\w+|\bpy\.\w+\.\w+\(|(?:^|[;\n])\s*!\s*\w+|\bactxserver\s*\(|\bNET\.addAssembly\b",
)


class _Element(NamedTuple):
    kind: int
    start: int
    size: int
    end: int


def read(view: View, sink: Sink) -> None:
    """Read all arrays. Raises FormatError when the header is none, Truncated when the file is cut."""
    if len(view) < _HEADER:
        msg = "a MAT-file without its header"
        raise Truncated(msg, len(view))
    mark = view.bytes(126, 2)
    if mark not in (b"IM", b"MI"):
        msg = "a MAT-file that tells no order of bytes"
        raise FormatError(msg, 126)
    reader = _Reader(sink, "little" if mark == b"IM" else "big")
    arrays = reader.walk(view, _HEADER, len(view), 0)
    sink.fact("matlab.file", 0, arrays=arrays)
    sink.inert("arrays of MATLAB")


class _Reader:
    def __init__(self, sink: Sink, order: str) -> None:
        self.sink = sink
        self.order = order
        self.left = _MOST
        self.texts = 0

    def walk(self, view: View, start: int, end: int, depth: int) -> int:
        """Read the elements of a part; return how many matrices there were."""
        position, found = start, 0
        while position + 8 <= end:
            element = self._element(view, position, end)
            position = element.end
            self.left -= 1
            if self.left < 0 or depth > _DEPTH:
                self.sink.incomplete("more, or deeper, arrays of MATLAB than are read", position)
                return found
            if element.kind == _COMPRESSED:
                content = self._inflate(view, element)
                found += self.walk(View(content, view.name), 0, len(content), depth + 1)
            elif element.kind == _MATRIX and element.size:
                found += 1
                self._matrix(view, element, depth)
            self.sink.budget.check_time()
        return found

    def _number(self, view: View, at: int, size: int = 4) -> int:
        return int.from_bytes(view.bytes(at, size), self.order)  # type: ignore[arg-type]

    def _element(self, view: View, at: int, end: int) -> _Element:
        word = self._number(view, at)
        if word >> 16:  # type and size in one word, the data in the next
            return _Element(word & 0xFFFF, at + 4, min(word >> 16, 4), at + 8)
        size = self._number(view, at + 4)
        if size > end - at - 8:
            msg = f"an array of {size} bytes, {end - at - 8} are left"
            raise Truncated(msg, at)
        padding = 0 if word == _COMPRESSED else -size % 8
        return _Element(word, at + 8, size, at + 8 + size + padding)

    def _inflate(self, view: View, element: _Element) -> bytes:
        try:
            engine = zlib.decompressobj()
            content = engine.decompress(bytes(view.data[element.start : element.start + element.size]), 256 << 20)
        except zlib.error as exc:
            msg = "a compressed array that cannot be inflated"
            raise FormatError(msg, element.start) from exc
        if engine.unconsumed_tail:
            self.sink.incomplete("a compressed array of more than 256 MiB", element.start)
        self.sink.budget.take_inflated(len(content))
        return content

    def _matrix(self, view: View, matrix: _Element, depth: int, *, handle: bool = False) -> None:
        end = matrix.start + matrix.size
        parts: list[_Element] = []
        position = matrix.start
        while position + 8 <= end and len(parts) < _MOST:
            part = self._element(view, position, end)
            parts.append(part)
            position = part.end
            self.left -= 1
        if self.left < 0:
            self.sink.incomplete("more arrays of MATLAB than are read", position)
            return
        if not parts or parts[0].size < 4:  # the flags
            return
        kind = self._number(view, parts[0].start) & 0xFF
        name = self._text(view, parts[2 if kind != _OPAQUE else 1]) if len(parts) > 2 else ""  # flags, dimensions, name
        if kind == _OPAQUE and len(parts) > 3:  # flags, name, system, class
            self.sink.fact(
                "matlab.object",
                parts[3].start,
                system=clip(self._text(view, parts[2]), 40),
                name=clip(self._text(view, parts[3]), 120),
            )
        elif kind == _OBJECT and len(parts) > 3:  # flags, dimensions, name, class
            self.sink.fact("matlab.object", parts[3].start, system="matlab", name=clip(self._text(view, parts[3]), 120))
        elif kind == _CHAR and len(parts) > 3:  # and the characters
            self._tell(self._text(view, parts[3]), name, parts[3].start, handle=handle)
        elif kind in _BYTES and len(parts) > 3:  # and the numbers
            note_payload(self.sink, name or "array", view.data[parts[3].start : parts[3].start + parts[3].size], parts[3].start)
        texts = self.texts
        for part in parts:
            if part.kind == _MATRIX and part.size and depth >= _DEPTH:
                self.sink.incomplete(f"arrays of MATLAB within more than {_DEPTH} others", part.start)
                return
            if part.kind == _MATRIX and part.size:
                self._matrix(view, part, depth + 1, handle=handle or kind == _HANDLE)
        if kind == _HANDLE and not handle and self.texts == texts:
            self.sink.fact("matlab.object", matrix.start, system="matlab", name="a function handle whose code is not in it")

    def _text(self, view: View, part: _Element) -> str:
        raw = bytes(view.data[part.start : part.start + min(part.size, _TEXT)])
        if part.kind in {4, 17}:  # miUINT16 and miUTF16
            return raw.decode("utf-16-le" if self.order == "little" else "utf-16-be", "replace")
        return raw.decode("utf-8", "replace").rstrip("\0")

    def _tell(self, text: str, name: str, at: int, *, handle: bool) -> None:
        self.texts += 1
        found = _CALLS.search(text)
        if found is not None:
            self.sink.fact(
                "matlab.text", at, name=clip(name, 80), text=clip(text[max(0, found.start() - 40) :], 200), handle=handle
            )
        hand_on(self.sink, name or "text", text, at)
