"""`stannary access federate add|people|list|remove`: whose tokens are let in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stannary.cli.access import opened
from stannary.cli.group import LazyGroup, common_options, talk_of
from stannary.cli.registry_remote import server_option
from stannary.cli.workspace import format_option, workspace_option, write_json
from stannary.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["add", "group", "list_rules", "people", "remove"]

_TABLE = {
    "add": ("stannary.cli.access_federate:add", "Let tokens of pipelines in as a service account."),
    "people": ("stannary.cli.access_federate:people", "Let people log in by an identity provider."),
    "list": ("stannary.cli.access_federate:list_rules", "List the rules and providers there are."),
    "remove": ("stannary.cli.access_federate:remove", "Take a rule or provider away."),
}
_ISSUERS = {"github": "https://token.actions.githubusercontent.com", "gitlab": "https://gitlab.com"}


@click.group("federate", cls=LazyGroup, table=_TABLE)
@common_options
def group() -> None:
    """Let in what others vouch for: pipelines without a secret of ours, and people by their identity provider."""


@click.command("add")
@click.argument("name")
@click.option("--issuer", metavar="URL", required=True, help="Whose tokens: a URL, `github` or `gitlab`.")
@click.option("--audience", default="stannary", show_default=True, help="For whom the tokens have to be.")
@click.option(
    "--claim", "claims", metavar="NAME=PATTERN", multiple=True, help="What they have to say; * is any text without a slash."
)
@click.option("--as", "account", metavar="SERVICE", required=True, help="The service account that they are.")
@click.option("--jwks", metavar="FILE", help="The issuer's keys, when they are not to be fetched.")
@server_option
@workspace_option
@common_options
@click.pass_context
def add(ctx: click.Context, /, name: str, claims: tuple[str, ...], **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Let tokens of an issuer in as a service account, when they say what the rule NAME asks for.

    For GitHub Actions: --issuer github --claim repository=OWNER/NAME --claim ref=refs/heads/main
    """
    from stannary.access.model import Federation, account_id
    from stannary.cli.access_kept import asked

    rule = Federation(
        name=name,
        issuer=_ISSUERS.get(given["issuer"], given["issuer"]),
        audience=given["audience"],
        account=account_id(given["account"], "service"),
        claims=_claims(claims),
        jwks=_jwks(given["jwks"]),
    )
    with asked(given["server"], given["workspace"]) as kept:
        kept.add_rule(rule)
    talk_of(ctx).note(f"a token of {rule.issuer} for {rule.audience!r} that says so is {rule.account} from now on")
    return 0


@click.command("people")
@click.option("--issuer", metavar="URL", required=True, help="The provider, as it names itself.")
@click.option("--client", metavar="ID", required=True, help="As whom we are registered there.")
@click.option(
    "--secret", metavar="PLACE", default="", help="Where the client's secret is: env:NAME or file:PATH; none for a public one."
)
@click.option("--scopes", default="openid email", show_default=True, help="What to ask for.")
@click.option("--jwks", metavar="FILE", help="The provider's keys, when they are not to be fetched.")
@server_option
@workspace_option
@common_options
@click.pass_context
def people(ctx: click.Context, /, server: str | None, workspace: str | None, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Let people log in by an identity provider. Whom it may name: stannary access user add --issuer URL --subject SUB.

    In the workspace itself: over a server that is refused.
    """
    from stannary.access import federation
    from stannary.access.model import Provider

    _refuse_there(server, given["issuer"])
    provider = Provider(
        issuer=given["issuer"], client=given["client"], secret=given["secret"], scopes=given["scopes"], jwks=_jwks(given["jwks"])
    )
    with opened(workspace) as (access, owner):
        federation.add_provider(access, owner, provider)
    talk_of(ctx).note(f"stannary access user add NAME --issuer {provider.issuer} --subject SUB lets somebody in")
    return 0


@click.command("list")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
def list_rules(server: str | None, workspace: str | None, form: str) -> int:
    """List whose tokens are let in, and by whom people log in."""
    from stannary.cli.access_kept import asked
    from stannary.report.access import federation_lines

    with asked(server, workspace) as kept:
        found = kept.federation()
    if form == "json":
        write_json(found)
    else:
        for line in federation_lines(found.rules, found.providers):
            click.echo(line)
    return 0


@click.command("remove")
@click.argument("name", metavar="NAME|URL")
@server_option
@workspace_option
@common_options
@click.pass_context
def remove(ctx: click.Context, name: str, server: str | None, workspace: str | None) -> int:
    """Take away the rule NAME, or, in the workspace, the identity provider URL."""
    from stannary.access import federation
    from stannary.cli.access_kept import asked

    if "://" not in name:
        with asked(server, workspace) as kept:
            kept.remove_rule(name)
    else:
        _refuse_there(server, name)
        with opened(workspace) as (access, owner):
            federation.remove_provider(access, owner, name)
    talk_of(ctx).note("its tokens are no longer taken")
    return 0


def _refuse_there(server: str | None, issuer: str) -> None:
    """Raise UsageError for a server: who may name a file there has it sent to the provider, as the client's secret."""
    if server:
        msg = "an identity provider is named where the server runs, in its own workspace: that is where the client's secret is"
        raise UsageError(msg, where=issuer[:120], code="USE015", help="leave out --server, or unset STANNARY_SERVER")


def _claims(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, pattern = text.partition("=")
        if not (name and equals and pattern) or name in found:
            msg = f"is no claim, or stands twice: {text[:120]!r}"
            raise UsageError(msg, where="--claim", code="ACC014", help="--claim repository=OWNER/NAME")
        found[name] = pattern
    return found


def _jwks(path: str | None) -> str:
    return Path(path).read_text(encoding="utf-8") if path else ""
