"""A domain from data: a beginning that people correct, since data does not say what a person can change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from stannary.checks.target.domain import Column, Group, TableDomain
from stannary.core.errors import InputError

__all__ = ["infer_domain"]

_WHOLE = 2.0**53  # beyond it every float64 is a whole number


def infer_domain(
    x: torch.Tensor,
    names: Sequence[str] = (),
    *,
    quantiles: tuple[float, float] = (0.0, 1.0),
    groups: Sequence[Group] = (),
    categories: dict[str, tuple[str, ...]] | None = None,
    immutable: Sequence[str] = (),
) -> TableDomain:
    """Infer types and bounds of columns from rows `(n, columns)`.

    A column of whole numbers is an integer one, of 0 and 1 a binary one; the cost of a unit is 1 / standard deviation.
    One-hot groups are those given (an encoding knows them), and runs of adjacent binary columns named `PREFIX_value` (or
    `PREFIX=value`) of which every row has exactly one 1.

    Args:
        x: the rows.
        names: of the columns; `x0`, `x1`, ... by default.
        quantiles: which ones are the bounds; least and greatest value by default.
        groups: one-hot groups that are known.
        categories: labels of columns that hold codes 0, 1, ... of categories.
        immutable: columns or groups that stay as they are.

    Raises:
        InputError: there are no rows, or numbers that are not finite.
    """
    if x.ndim != 2 or not len(x) or not x.shape[1]:  # noqa: PLR2004 - rows and columns
        msg = f"a domain is inferred from a table with rows, not from data of shape {tuple(x.shape)}"
        raise InputError(msg)
    x = x.detach().cpu().double()
    if not bool(x.isfinite().all()):
        msg = "a domain is inferred from finite numbers; the data has NaN or infinite ones"
        raise InputError(msg)
    names = tuple(names) or tuple(f"x{at}" for at in range(x.shape[1]))
    if len(names) != x.shape[1]:
        msg = f"{len(names)} names for {x.shape[1]} columns"
        raise InputError(msg)
    given = {name for group in groups for name in group.columns}
    found = [*groups, *_groups(x, names, given)]
    grouped = {name: group for group in found for name in group.columns}
    low, high = (np.quantile(x.numpy(), quantile, axis=0) for quantile in quantiles)
    columns = [
        _column(name, x[:, at], (float(low[at]), float(high[at])), name in grouped, (categories or {}).get(name))
        for at, name in enumerate(names)
    ]
    kept = [_fixed(c, immutable) for c in columns]
    return TableDomain(tuple(kept), tuple(_fixed_group(g, immutable) for g in found))


def _column(name: str, values: torch.Tensor, bounds: tuple[float, float], grouped: bool, labels: tuple[str, ...] | None) -> Column:  # noqa: FBT001 - of one column
    if grouped:
        return Column(name, "onehot", 0.0, 1.0)
    if labels:
        return Column(name, "categorical", 0.0, len(labels) - 1.0, values=tuple(map(float, range(len(labels)))), labels=labels)
    spread = float(values.std(correction=0))
    scale = spread if spread > 0 else 1.0
    whole = bool((values == values.round()).all()) and float(values.abs().max()) < _WHOLE
    if whole and bool(((values == 0) | (values == 1)).all()):
        return Column(name, "binary", 0.0, 1.0, scale=1.0, cost=1.0)
    low, high = bounds
    if whole:
        low, high = math.floor(low), math.ceil(high)
    return Column(name, "integer" if whole else "continuous", low, high, scale=scale, cost=1 / scale)


def _groups(x: torch.Tensor, names: tuple[str, ...], given: set[str]) -> list[Group]:
    """Find one-hot groups among adjacent columns with a common prefix."""
    binary = ((x == 0) | (x == 1)).all(0).tolist()
    runs: list[tuple[str, list[int]]] = []
    for at, name in enumerate(names):
        prefix = max((name.rpartition(mark)[0] for mark in ("=", "_")), key=len)
        if name in given or not binary[at] or not prefix:
            continue
        if runs and runs[-1][0] == prefix and runs[-1][1][-1] == at - 1:
            runs[-1][1].append(at)
        else:
            runs.append((prefix, [at]))
    found = []
    for prefix, members in runs:
        if len(members) > 1 and bool((x[:, members].sum(1) == 1).all()):
            found.append(Group(prefix, tuple(names[at] for at in members)))
    return found


def _fixed(column: Column, immutable: Sequence[str]) -> Column:
    return replace(column, immutable=True) if column.name in immutable and column.kind != "onehot" else column


def _fixed_group(group: Group, immutable: Sequence[str]) -> Group:
    return replace(group, immutable=True) if group.name in immutable or set(group.columns) & set(immutable) else group
