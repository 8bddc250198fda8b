"""`stannary access`: who may do what in a workspace that is served.

Whoever runs it in the workspace owns it, and may everything; over a server one may what an account of its there may.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from stannary.cli.group import LazyGroup, common_options, talk_of
from stannary.cli.registry_remote import server_option
from stannary.cli.workspace import format_option, open_workspace, workspace_option, write_json
from stannary.core.errors import UsageError
from stannary.report.escape import inline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stannary.access.access import Access
    from stannary.access.model import Kind, Owner

__all__ = ["COMMANDS", "check", "command", "grant", "kind_of", "new_password", "opened", "revoke", "roles", "service", "user"]

# name → (module:attribute, what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    "user": ("stannary.cli.access:user", "Accounts of people."),
    "service": ("stannary.cli.access:service", "Accounts of pipelines and other services."),
    "token": ("stannary.cli.access_token:group", "Tokens: issue, list, revoke."),
    "grant": ("stannary.cli.access:grant", "Give somebody a role."),
    "revoke": ("stannary.cli.access:revoke", "Take a role away."),
    "roles": ("stannary.cli.access:roles", "Show the roles, and who has which."),
    "check": ("stannary.cli.access:check", "Say whether somebody may do something, and why."),
    "federate": ("stannary.cli.access_federate:group", "Let tokens of pipelines and identity providers in."),
    "login": ("stannary.cli.access_login:login", "Log in to a server as whom an identity provider knows you."),
    "logout": ("stannary.cli.access_login:logout", "End the token of a server, and forget it."),
}
_USERS = {
    "add": ("stannary.cli.access_account:add_user", "Make an account of a person."),
    "list": ("stannary.cli.access_account:list_users", "List the accounts of people."),
    "remove": ("stannary.cli.access_account:remove_user", "Disable an account, with all it has."),
    "passwd": ("stannary.cli.access_account:passwd", "Give a new password."),
}
_SERVICES = {
    "add": ("stannary.cli.access_account:add_service", "Make an account of a service."),
    "list": ("stannary.cli.access_account:list_services", "List the accounts of services."),
    "remove": ("stannary.cli.access_account:remove_service", "Disable an account, with all it has."),
}


@click.group("access", cls=LazyGroup, table=COMMANDS)
@common_options
def command() -> None:
    """Say who may do what on a server of this workspace: accounts, tokens, roles, federation."""


@click.group("user", cls=LazyGroup, table=_USERS)
@common_options
def user() -> None:
    """Accounts of people. An account by itself has no right: grant it a role."""


@click.group("service", cls=LazyGroup, table=_SERVICES)
@common_options
def service() -> None:
    """Accounts of pipelines and other services. They come with tokens, or with the tokens of their platform (federate)."""


@contextmanager
def opened(workspace: str | None) -> Iterator[tuple[Access, Owner]]:
    """Return the accounts of a workspace, and its owner. Raises UsageError."""
    from stannary.access.model import Owner
    from stannary.app import open_access, owner_of

    found = open_workspace(workspace)
    access = open_access(found)
    try:
        yield access, Owner(id=owner_of(found), credential="workspace")
    finally:
        access.close()
        access.database.close()


def kind_of(holder: str) -> Kind:
    """Return what kind of account a name is of."""
    return "service" if holder.startswith("service:") else "user"


def new_password(name: str) -> str:
    """Return a new password: STANNARY_PASSWORD, a line on stdin, or asked for twice. Raises UsageError when there is none."""
    text = os.environ.get("STANNARY_PASSWORD")
    if text:
        return text
    if not sys.stdin.isatty():
        text = sys.stdin.readline().rstrip("\n")
        if text:
            return text
        msg = "there is no password on stdin"
        raise UsageError(msg, where=name, code="ACC013", help="pipe it in, or set STANNARY_PASSWORD; never write it in the command")
    asked: str = click.prompt(f"new password of {name}", hide_input=True, confirmation_prompt=True, err=True)
    return asked


@click.command("grant")
@click.argument("holder")
@click.argument("role")
@click.argument("on", default="*")
@server_option
@workspace_option
@common_options
@click.pass_context
def grant(ctx: click.Context, /, holder: str, role: str, on: str, server: str | None, workspace: str | None) -> int:
    """Give HOLDER (ann, service:ci, group:ml) a ROLE on NAMESPACE/MODEL, NAMESPACE/*, or on everything."""
    from stannary.access.grants import read_grant
    from stannary.cli.access_kept import asked

    wanted = read_grant(holder, role, on)
    with asked(server, workspace) as kept:
        made = kept.grant(wanted)
    talk_of(ctx).note(f"{wanted.holder} {'is now' if made else 'was already'} {wanted.role} on {inline(wanted.place)}")
    return 0


@click.command("revoke")
@click.argument("holder")
@click.argument("role")
@click.argument("on", default="*")
@server_option
@workspace_option
@common_options
@click.pass_context
def revoke(ctx: click.Context, /, holder: str, role: str, on: str, server: str | None, workspace: str | None) -> int:
    """Take a ROLE away from HOLDER. It has to be said as it was granted."""
    from stannary.access.grants import read_grant
    from stannary.cli.access_kept import asked

    unwanted = read_grant(holder, role, on)
    with asked(server, workspace) as kept:
        kept.revoke(unwanted)
    talk_of(ctx).note(f"{unwanted.holder} is no longer {unwanted.role} on {inline(unwanted.place)}")
    return 0


@click.command("roles")
@click.argument("holder", required=False)
@server_option
@workspace_option
@format_option("table", "json")
@common_options
def roles(holder: str | None, server: str | None, workspace: str | None, form: str) -> int:
    """Show who has which role, or which HOLDER has; and what the roles let one do."""
    from stannary.access.grants import read_grant
    from stannary.access.roles import ROLES
    from stannary.cli.access_kept import asked
    from stannary.report.access import RolesDocument, grant_lines

    who = read_grant(holder, "viewer").holder if holder else ""
    with asked(server, workspace) as kept:
        found = kept.grants(who)
    if form == "json":
        write_json(RolesDocument(grants=tuple(found)))
        return 0
    for line in grant_lines(found):
        click.echo(line)
    if not holder:
        click.echo("\n".join(["", *(f"{role:<12}  {', '.join(sorted(has))}" for role, has in ROLES.items())]))
    return 0


@click.command("check")
@click.argument("holder")
@click.argument("action")
@click.argument("on", default="*")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
def check(*, holder: str, action: str, on: str, server: str | None, workspace: str | None, form: str) -> int:
    """Say whether HOLDER may do ACTION on NAMESPACE/MODEL, or on everything. Exits 1 when not."""
    from stannary.access.grants import read_grant
    from stannary.cli.access_kept import asked

    about = read_grant(holder, "viewer", on)
    with asked(server, workspace) as kept:
        found = kept.check(about, action)
    if form == "json":
        write_json(found)
    else:
        click.echo(f"{'yes' if found.allowed else 'no'}: {inline(found.reason)}")
    return 0 if found.allowed else 1
