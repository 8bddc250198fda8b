"""YAML flow collections and quoted scalars, read character by character to a fixed depth."""

from __future__ import annotations

import re
from typing import Protocol

__all__ = ["MAX_DEPTH", "PROPERTY", "Flow", "FlowTaker", "closing", "unquote"]

PROPERTY = re.compile(r"(!<[^>\n]*>|![^\s,\[\]{}]*|&[^\s,\[\]{}]+)(?=[\s,\[\]{}]|$)")
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "0": "\0",
    "e": "\x1b",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    " ": " ",
    '"': '"',
    "/": "/",
    "\\": "\\",
    "N": "\x85",
    "_": "\xa0",
}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\r?\n[ \t]*|.)", re.DOTALL)
MAX_DEPTH = 120


class FlowTaker(Protocol):
    """What takes the nodes of a flow collection: the block scanner."""

    def more(self) -> str | None:
        """Return the next line for a collection that goes on, or None."""
        ...

    def resolve(self, raw: str) -> str:
        """Return the tag behind its shorthand."""
        ...

    def irregular(self, why: str) -> None:
        """Note that the text is not YAML."""
        ...

    def is_irregular(self) -> bool:
        """Tell whether the text was found not to be YAML."""
        ...

    def flow_scalar(self, path: str, value: str, tag: str, anchor: str) -> None:
        """Take a scalar or alias."""
        ...

    def flow_open(self, path: str, tag: str, anchor: str) -> None:
        """Take the start of a nested collection."""
        ...


class Flow:
    """Reads `[...]` and `{...}`, over as many lines as they take."""

    def __init__(self, scanner: FlowTaker, content: str) -> None:
        self.scanner = scanner
        self.text = content
        self.at = 0

    def peek(self) -> str:
        """Return the next significant character, reading on over line ends; empty at the end of the text."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\n":
                self.at += 1
            if self.at < len(self.text) and not (self.text[self.at] == "#" and (self.at == 0 or self.text[self.at - 1] in " \t\n")):
                return self.text[self.at]
            following = self.scanner.more()
            if following is None:
                self.scanner.irregular("a flow collection does not end")
                return ""
            self.text, self.at = following, 0

    def node(self, path: str, depth: int) -> None:
        """Read one node."""
        tag = anchor = ""
        first = self.peek()
        while match := PROPERTY.match(self.text, self.at):
            if match[1].startswith("&"):
                anchor = match[1][1:]
            else:
                tag = self.scanner.resolve(match[1])
            self.at = match.end()
            first = self.peek()
        if first in "[{" and first:
            self.scanner.flow_open(path, tag, anchor)
            if depth >= MAX_DEPTH:
                self.scanner.irregular("nested too deeply")
                self.at = len(self.text)
                return
            self.at += 1
            self._members(path, "]" if first == "[" else "}", depth + 1)
        elif first and first not in ",]}":
            self.scanner.flow_scalar(path, self._scalar(), tag, anchor)
        elif tag:
            self.scanner.flow_open(path, tag, anchor)

    def _members(self, path: str, end: str, depth: int) -> None:
        number = 0
        while not self.scanner.is_irregular():
            first = self.peek()
            if not first or first == end:
                self.at += 1
                return
            if first in ",]}":
                self.at += 1
                continue
            match = _FLOW_KEY.match(self.text, self.at)
            if match and match.end() > self.at:
                key = unquote(match[1])
                self.at = match.end()
                self.node(f"{path}.{key}" if path else key, depth)
            elif end == "]":
                self.node(f"{path}[{number}]", depth)
                number += 1
            else:
                self.node(f"{path}.?", depth)

    def _scalar(self) -> str:
        first = self.text[self.at]
        if first in "\"'":
            end = closing(self.text[self.at :], first)
            while end < 0:
                following = self.scanner.more()
                if following is None:
                    self.scanner.irregular("a quoted scalar does not end")
                    return ""
                self.text += "\n" + following
                end = closing(self.text[self.at :], first)
            value = self.text[self.at : self.at + end + 1]
            self.at += end + 1
            return value
        match = _FLOW_PLAIN.match(self.text, self.at)
        value = match[0] if match else self.text[self.at]
        self.at += len(value)
        return value.strip()


_FLOW_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s\[\]{},#&*!|>'"%@`][^#\n,\[\]{}:]*(?::(?!\s|$|[,\[\]{}])[^#\n,\[\]{}:]*)*)\s*:(?=[\s,\[\]{}]|$)"""
)
_FLOW_PLAIN = re.compile(r"[^,\[\]{}\n]+")


def closing(text: str, quote: str) -> int:
    """Return the offset of the quote that closes the one at offset 0, or -1."""
    at = 1
    while True:
        at = text.find(quote, at)
        if at < 0:
            return -1
        if quote == '"':
            before = at
            while text[before - 1] == "\\":
                before -= 1
            if (at - before) % 2 == 0:
                return at
            at += 1
        elif text[at + 1 : at + 2] == "'":
            at += 2
        else:
            return at


def unquote(text: str) -> str:
    """Return the value of a quoted or plain scalar."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _ESCAPE.sub(_unescape, text[1:-1])
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    return text.strip()


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xuU" and len(code) > 1:
        value = int(code[1:], 16)
        return chr(value) if value < 0x110000 else ""
    return "" if "\n" in code else _ESCAPES.get(code, code)
