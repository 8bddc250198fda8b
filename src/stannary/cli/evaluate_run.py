"""What `stannary evaluate` does once its command line is read: open, measure, report, record, exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from stannary.cli import exits
from stannary.cli.output import write_file
from stannary.cli.talk import Talk, wants_color
from stannary.cli.workspace import open_workspace
from stannary.core.clock import system_clock
from stannary.core.errors import UsageError
from stannary.report.escape import inline
from stannary.report.evaluation import renderer

if TYPE_CHECKING:
    from stannary.checks.target.card import EvaluationResult

__all__ = ["needs_torch", "outputs_of", "start", "written"]

_BY_SUFFIX = {".json": "json", ".html": "html", ".htm": "html", ".md": "markdown", ".xml": "junit"}
_CODES = {"passed": exits.CLEAN, "failed": exits.DENIED, "incomplete": exits.INCOMPLETE, "error": exits.INCOMPLETE}


def start(given: Mapping[str, Any], talk: Talk) -> int:
    """Do what the options of the command line ask for and return the exit code. Raises what the error tree has."""
    outputs = outputs_of(given["formats"], given["output"], renderer)
    workspace = open_workspace(given["workspace"], offline=given["offline"]) if given["record"] else None
    if "llm" not in given["suites"] or not given["model"].startswith(("http://", "https://")):
        needs_torch()
    from stannary.app.evaluating import evaluate, infer
    from stannary.app.evaluation_request import Request

    request = Request.of(given)
    if given["write_domain"]:
        write_file(given["write_domain"], infer(request))
        talk.note(f"wrote {inline(given['write_domain'])}; edit it and use it with --domain {inline(given['write_domain'])}")
        return exits.CLEAN
    started = system_clock()
    card = evaluate(request, note=talk.detail)
    for name, path in outputs.items():
        color = not path and name == "table" and wants_color(sys.stdout, talk.color)
        written(renderer(name)(card, color=color), name, path, talk)
    if workspace is not None:
        from stannary.app.statements import record_evaluation

        for recorded in record_evaluation(card, workspace, started, system_clock()):
            talk.note(f"recorded {recorded.id.hex[:12]} about {recorded.subject} as entry {recorded.receipt.index}")
    if "table" not in outputs or outputs["table"]:
        talk.verdict(f"{card.outcome}: {inline(card.model.path)}")
    return exits.CLEAN if given["exit_zero"] else _code(card)


def needs_torch() -> None:
    """Raise UsageError where the extra is not installed, before anything is read."""
    from importlib.util import find_spec

    missing = [name for name in ("torch", "numpy") if find_spec(name) is None]
    if missing:
        msg = f"takes {' and '.join(missing)}, which this environment has not"
        raise UsageError(msg, code="USE014", help="pip install 'stannary[evaluate]'")


def _code(card: EvaluationResult) -> int:
    """Return the exit code: a threshold that was missed, then what could not be measured."""
    codes = [_CODES[card.outcome]]
    codes += [exits.DENIED] if card.reasons else []
    codes += [exits.INCOMPLETE] if card.incomplete else []
    return exits.worst(codes)


def outputs_of(given: Sequence[str], output: str | None, known: Callable[[str], object]) -> dict[str, str]:
    """Return format → file (empty: stdout); `known` refuses a format. Raises an ExceptionGroup of UsageErrors."""
    problems: list[UsageError] = []
    found: dict[str, str] = {}
    plain = [item for item in given if "=" not in item]
    if not plain and (output or not given):
        plain = [_BY_SUFFIX.get(os.path.splitext(output or "")[1].lower(), "table")]  # noqa: PTH122 - an ending
    if len(set(plain)) > 1:
        problems.append(UsageError(f"stdout takes one format, not {', '.join(plain)}", code="USE006", help="--format NAME=FILE"))
    rows = [(name, output or "") for name in plain[:1]]
    rows += [(name, path) for name, equals, path in (item.partition("=") for item in given) if equals]
    for name, path in rows:
        try:
            known(name)
        except UsageError as error:
            problems.append(error)
        folder = os.path.dirname(path) or "."  # noqa: PTH120 - a name that a user wrote
        if path and path != "-" and not os.path.isdir(folder):  # noqa: PTH112 - the same
            problems.append(
                UsageError("its folder is not there", where=path, code="IO002", help="name a file in a folder that is there")
            )
        found[name] = "" if path == "-" else path
    if problems:
        msg = "outputs"
        raise ExceptionGroup(msg, problems)
    return found


def written(text: str, name: str, path: str, talk: Talk) -> None:
    """Write a report of a format to its file, or to stdout where it has none."""
    if path:
        write_file(path, text)
        talk.detail(f"wrote {name} to {path}")
    else:
        click.echo(text, nl=False, color="\x1b" in text)
