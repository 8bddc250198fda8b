"""`stannary gate TARGET --policy NAME`: decide from evidence alone; explain; record."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from stannary import __version__
from stannary.cli import exits
from stannary.cli.evidence_remote import decided_there, named, refuse_exports
from stannary.cli.group import common_options, talk_of
from stannary.cli.output import parse_outputs, write_file
from stannary.cli.policies import read_policy
from stannary.cli.registry_remote import client_of, server_option
from stannary.cli.talk import wants_color
from stannary.cli.workspace import open_workspace, subject_at, workspace_option
from stannary.core.errors import UsageError
from stannary.evidence.engines.interface import ENGINES
from stannary.evidence.rego_gate import RegoPolicy
from stannary.policy.model import Policy
from stannary.report.decision import FORMATS, DecisionContext, renderer
from stannary.report.escape import inline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stannary.cli.output import Outputs
    from stannary.core.errors import StannaryError
    from stannary.core.evidence import Decision
    from stannary.evidence.gate import Judged
    from stannary.registry.client import Client

__all__ = ["command"]


@click.command("gate")
@click.argument("target")
@click.option(
    "--policy", "name", metavar="NAME|FILE[#STAGE]", default="baseline", show_default=True,
    help="baseline, production, high-risk, a YAML file (#STAGE for a stage of it), a .rego file, or opa+http://HOST:PORT.",
)  # fmt: skip
@click.option("--engine", type=click.Choice(ENGINES), default="auto", help="What evaluates a .rego file.  [default: auto]")
@click.option("--export-input", metavar="FILE", help="Write what the decision goes by as JSON, for another engine.")
@click.option("--export-rego", metavar="FILE", help="Write the policy as a Rego module that decides the same.")
@click.option("--record/--no-record", default=True, help="Sign the decision and log it.  [default: yes]")
@click.option("-o", "--output", metavar="FILE", help="Write the report to FILE instead of stdout.")
@server_option
@workspace_option
@click.option(
    "--format", "formats", multiple=True, metavar="NAME[=FILE]",
    help=f"How to print: {', '.join(FORMATS)}. NAME=FILE writes a file beside; repeatable.  [default: table]",
)  # fmt: skip
@common_options
@click.pass_context
def command(ctx: click.Context, /, target: str, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Decide whether TARGET (a path, sha256:…, or registry:NAME@ALIAS) may pass, from signed evidence alone.

    Exits 0 when it may, 1 when it may not. Every reason names its rule, the evidence and the next command.
    """
    from stannary.evidence.chain import Chain
    from stannary.evidence.gate import judge, record_decision, spelled_out

    outputs = parse_outputs(given["formats"], given["output"], "table", renderer)  # before anything is decided and logged
    for option in ("export_input", "export_rego"):
        if given[option] == "-":
            msg = "stdout is for the report"
            raise UsageError(msg, where=f"--{option.replace('_', '-')}", code="USE006", help="name a file")
    client = client_of(given["server"], given["workspace"])
    if client is not None or {"@", ":"} & set(target):  # a word alone may be a path that was mistyped
        target = named(target)
    if client is not None:
        return _gate_there(ctx, client, target, outputs, given)
    policy = read_policy(given["name"], given["engine"])
    subject = subject_at(target, given["workspace"])
    chain = Chain(open_workspace(given["workspace"]), write=given["record"])
    judged = judge(chain, subject, policy)
    recorded = record_decision(chain, subject, judged, __version__) if given["record"] else None
    _export(given, policy, judged)
    return _told(ctx, outputs, target, spelled_out(chain, judged.decision), str(recorded.id) if recorded else "", judged.refused)


def _gate_there(ctx: click.Context, client: Client, target: str, outputs: Outputs, given: dict[str, Any]) -> int:
    """Have a server decide, from the evidence that it keeps."""
    refuse_exports(given)
    decision, recorded = decided_there(client, target, given["name"], record=given["record"])
    return _told(ctx, outputs, target, decision, recorded, ())


def _told(
    ctx: click.Context, outputs: Outputs, target: str, decision: Decision, recorded: str, refused: Iterable[StannaryError]
) -> int:
    """Print a decision; return the exit code."""
    talk = talk_of(ctx)
    context = DecisionContext(target=target, recorded=recorded, version=__version__)
    for form, path in outputs.files:
        write_file(path, renderer(form)(decision, context))
    if outputs.stdout:
        context = msgspec.structs.replace(context, color=wants_color(sys.stdout, talk.color))
        click.echo(renderer(outputs.stdout)(decision, context), nl=False, color=context.color)
    for problem in refused:
        talk.warning(f"{problem} (this counts for nothing)", problem.help or "stannary evidence list")
    if outputs.stdout != "table":
        talk.verdict(f"{decision.verdict}: {inline(target)} by policy {inline(decision.policy_name)}")
    return exits.CLEAN if decision.verdict == "allow" else exits.DENIED


def _export(given: dict[str, Any], policy: Policy | RegoPolicy, judged: Judged) -> None:
    """Write what another engine needs to decide the same."""
    from stannary.policy.rego import input_document, module_of
    from stannary.report.json_ import dump

    if given["export_input"]:
        decision = judged.decision
        document = input_document(decision.subject, judged.evidence, judged.waivers, decision.decided, name=decision.subject_name)
        write_file(given["export_input"], dump(document))
    if given["export_rego"]:
        write_file(given["export_rego"], policy.module if isinstance(policy, RegoPolicy) else module_of(policy))
