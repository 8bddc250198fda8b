"""`stannary why TARGET`: the chain behind an artifact, each link with the command that verifies it."""

from __future__ import annotations

import click

from stannary.cli import exits
from stannary.cli.evidence_remote import named, subject_there
from stannary.cli.group import common_options
from stannary.cli.registry_remote import client_of, server_option
from stannary.cli.workspace import format_option, open_workspace, subject_at, workspace_option, write_json

__all__ = ["command"]


@click.command("why")
@click.argument("target")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
def command(target: str, server: str | None, workspace: str | None, form: str) -> int:
    """Show what is known about TARGET (a path, sha256:…, or NAME[@ALIAS] of the registry).

    That is decisions, evidence and origin, and how to verify each link.
    """
    from stannary.evidence.chain import Chain
    from stannary.evidence.statement import subject_of_resource
    from stannary.evidence.story import story_of
    from stannary.report.story import render

    client, wanted = client_of(server, workspace), named(target)
    if client is not None:
        story = client.story(str(subject_of_resource(subject_there(client, wanted))))
    else:
        story = story_of(Chain(open_workspace(workspace)), subject_at(wanted, workspace))
    if form == "json":
        write_json(story)
    else:
        click.echo(render(story), nl=False)
    return exits.DENIED if story.refused else exits.CLEAN
