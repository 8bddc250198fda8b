"""How a column follows from others: a small arithmetic language, read with `ast` and never given to Python.

    total = a + b          ratio = balance / `credit limit`          worst = max(0, a - b)

There are numbers, column names (in backquotes when they are no Python name), + - * / // % **, one comparison at the top (of a
constraint), and abs, ceil, exp, floor, log, max, min, round, sqrt. Whatever else is written is an error, not a surprise.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from stannary.core.errors import InputError

__all__ = ["COMPARISONS", "FUNCTIONS", "OPERATORS", "Expression", "parse"]

_LONGEST = 2000
_MOST_NODES = 300
_DEEPEST = 50
OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.USub: "neg", ast.UAdd: "pos",
}  # fmt: skip
COMPARISONS: dict[type[ast.AST], str] = {ast.LtE: "<=", ast.Lt: "<", ast.GtE: ">=", ast.Gt: ">", ast.Eq: "=="}
FUNCTIONS: dict[str, int] = {"abs": 1, "ceil": 1, "exp": 1, "floor": 1, "log": 1, "max": 2, "min": 2, "round": 1, "sqrt": 1}

_TORCH: dict[str, Callable[..., Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "neg": operator.neg, "pos": operator.pos,
    "//": lambda a, b: torch.floor(a / b), "%": torch.remainder, "**": torch.pow,
    "<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq,
    "abs": torch.abs, "ceil": torch.ceil, "exp": torch.exp, "floor": torch.floor, "log": torch.log, "max": torch.maximum,
    "min": torch.minimum, "round": torch.round, "sqrt": torch.sqrt,
}  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """A formula that was read: `text` as written, `tree` checked, `uses` the columns by name, in order of appearance."""

    text: str
    tree: ast.expr
    uses: tuple[str, ...]
    compares: bool

    def evaluate(self, columns: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Compute the value `(n,)` from columns `(n,)`; division by zero and the like give inf or NaN, as tensors do."""
        like = next(iter(columns.values()))
        return _value(self.tree, columns, like)


def _value(node: ast.expr, columns: Mapping[str, torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    if isinstance(node, ast.Constant):
        return torch.full_like(like, node.value)
    if isinstance(node, ast.Name):
        return columns[node.id]
    if isinstance(node, ast.UnaryOp):
        name, parts = OPERATORS[type(node.op)], [node.operand]
    elif isinstance(node, ast.BinOp):
        name, parts = OPERATORS[type(node.op)], [node.left, node.right]
    elif isinstance(node, ast.Compare):
        name, parts = COMPARISONS[type(node.ops[0])], [node.left, node.comparators[0]]
    else:
        assert isinstance(node, ast.Call)  # noqa: S101 - `_checked` lets nothing else through
        assert isinstance(node.func, ast.Name)  # noqa: S101 - the same
        name, parts = node.func.id, node.args
    values = [_value(part, columns, like) for part in parts]
    result = _TORCH[name](*values[:2])
    for more in values[2:]:
        result = _TORCH[name](result, more)
    return result


def parse(text: str, *, compares: bool = False) -> Expression:
    """Read a formula, or a comparison.

    Raises:
        InputError: it is none; the message says which part.
    """
    if len(text) > _LONGEST:
        msg = f"a formula of {len(text)} characters is too long (most: {_LONGEST})"
        raise InputError(msg)
    quoted: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        return quoted.setdefault(match[1], f"_quoted_{len(quoted)}")

    source = re.sub(r"`([^`]+)`", replace, text)
    names = {made: name for name, made in quoted.items()}
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as exc:
        msg = f"{text!r} is not a formula: {getattr(exc, 'msg', exc)}"
        raise InputError(msg, help="write it as in `a + b` or `balance / limit`") from exc
    checker = _Checker(text, names)
    tree = checker.checked(tree, top=compares)
    if compares != isinstance(tree, ast.Compare):
        msg = f"{text!r} is {'not ' if compares else ''}a comparison"
        raise InputError(msg, help="a constraint reads like `paid <= billed`, a formula like `a + b`")
    return Expression(text, tree, tuple(dict.fromkeys(checker.uses)), compares)


class _Checker:
    """Lets through what the language has."""

    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        self.text, self.names = text, names
        self.uses: list[str] = []
        self.nodes = 0

    def refuse(self, what: str) -> NoReturn:
        """Say what is wrong."""
        known = ", ".join(FUNCTIONS)
        msg = f"{self.text!r}: {what}"
        raise InputError(msg, help=f"there are numbers, columns, + - * / // % ** and {known}")

    def checked(self, node: ast.expr, *, top: bool = False, depth: int = 0) -> ast.expr:
        """Return the node with quoted names restored."""
        self.nodes += 1
        if self.nodes > _MOST_NODES or depth > _DEEPEST:
            self.refuse("it is too large")
        if isinstance(node, ast.Constant):
            return self.constant(node)
        if isinstance(node, ast.Name):
            name = self.names.get(node.id, node.id)
            self.uses.append(name)
            return ast.Name(name, ast.Load())
        if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
            return ast.UnaryOp(node.op, self.checked(node.operand, depth=depth + 1))
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return ast.BinOp(self.checked(node.left, depth=depth + 1), node.op, self.checked(node.right, depth=depth + 1))
        if isinstance(node, ast.Compare) and top and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
            sides = [self.checked(side, depth=depth + 1) for side in (node.left, node.comparators[0])]
            return ast.Compare(sides[0], node.ops, [sides[1]])
        if not isinstance(node, ast.Call):
            self.refuse(f"{type(node).__name__} is not part of the language")
        return self.call(node, depth)

    def constant(self, node: ast.Constant) -> ast.expr:
        """Return a number as a float."""
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            self.refuse(f"{node.value!r} is not a number")
        try:
            return ast.Constant(float(node.value))
        except OverflowError:
            self.refuse("a number is too large")

    def call(self, node: ast.Call, depth: int) -> ast.expr:
        """Return a call of one of the functions."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        wanted = FUNCTIONS.get(name)
        if wanted is None or node.keywords:
            self.refuse(f"there is no such function: {ast.unparse(node.func)[:50]}")
        if len(node.args) < wanted or (wanted == 1 and len(node.args) > 1):
            self.refuse(f"{name} takes {wanted if wanted == 1 else 'two or more'} values, not {len(node.args)}")
        args = [self.checked(arg, depth=depth + 1) for arg in node.args]
        return ast.Call(ast.Name(name, ast.Load()), args, [])
