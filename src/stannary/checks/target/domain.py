"""The domain of a table: what each column may be, and how it may change.

What an example had to begin with is always allowed, column by column: data is real even where it lies outside the bounds that
were written down. A change has to end inside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch

from stannary.checks.target.domain_check import violations as independent_violations
from stannary.checks.target.domain_links import Links
from stannary.checks.target.expression import Expression
from stannary.checks.target.expression import parse as parse_expression
from stannary.core.canonical import digest_of
from stannary.core.errors import InputError, UsageError

__all__ = ["KINDS", "Column", "Group", "Kind", "TableDomain"]

Kind = Literal["continuous", "integer", "binary", "ordinal", "categorical", "onehot"]
KINDS: tuple[str, ...] = get_args(Kind)
_UNTIED = 0.5  # of a one-hot group that may be empty: nearer to none than to one


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        name: as in the data.
        kind: `continuous`; `integer`; `binary` (0 or 1); `ordinal` (one of `values`, by their order); `categorical` (one of
            `values`, that have none); `onehot` (a member of a group).
        low, high: bounds, inclusive; infinite where there is none.
        immutable: it stays as it is.
        monotone: `rise` or `fall`: it may only go up, or down, from where it began.
        values: the allowed ones, if only some are.
        labels: what `values` mean, for people.
        scale: how much of this column counts as one unit, in distances; its standard deviation, when inferred.
        cost: of one unit of change (of a change, for categories).
        fixed: what it costs to change it at all.
        formula: it follows from other columns, and is computed from them.
    """

    name: str
    kind: Kind = "continuous"
    low: float = -math.inf
    high: float = math.inf
    immutable: bool = False
    monotone: str = ""
    values: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    scale: float = 1.0
    cost: float = 1.0
    fixed: float = 0.0
    formula: str = ""


@dataclass(frozen=True)
class Group:
    """Columns of which exactly one is 1 and the others 0; with `optional`, all may be 0. `cost` is of a change of category."""

    name: str
    columns: tuple[str, ...]
    immutable: bool = False
    optional: bool = False
    cost: float = 1.0


class TableDomain:
    """Inputs `(n, columns)`, float64.

    Args:
        columns: in the order of the features.
        groups: one-hot groups over them.
        constraints: comparisons that hold between columns, such as `paid <= billed`.

    Raises:
        ExceptionGroup: of InputErrors, everything that does not fit together.
    """

    def __init__(self, columns: tuple[Column, ...], groups: tuple[Group, ...] = (), constraints: tuple[str, ...] = ()) -> None:
        errors = _wrong(columns, groups)
        formulas = {c.name: _read(c.formula, errors, c.name) for c in columns if c.formula}
        holds = [_read(text, errors, "constraints", compares=True) for text in constraints]
        if not errors:
            index = {c.name: at for at, c in enumerate(columns)}
            members = [tuple(index[name] for name in group.columns) for group in groups]
            read = {name: formula for name, formula in formulas.items() if formula is not None}
            self.links = Links(index, members, read, [one for one in holds if one is not None], errors)
        if errors:
            msg = "the domain"
            raise ExceptionGroup(msg, errors)
        self.columns, self.groups, self.constraints = columns, groups, constraints
        self.names = tuple(c.name for c in columns)
        self.members = members
        grouped = {at for group in members for at in group}
        self.fields = (*(c.name for at, c in enumerate(columns) if at not in grouped), *(g.name for g in groups))
        self._single = [at for at in range(len(columns)) if at not in grouped]
        self._tables: dict[str, dict[str, torch.Tensor]] = {}

    @property
    def digest(self) -> str:
        """What identifies this domain: SHA-256 of its content."""
        return str(digest_of(_plain(self)))

    # Protocol

    def project(self, x: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """Return the nearest allowed inputs (L2), of shape `(n, columns)`.

        Each column or group goes to its nearest allowed value on its own; columns with a formula follow. Where that breaks
        a bound of such a column, or a constraint, the columns concerned go back towards the origin until it holds.
        """
        _right_type(x)
        moved = self._apart(x.clone(), origin)
        return self.links.follow(moved, origin, self._tables_of(x), self._apart)

    def violations(self, x: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """Tell which samples break any constraint, `(n,)` bool; computed apart from `project` (domain_check.py)."""
        _right_type(x)
        bad = independent_violations(self, x.detach().cpu().numpy(), origin.detach().cpu().numpy())
        return torch.as_tensor(bad, device=x.device)

    def span(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the bounds `(columns,)` each; infinite where there is none."""
        tables = self._tables_of(like)
        return tables["low"], tables["high"]

    # What a change is worth

    def scale(self, like: torch.Tensor) -> torch.Tensor:
        """Return what counts as one unit of each column, `(columns,)`."""
        return self._tables_of(like)["scale"]

    def changed(self, x: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """Tell which `fields` (columns, and groups as one) differ, `(n, fields)` bool."""
        differs = x != origin
        parts = [differs[:, self._single], *(differs[:, list(group)].any(1, keepdim=True) for group in self.members)]
        return torch.cat(parts, 1)

    def cost(self, x: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """Return what the changes cost `(n,)`; columns that follow from others cost nothing of their own."""
        tables = self._tables_of(x)
        moved = (x - origin).abs()
        steps = torch.where(tables["flat"], (moved > 0).to(x.dtype), moved)
        total = (steps * tables["cost"] + (moved > 0) * tables["fixed"]).sum(1)
        for group, columns in zip(self.groups, self.members, strict=True):
            total = total + (moved[:, list(columns)] > 0).any(1) * group.cost
        return total

    # Parts of project

    def _apart(self, x: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """Move every column that is not computed to its nearest allowed value, in place."""
        tables = self._tables_of(x)
        low, high = tables["low"], tables["high"]
        at = torch.where(x.isnan(), origin, torch.maximum(torch.minimum(x, high), low))
        wanted = torch.where(x.isfinite(), x, torch.where(at.isfinite(), at, origin))
        low = torch.where(tables["rise"], torch.maximum(low, origin), low)
        high = torch.where(tables["fall"], torch.minimum(high, origin), high)
        whole = tables["whole"]
        low, high = torch.where(whole, low.ceil(), low), torch.where(whole, high.floor(), high)
        near = torch.maximum(torch.minimum(torch.where(whole, wanted.round(), wanted), high), low)
        for column, values in self._valued(x):
            near[:, column] = _nearest(wanted[:, column], origin[:, column], values, self.columns[column].monotone)
        stays = tables["immutable"] | (low > high) | ~near.isfinite() | ((origin - wanted).abs() < (near - wanted).abs())
        x.copy_(torch.where(stays, origin, near))
        for group, columns in zip(self.groups, self.members, strict=True):
            index = list(columns)
            x[:, index] = origin[:, index] if group.immutable else _category(wanted[:, index], origin[:, index], group.optional)
        return x

    def _valued(self, like: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
        tables = self._tables_of(like)
        return [(at, tables[f"values {at}"]) for at, c in enumerate(self.columns) if c.values]

    def _tables_of(self, like: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the columns' settings as tensors `(columns,)` on the device of `like`."""
        key = str(like.device)
        if key not in self._tables:
            columns = self.columns

            def row(values: list[float] | list[bool], dtype: torch.dtype = torch.float64) -> torch.Tensor:
                return torch.tensor(values, dtype=dtype, device=like.device)

            grouped = {at for group in self.members for at in group}
            free = [at not in grouped and not c.formula for at, c in enumerate(columns)]
            tables = {
                "low": row([_bounds(c)[0] for c in columns]),
                "high": row([_bounds(c)[1] for c in columns]),
                "scale": row([c.scale for c in columns]),
                "cost": row([c.cost * on for c, on in zip(columns, free, strict=True)]),
                "fixed": row([c.fixed * on for c, on in zip(columns, free, strict=True)]),
                "immutable": row([c.immutable for c in columns], torch.bool),
                "rise": row([c.monotone == "rise" for c in columns], torch.bool),
                "fall": row([c.monotone == "fall" for c in columns], torch.bool),
                "whole": row([c.kind in ("integer", "binary") for c in columns], torch.bool),
                "flat": row([c.kind in ("categorical", "binary") for c in columns], torch.bool),
            }
            inside = {at: sorted(v for v in c.values if c.low <= v <= c.high) for at, c in enumerate(columns) if c.values}
            tables |= {f"values {at}": row(values) for at, values in inside.items()}
            self._tables[key] = tables
        return self._tables[key]


def _nearest(wanted: torch.Tensor, origin: torch.Tensor, values: torch.Tensor, monotone: str) -> torch.Tensor:
    """Return the nearest of the allowed values `(k,)` to `wanted` `(n,)`; the origin where none is allowed."""
    away = (wanted[:, None] - values).abs()
    if monotone:
        wrong = values < origin[:, None] if monotone == "rise" else values > origin[:, None]
        away = away.masked_fill(wrong, math.inf)
    least, at = away.min(1)
    return torch.where(least.isfinite(), values[at], origin)


def _category(wanted: torch.Tensor, origin: torch.Tensor, optional: bool) -> torch.Tensor:  # noqa: FBT001 - of a group
    """Return the nearest one-hot vector to `wanted` `(n, members)`; of equals, the origin's."""
    best = wanted.amax(1, keepdim=True)
    ties = wanted == best
    own = ties & (origin == 1)
    pick = torch.where(own.any(1, keepdim=True), own, ties).to(torch.int8).argmax(1)
    near = torch.zeros_like(wanted).scatter_(1, pick[:, None], 1.0)
    if optional:
        near = torch.where(best < _UNTIED, torch.zeros_like(near), near)
    stays = (wanted - origin).square().sum(1) < (wanted - near).square().sum(1)
    return torch.where(stays[:, None], origin, near)


def _bounds(column: Column) -> tuple[float, float]:
    if column.kind in ("binary", "onehot"):
        return 0.0, 1.0
    if column.values:
        inside = [v for v in column.values if column.low <= v <= column.high]
        return min(inside), max(inside)
    return column.low, column.high


def _right_type(x: torch.Tensor) -> None:
    if x.dtype != torch.float64:
        msg = f"a table's inputs are float64, not {x.dtype}: a threshold may lie between two float32 numbers"
        raise UsageError(msg)


def _read(text: str, errors: list[Exception], where: str, *, compares: bool = False) -> Expression | None:
    try:
        return parse_expression(text, compares=compares)
    except InputError as exc:
        errors.append(InputError(exc.message, where=where, help=exc.help))
        return None


def _wrong(columns: tuple[Column, ...], groups: tuple[Group, ...]) -> list[Exception]:
    """Collect what does not fit together, but for formulas."""
    errors: list[Exception] = []
    names = [c.name for c in columns]
    errors += [InputError(f"there are two columns {name!r}") for name in dict.fromkeys(names) if names.count(name) > 1]
    if not columns:
        errors.append(InputError("a domain has at least one column"))
    for c in columns:
        errors += [InputError(f"column {c.name!r}: {what}", where=c.name) for what in _column_wrong(c)]
    of: Mapping[str, Column] = {c.name: c for c in columns}
    taken: dict[str, str] = {}
    for group in groups:
        for name in group.columns:
            if name not in of:
                errors.append(InputError(f"group {group.name!r}: there is no column {name!r}", where=group.name))
            elif name in taken:
                errors.append(InputError(f"column {name!r} is in the groups {taken[name]!r} and {group.name!r}", where=group.name))
            elif of[name].kind != "onehot":
                errors.append(InputError(f"column {name!r} of group {group.name!r} is {of[name].kind}", where=name))
            taken[name] = group.name
        if len(group.columns) < 2 - group.optional:
            errors.append(InputError(f"group {group.name!r} has too few columns", where=group.name))
    alone = [c.name for c in columns if c.kind == "onehot" and c.name not in taken]
    errors += [InputError(f"column {name!r} is onehot and in no group", where=name) for name in alone]
    return errors


def _column_wrong(c: Column) -> list[str]:
    numbers = {"scale": c.scale, "cost": c.cost, "fixed": c.fixed}
    tests = {
        f"there is no kind {c.kind!r} (there are {', '.join(KINDS)})": c.kind not in KINDS,
        f"low {c.low} is above high {c.high}": not c.low <= c.high,
        f"no allowed value lies within {c.low} and {c.high}": bool(c.values) and not any(c.low <= v <= c.high for v in c.values),
        f"monotone is `rise` or `fall`, not {c.monotone!r}": c.monotone not in ("", "rise", "fall"),
        "values are finite numbers": not all(math.isfinite(v) for v in c.values),
        f"an {c.kind} column needs its values": c.kind in ("ordinal", "categorical") and not c.values,
        f"{c.kind} columns have no order to rise or fall in": c.kind in ("categorical", "onehot") and bool(c.monotone),
        "labels are as many as values": bool(c.labels) and len(c.labels) != len(c.values),
        "a column that follows from others is neither one-hot nor categorical": bool(c.formula)
        and c.kind in ("onehot", "categorical"),
        "scale is positive": not 0 < c.scale < math.inf,
        "costs are not negative": not all(0 <= v < math.inf for v in numbers.values()),
        "no whole number lies within the bounds": c.kind == "integer" and c.low <= c.high and _no_whole(c.low, c.high),
    }
    return [what for what, wrong in tests.items() if wrong]


def _no_whole(low: float, high: float) -> bool:
    return math.isfinite(low) and math.isfinite(high) and math.ceil(low) > math.floor(high)


def _plain(domain: TableDomain) -> Any:  # noqa: ANN401 - plain data
    def clean(body: dict[str, Any]) -> dict[str, Any]:
        return {key: list(v) if isinstance(v, tuple) else str(v) if v in (math.inf, -math.inf) else v for key, v in body.items()}

    return {
        "columns": [clean(asdict(c)) for c in domain.columns],
        "groups": [clean(asdict(g)) for g in domain.groups],
        "constraints": list(domain.constraints),
    }
