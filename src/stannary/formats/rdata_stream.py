"""The three ways R writes numbers and bytes: XDR, native and ASCII."""

from __future__ import annotations

import re
from typing import Protocol

from stannary.core.errors import FormatError, Truncated
from stannary.formats.interface import View

__all__ = ["Ascii", "Binary", "Stream"]

_NA = -(1 << 31)
_WORD = re.compile(rb"\s*(\S{1,64})")
_ESCAPES = {
    b"n": b"\n",
    b"t": b"\t",
    b"v": b"\v",
    b"b": b"\b",
    b"r": b"\r",
    b"f": b"\f",
    b"a": b"\a",
    b"\\": b"\\",
    b"?": b"?",
    b"'": b"'",
    b'"': b'"',
}


class Stream(Protocol):
    """Where the reader of R objects gets its integers, numbers and bytes."""

    pos: int

    @property
    def left(self) -> int:
        """Return how many bytes are left."""
        ...

    def integer(self) -> int:
        """Return a signed 32-bit integer."""
        ...

    def numbers(self, count: int, width: int) -> None:
        """Pass over `count` numbers of `width` bytes."""
        ...

    def raw(self, count: int) -> bytes:
        """Return `count` bytes."""
        ...

    def back(self, pos: int) -> None:
        """Go back to an earlier position."""
        ...


class Binary:
    """XDR (big-endian) or native (little-endian) numbers."""

    def __init__(self, view: View, pos: int, *, big: bool) -> None:
        self.data = view.data
        self.end = len(view)
        self.pos = pos
        self.order = "big" if big else "little"

    @property
    def left(self) -> int:
        """Return how many bytes are left."""
        return self.end - self.pos

    def _need(self, count: int) -> None:
        if count < 0 or count > self.end - self.pos:
            msg = f"needs {count} bytes, {max(0, self.end - self.pos)} are left"
            raise Truncated(msg, self.pos)

    def integer(self) -> int:
        """Return a signed 32-bit integer. Raises Truncated."""
        self._need(4)
        self.pos += 4
        return int.from_bytes(self.data[self.pos - 4 : self.pos], self.order, signed=True)  # type: ignore[arg-type]

    def numbers(self, count: int, width: int) -> None:
        """Pass over `count` numbers. Raises Truncated."""
        self._need(count * width)
        self.pos += count * width

    def raw(self, count: int) -> bytes:
        """Return `count` bytes. Raises Truncated."""
        self._need(count)
        self.pos += count
        return bytes(self.data[self.pos - count : self.pos])

    def back(self, pos: int) -> None:
        """Go back to an earlier position."""
        self.pos = pos


class Ascii:
    """Numbers as words on lines, strings with C escapes."""

    def __init__(self, view: View, pos: int) -> None:
        self.data = view.data
        self.end = len(view)
        self.pos = pos

    @property
    def left(self) -> int:
        """Return how many bytes are left."""
        return self.end - self.pos

    def _word(self) -> bytes:
        match = _WORD.match(self.data, self.pos)
        if match is None:
            msg = "ends where a number is expected"
            raise Truncated(msg, self.pos)
        self.pos = match.end()
        return match.group(1)

    def integer(self) -> int:
        """Return an integer. Raises FormatError when the word is none."""
        word = self._word()
        if word == b"NA":
            return _NA
        try:
            return int(word)
        except ValueError as exc:
            msg = f"{word[:20]!r} where an integer is expected"
            raise FormatError(msg, self.pos) from exc

    def numbers(self, count: int, width: int) -> None:
        """Pass over `count` numbers (a complex one is two)."""
        left = count * (2 if width == 16 else 1)
        if left and bytes(self.data[self.pos : self.pos + 1]) == b"\n":
            self.pos += 1
        while left > 0:  # one number a line: lines are counted a block at a time
            block = bytes(self.data[self.pos : self.pos + min(1 << 20, max(128, 2 * left))])
            lines = block.count(b"\n")
            if lines > left:
                self.pos += sum(map(len, block.splitlines(keepends=True)[:left]))
                return
            if not lines:
                if len(block) < 4096 or not block:
                    msg = "ends inside a vector"
                    raise Truncated(msg, self.pos)
                msg = "a line too long for a number"
                raise FormatError(msg, self.pos)
            self.pos += block.rfind(b"\n") + 1
            left -= lines

    def raw(self, count: int) -> bytes:
        """Return a string of `count` bytes, escapes decoded."""
        while self.pos < self.end and bytes(self.data[self.pos : self.pos + 1]).isspace():
            self.pos += 1
        result = bytearray()
        while len(result) < count:
            if self.pos >= self.end:
                msg = "ends inside a string"
                raise Truncated(msg, self.pos)
            byte = bytes(self.data[self.pos : self.pos + 1])
            self.pos += 1
            if byte != b"\\":
                result += byte
                continue
            byte = bytes(self.data[self.pos : self.pos + 1])
            if byte in b"01234567" and byte:
                octal = re.match(rb"[0-7]{1,3}", bytes(self.data[self.pos : self.pos + 3]))
                digits = octal.group() if octal else b"0"
                self.pos += len(digits)
                result.append(int(digits, 8) & 0xFF)
            else:
                self.pos += 1
                result += _ESCAPES.get(byte, byte)
        return bytes(result)

    def back(self, pos: int) -> None:
        """Go back to an earlier position."""
        self.pos = pos
