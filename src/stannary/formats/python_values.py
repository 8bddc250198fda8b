"""What is known of a Python value without running anything: constants, names, and where data came from."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "MAX_TEXT",
    "UNKNOWN",
    "Scope",
    "Value",
    "const",
    "lift",
    "merge_origins",
    "plain",
    "sequence",
    "text_value",
]

MAX_TEXT = 1 << 20  # longest string or bytes that folding may produce
_MAX_ORIGINS = 24
_MAX_ALTERNATIVES = 4


class Scope:
    """The names of a module, class or function body, and the scope around it."""

    __slots__ = ("label", "names", "parent")

    def __init__(self, label: str, parent: Scope | None = None) -> None:
        self.label = label
        self.parent = parent
        self.names: dict[str, Value] = {}

    def find(self, name: str) -> Value | None:
        """Return what `name` is bound to here or in an enclosing scope."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None


class Value:
    """What an expression may be.

    Attributes:
        known: `const` is its value (str, bytes, int, float, bool, None).
        text: a string with `{}` for what is not known, when it is a string in part.
        items: elements, when it is a display of a list, tuple, set or dict (values).
        keys: constant keys of a dict display, beside `items`.
        name: dotted name of what it refers to; `f()` for the result of calling f.
        subject: the first argument (a path, a command) of the call that it is the result of.
        origins: names of everything outside that its data came through.
        node, scope, owner: a function, lambda or class of this file, where it was defined, its class.
        dynamic: the name was put together at run time (getattr, __import__, subscripts).
        others: what else it may be, after branches.
        own: what of this source's own it names (`file`, `folder`, `sources`, `name`: `python_own`).
    """

    __slots__ = (
        "const",
        "dynamic",
        "items",
        "keys",
        "known",
        "name",
        "node",
        "origins",
        "others",
        "own",
        "owner",
        "scope",
        "subject",
        "text",
    )

    def __init__(self, name: str = "", origins: frozenset[str] = frozenset()) -> None:
        self.known = False
        self.const: Any = None
        self.text: str | None = None
        self.items: tuple[Value, ...] | None = None
        self.keys: tuple[Any, ...] = ()
        self.name = name
        self.subject = ""
        self.origins = origins
        self.node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef | None = None
        self.scope: Scope | None = None
        self.owner: Value | None = None
        self.dynamic = False
        self.others: tuple[Value, ...] = ()
        self.own = ""

    def options(self) -> tuple[Value, ...]:
        """Return everything that it may be, at least itself."""
        return (self, *self.others)

    def either(self, other: Value) -> Value:
        """Return a value that may be this or `other` (which is looked at first)."""
        if other is self or (self is UNKNOWN and not other.others):
            return other
        result = other.copy()
        seen = {id(option) for option in other.options()}
        result.others = tuple(
            o for o in (*other.others, *(option.single() for option in self.options() if id(option) not in seen))
        )[:_MAX_ALTERNATIVES]
        result.origins = merge_origins((self, other))
        return result

    def single(self) -> Value:
        """Return the value without its alternatives."""
        if not self.others:
            return self
        result = self.copy()
        result.others = ()
        return result

    def copy(self) -> Value:
        """Return a shallow copy."""
        result = Value.__new__(Value)
        for slot in Value.__slots__:
            setattr(result, slot, getattr(self, slot))
        return result

    def shown(self, limit: int = 300) -> str:
        """Return a printable form for a fact: the text, a joined list, or `<name>`."""
        if self.known:
            raw = self.const.decode("utf-8", "backslashreplace") if isinstance(self.const, bytes) else str(self.const)
            return raw[:limit]
        if self.text is not None:
            return self.text[:limit]
        if self.items is not None:
            parts = [item.shown(limit) for item in self.items[:40]]
            return " ".join(parts)[:limit]
        return f"<{self.name}>"[:limit] if self.name else "<?>"

    def text_of(self) -> str:
        """Return the constant text that it is, or what the call that it is the result of was told."""
        return self.const if self.known and isinstance(self.const, str) else self.subject

    def as_text(self) -> str | None:
        """Return it as a string with `{}` for unknown parts, or None when nothing of it is known."""
        if self.known and isinstance(self.const, (str, int, float)):
            return str(self.const)
        return self.text


UNKNOWN = Value()


def const(value: Any, origins: frozenset[str] = frozenset()) -> Value:  # noqa: ANN401 - any Python constant
    """Return a known constant."""
    result = Value("", origins)
    result.known = True
    result.const = value
    return result


def text_value(text: str, origins: frozenset[str], *, exact: bool) -> Value:
    """Return a string that is known exactly, or in part."""
    if exact:
        return const(text[:MAX_TEXT], origins)
    result = Value("", origins)
    result.text = text[:MAX_TEXT]
    return result


def sequence(items: Sequence[Value], keys: tuple[Any, ...] = ()) -> Value:
    """Return a list, tuple, set or dict display."""
    result = Value("", merge_origins(items))
    result.items = tuple(items)
    result.keys = keys
    return result


def merge_origins(values: Iterable[Value]) -> frozenset[str]:
    """Return the origins of all values, at most a fixed number of them."""
    merged: frozenset[str] = frozenset()
    for value in values:
        if value.origins and not value.origins <= merged:
            merged |= value.origins
    return frozenset(sorted(merged)[:_MAX_ORIGINS]) if len(merged) > _MAX_ORIGINS else merged


def plain(value: Value) -> Any:  # noqa: ANN401 - any Python constant
    """Return the constant, or a list of constants. Raises LookupError when it is not known."""
    if value.known:
        return value.const
    if value.items is not None and len(value.items) <= MAX_TEXT:
        return [plain(item) for item in value.items]
    raise LookupError


def lift(result: Any, origins: frozenset[str]) -> Value:  # noqa: ANN401 - any Python constant
    """Return a Value for the result of folding. Raises ValueError for what is not a small constant."""
    if isinstance(result, (str, bytes, bytearray)):
        if len(result) > MAX_TEXT:
            raise ValueError
        return const(bytes(result) if isinstance(result, bytearray) else result, origins)
    if result is None or isinstance(result, (int, float)):
        if isinstance(result, int) and result.bit_length() > 4096:
            raise ValueError
        return const(result, origins)
    if isinstance(result, (list, tuple, range)) and len(result) <= 65_536:
        value = sequence([lift(item, frozenset()) for item in result])
        value.origins = origins
        return value
    raise ValueError
