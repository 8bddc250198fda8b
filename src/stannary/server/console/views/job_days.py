"""Jobs over the last days: how many of each state, how long they ran; of those alone that the caller may see."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from stannary.app.jobs import EVERYTHING, open_table
from stannary.registry.names import Name
from stannary.server.console.views.days import Days, days_of, midnights
from stannary.server.operations import Call
from stannary.store.job_table import STATES

__all__ = ["Activity", "RunDay", "activity_of"]

_RUNS = 1_000  # of the last ones that were done


class RunDay(msgspec.Struct, frozen=True, kw_only=True):
    """How long the jobs ran that were done on a day, and how long they had waited: seconds."""

    index: int
    day: str
    done: int
    median: float
    shortest: float
    longest: float
    waited: float


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """`states`: jobs by the day they were asked for and the state they are in; `runs`: by the day they were done.

    `most_runs`: so many of the last ones stand in `runs`, if there were more.
    """

    states: Days
    runs: tuple[RunDay, ...]
    most_runs: int = _RUNS


def activity_of(call: Call) -> Activity:
    """Return what jobs there were on the last days."""
    table, may = open_table(call.store), _sight(call)
    apart = not call.store.may("jobs", EVERYTHING)
    starts = midnights(call.store.chain.workspace.clock().astimezone(UTC).date())
    names = [start.date().isoformat() for start in starts[:-1]]
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for row in table.by_day(names[0], apart=apart):
        if row.day in counts and (not apart or may(row.namespace, row.model)):
            counts[row.day][row.state] = counts[row.day].get(row.state, 0) + row.jobs
    took: dict[str, list[tuple[float, float]]] = {}
    for run in table.runs(names[0], _RUNS):
        if run.started and run.finished[:10] in counts and may(run.namespace, run.model):
            took.setdefault(run.finished[:10], []).append((_between(run.started, run.finished), _between(run.created, run.started)))
    runs = tuple(_day(index, name, took[name]) for index, name in enumerate(names) if name in took)
    return Activity(states=days_of(starts[:-1], [counts[name] for name in names], STATES), runs=runs)


def _sight(call: Call) -> Callable[[str, str], bool]:
    """Return what tells whether the caller may see jobs about a model, as `may_see` of the API does; each is asked about once."""
    runs_all, reads_all = call.store.may("jobs", EVERYTHING), call.store.may("read", EVERYTHING)
    known: dict[tuple[str, str], bool] = {}

    def may(namespace: str, model: str) -> bool:
        if runs_all or (reads_all and model != "*"):
            return True
        key = namespace, model
        if key not in known:
            name = Name(namespace, model)
            known[key] = call.store.may("jobs", name) or (model != "*" and call.store.may("read", name))
        return known[key]

    return may


def _between(start: str, end: str) -> float:
    """Return how many seconds there are between two times; clocks of two machines may put the end first."""
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def _day(index: int, day: str, took: list[tuple[float, float]]) -> RunDay:
    ran = [row[0] for row in took]
    return RunDay(
        index=index, day=day, done=len(took), median=round(statistics.median(ran), 3), shortest=round(min(ran), 3),
        longest=round(max(ran), 3), waited=round(statistics.median([row[1] for row in took]), 3),
    )  # fmt: skip
