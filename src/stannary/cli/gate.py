"""`stannary gate TARGET --policy NAME`: decide from evidence alone; explain; record."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from stannary import __version__
from stannary.cli import exits
from stannary.cli.group import common_options, talk_of
from stannary.cli.talk import wants_color
from stannary.cli.workspace import format_option, open_workspace, subject_at, workspace_option
from stannary.core.errors import StannaryError, UsageError
from stannary.policy.model import Policy
from stannary.report.decision import FORMATS, DecisionContext, renderer

__all__ = ["command", "read_policy"]

_LARGEST = 1 << 20


@click.command("gate")
@click.argument("target")
@click.option(
    "--policy", "name", metavar="NAME|FILE[#STAGE]", default="baseline", show_default=True,
    help="baseline, production, high-risk, or a file; #STAGE for a stage of it.",
)  # fmt: skip
@click.option("--record/--no-record", default=True, help="Sign the decision and log it.  [default: yes]")
@click.option("-o", "--output", metavar="FILE", help="Write the report to FILE instead of stdout.")
@workspace_option
@format_option(*FORMATS)
@common_options
@click.pass_context
def command(ctx: click.Context, target: str, name: str, record: bool, output: str | None, workspace: str | None, form: str) -> int:
    """Decide whether TARGET (a path, or sha256:…) may pass, from signed evidence alone.

    Exits 0 when it may, 1 when it may not. Every reason names its rule, the evidence and the next command.
    """
    from stannary.evidence.chain import Chain
    from stannary.evidence.gate import judge, record_decision

    policy = read_policy(name)
    subject = subject_at(target)
    chain = Chain(open_workspace(workspace), write=record)
    judged = judge(chain, subject, policy)
    recorded = record_decision(chain, subject, judged, __version__) if record else None
    talk = talk_of(ctx)
    context = DecisionContext(
        target=target,
        recorded=str(recorded.id) if recorded else "",
        version=__version__,
        color=wants_color(sys.stdout, talk.color) and output is None,
    )
    text = renderer(form)(judged.decision, context)
    if output:
        from stannary.cli.output import write_file

        write_file(output, text)
    else:
        click.echo(text, nl=False, color=context.color)
    for problem in judged.refused:
        talk.warning(f"{problem} (this counts for nothing)", problem.help or "stannary evidence list")
    if form != "table" or output:
        talk.verdict(f"{judged.decision.verdict}: {target} by policy {policy.name}")
    return exits.CLEAN if judged.decision.verdict == "allow" else exits.DENIED


def read_policy(name: str) -> Policy:
    """Return a shipped policy, or the one in a file. Raises UsageError, or a group of InputErrors."""
    from stannary.evidence.predicates.table import KINDS
    from stannary.policy.library import load

    try:
        return load(name, _read, frozenset(KINDS))
    except ExceptionGroup as group:
        # A policy that cannot be read is the caller's, not an artifact that could not be analysed.
        found = (error for error in group.exceptions if isinstance(error, StannaryError))
        msg = "policy"
        raise ExceptionGroup(msg, [UsageError(e.message, where=e.where, code=e.code, help=e.help) for e in found]) from group


def _read(name: str, parent: str) -> tuple[str, str]:
    path = Path(parent).parent / name if parent else Path(name)
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        from stannary.policy.library import SHIPPED

        msg = "there is no such policy"
        raise UsageError(
            msg, where=str(path), code="POL003", help=f"shipped are {', '.join(SHIPPED)}; anything else is a file"
        ) from None
    try:
        return content.decode("utf-8"), str(path)
    except UnicodeDecodeError as error:
        msg = f"is not UTF-8: {error.reason} at byte {error.start}"
        raise UsageError(msg, where=str(path), code="POL001") from error
