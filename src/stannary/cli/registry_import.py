"""`stannary registry import`: what is in another registry, brought into this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stannary.cli import exits
from stannary.cli.group import common_options, talk_of
from stannary.cli.registry import open_registry
from stannary.cli.workspace import format_option, workspace_option, write_json
from stannary.report.escape import inline

if TYPE_CHECKING:
    from stannary.registry.from_mlflow import Brought, Missed

__all__ = ["import_"]


@click.command("import")
@click.argument("address", metavar="ADDRESS")
@click.option("--namespace", default="default", show_default=True, help="The namespace that names are made in.")
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def import_(ctx: click.Context, address: str, namespace: str, workspace: str | None, form: str) -> int:
    """Bring the versions of mlflow:models/NAME, or with mlflow: of every model, from the server that MLFLOW_TRACKING_URI names.

    Nothing is promoted: for each alias there is, the command that asks the policy here is printed. Exits 3 when a version
    could not be had.
    """
    from stannary.registry.from_mlflow import Missed, bring

    talk = talk_of(ctx)

    def told(item: Brought | Missed) -> None:
        if isinstance(item, Missed):
            talk.note(f"{inline(item.source)} was not brought: {inline(item.reason)}")
        elif form != "json":
            state = "" if item.new else "  (was here)"
            click.echo(f"{inline(item.source)}  {inline(item.version)}  {item.digest[7:19]}{state}")

    found = bring(open_registry(workspace), address, namespace=namespace, told=told)
    if form == "json":
        write_json(found)
    for row in found.proposals:
        talk.note(f"MLflow has {inline(row.source)}: stannary registry promote {inline(row.version)} {inline(row.alias)}")
    new = sum(item.new for item in found.versions)
    talk.note(f"{new} new, {len(found.versions) - new} were here, {len(found.missed)} could not be had")
    return exits.INCOMPLETE if found.missed else exits.CLEAN
