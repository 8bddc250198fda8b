"""Counts by day, for charts that are tables first: what stands in each day, the most frequent first, the rest together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

__all__ = ["DAYS", "Day", "Days", "days_of", "midnights"]

DAYS = 30  # in a chart
_NAMED = 6  # that can be told apart by their colours; more of them are one
_NONE = "without"  # what has no name of its own is called


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A day of UTC, the `index`th: how many there were of each name (`counts`; of none where it is not there), and by column."""

    index: int
    day: str
    counts: dict[str, int]
    parts: tuple[int, ...]
    total: int


class Days(msgspec.Struct, frozen=True, kw_only=True):
    """Days in their order, none left out. `names` have a column each; `columns` are what those are called, and what the rest is."""

    days: tuple[Day, ...]
    names: tuple[str, ...]
    columns: tuple[str, ...]
    total: int


def midnights(last: date, count: int = DAYS) -> list[datetime]:
    """Return when each of the days up to `last` begins, and when that one ends."""
    first = datetime(last.year, last.month, last.day, tzinfo=UTC) - timedelta(days=count - 1)
    return [first + timedelta(days=day) for day in range(count + 1)]


def days_of(starts: Sequence[datetime], counts: Sequence[Mapping[str, int]], names: Sequence[str] = ()) -> Days:
    """Return the days that begin then, with their counts; by `names` in their order, or by the most frequent ones."""
    every = Counter[str]()
    for row in counts:
        every.update(row)
    order = tuple(names) or tuple(sorted(every, key=lambda name: (-every[name], name)))
    shown = order if names or len(order) <= _NAMED + 1 else order[:_NAMED]
    rest = order[len(shown) :]
    days = [
        Day(
            index=index, day=start.date().isoformat(), counts=dict(row), total=sum(row.values()),
            parts=(*(row.get(name, 0) for name in shown), *([sum(row.get(name, 0) for name in rest)] if rest else [])),
        )
        for index, (start, row) in enumerate(zip(starts, counts, strict=False))
    ]  # fmt: skip
    columns = (*(name or _NONE for name in shown), *([f"{len(rest)} others"] if rest else []))
    return Days(days=tuple(days), names=shown, columns=columns, total=every.total())
