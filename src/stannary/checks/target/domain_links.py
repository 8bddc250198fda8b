"""Columns that depend on each other: those computed by a formula, and constraints between columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from stannary.checks.target.expression import Expression
from stannary.core.errors import InputError

__all__ = ["Derived", "Links", "Part"]

_HALVINGS = 24


@dataclass(frozen=True)
class Derived:
    """A column with a formula, and the columns `base` without one that it follows from in the end."""

    column: int
    formula: Expression
    base: tuple[int, ...]


@dataclass
class Part:
    """Columns that hang together by formulas, constraints and groups."""

    columns: list[int]
    derived: list[Derived] = field(default_factory=list)  # each after what it needs
    constraints: list[tuple[Expression, tuple[int, ...]]] = field(default_factory=list)


class Links:
    """All of them, in parts that do not touch each other. What is wrong is added to `errors`.

    Args:
        index: where each column is.
        groups: of columns that only change together.
        formulas: by the name of the column.
        constraints: comparisons.
        errors: what does not fit together.
    """

    def __init__(
        self,
        index: Mapping[str, int],
        groups: list[tuple[int, ...]],
        formulas: Mapping[str, Expression],
        constraints: list[Expression],
        errors: list[Exception],
    ) -> None:
        self.names = list(index)
        for where, formula in (*formulas.items(), *(("constraints", one) for one in constraints)):
            missing = [name for name in formula.uses if name not in index]
            errors += [InputError(f"{formula.text!r}: there is no column {name!r}", where=where) for name in missing]
            if not formula.uses:
                errors.append(InputError(f"{formula.text!r} names no column", where=where))
        self.order = [] if errors else _in_order(formulas, errors)
        self.parts = [] if errors else self._divided(index, groups, formulas, constraints)

    def _divided(
        self,
        index: Mapping[str, int],
        groups: list[tuple[int, ...]],
        formulas: Mapping[str, Expression],
        constraints: list[Expression],
    ) -> list[Part]:
        base: dict[str, tuple[int, ...]] = {}
        for name in self.order:
            needs: dict[int, None] = {}
            for used in formulas[name].uses:
                needs |= dict.fromkeys(base.get(used, (index[used],)))
            base[name] = tuple(needs)
        uses = [tuple(index[name] for name in one.uses) for one in constraints]
        edges = [*((index[name], *(index[used] for used in formulas[name].uses)) for name in self.order), *uses, *groups]
        of = _components(len(index), edges)
        touched = {of[edge[0]] for edge in edges[: len(self.order) + len(uses)]}
        parts = {root: Part([at for at in range(len(index)) if of[at] == root]) for root in sorted(touched)}
        for name in self.order:
            parts[of[index[name]]].derived.append(Derived(index[name], formulas[name], base[name]))
        for one, columns in zip(constraints, uses, strict=True):
            parts[of[columns[0]]].constraints.append((one, columns))
        return list(parts.values())

    def follow(
        self,
        x: torch.Tensor,
        origin: torch.Tensor,
        tables: Mapping[str, torch.Tensor],
        apart: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Compute what follows from others in `x` `(n, columns)`, in place, and go back where that is not allowed.

        `apart` moves columns that are not computed to their nearest allowed values, in place.
        """
        for part in self.parts:
            self._derive(part, x, origin)
            bad = self._broken(part, x, origin, tables)
            if bool(bad.any()):
                x[bad] = self._nearer(part, x[bad], origin[bad], tables, apart)
        return x

    def _nearer(
        self,
        part: Part,
        x: torch.Tensor,
        origin: torch.Tensor,
        tables: Mapping[str, torch.Tensor],
        apart: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Return `x` with the part's columns as far from the origin, on the way to `x`, as a bisection finds it allowed."""
        columns = part.columns
        best = x.clone()
        best[:, columns] = origin[:, columns]
        low, high = x.new_zeros(len(x), 1), x.new_ones(len(x), 1)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            trial = x.clone()
            trial[:, columns] = origin[:, columns] + middle * (x[:, columns] - origin[:, columns])
            apart(trial, origin)
            self._derive(part, trial, origin)
            rest = [at for at in range(x.shape[1]) if at not in columns]
            trial[:, rest] = x[:, rest]
            good = ~self._broken(part, trial, origin, tables)[:, None]
            best = torch.where(good, trial, best)
            low, high = torch.where(good, middle, low), torch.where(good, high, middle)
        return best

    def _columns(self, x: torch.Tensor, one: Expression) -> dict[str, torch.Tensor]:
        return {name: x[:, self.names.index(name)] for name in one.uses}

    def _derive(self, part: Part, x: torch.Tensor, origin: torch.Tensor) -> None:
        for one in part.derived:
            base = list(one.base)
            same = (x[:, base] == origin[:, base]).all(1)
            value = one.formula.evaluate(self._columns(x, one.formula))
            x[:, one.column] = torch.where(same, origin[:, one.column], value)

    def _broken(self, part: Part, x: torch.Tensor, origin: torch.Tensor, tables: Mapping[str, torch.Tensor]) -> torch.Tensor:
        bad = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for one in part.derived:
            at = one.column
            value, before = x[:, at], origin[:, at]
            wrong = ~value.isfinite() | (value < tables["low"][at]) | (value > tables["high"][at]) | tables["immutable"][at]
            wrong |= (tables["rise"][at] & (value < before)) | (tables["fall"][at] & (value > before))
            wrong |= tables["whole"][at] & (value != value.round())
            allowed = tables.get(f"values {at}")
            if allowed is not None:
                wrong |= ~torch.isin(value, allowed)
            bad |= wrong & (value != before)
        for constraint, columns in part.constraints:
            moved = (x[:, list(columns)] != origin[:, list(columns)]).any(1)
            bad |= moved & ~constraint.evaluate(self._columns(x, constraint))
        return bad


def _in_order(formulas: Mapping[str, Expression], errors: list[Exception]) -> list[str]:
    """Return the computed columns, each after those it needs."""
    order: list[str] = []
    left = dict(formulas)
    while left:
        ready = [name for name, formula in left.items() if not any(used in left for used in formula.uses)]
        if not ready:
            names = ", ".join(left)
            errors.append(InputError(f"formulas go round in a circle: {names}", where=next(iter(left))))
            return []
        order += ready
        for name in ready:
            del left[name]
    return order


def _components(count: int, edges: list[tuple[int, ...]]) -> list[int]:
    """Return for each column the lowest one that it hangs together with."""
    parent = list(range(count))

    def root(at: int) -> int:
        while parent[at] != at:
            at = parent[at]
        return at

    for edge in edges:
        for other in edge[1:]:
            a, b = sorted((root(edge[0]), root(other)))
            parent[b] = a
    return [root(at) for at in range(count)]
