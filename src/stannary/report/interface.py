"""What a report is: a function from a result and its context to text."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, Protocol

import msgspec

from stannary.checks.static.result import ScanResult
from stannary.checks.static.ruleset import Rule
from stannary.core.errors import UsageError

__all__ = ["FORMATS", "Context", "Renderer", "Show", "renderer"]

Show = Literal["findings", "clean", "all"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a report needs beside the result.

    Attributes:
        rules: the texts behind the findings, by rule id; a finding whose rule is missing is still shown.
        fail_on: the threshold of the run (a severity, or `never`).
        exit_code: what the run will exit with.
        show: `findings`, `clean` (clean files too), `all` (notes and waived findings too, nothing cut).
        started, finished: aware UTC datetimes.
        command: the words of the command line, for the record.
        width: columns of the terminal; 0 when lines are not to be wrapped.
        color: whether the text may carry terminal escapes.
    """

    rules: Mapping[str, Rule] = {}
    fail_on: str = "medium"
    exit_code: int = 0
    show: Show = "findings"
    started: datetime = _EPOCH
    finished: datetime = _EPOCH
    command: tuple[str, ...] = ()
    width: int = 0
    color: bool = False


class Renderer(Protocol):
    """A report format."""

    def __call__(self, result: ScanResult, context: Context) -> str:
        """Return the whole report, ending in a line feed."""
        ...


FORMATS: Mapping[str, str] = {
    "table": "stannary.report.table:render",
    "json": "stannary.report.json_:render",
    "sarif": "stannary.report.sarif:render",
    "junit": "stannary.report.junit:render",
    "gitlab": "stannary.report.gitlab:render",
    "markdown": "stannary.report.markdown:render",
    "html": "stannary.report.html:render",
}


def renderer(name: str) -> Renderer:
    """Return the renderer of a format: ours, or one of the `stannary.reports` entry points. Raises UsageError."""
    target = FORMATS.get(name)
    if target is not None:
        module, _, function = target.partition(":")
        found: Renderer = getattr(importlib.import_module(module), function)
        return found
    from importlib.metadata import entry_points

    for point in entry_points(group="stannary.reports", name=name):
        plugin: Renderer = point.load()
        return plugin
    msg = f"no report format is called {name!r}"
    raise UsageError(msg, code="USE004", help=f"choose one of: {', '.join(FORMATS)}")
