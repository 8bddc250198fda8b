"""`stannary access user|service add|list|remove`, `passwd`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stannary.cli.access import new_password
from stannary.cli.group import common_options, talk_of
from stannary.cli.registry_remote import server_option
from stannary.cli.workspace import format_option, workspace_option, write_json

if TYPE_CHECKING:
    from stannary.access.model import Kind

__all__ = ["add_service", "add_user", "list_services", "list_users", "passwd", "remove_service", "remove_user"]


@click.command("add")
@click.argument("name")
@click.option("--display", default="", help="A name for people to read.")
@click.option("--password", is_flag=True, help="With a password: STANNARY_PASSWORD, a line on stdin, or asked for.")
@click.option("--issuer", metavar="URL", default="", help="The identity provider that knows them.")
@click.option("--subject", metavar="SUB", default="", help="As whom it does (the claim `sub`).")
@click.option("--group", "groups", metavar="NAME", multiple=True, help="A group they are in; repeatable.")
@server_option
@workspace_option
@common_options
@click.pass_context
def add_user(ctx: click.Context, /, name: str, password: bool, groups: tuple[str, ...], **more: Any) -> int:  # noqa: ANN401 - click passes each option
    """Make an account of a person. It has no right until it is granted one."""
    from stannary.cli.access_kept import asked

    chosen = new_password(name) if password else ""
    with asked(more["server"], more["workspace"]) as kept:
        made = kept.add(name, "user", display=more["display"], password=chosen, known_as=(more["issuer"], more["subject"]))
        if groups:
            kept.set_groups(name, groups)
    click.echo(made.id)
    talk_of(ctx).note(f"stannary access grant {made.id.partition(':')[2]} ROLE gives a right")
    return 0


@click.command("add")
@click.argument("name")
@click.option("--display", default="", help="What it is, for people to read.")
@server_option
@workspace_option
@common_options
@click.pass_context
def add_service(ctx: click.Context, /, name: str, display: str, server: str | None, workspace: str | None) -> int:
    """Make an account of a service. It has no right until it is granted one."""
    from stannary.cli.access_kept import asked

    with asked(server, workspace) as kept:
        made = kept.add(name, "service", display=display)
    click.echo(made.id)
    talk_of(ctx).note(f"stannary access grant {made.id} ROLE gives a right, stannary access token issue {made.id} a token")
    return 0


@click.command("list")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
def list_users(server: str | None, workspace: str | None, form: str) -> int:
    """List the accounts of people."""
    return _list("user", server, workspace, form)


@click.command("list")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
def list_services(server: str | None, workspace: str | None, form: str) -> int:
    """List the accounts of services."""
    return _list("service", server, workspace, form)


@click.command("remove")
@click.argument("name")
@server_option
@workspace_option
@common_options
@click.pass_context
def remove_user(ctx: click.Context, /, name: str, server: str | None, workspace: str | None) -> int:
    """Disable an account: its password, tokens, sessions and grants are gone. Its name is never given again."""
    from stannary.cli.access_kept import asked

    with asked(server, workspace) as kept:
        kept.disable(name, "user")
    talk_of(ctx).note(f"{name} has no right and no credentials any more")
    return 0


@click.command("remove")
@click.argument("name")
@server_option
@workspace_option
@common_options
@click.pass_context
def remove_service(ctx: click.Context, /, name: str, server: str | None, workspace: str | None) -> int:
    """Disable an account: its tokens, rules and grants are gone. Its name is never given again."""
    from stannary.cli.access_kept import asked

    with asked(server, workspace) as kept:
        kept.disable(name, "service")
    talk_of(ctx).note(f"{name} has no right and no credentials any more")
    return 0


@click.command("passwd")
@click.argument("name")
@server_option
@workspace_option
@common_options
@click.pass_context
def passwd(ctx: click.Context, /, name: str, server: str | None, workspace: str | None) -> int:
    """Give somebody a new password, which ends their sessions: STANNARY_PASSWORD, a line on stdin, or asked for."""
    from stannary.cli.access_kept import asked

    chosen = new_password(name)
    with asked(server, workspace) as kept:
        kept.set_password(name, chosen)
    talk_of(ctx).note(f"{name} logs in with the new password from now on")
    return 0


def _list(kind: Kind, server: str | None, workspace: str | None, form: str) -> int:
    from stannary.cli.access_kept import asked
    from stannary.report.access import AccountsDocument, account_lines

    with asked(server, workspace) as kept:
        found = kept.accounts(kind)
    if form == "json":
        write_json(AccountsDocument(accounts=tuple(found)))
    else:
        for line in account_lines(found):
            click.echo(line)
    return 0
