"""A scanner of YAML 1.1 / 1.2: nodes with their path, tag, anchor and scalar value; tolerant, never recursive on blocks.

It resolves nothing and builds nothing. Blocks are followed by indentation, flow collections to a
fixed depth, scalars in all five styles. Text that is not YAML (a template, say) gives `irregular`.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote as percent_decoded

from stannary.formats.yaml_flow import MAX_DEPTH, PROPERTY, Flow, closing, unquote

__all__ = ["Node", "Scanned", "scan"]

_KEY = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s\[\]{},#&*!|>'"%@`][^#\n]*?|[?-]\S[^#\n]*?|<<)\s*:(?=\s|$)""")
_BLOCK = re.compile(r"[|>][+-]?\d?[+-]?\s*(?:#.*)?$")
_MAX_PROPERTIES = 4  # YAML allows one tag and one anchor
_MAX_SIZE = 10**18


class Node(NamedTuple):
    """One scalar, alias or tagged node. `tag` is resolved (`tag:yaml.org,2002:` removed, `!` kept out)."""

    path: str
    key: str
    value: str | None
    tag: str
    line: int


class Scanned:
    """What a text holds: nodes in order, top-level keys, and how large it is with all aliases expanded."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.keys: list[str] = []
        self.documents = 1
        self.aliases = 0
        self.expanded = 0
        self.irregular = ""
        self.tags: set[str] = set()


class _Open(NamedTuple):
    indent: int
    sequence: bool
    path: str


def scan(text: str) -> Scanned:
    """Scan a YAML stream."""
    scanner = _Scanner(text)
    scanner.run()
    return scanner.out


class _Scanner:
    def __init__(self, text: str) -> None:
        self.out = Scanned()
        self.lines = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.at = 0
        self.stack: list[_Open] = []
        self.counters: dict[str, int] = {}
        self.handles = {"!!": "tag:yaml.org,2002:"}
        self.path = ""  # the node that the next content belongs to
        self.sizes: dict[str, int] = {}
        self.open_anchors: list[tuple[str, str]] = []
        self.plain_indent: int | None = None

    # Blocks

    def run(self) -> None:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            self.at += 1
            content = line.lstrip(" ")
            indent = len(line) - len(content)
            stripped = content.strip()
            if not stripped or stripped.startswith("#"):
                continue
            if indent == 0 and self._marker(stripped, content):
                continue
            if (
                self.plain_indent is not None
                and indent > self.plain_indent
                and not _KEY.match(content)
                and not stripped.startswith("- ")
            ):
                self._continue(stripped)
                continue
            self.plain_indent = None
            self._line(indent, content)

    def _marker(self, stripped: str, content: str) -> bool:
        if stripped.startswith("%"):
            words = stripped.split()
            if words[0] == "%TAG" and len(words) >= 3:
                self.handles[words[1]] = words[2]
            return True
        if stripped in {"...", "---"} or stripped.startswith("--- "):
            self.stack.clear()
            self.path = ""
            self.plain_indent = None
            if stripped.startswith("---") and (self.out.nodes or self.out.keys):
                self.out.documents += 1
            if len(stripped) > 4:
                self._line(0, content.strip()[4:].lstrip())
            return True
        return False

    def _line(self, indent: int, content: str) -> None:
        while self.stack and (
            self.stack[-1].indent > indent
            or (self.stack[-1].indent == indent and self.stack[-1].sequence and not content.startswith("-"))
        ):
            self.stack.pop()
        if not self.stack:
            self.path = "" if not content.startswith("-") or indent == 0 else self.path
        while content == "-" or content.startswith(("- ", "-\t")):
            if len(self.stack) > MAX_DEPTH:
                self.out.irregular = "nested too deeply"
                return
            top = self.stack[-1] if self.stack else None
            if top is None or not (top.sequence and top.indent == indent):
                top = _Open(indent, sequence=True, path=self.path)
                self.stack.append(top)
            number = self.counters.get(top.path, -1) + 1
            self.counters[top.path] = number
            self.path = f"{top.path}[{number}]"
            rest = content[1:]
            content = rest.lstrip()
            indent += len(rest) - len(content) + 1
            if not content or content.startswith("#"):
                return
        tag, anchor, content, width = self._properties(content)
        if content.startswith("? "):
            tag, anchor, content, more = self._properties(content[2:].lstrip())
            width += 2 + more
        match = _KEY.match(content)
        if match is None:
            self._note(self.path, tag, anchor)
            self._value(content, tag)
            return
        if tag:  # properties before a key belong to the key
            self._emit(self.path, match[1], tag)
        self._member(indent + width, content, match, anchor)

    def _member(self, indent: int, content: str, match: re.Match[str], anchor: str) -> None:
        top = self.stack[-1] if self.stack else None
        while top is not None and top.indent > indent:
            self.stack.pop()
            top = self.stack[-1] if self.stack else None
        if top is None or top.sequence or top.indent != indent:
            if len(self.stack) > MAX_DEPTH:
                self.out.irregular = "nested too deeply"
                return
            top = _Open(indent, sequence=False, path=self.path)
            self.stack.append(top)
            if anchor:
                self._anchor(anchor, top.path)
        key = unquote(match[1])
        self.path = f"{top.path}.{key}" if top.path else key
        if not top.path and len(self.out.keys) < 400:
            self.out.keys.append(key)
        self.counters.pop(self.path, None)
        rest = content[match.end() :].strip()
        tag, anchor, rest, _ = self._properties(rest)
        self._note(self.path, tag, anchor)
        if rest and not rest.startswith("#"):
            self._value(rest, tag)
        elif tag:
            self._emit(self.path, None, tag)

    def _value(self, content: str, tag: str) -> None:
        """Read the scalar, alias or flow collection that starts on this line."""
        first = content[:1]
        if not content:
            if tag:
                self._emit(self.path, None, tag)
        elif _BLOCK.match(content):
            self._emit(self.path, self._block(), tag)
        elif first in "[{":
            if tag:
                self._emit(self.path, None, tag)
            self._flow(content, self.path)
        elif first in "\"'":
            self._emit(self.path, self._quoted(content), tag)
        elif first == "*":
            self._alias((content[1:].split(maxsplit=1) or [""])[0])
        else:
            self._emit(self.path, re.split(r"\s#", content, maxsplit=1)[0].strip(), tag)
            self.plain_indent = (
                (self.stack[-1].indent if self.stack else -1)
                if not (self.stack and self.stack[-1].sequence)
                else self.stack[-1].indent
            )

    def _block(self) -> str:
        top = self.stack[-1].indent if self.stack else -1
        lines: list[str] = []
        width: int | None = None
        while self.at < len(self.lines):
            line = self.lines[self.at]
            bare = line.lstrip(" ")
            here = len(line) - len(bare)
            if bare.strip() and here <= top:
                break
            if bare.strip() and width is None:
                width = here
            lines.append(line[width or 0 :])
            self.at += 1
        return "\n".join(lines).rstrip("\n")

    def _quoted(self, content: str) -> str:
        quote = content[0]
        end = closing(content, quote)
        while end < 0 and self.at < len(self.lines):
            content += "\n" + self.lines[self.at]
            self.at += 1
            end = closing(content, quote)
        if end < 0:
            self.out.irregular = "a quoted scalar does not end"
            return content[1:]
        return unquote(content[: end + 1])

    def _continue(self, text: str) -> None:
        if self.out.nodes:
            last = self.out.nodes[-1]
            self.out.nodes[-1] = last._replace(value=f"{last.value or ''} {text}".strip())

    # Flow collections

    def _flow(self, content: str, path: str) -> None:
        flow = Flow(self, content)
        flow.node(path, 0)

    def more(self) -> str | None:
        """Return the next line for a flow collection that goes on, or None."""
        if self.at >= len(self.lines):
            return None
        self.at += 1
        return self.lines[self.at - 1]

    # Nodes

    def _properties(self, content: str) -> tuple[str, str, str, int]:
        tag = anchor = ""
        start = len(content)
        for _ in range(_MAX_PROPERTIES):
            match = PROPERTY.match(content)
            if match is None:
                break
            if match[1].startswith("&"):
                anchor = match[1][1:]
            else:
                tag = self.resolve(match[1])
            content = content[match.end() :].lstrip()
        return tag, anchor, content, start - len(content)

    def resolve(self, raw: str) -> str:
        """Return the tag behind its shorthand, without the YAML prefix."""
        if raw.startswith("!<"):
            full = raw[2:-1]
        else:
            second = raw.find("!", 1)
            handle = raw[: second + 1] if second > 0 else "!"
            full = self.handles.get(handle, handle if handle != "!" else self.handles.get("!", "")) + raw[len(handle) :]
        full = percent_decoded(full)
        return full.removeprefix("tag:yaml.org,2002:").removeprefix("!") or "!"

    def _note(self, path: str, tag: str, anchor: str) -> None:
        if tag:
            self.out.tags.add(tag)
        if anchor:
            self._anchor(anchor, path)

    def _anchor(self, name: str, path: str) -> None:
        self.sizes[name] = 1
        self.open_anchors.append((name, path))
        if len(self.open_anchors) > 64:
            self.open_anchors = [(n, p) for n, p in self.open_anchors if self.path.startswith(p)]

    def _alias(self, name: str) -> None:
        self.out.aliases += 1
        self._count(self.path, self.sizes.get(name, 1))

    def _count(self, path: str, size: int) -> None:
        self.out.expanded = min(_MAX_SIZE, self.out.expanded + size)
        for name, base in self.open_anchors[-64:]:
            if path.startswith(base):
                self.sizes[name] = min(_MAX_SIZE, self.sizes[name] + size)

    def _emit(self, path: str, value: str | None, tag: str) -> None:
        if tag:
            self.out.tags.add(tag)
        key = path.rpartition(".")[2].split("[")[0]
        self.out.nodes.append(Node(path, key, value, tag, self.at))
        self._count(path, 1)

    def irregular(self, why: str) -> None:
        """Note that the text is not YAML."""
        self.out.irregular = why

    def is_irregular(self) -> bool:
        """Tell whether the text was found not to be YAML."""
        return bool(self.out.irregular)

    def flow_scalar(self, path: str, value: str, tag: str, anchor: str) -> None:
        """Take a scalar or alias of a flow collection."""
        self._note(path, tag, anchor)
        if value.startswith("*") and len(value) > 1:
            self.path = path
            self._alias(value[1:])
        else:
            self._emit(path, unquote(value) if value[:1] in "\"'" else value, tag)

    def flow_open(self, path: str, tag: str, anchor: str) -> None:
        """Take the start of a nested flow collection."""
        self._note(path, tag, anchor)
        if tag:
            self._emit(path, None, tag)
