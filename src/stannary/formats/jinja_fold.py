"""Constant folding over a Jinja syntax tree: which strings and numbers an expression may be.

SSTI payloads hide `__class__` behind `~`, `|join`, `|format`, slices, loops and variables. Every
assignment in the template is collected (flow is ignored: a name may have any value it is ever
given), so an expression folds to a short list of possible values. Unknown folds to the empty list.
"""

from __future__ import annotations

import html
import itertools
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import nodes

__all__ = ["Folder", "Value"]

Value = Any
_MAX_VALUES = 12
_MAX_TEXT = 4096
_MAX_DEPTH = 60
_PASSES = 4

_BINARY: dict[type[nodes.BinExpr], Callable[[Value, Value], Value]] = {
    nodes.Add: operator.add,
    nodes.Sub: operator.sub,
    nodes.Mul: operator.mul,
    nodes.Div: operator.truediv,
    nodes.FloorDiv: operator.floordiv,
    nodes.Mod: operator.mod,
}
_STR_METHODS = frozenset(
    {"lower", "upper", "title", "capitalize", "swapcase", "casefold", "strip", "lstrip", "rstrip", "replace", "join", "split"}
    | {"rsplit", "format", "removeprefix", "removesuffix", "center", "ljust", "rjust", "zfill", "encode", "decode", "splitlines"}
    | {"partition", "expandtabs"}
)


class Folder:
    """Values of names (collected from the whole tree) and of expressions."""

    def __init__(self, tree: nodes.Template) -> None:
        self.names: dict[str, list[Value]] = {}
        self.folds: dict[type[nodes.Node], Callable[[Any, int], list[Value]]] = {
            nodes.Const: self._const,
            nodes.TemplateData: self._data,
            nodes.Name: self._name,
            nodes.List: self._sequence,
            nodes.Tuple: self._sequence,
            nodes.Dict: self._dict,
            nodes.Concat: self._concat,
            nodes.Pow: self._power,
            nodes.Neg: self._negative,
            nodes.CondExpr: self._either,
            nodes.Or: self._either,
            nodes.And: self._either,
            nodes.Getitem: self._item,
            nodes.Getattr: self._attribute,
            nodes.Call: self._call,
            nodes.Filter: self._filter,
            **dict.fromkeys(_BINARY, self._binary),
        }
        self.macros: dict[str, nodes.Macro] = {m.name: m for m in tree.find_all(nodes.Macro)}
        for _ in range(_PASSES):
            before = sum(map(len, self.names.values()))
            self._collect(tree)
            if sum(map(len, self.names.values())) == before:
                break

    def fold(self, node: nodes.Node | None, depth: int = 0) -> list[Value]:
        """Return the possible values of an expression; empty when it depends on the data."""
        if node is None or depth > _MAX_DEPTH:
            return []
        fold = self.folds.get(type(node))
        return _bounded(fold(node, depth + 1)) if fold is not None else []

    def texts(self, node: nodes.Node | None) -> list[str]:
        """Return the possible values that are strings (bytes and lists of strings joined)."""
        return [v for v in self.fold(node) if isinstance(v, str)]

    # Names

    def _collect(self, tree: nodes.Template) -> None:
        for assign in tree.find_all((nodes.Assign, nodes.AssignBlock, nodes.For, nodes.Call, nodes.With)):
            if isinstance(assign, nodes.Assign):
                self._bind(assign.target, assign.node)
            elif isinstance(assign, nodes.AssignBlock):
                self._store(assign.target, ["".join(v) for v in self._product([self._body(n) for n in assign.body])])
            elif isinstance(assign, nodes.For):
                for values in self.fold(assign.iter):
                    if isinstance(values, (list, tuple, str, dict)):
                        self._store(assign.target, list(itertools.islice(values, _MAX_VALUES)))
            elif isinstance(assign, nodes.With):
                for target, value in zip(assign.targets, assign.values, strict=False):
                    self._bind(target, value)
            elif isinstance(assign, nodes.Call):
                self._bind_call(assign)

    def _body(self, node: nodes.Node) -> list[Value]:
        if not isinstance(node, nodes.Output):
            return []
        return [
            "".join(map(str, v))
            for v in self._product([[n.data] if isinstance(n, nodes.TemplateData) else self.fold(n) for n in node.nodes])
        ]

    def _bind(self, target: nodes.Node, value: nodes.Node) -> None:
        if isinstance(target, nodes.Tuple) and isinstance(value, nodes.Tuple):
            for t, v in zip(target.items, value.items, strict=False):
                self._bind(t, v)
        elif isinstance(value, nodes.Call) and isinstance(value.node, nodes.Name) and isinstance(target, nodes.Name):
            for keyword in value.kwargs:
                self._add(f"{target.name}.{keyword.key}", self.fold(keyword.value))
            self._store(target, self.fold(value))
        else:
            self._store(target, self.fold(value))

    def _bind_call(self, call: nodes.Call) -> None:
        if not (isinstance(call.node, nodes.Name) and call.node.name in self.macros):
            return
        macro = self.macros[call.node.name]
        for parameter, argument in zip(macro.args, call.args, strict=False):
            self._add(parameter.name, self.fold(argument))
        for keyword in call.kwargs:
            self._add(keyword.key, self.fold(keyword.value))

    def _store(self, target: nodes.Node, values: list[Value]) -> None:
        if isinstance(target, nodes.Name):
            self._add(target.name, values)
        elif isinstance(target, nodes.NSRef):
            self._add(f"{target.name}.{target.attr}", values)
        elif isinstance(target, nodes.Tuple):
            for index, item in enumerate(target.items):
                self._store(item, [v[index] for v in values if isinstance(v, (list, tuple)) and len(v) > index])

    def _add(self, name: str, values: list[Value]) -> None:
        known = self.names.setdefault(name, [])
        for value in values:
            if len(known) < _MAX_VALUES and not any(type(value) is type(k) and value == k for k in known):
                known.append(value)

    # Expressions

    def _product(self, parts: list[list[Value]]) -> Iterator[tuple[Value, ...]]:
        return itertools.islice(itertools.product(*parts), _MAX_VALUES)

    def _const(self, node: Any, _depth: int) -> list[Value]:  # noqa: ANN401 - the node type is the key in _FOLDS
        return [node.value]

    def _data(self, node: Any, _depth: int) -> list[Value]:  # noqa: ANN401
        return [node.data]

    def _name(self, node: Any, _depth: int) -> list[Value]:  # noqa: ANN401
        return self.names.get(node.name, [])

    def _sequence(self, node: Any, depth: int) -> list[Value]:  # noqa: ANN401
        if len(node.items) > 256:
            return []
        return [list(v) for v in self._product([self.fold(item, depth) for item in node.items])]

    def _dict(self, node: Any, depth: int) -> list[Value]:  # noqa: ANN401
        pairs = [(self.fold(p.key, depth), self.fold(p.value, depth)) for p in node.items[:256]]
        return [{k[0]: v[0] if v else None for k, v in pairs if k and isinstance(k[0], (str, int, float))}]

    def _concat(self, node: Any, depth: int) -> list[Value]:  # noqa: ANN401
        return ["".join(map(str, v)) for v in self._product([self.fold(n, depth) for n in node.nodes])]

    def _binary(self, node: Any, depth: int) -> list[Value]:  # noqa: ANN401
        apply = _BINARY[type(node)]
        return [
            _safe(apply, left, right)
            for left, right in self._product([self.fold(node.left, depth), self.fold(node.right, depth)])
            if not (isinstance(node, nodes.Mul) and _product_size(left, right) > _MAX_TEXT)
        ]

    def _power(self, node: Any, depth: int) -> list[Value]:  # noqa: ANN401
        return [
            base**exponent
            for base, exponent in self._product([self.fold(node.left, depth), self.fold(node.right, depth)])
            if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0 and base.bit_length() * exponent <= _MAX_TEXT
        ]

    def _negative(self, node: Any, depth: int) -> list[Value]:  # noqa: ANN401
        return [-v for v in self.fold(node.node, depth) if isinstance(v, (int, float))]

    def _either(self, node: Any, depth: int) -> list[Value]:  # noqa: ANN401
        if isinstance(node, nodes.CondExpr):
            return [*self.fold(node.expr1, depth), *self.fold(node.expr2, depth)]
        return [*self.fold(node.left, depth), *self.fold(node.right, depth)]

    def _item(self, node: Any, depth: int) -> list[Value]:  # noqa: ANN401
        bases = self.fold(node.node, depth)
        if isinstance(node.arg, nodes.Slice):
            part = slice(*[next(iter(self.fold(p, depth)), None) for p in (node.arg.start, node.arg.stop, node.arg.step)])
            return [_safe(operator.getitem, b, part) for b in bases if isinstance(b, (str, list, tuple))]
        return [_safe(operator.getitem, b, k) for b, k in self._product([bases, self.fold(node.arg, depth)])]

    def _attribute(self, node: Any, depth: int) -> list[Value]:  # noqa: ANN401
        if isinstance(node.node, nodes.Name):
            found = self.names.get(f"{node.node.name}.{node.attr}")
            if found:
                return found
        return [b[node.attr] for b in self.fold(node.node, depth) if isinstance(b, dict) and node.attr in b]

    def _call(self, node: Any, depth: int) -> list[Value]:  # noqa: ANN401
        if isinstance(node.node, nodes.Name):
            if node.node.name in {"dict", "namespace"}:
                return [{k.key: next(iter(self.fold(k.value, depth)), None) for k in node.kwargs}]
            return []
        if isinstance(node.node, nodes.Getattr) and node.node.attr in _STR_METHODS:
            arguments = [self.fold(a, depth) for a in node.args]
            return [
                _method(base, node.node.attr, args)
                for base in self.fold(node.node.node, depth)
                for args in self._product(arguments)
            ]
        return []

    def _filter(self, node: Any, depth: int) -> list[Value]:  # noqa: ANN401
        values = self.fold(node.node, depth)
        if node.name in {"safe", "string", "e", "escape", "forceescape", "default", "d", "tojson"}:
            return [v if node.name in {"default", "d"} else str(v) for v in values]
        arguments = [self.fold(a, depth) for a in node.args] + [self.fold(k.value, depth) for k in node.kwargs]
        return [_apply_filter(node.name, value, args) for value in values for args in self._product(arguments)]


def _bounded(values: list[Value]) -> list[Value]:
    kept = [v for v in values if v is not None and not (isinstance(v, (str, bytes, list, tuple)) and len(v) > _MAX_TEXT)]
    return kept[:_MAX_VALUES]


def _product_size(left: Value, right: Value) -> int:
    length = next((len(v) for v in (left, right) if isinstance(v, (str, list, tuple))), 0)
    times = next((v for v in (left, right) if isinstance(v, int)), 1)
    return length * times


_FAILURES = (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError, UnicodeError, MemoryError, LookupError)


def _safe(apply: Callable[..., Value], *arguments: Value) -> Value:
    """Apply an operation to constants; None where Python refuses or the result would be large."""
    if apply is operator.mod and isinstance(arguments[0], (str, bytes)) and re.search(r"\d{4}|\*", str(arguments[0])):
        return None
    if apply is operator.mod and isinstance(arguments[1], list):
        arguments = (arguments[0], tuple(arguments[1]))
    try:
        return apply(*arguments)
    except _FAILURES:
        return None


def _method(base: Value, name: str, arguments: tuple[Value, ...]) -> Value:
    if not isinstance(base, (str, bytes)) or any(isinstance(a, int) and abs(a) > _MAX_TEXT for a in arguments):
        return None
    if name == "format" and isinstance(base, str) and re.search(r"\d{4}|[.\[]|\{[^}]*\{", base):
        return None  # attribute access and widths are reported, not evaluated
    if name == "translate" or not hasattr(base, name):
        return None
    return _safe(getattr(base, name), *arguments)


def _apply_filter(name: str, value: Value, args: tuple[Value, ...]) -> Value:
    function = _FILTERS.get(name)
    return _safe(function, value, *args) if function is not None else None


def _format(value: Value, *args: Value) -> Value:
    return _safe(operator.mod, str(value), tuple(args))


def _sum(value: Value, *args: Value) -> Value:
    result = args[-1] if args else 0
    for item in value:
        result += item
    return result


_FILTERS: dict[str, Callable[..., Value]] = {
    "join": lambda v, sep="", *_: str(sep).join(map(str, v)),
    "format": _format,
    "replace": lambda v, a, b, *_: str(v).replace(str(a), str(b)),
    "lower": lambda v: str(v).lower(),
    "upper": lambda v: str(v).upper(),
    "title": lambda v: str(v).title(),
    "capitalize": lambda v: str(v).capitalize(),
    "trim": lambda v, *c: str(v).strip(*c),
    "reverse": lambda v: v[::-1],
    "list": list,
    "first": lambda v: next(iter(v)),
    "last": lambda v: list(v)[-1],
    "int": lambda v, *_: int(v),
    "sum": _sum,
    "sort": lambda v, *_: sorted(v),
    "unique": lambda v, *_: list(dict.fromkeys(v)),
    "min": lambda v, *_: min(v),
    "max": lambda v, *_: max(v),
    "striptags": lambda v: re.sub(r"<[^>]*>", "", html.unescape(str(v))),
    "truncate": lambda v, n=255, *_: str(v)[:n],
    "wordwrap": lambda v, *_: v,
    "indent": lambda v, *_: v,
    "items": lambda v: [list(p) for p in v.items()],
    "dictsort": lambda v, *_: sorted([list(p) for p in v.items()]),
}
