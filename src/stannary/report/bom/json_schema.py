"""JSON Schema, as far as the published schemas of bills of materials use it: compiled once, every error with its place.

Drafts 7 and 2020-12: what CycloneDX 1.4-1.7 and SPDX 2.3 and 3.0.1 are written in. A keyword that is not known here
is refused when a schema is compiled, so that nothing is taken for valid because it was not understood.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stannary.core.errors import Bug
from stannary.report.bom.json_keywords import KEYWORDS, Check, Node, Path, Problem, Seen, say, shown

__all__ = ["Path", "Problem", "Schema"]

_Value = Any
_IGNORED = frozenset(
    ("$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "examples", "default", "deprecated", "meta:enum")
)


# Keywords that hold other schemas → the method that makes their check; those that are judged together have one.
_APPLY: dict[str, str] = {
    "$ref": "_ref",
    **dict.fromkeys(("items", "additionalItems"), "_items"),
    **dict.fromkeys(("properties", "patternProperties", "additionalProperties"), "_properties"),
    "allOf": "_all_of",
    "anyOf": "_any_of",
    "oneOf": "_one_of",
    "not": "_negation",
    **dict.fromkeys(("if", "then", "else"), "_condition"),
}


class Schema:
    """A compiled schema. `library` holds the schemas that it refers to, by the last part of their address."""

    def __init__(self, schema: Node, library: Mapping[str, Node] | None = None) -> None:
        self._library = dict(library or {})
        self._compiled: dict[tuple[int, str], Check] = {}
        self._check = self._compile(schema, schema)

    def problems(self, value: Any) -> list[Problem]:  # noqa: ANN401 - JSON
        """Return what is wrong with a value; nothing when it is valid."""
        found: list[Problem] = []
        self._check(value, (), found, None)
        return found

    # Compiling

    def _compile(self, node: Any, root: Node) -> Check:  # noqa: ANN401 - a schema or a boolean
        if node is True or node == {}:
            return _anything
        if node is False:
            return lambda _value, path, out, _seen: say(out, path, "is not allowed here")
        if "$ref" in node and "draft-07" in root.get("$schema", ""):
            return self._reference(node["$ref"], root)  # what stands beside it means nothing in draft 7
        unknown = set(node) - set(KEYWORDS) - set(_APPLY) - _IGNORED - {"unevaluatedProperties"}
        if unknown:
            msg = f"a schema uses {', '.join(sorted(unknown))}, which is not implemented"
            raise Bug(msg, code="BOM900")
        closed = node.get("unevaluatedProperties") is False
        simple = dict.fromkeys(KEYWORDS[key] for key in node if key in KEYWORDS)
        holding = dict.fromkeys(_APPLY[key] for key in node if key in _APPLY)
        ordered: tuple[Check, ...] = (*(maker(node) for maker in simple), *(getattr(self, maker)(node, root) for maker in holding))
        if len(ordered) == 1 and not closed:
            return ordered[0]

        def run(value: _Value, path: Path, out: list[Problem], seen: Seen) -> None:
            for check in ordered:
                check(value, path, out, seen)

        return _with_unevaluated(run) if closed else run

    def _reference(self, target: str, root: Node) -> Check:
        """Return the check of what is referred to; compiled on first use, because schemas refer to themselves."""
        name, _, pointer = target.partition("#")
        home = self._library[name.rpartition("/")[2]] if name else root
        key = (id(home), pointer)

        def run(value: _Value, path: Path, out: list[Problem], seen: Seen) -> None:
            check = self._compiled.get(key)
            if check is None:
                check = self._compiled[key] = self._compile(_pointed(home, pointer), home)
            check(value, path, out, seen)

        return run

    def _ref(self, node: Node, root: Node) -> Check:
        """`$ref` beside other keywords."""
        return self._reference(node["$ref"], root)

    # Keywords

    def _items(self, node: Node, root: Node) -> Check:
        rows = node.get("items", True)
        firsts = tuple(self._compile(row, root) for row in rows) if isinstance(rows, list) else ()
        rest = self._compile(node.get("additionalItems", True) if isinstance(rows, list) else rows, root)

        def run(value: _Value, path: Path, out: list[Problem], _seen: Seen) -> None:
            if isinstance(value, list):
                for index, item in enumerate(value):
                    (firsts[index] if index < len(firsts) else rest)(item, (path, index), out, None)

        return run

    def _properties(self, node: Node, root: Node) -> Check:
        known = {name: self._compile(item, root) for name, item in node.get("properties", {}).items()}
        patterns = [
            (re.compile(text).search, self._compile(item, root)) for text, item in node.get("patternProperties", {}).items()
        ]
        others = node.get("additionalProperties", True)
        other = _anything if others is True else self._compile(others, root)
        closed = others is False

        def run(value: _Value, path: Path, out: list[Problem], seen: Seen) -> None:
            if not isinstance(value, dict):
                return
            for name, item in value.items():
                check = known.get(name)
                if check is None:
                    check = next((row for found, row in patterns if found(name)), None)
                if check is None:
                    if closed:
                        say(out, (path, name), _unknown(name, known))
                        continue
                    if other is _anything:
                        continue
                    check = other
                if seen is not None:
                    seen.add(name)
                check(item, (path, name), out, None)

        return run

    def _all_of(self, node: Node, root: Node) -> Check:
        branches = tuple(self._compile(item, root) for item in node["allOf"])

        def run(value: _Value, path: Path, out: list[Problem], seen: Seen) -> None:
            for branch in branches:
                branch(value, path, out, seen)

        return run

    def _any_of(self, node: Node, root: Node) -> Check:
        branches = tuple(self._compile(item, root) for item in node["anyOf"])
        by_type = self._by_type(node["anyOf"], root)

        def run(value: _Value, path: Path, out: list[Problem], seen: Seen) -> None:
            named = by_type.get(str(value.get("type"))) if by_type and isinstance(value, dict) else None
            if named is not None:
                # Every other branch wants another type: what this one says is what is wrong.
                branches[named](value, path, out, seen)
                return
            matched = False
            failures: list[list[Problem]] = []
            for branch in branches:
                scratch: list[Problem] = []
                inner: Seen = set() if seen is not None else None
                branch(value, path, scratch, inner)
                if scratch:
                    failures.append(scratch)
                    continue
                matched = True
                if seen is None:
                    return
                seen.update(inner or ())
            if not matched:
                _closest(out, path, failures)

        return run

    def _by_type(self, branches: list[Any], root: Node) -> dict[str, int]:
        """Return the branch for each value of `type`, where every branch tells them by it."""
        found: dict[str, int] = {}
        for index, branch in enumerate(branches):
            target = branch
            while isinstance(target, dict) and set(target) == {"$ref"}:
                name, _, pointer = target["$ref"].partition("#")
                target = _pointed(self._library[name.rpartition("/")[2]] if name else root, pointer)
            try:
                wanted = target["if"]["properties"]["type"]["const"]
            except (KeyError, TypeError):
                continue
            found[wanted] = index
        return found

    def _one_of(self, node: Node, root: Node) -> Check:
        branches = tuple(self._compile(item, root) for item in node["oneOf"])

        def run(value: _Value, path: Path, out: list[Problem], seen: Seen) -> None:
            failures: list[list[Problem]] = []
            matched = 0
            for branch in branches:
                scratch: list[Problem] = []
                inner: Seen = set() if seen is not None else None
                branch(value, path, scratch, inner)
                if scratch:
                    failures.append(scratch)
                    continue
                matched += 1
                if seen is not None:
                    seen.update(inner or ())
            if matched > 1:
                say(out, path, f"matches {matched} of {len(branches)} forms, where exactly one is allowed")
            elif not matched:
                _closest(out, path, failures)

        return run

    def _negation(self, node: Node, root: Node) -> Check:
        inner = self._compile(node["not"], root)

        def run(value: _Value, path: Path, out: list[Problem], _seen: Seen) -> None:
            scratch: list[Problem] = []
            inner(value, path, scratch, None)
            if not scratch:
                say(out, path, f"is {shown(value)}, which is a form that is not allowed")

        return run

    def _condition(self, node: Node, root: Node) -> Check:
        asked = self._compile(node["if"], root)
        then, other = self._compile(node.get("then", True), root), self._compile(node.get("else", True), root)

        def run(value: _Value, path: Path, out: list[Problem], seen: Seen) -> None:
            scratch: list[Problem] = []
            asked(value, path, scratch, None)
            (other if scratch else then)(value, path, out, seen)

        return run


def _anything(_value: _Value, _path: Path, _out: list[Problem], _seen: Seen) -> None:
    """Accept."""


def _with_unevaluated(check: Check) -> Check:
    """Refuse the members of an object that no keyword of `check` looked at (`unevaluatedProperties: false`)."""

    def run(value: _Value, path: Path, out: list[Problem], seen: Seen) -> None:
        names: set[str] = set()
        check(value, path, out, names)
        if not isinstance(value, dict):
            return
        for name in value if names else ():  # none: it is of no form at all, which was said
            if name not in names:
                say(out, (path, name), "is not known here")
        if seen is not None:
            seen.update(value)

    return run


def _closest(out: list[Problem], path: Path, failures: list[list[Problem]]) -> None:
    """Report the form that a value comes nearest to: the one whose first problem lies deepest."""
    best = max(failures, key=lambda found: (max(len(problem.where()) for problem in found), -len(found)), default=[])
    if not best or max(len(problem.where()) for problem in best) == len(Problem(path, "").where()):
        words = dict.fromkeys(problem.message for found in failures for problem in found)
        say(out, path, f"is of none of {len(failures)} forms: {'; '.join(list(words)[:4])}")
        return
    for problem in best:
        say(out, problem.keys, problem.message)


def _pointed(root: Node, pointer: str) -> Any:  # noqa: ANN401 - a schema
    at: Any = root
    for part in pointer.split("/")[1:]:
        at = at[part.replace("~1", "/").replace("~0", "~")]
    return at


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f"is not known here{f'; did you mean {near[0]!r}?' if near else ''}"
