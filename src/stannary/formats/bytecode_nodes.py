"""Expressions of lifted bytecode: Python's own, markers for what only the interpreter sees, functions made from code."""

from __future__ import annotations

import ast
from typing import Any

from stannary.formats.bytecode import Code

__all__ = ["LOCAL", "NULL", "OTHER", "Body", "Expr", "Function", "Marker", "constant", "is_plain", "load"]

LOCAL = "\0"
Expr = ast.expr
_WIDEST = 4096
_DEEPEST = 16


class Marker(ast.expr):
    """Something on the stack that is no value of the program: the gap before a callable, an exit, the class builder."""

    _fields = ()

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind


class Body(ast.expr):
    """A code object among the constants, before a function is made of it."""

    _fields = ()

    def __init__(self, code: Code, place: dict[str, Any]) -> None:
        super().__init__(**place)
        self.code = code


class Function(ast.expr):
    """A function made by MAKE_FUNCTION: its definition, and defaults that are set afterwards."""

    _fields = ()

    def __init__(self, node: ast.FunctionDef, place: dict[str, Any]) -> None:
        super().__init__(**place)
        self.node = node


NULL = Marker("null")
OTHER = Marker("other")  # exceptions, what sleeping coroutines are sent: nothing that names lead to


def load(name: str, place: dict[str, Any]) -> ast.Name:
    """Return a name to be read."""
    return ast.Name(name, ast.Load(), **place)


def is_plain(value: Expr) -> bool:
    """Tell whether an expression may be written twice."""
    return isinstance(value, (ast.Name, ast.Constant, Marker))


def constant(value: Any, place: dict[str, Any], depth: int = 0) -> Expr:  # noqa: ANN401 - any constant of a code object
    """Return a constant as an expression; what is not known, or too big, as `...`."""
    if isinstance(value, (tuple, list, frozenset)) and depth < _DEEPEST and len(value) <= _WIDEST:
        items = [constant(item, place, depth + 1) for item in value]
        return ast.Set(items, **place) if isinstance(value, frozenset) else ast.Tuple(items, ast.Load(), **place)
    if value is None or isinstance(value, (str, bytes, int, float)):
        return ast.Constant(value, **place)
    return ast.Constant(..., **place)
