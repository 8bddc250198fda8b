"""MessagePack: classes and functions that a map names, by what importing and calling them does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stannary.checks.static.judges.danger import danger_of
from stannary.checks.static.ruleset import Hit
from stannary.core.model import Severity
from stannary.formats.interface import Fact

__all__ = ["judge"]

_SEVERITY: dict[str, Severity] = {"dangerous": "high", "loads": "medium", "unknown": "low"}


def judge(facts: Iterable[Fact]) -> Iterator[Hit]:
    """Judge the `msgpack.*` facts of one file."""
    for fact in facts:
        if fact.kind == "msgpack.class" and (level := danger_of(str(fact.data["name"]))) != "known":
            yield Hit("FLX005", fact, None, None, _SEVERITY[level])
