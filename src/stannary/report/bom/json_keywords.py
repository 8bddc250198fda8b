"""The keywords of JSON Schema that need no other schema, and what all keywords share: problems with their places."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from stannary.report.bom.json_formats import FORMATS

__all__ = ["KEYWORDS", "Check", "Node", "Path", "Problem", "Seen", "say", "shown"]

Path = tuple[Any, ...]  # () or (path of the parent, key or index)
Node = dict[str, Any]
Seen = set[str] | None  # names of an object that a keyword looked at, where somebody asks
_Value = Any
_MOST = 1000  # problems that are collected


class Problem(NamedTuple):
    """What is wrong, and where: `keys` from the document down."""

    keys: Path
    message: str

    def where(self) -> tuple[str | int, ...]:
        """Return the keys from the top."""
        found: list[str | int] = []
        at = self.keys
        while at:
            at, key = at
            found.append(key)
        return tuple(reversed(found))


Check = Callable[[_Value, Path, list[Problem], Seen], None]


def say(out: list[Problem], path: Path, message: str) -> None:
    """Note a problem, unless there are many already."""
    if len(out) < _MOST:
        out.append(Problem(path, message))


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - JSON
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _repeated(rows: list[Any]) -> Iterator[int]:
    seen: set[bytes] = set()
    for index, row in enumerate(rows):
        key = _encoded(row)
        if key in seen:
            yield index
        seen.add(key)


def _encoded(value: Any) -> bytes:  # noqa: ANN401 - JSON
    """Return a value as one text. Half of a surrogate pair and integers over 64 bits, which JSON may hold, take the slow way."""
    try:
        return msgspec.json.encode(value, order="sorted")
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError):
        return json.dumps(value, sort_keys=True).encode()


def _kind(value: Any) -> str:  # noqa: ANN401 - JSON
    return next(name for name, test in _TYPES.items() if name != "integer" and test(value))


def shown(value: Any) -> str:  # noqa: ANN401 - JSON
    """Return a value as it stands in a message, cut to a line."""
    text = value if isinstance(value, str) else _encoded(value).decode()
    return repr(text if len(text) <= 80 else f"{text[:79]}…") if isinstance(value, str) else text[:80]  # noqa: PLR2004 - a line


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
}


def _type(node: Node) -> Check:
    wanted = node["type"] if isinstance(node["type"], list) else [node["type"]]
    tests = tuple(_TYPES[name] for name in wanted)
    words = " or ".join(wanted)

    def run(value: _Value, path: Path, out: list[Problem], _seen: Seen) -> None:
        if not any(test(value) for test in tests):
            say(out, path, f"is {_kind(value)}, where {words} is expected")

    return run


def _const(node: Node) -> Check:
    wanted = node["const"]

    def run(value: _Value, path: Path, out: list[Problem], _seen: Seen) -> None:
        if not _same(value, wanted):
            say(out, path, f"is {shown(value)}, where {shown(wanted)} is expected")

    return run


def _enum(node: Node) -> Check:
    texts = frozenset(item for item in node["enum"] if isinstance(item, str))
    others = [item for item in node["enum"] if not isinstance(item, str)]

    def run(value: _Value, path: Path, out: list[Problem], _seen: Seen) -> None:
        if (value in texts) if isinstance(value, str) else any(_same(value, item) for item in others):
            return
        import difflib

        folded = {text.lower(): text for text in texts}
        near = difflib.get_close_matches(value.lower(), folded, 1) if isinstance(value, str) else []
        few = ", ".join(sorted(texts)) if len(texts) <= 16 else f"{len(texts)} values"  # noqa: PLR2004 - fits a line
        say(out, path, f"is {shown(value)}, none of {few}{f'; did you mean {folded[near[0]]!r}?' if near else ''}")

    return run


def _pattern(node: Node) -> Check:
    text = node["pattern"]
    # ECMA-262's `$` is the end; Python's would let a line feed follow.
    found = re.compile(text[:-1] + r"\Z" if text.endswith("$") else text, re.ASCII).search

    def run(value: _Value, path: Path, out: list[Problem], _seen: Seen) -> None:
        if isinstance(value, str) and found(value) is None:
            say(out, path, f"is {shown(value)}, which does not match {text}")

    return run


def _format(node: Node) -> Check:
    name = node["format"]
    test = FORMATS[name]

    def run(value: _Value, path: Path, out: list[Problem], _seen: Seen) -> None:
        if isinstance(value, str) and not test(value):
            say(out, path, f"is {shown(value)}, no {name}")

    return run


def _bounds(node: Node) -> Check:
    low, high = node.get("minimum"), node.get("maximum")

    def run(value: _Value, path: Path, out: list[Problem], _seen: Seen) -> None:
        if not _TYPES["number"](value):
            return
        if low is not None and value < low:
            say(out, path, f"is {value}, less than {low}")
        if high is not None and value > high:
            say(out, path, f"is {value}, more than {high}")

    return run


def _lengths(node: Node) -> Check:
    low, high = node.get("minLength", 0), node.get("maxLength")

    def run(value: _Value, path: Path, out: list[Problem], _seen: Seen) -> None:
        if not isinstance(value, str):
            return
        if len(value) < low:
            say(out, path, f"has {len(value)} characters, fewer than {low}")
        if high is not None and len(value) > high:
            say(out, path, f"has {len(value)} characters, more than {high}")

    return run


def _counts(node: Node) -> Check:
    low, high, unique = node.get("minItems", 0), node.get("maxItems"), node.get("uniqueItems", False)

    def run(value: _Value, path: Path, out: list[Problem], _seen: Seen) -> None:
        if not isinstance(value, list):
            return
        if len(value) < low:
            say(out, path, f"has {len(value)} items, fewer than {low}")
        if high is not None and len(value) > high:
            say(out, path, f"has {len(value)} items, more than {high}")
        if unique:
            for index in _repeated(value):
                say(out, (path, index), "is there twice, and must be unique")

    return run


def _required(node: Node) -> Check:
    names = tuple(node["required"])

    def run(value: _Value, path: Path, out: list[Problem], _seen: Seen) -> None:
        if isinstance(value, dict):
            for name in names:
                if name not in value:
                    say(out, path, f"lacks {name!r}, which is required")

    return run


# Keywords that are judged together have one maker.
KEYWORDS: dict[str, Callable[[Node], Check]] = {
    "type": _type,
    "const": _const,
    "enum": _enum,
    "pattern": _pattern,
    "format": _format,
    **dict.fromkeys(("minimum", "maximum"), _bounds),
    **dict.fromkeys(("minLength", "maxLength"), _lengths),
    **dict.fromkeys(("minItems", "maxItems", "uniqueItems"), _counts),
    "required": _required,
}
