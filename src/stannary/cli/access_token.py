"""`stannary access token issue|list|revoke`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from stannary.cli.access import kind_of
from stannary.cli.group import LazyGroup, common_options, talk_of
from stannary.cli.registry_remote import server_option
from stannary.cli.workspace import format_option, workspace_option, write_json
from stannary.core.errors import UsageError

__all__ = ["group", "issue", "list_tokens", "revoke"]

_TABLE = {
    "issue": ("stannary.cli.access_token:issue", "Make a token; it is shown this once."),
    "list": ("stannary.cli.access_token:list_tokens", "List tokens: whose, for what, until when, used when."),
    "revoke": ("stannary.cli.access_token:revoke", "End a token."),
}
_UNITS = {"h": 1, "d": 24, "w": 168}


@click.group("token", cls=LazyGroup, table=_TABLE)
@common_options
def group() -> None:
    """Tokens, by which scripts and services come. Only their digests are stored."""


@click.command("issue")
@click.argument("account")
@click.option("--label", default="", help="What it is for.")
@click.option("--expires", metavar="TIME", default="90d", show_default=True, help="When it ends: 12h, 30d, 52w.")
@click.option("--action", "actions", metavar="ACTION", multiple=True, help="Good for this action alone; repeatable.")
@click.option("--namespace", "namespaces", metavar="NAME", multiple=True, help="Good in this namespace alone; repeatable.")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def issue(ctx: click.Context, /, account: str, expires: str, **more: Any) -> int:  # noqa: ANN401 - click passes each option
    """Make a token for ACCOUNT (ann, service:ci) and print it, this once. It is good for what the account may, or for less."""
    from stannary.access.model import ANY, Scope, account_id
    from stannary.cli.access_kept import asked

    scope = Scope(more["actions"] or (ANY,), more["namespaces"] or (ANY,))
    with asked(more["server"], more["workspace"]) as kept:
        named = account_id(account, kind_of(account))
        made = kept.issue(named, label=more["label"], scope=scope, lasts=_lasts(expires))
    if more["form"] == "json":
        write_json(made)
    else:
        click.echo(made.secret)
    talk_of(ctx).note(f"token {made.token.id} of {made.token.account}, until {made.token.expires[:16]}; it is not shown again")
    return 0


@click.command("list")
@click.argument("account", required=False)
@server_option
@workspace_option
@format_option("table", "json")
@common_options
def list_tokens(account: str | None, server: str | None, workspace: str | None, form: str) -> int:
    """List the tokens there are, or those of ACCOUNT: never the tokens themselves."""
    from stannary.access.model import account_id
    from stannary.cli.access_kept import asked
    from stannary.report.access import TokensDocument, token_lines

    named = account_id(account, kind_of(account)) if account else ""
    with asked(server, workspace) as kept:
        found = kept.tokens(named)
    if form == "json":
        write_json(TokensDocument(tokens=tuple(found)))
    else:
        for line in token_lines(found):
            click.echo(line)
    return 0


@click.command("revoke")
@click.argument("token")
@server_option
@workspace_option
@common_options
@click.pass_context
def revoke(ctx: click.Context, token: str, server: str | None, workspace: str | None) -> int:
    """End the token with the id TOKEN. A server notices within five seconds."""
    from stannary.cli.access_kept import asked

    with asked(server, workspace) as kept:
        found = kept.end_token(token)
    talk_of(ctx).note(f"token {found.id} of {found.account} holds no more")
    return 0


def _lasts(text: str) -> timedelta:
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and unit in _UNITS and len(number) < 6):  # noqa: PLR2004 - hours of ten years
        msg = f"is no length of time: {text[:40]!r}"
        raise UsageError(msg, where="--expires", code="ACC012", help="12h, 30d or 52w")
    return timedelta(hours=int(number) * _UNITS[unit])
