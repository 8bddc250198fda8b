"""An exact answer for small ensembles: all boxes in which outputs are constant, each with its nearest allowed point.

Plain Python and loops, apart from the attack: boxes come from intersecting the paths of all trees one by one.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


def paths(trees):
    """Return for each tree its leaves as (box {column: (low, high)}, value): `low < x <= high`, x in the model's precision."""
    found = []
    for root in trees.roots.tolist():
        leaves, open_ = [], [(root, {})]
        while open_:
            node, box = open_.pop()
            column = int(trees.feature[node])
            if column < 0:
                leaves.append((box, trees.value[node].numpy()))
                continue
            low, high = box.get(column, (-math.inf, math.inf))
            threshold = float(trees.threshold[node])
            open_.append((int(trees.left[node]), {**box, column: (low, min(high, threshold))}))
            open_.append((int(trees.right[node]), {**box, column: (max(low, threshold), high)}))
        found.append(leaves)
    return found


def boxes(trees):
    """Yield all boxes that are not empty, with the outputs inside."""

    def meet(leaves, box, total):
        if not leaves:
            yield box, total
            return
        for other, value in leaves[0]:
            both = dict(box)
            for column, (low, high) in other.items():
                old = both.get(column, (-math.inf, math.inf))
                both[column] = max(low, old[0]), min(high, old[1])
            if all(low < high for low, high in both.values()):
                yield from meet(leaves[1:], both, total + value)

    yield from meet(paths(trees), {}, trees.base.numpy().copy())


def nearest(interval, value, column, precision):
    """Return the allowed value of a column nearest to `value` within `(low, high]`, None where there is none."""
    low, high = interval
    seen = float(precision(value))
    if low < seen <= high:
        return value
    if column.immutable:
        return None
    if seen <= low:
        new = (
            math.floor(low) + 1 if column.kind in ("integer", "binary") else float(np.nextafter(precision(low), precision(np.inf)))
        )
        new = max(new, column.low)
    else:
        new = math.floor(high) if column.kind in ("integer", "binary") else high
        new = min(new, column.high)
    inside = low < float(precision(new)) <= high and column.low <= new <= column.high
    wrong_way = (column.monotone == "rise" and new < value) or (column.monotone == "fall" and new > value)
    return None if not inside or wrong_way else new


def smallest(trees, domain, rows, labels, norm):
    """Return the exact size of the smallest allowed change that turns the decision, `(n,)`; inf where none does."""
    precision = np.float32 if str(trees.dtype) == "torch.float32" else np.float64
    index = {name: at for at, name in enumerate(domain.names)}
    groups = [[index[name] for name in group.columns] for group in domain.groups]
    singles = [at for at in range(len(domain.names)) if not any(at in group for group in groups)]
    best = [math.inf] * len(rows)
    for box, outputs in boxes(trees):
        order = outputs.argsort()
        if outputs[order[-1]] - outputs[order[-2]] < 1e-5:
            continue  # which one decides is a matter of rounding
        for row, (x, label) in enumerate(zip(rows.tolist(), labels.tolist(), strict=True)):
            if order[-1] == label:
                continue
            for kept in itertools.product(*(range(len(group)) for group in groups)):
                found = move(x, box, (groups, kept), (singles, domain, precision))
                if found is not None:
                    best[row] = min(best[row], measure(found, x, domain, norm))
    return best


def move(x, box, choice, how):
    groups, kept = choice
    singles, domain, precision = how
    moved = list(x)
    for group, category in zip(groups, kept, strict=True):
        for place, at in enumerate(group):
            moved[at] = float(place == category)
            low, high = box.get(at, (-math.inf, math.inf))
            if not low < moved[at] <= high:
                return None
    for at in singles:
        if at in box:
            value = nearest(box[at], x[at], domain.columns[at], precision)
            if value is None:
                return None
            moved[at] = value
    return moved


def measure(moved, x, domain, norm):
    away = [abs(a - b) for a, b in zip(moved, x, strict=True)]
    if norm == "l0":
        return sum(size > 0 for size in away)
    if norm == "cost":
        total = 0.0
        for column, size in zip(domain.columns, away, strict=True):
            if column.kind != "onehot":
                total += (float(size > 0) if column.kind in ("binary", "categorical") else size) * column.cost
                total += column.fixed * (size > 0)
        index = {name: at for at, name in enumerate(domain.names)}
        return total + sum(g.cost for g in domain.groups if any(away[index[name]] > 0 for name in g.columns))
    scaled = [size / column.scale for size, column in zip(away, domain.columns, strict=True)]
    if norm == "linf":
        return max(scaled)
    return sum(scaled) if norm == "l1" else math.sqrt(sum(size * size for size in scaled))
