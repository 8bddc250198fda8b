"""Whether inputs are within a table's domain: written apart from `project`, in numpy, so that neither repeats the other's error.

What equals the origin, column by column, is allowed; so is a computed column that stayed while nothing it follows from moved.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stannary.checks.target.expression import COMPARISONS, OPERATORS

if TYPE_CHECKING:
    from stannary.checks.target.domain import Column, Group, TableDomain

__all__ = ["violations"]

_SLACK = 1e-9  # relative, of formulas: exp and log differ in the last bit between libraries

_NUMPY: dict[str, Callable[..., Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "//": lambda a, b: np.floor(np.divide(a, b)), "%": np.mod,
    "**": np.power, "neg": np.negative, "pos": np.positive, "abs": np.abs, "ceil": np.ceil, "exp": np.exp, "floor": np.floor,
    "log": np.log, "max": np.maximum, "min": np.minimum, "round": np.rint, "sqrt": np.sqrt,
}  # fmt: skip


def violations(domain: TableDomain, x: Any, origin: Any) -> Any:  # noqa: ANN401 - numpy arrays, which have no types here
    """Tell for arrays `(n, columns)` which rows break a constraint, `(n,)` bool."""
    moved = x != origin
    bad = ~np.isfinite(x).all(axis=1)
    with np.errstate(all="ignore"):
        for at, column in enumerate(domain.columns):
            if column.kind != "onehot":
                bad |= moved[:, at] & ~_allowed(column, x[:, at], origin[:, at])
        for group in domain.groups:
            bad |= _torn(group, domain.names, x, moved)
        bad |= _inconsistent(domain, x, moved)
    return bad


def _allowed(column: Column, value: Any, before: Any) -> Any:  # noqa: ANN401 - numpy arrays
    """Tell which new values of one column are allowed."""
    good = (value >= column.low) & (value <= column.high)
    if column.immutable:
        good &= False
    if column.kind == "binary":
        good &= (value == 0) | (value == 1)
    if column.kind == "integer":
        good &= np.floor(value) == value
    if column.values:
        good &= np.isin(value, np.asarray(column.values, dtype=np.float64))
    if column.monotone == "rise":
        good &= value > before
    if column.monotone == "fall":
        good &= value < before
    return good


def _torn(group: Group, names: tuple[str, ...], x: Any, moved: Any) -> Any:  # noqa: ANN401 - numpy arrays
    """Tell which rows changed a group into something that is no category."""
    members = [names.index(name) for name in group.columns]
    touched = moved[:, members].any(axis=1)
    if group.immutable:
        return touched
    ones, zeros = (x[:, members] == 1).sum(axis=1), (x[:, members] == 0).sum(axis=1)
    fine = (ones == 1) & (zeros == len(members) - 1)
    if group.optional:
        fine |= zeros == len(members)
    return touched & ~fine


def _inconsistent(domain: TableDomain, x: Any, moved: Any) -> Any:  # noqa: ANN401 - numpy arrays
    """Tell which rows contradict a formula or a constraint that something in them moved."""
    row = {name: x[:, at] for at, name in enumerate(domain.names)}
    index = {name: at for at, name in enumerate(domain.names)}
    bad = np.zeros(len(x), dtype=bool)
    for part in domain.links.parts:
        for derived in part.derived:
            touched = moved[:, [derived.column, *(index[name] for name in derived.formula.uses)]].any(axis=1)
            due = _compute(derived.formula.tree, row)
            near = np.abs(x[:, derived.column] - due) <= _SLACK * np.maximum(1, np.abs(due))
            bad |= touched & ~near
        for constraint, _ in part.constraints:
            touched = moved[:, [index[name] for name in constraint.uses]].any(axis=1)
            bad |= touched & ~_holds(constraint.tree, row)
    return bad


def _holds(tree: ast.expr, row: Mapping[str, Any]) -> Any:  # noqa: ANN401 - numpy arrays
    assert isinstance(tree, ast.Compare)  # noqa: S101 - constraints are comparisons
    left, right = _compute(tree.left, row), _compute(tree.comparators[0], row)
    slack = _SLACK * np.maximum(1, np.maximum(np.abs(left), np.abs(right)))
    sign = COMPARISONS[type(tree.ops[0])]
    if sign == "==":
        return np.abs(left - right) <= slack
    test = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}[sign]
    return test(left, right + slack) if "<" in sign else test(left, right - slack)


def _compute(tree: ast.expr, row: Mapping[str, Any]) -> Any:  # noqa: ANN401 - numpy arrays
    match tree:
        case ast.Constant(value=number):
            return np.float64(number)
        case ast.Name(id=name):
            return row[name]
        case ast.UnaryOp(op=sign, operand=inner):
            return _NUMPY[OPERATORS[type(sign)]](_compute(inner, row))
        case ast.BinOp(left=left, op=sign, right=right):
            return _NUMPY[OPERATORS[type(sign)]](_compute(left, row), _compute(right, row))
        case ast.Call(func=ast.Name(id=name), args=[first, *others]):
            value = _compute(first, row)
            for other in others:
                value = _NUMPY[name](value, _compute(other, row))
            return value if others else _NUMPY[name](value)
    msg = f"{ast.dump(tree)} is not part of the language"
    raise TypeError(msg)
