"""`stannary why TARGET`: the chain behind an artifact, each link with the command that verifies it."""

from __future__ import annotations

from pathlib import Path

import click

from stannary.cli import exits
from stannary.cli.group import common_options
from stannary.cli.workspace import format_option, open_workspace, subject_at, workspace_option, write_json

__all__ = ["command"]


@click.command("why")
@click.argument("target")
@workspace_option
@format_option("table", "json")
@common_options
def command(target: str, workspace: str | None, form: str) -> int:
    """Show what is known about TARGET (a path, sha256:…, or NAME[@ALIAS] of the registry).

    That is decisions, evidence and origin, and how to verify each link.
    """
    from stannary.evidence.chain import Chain
    from stannary.evidence.story import story_of
    from stannary.report.story import render

    chain = Chain(open_workspace(workspace))
    story = story_of(chain, subject_at(_named(target), workspace))
    if form == "json":
        write_json(story)
    else:
        click.echo(render(story), nl=False)
    return exits.DENIED if story.refused else exits.CLEAN


def _named(target: str) -> str:
    """Return a target with what is neither a path nor a digest taken as a name of the registry."""
    from stannary.core.errors import UsageError
    from stannary.evidence.subject import named_digest
    from stannary.registry.names import parse

    if target.startswith("registry:") or Path(target).exists() or named_digest(target) is not None:
        return target
    try:
        parse(target)
    except UsageError:
        return target
    return f"registry:{target}"
