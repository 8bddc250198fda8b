"""`stannary trust`: whose signatures count in this workspace."""

from __future__ import annotations

import click

from stannary.cli.group import LazyGroup, common_options, talk_of
from stannary.cli.workspace import format_option, open_workspace, workspace_option, write_json
from stannary.report.escape import inline

__all__ = ["COMMANDS", "add", "command", "list_", "remove"]

COMMANDS: dict[str, tuple[str, str]] = {
    "add": ("stannary.cli.trust_command:add", "Trust a public key under a name."),
    "list": ("stannary.cli.trust_command:list_", "Show whose signatures count."),
    "remove": ("stannary.cli.trust_command:remove", "Trust a name, or one key, no longer."),
    "init": ("stannary.cli.authority:init", "Make an authority for keyless signatures."),
    "issuer": ("stannary.cli.authority:issuer", "Take identity tokens of an OpenID Connect issuer."),
    "show": ("stannary.cli.authority:show", "Show the authority, its keys and what was revoked."),
    "audit": ("stannary.cli.authority:audit", "List who signed with the authority, and hold it against the ledger."),
    "rotate": ("stannary.cli.authority:rotate", "Replace a key of the authority."),
    "revoke": ("stannary.cli.authority:revoke", "Revoke an identity, a certificate or a key."),
    "revocations": ("stannary.cli.authority:revocations", "Write what is revoked as a signed list."),
}


@click.group("trust", cls=LazyGroup, table=COMMANDS)
@common_options
def command() -> None:
    """Say whose signatures count: evidence signed by anybody else satisfies nothing."""


@click.command("add")
@click.argument("identity")
@click.argument("key", metavar="PUBLIC_KEY.pem")
@workspace_option
@common_options
@click.pass_context
def add(ctx: click.Context, identity: str, key: str, workspace: str | None) -> int:
    """Trust a public key as IDENTITY (one word, such as ci or alice@example.com). The change is logged."""
    from stannary.crypto.keys import read_public
    from stannary.evidence.trust_log import grant

    found = read_public(key)
    grant(open_workspace(workspace), identity, found)
    talk_of(ctx).note(f"signatures of {found.keyid[:16]} count as {inline(identity)}")
    return 0


@click.command("list")
@workspace_option
@format_option("table", "json")
@common_options
def list_(workspace: str | None, form: str) -> int:
    """Show whose signatures count."""
    trust = open_workspace(workspace).trust
    if form == "json":
        write_json(trust)
        return 0
    for row in trust.keys:
        click.echo(f"{row.keyid[:16]}  {inline(row.identity)}")
    return 0


@click.command("remove")
@click.argument("name", metavar="IDENTITY|KEYID")
@workspace_option
@common_options
@click.pass_context
def remove(ctx: click.Context, name: str, workspace: str | None) -> int:
    """Trust an identity, or one of its keys, no longer: what it signed satisfies nothing from now on. The change is logged."""
    from stannary.evidence.trust_log import withdraw

    for row in withdraw(open_workspace(workspace), name):
        talk_of(ctx).note(f"signatures of {row.keyid[:16]} ({inline(row.identity)}) count no longer")
    return 0
