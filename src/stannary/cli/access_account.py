"""`stannary access user|service add|list|remove`, `passwd`."""

from __future__ import annotations

import click

from stannary.cli.access import new_password, opened
from stannary.cli.group import common_options, talk_of
from stannary.cli.workspace import format_option, workspace_option, write_json

__all__ = ["add_service", "add_user", "list_services", "list_users", "passwd", "remove_service", "remove_user"]


@click.command("add")
@click.argument("name")
@click.option("--display", default="", help="A name for people to read.")
@click.option("--password", is_flag=True, help="With a password: STANNARY_PASSWORD, a line on stdin, or asked for.")
@click.option("--issuer", metavar="URL", default="", help="The identity provider that knows them.")
@click.option("--subject", metavar="SUB", default="", help="As whom it does (the claim `sub`).")
@click.option("--group", "groups", metavar="NAME", multiple=True, help="A group they are in; repeatable.")
@workspace_option
@common_options
@click.pass_context
def add_user(ctx: click.Context, /, name: str, password: bool, groups: tuple[str, ...], workspace: str | None, **more: str) -> int:
    """Make an account of a person. It has no right until it is granted one."""
    from stannary.access import accounts

    chosen = new_password(name) if password else ""
    known_as = (more.pop("issuer"), more.pop("subject"))
    with opened(workspace) as (access, owner):
        made = accounts.add(access, owner, name, display=more["display"], password=chosen, known_as=known_as)
        if groups:
            accounts.set_groups(access, owner, name, groups)
    click.echo(made.id)
    talk_of(ctx).note(f"stannary access grant {made.id.partition(':')[2]} ROLE gives a right")
    return 0


@click.command("add")
@click.argument("name")
@click.option("--display", default="", help="What it is, for people to read.")
@workspace_option
@common_options
@click.pass_context
def add_service(ctx: click.Context, name: str, display: str, workspace: str | None) -> int:
    """Make an account of a service. It has no right until it is granted one."""
    from stannary.access import accounts

    with opened(workspace) as (access, owner):
        made = accounts.add(access, owner, name, "service", display=display)
    click.echo(made.id)
    talk_of(ctx).note(f"stannary access grant {made.id} ROLE gives a right, stannary access token issue {made.id} a token")
    return 0


@click.command("list")
@workspace_option
@format_option("table", "json")
@common_options
def list_users(workspace: str | None, form: str) -> int:
    """List the accounts of people."""
    return _list("user", workspace, form)


@click.command("list")
@workspace_option
@format_option("table", "json")
@common_options
def list_services(workspace: str | None, form: str) -> int:
    """List the accounts of services."""
    return _list("service", workspace, form)


@click.command("remove")
@click.argument("name")
@workspace_option
@common_options
@click.pass_context
def remove_user(ctx: click.Context, name: str, workspace: str | None) -> int:
    """Disable an account: its password, tokens, sessions and grants are gone. Its name is never given again."""
    from stannary.access import accounts

    with opened(workspace) as (access, owner):
        accounts.remove(access, owner, name)
    talk_of(ctx).note(f"{name} has no right and no credentials any more")
    return 0


@click.command("remove")
@click.argument("name")
@workspace_option
@common_options
@click.pass_context
def remove_service(ctx: click.Context, name: str, workspace: str | None) -> int:
    """Disable an account: its tokens, rules and grants are gone. Its name is never given again."""
    from stannary.access import accounts

    with opened(workspace) as (access, owner):
        accounts.remove(access, owner, name, "service")
    talk_of(ctx).note(f"{name} has no right and no credentials any more")
    return 0


@click.command("passwd")
@click.argument("name")
@workspace_option
@common_options
@click.pass_context
def passwd(ctx: click.Context, name: str, workspace: str | None) -> int:
    """Give somebody a new password, which ends their sessions: STANNARY_PASSWORD, a line on stdin, or asked for."""
    from stannary.access import accounts

    chosen = new_password(name)
    with opened(workspace) as (access, owner):
        accounts.set_password(access, owner, name, chosen)
    talk_of(ctx).note(f"{name} logs in with the new password from now on")
    return 0


def _list(kind: str, workspace: str | None, form: str) -> int:
    from stannary.access import accounts
    from stannary.report.access import AccountsDocument, account_lines

    with opened(workspace) as (access, owner):
        found = accounts.accounts(access, owner, kind)
    if form == "json":
        write_json(AccountsDocument(accounts=tuple(found)))
    else:
        for line in account_lines(found):
            click.echo(line)
    return 0
