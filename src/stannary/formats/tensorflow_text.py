"""TensorFlow graphs in text form (`.pbtxt`): operators and the text beside them.

Only what the binary reader reports is looked for, by tokens: `op: "NAME"`, and quoted strings
within the same node. Source: https://protobuf.dev/reference/protobuf/textformat-spec/.

Facts: `tf.model`, `tf.operator`, `tf.path` as in `tensorflow`.
"""

from __future__ import annotations

import re
from collections import Counter

from stannary.formats.interface import Sink, View, clip

__all__ = ["read"]

_TOKEN = re.compile(
    r"""(?P<key>[A-Za-z_][\w.]*)\s*:?\s*(?P<text>(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')(?:\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'))*)|(?P<open>(?:node|node_def|function)\s*:?\s*[{<])"""
)
_QUOTED = re.compile(r"""#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|([0-7]{1,3})|(.))", re.DOTALL)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_FOLLOWED_KEYS = frozenset({"s", "string_val", "filename", "key"})


def read(view: View, sink: Sink) -> None:
    """Read a graph in text form. Raises FormatError and BudgetExceeded."""
    content = view.text(sink.budget.limits.text)
    operators: Counter[str] = Counter()
    first: dict[str, tuple[str, int]] = {}
    name = op = ""
    for count, match in enumerate(_TOKEN.finditer(content)):
        if not count & 0xFFF:
            sink.budget.check_time()
        if match["open"]:
            name = op = ""
            continue
        key, value = match["key"], _unquote(match["text"])
        if key == "name" and not name:
            name = value
        elif key == "op":
            op = value
            operators[op] += 1
            first.setdefault(op, (clip(name), match.start()))
        elif key in _FOLLOWED_KEYS and value and not value.startswith("loc:@") and key != "key":
            sink.fact("tf.path", match.start(), op=clip(op), node=clip(name), graph="text", key=key, value=clip(value, 500))
    bare = _QUOTED.sub("", content)
    if bare.count("{") != bare.count("}"):
        sink.incomplete("a text graph whose brackets do not match", len(content))
    sink.fact("tf.model", 0, kind="text", nodes=operators.total(), functions=content.count("function {"), version="")
    for found, total in operators.items():
        node, offset = first[found]
        sink.fact("tf.operator", offset, op=clip(found), node=node, graph="text", count=total)


def _unquote(raw: str) -> str:
    parts = re.findall(r"""\"((?:[^"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'""", raw)
    return "".join(_ESCAPE.sub(_escaped, a or b) for a, b in parts)


def _escaped(match: re.Match[str]) -> str:
    digits, point, octal, letter = match.groups()
    if digits:
        return chr(int(digits, 16))
    if point:
        return chr(int(point, 16))
    if octal:
        return chr(int(octal, 8) & 0xFF)
    return _NAMED.get(letter, letter)
