"""`stannary registry promote|rollback|approve|protect|freeze`: what moves an alias, and what keeps it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from stannary.cli import exits
from stannary.cli.group import common_options, talk_of
from stannary.cli.registry import open_registry
from stannary.cli.registry_remote import approve_there, client_of, policy_there, server_option, tell_there
from stannary.cli.talk import Talk, wants_color
from stannary.cli.workspace import format_option, workspace_option, write_json
from stannary.core.errors import UsageError
from stannary.report.escape import inline

if TYPE_CHECKING:
    from stannary.registry.model import Promotion
    from stannary.registry.names import Name
    from stannary.registry.registry import Registry

__all__ = ["approve", "freeze", "promote", "protect", "rollback"]


@click.command("promote")
@click.argument("version")
@click.argument("alias")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def promote(ctx: click.Context, /, version: str, alias: str, server: str | None, workspace: str | None, form: str) -> int:
    """Move ALIAS to VERSION (NAME:N, or NAME@ALIAS), if the policy of the alias allows it now.

    Exits 1 when it does not; the decision is signed and logged in either case.
    """
    from stannary.registry import promotion
    from stannary.registry.names import parse

    reference, wanted = parse(version), _alias(alias)
    client = client_of(server, workspace)
    if client:
        found = client.show(reference)[0]
        return tell_there(client.promote(found.name, found.number, wanted), form, talk_of(ctx))
    registry = open_registry(workspace)
    chosen = registry.show(reference)
    return _tell(talk_of(ctx), registry, promotion.promote(registry, chosen.name, chosen.number, wanted), form)


@click.command("rollback")
@click.argument("reference", metavar="NAME@ALIAS")
@click.option("--remove", is_flag=True, help="Take the alias away instead: nothing is in service under it then.")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def rollback(ctx: click.Context, /, reference: str, remove: bool, server: str | None, workspace: str | None, form: str) -> int:
    """Move the alias back to the newest version it was at whose evidence satisfies the policy now."""
    from stannary.registry import promotion

    name, alias = _at_alias(reference)
    client = client_of(server, workspace)
    if client and not remove:
        return tell_there(client.rollback(name, alias), form, talk_of(ctx))
    if remove:
        if client:
            client.remove(name, alias)
        else:
            promotion.remove(open_registry(workspace), name, alias)
        talk_of(ctx).note(f"{inline(f'{name}@{alias}')} is no more")
        return 0
    registry = open_registry(workspace)
    return _tell(talk_of(ctx), registry, promotion.rollback(registry, name, alias), form)


@click.command("approve")
@click.argument("version")
@click.option("--statement", required=True, help="What you looked at, and why it may pass.")
@click.option("--reject", is_flag=True, help="State that it may not.")
@click.option("--expires", metavar="TIME", default="90d", show_default=True, help="When the approval ends: 30d, or a date.")
@click.option("--key", metavar="KEY", help="Sign with this key (as `stannary sign` takes it), not with the workspace's.")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def approve(ctx: click.Context, /, version: str, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """State, signed and logged, that VERSION may be promoted. A policy says how many different people have to."""
    from stannary.cli.attest import command as attest
    from stannary.registry.names import parse

    decision = "reject" if given.pop("reject") else "approve"
    client = client_of(given.pop("server"), given["workspace"])
    if client:
        return approve_there(client, version, {**given, "decision": decision}, talk_of(ctx))
    found = open_registry(given["workspace"], write=False).resolve(parse(version))
    return int(ctx.invoke(attest, target=found.digest, topic="approval", decision=decision, **given))


@click.command("protect")
@click.argument("reference", metavar="NAME@ALIAS")
@click.option(
    "--policy", metavar="NAME|FILE[#STAGE]", required=True, help="baseline, production, high-risk, a YAML file, or a .rego file."
)
@click.option("--separate", is_flag=True, help="Whoever pushed a version does not promote it.")
@server_option
@workspace_option
@common_options
@click.pass_context
def protect(ctx: click.Context, /, reference: str, policy: str, server: str | None, workspace: str | None, separate: bool) -> int:
    """Say by which policy an alias moves. It is kept as it is now: a later change of the file changes nothing.

    [NAMESPACE/]*@ALIAS means every name of the namespace that has no policy of its own.
    """
    from stannary.cli.policies import read_policy
    from stannary.registry import promotion

    name, alias = _at_alias(reference, any_name=True)
    client = client_of(server, workspace)
    if client:
        sent, known = policy_there(policy)
        client.protect(name, alias, sent, separate=separate)
    else:
        found = read_policy(policy)
        promotion.protect(open_registry(workspace), name, alias, found, separate=separate)
        known = found.name
    talk_of(ctx).note(f"{inline(f'{name}@{alias}')} moves by {inline(known)} from now on")
    return 0


@click.command("freeze")
@click.argument("reference", metavar="NAME@ALIAS")
@click.option("--reason", default="", help="Why.")
@click.option("--lift", is_flag=True, help="Let it move again.")
@server_option
@workspace_option
@common_options
@click.pass_context
def freeze(ctx: click.Context, /, reference: str, reason: str, lift: bool, server: str | None, workspace: str | None) -> int:
    """Keep an alias where it is, whatever a policy says. NAME@* means every alias of a name, *@* every one."""
    from stannary.registry import promotion

    if not reason and not lift:
        msg = "a freeze has a reason"
        raise UsageError(msg, where="--reason", code="REG016", help='--reason "incident 12 is being looked into"')
    name, alias = _at_alias(reference, any_name=True, any_alias=True)
    client = client_of(server, workspace)
    if client:
        client.freeze(name, alias, reason, lifted=lift)
    else:
        promotion.freeze(open_registry(workspace), name, alias, reason or "lifted", lifted=lift)
    talk_of(ctx).note(f"{inline(f'{name}@{alias}')} {'may move again' if lift else 'stays where it is'}")
    return 0


def _tell(talk: Talk, registry: Registry, found: Promotion, form: str) -> int:
    """Print the outcome of a promotion or rollback; return the exit code."""
    import msgspec

    from stannary.evidence.gate import spelled_out
    from stannary.report.decision import DecisionContext, renderer
    from stannary.report.registry import promotion_document

    found = msgspec.structs.replace(found, decision=spelled_out(registry.chain, found.decision))
    if form == "json":
        write_json(promotion_document(found))
    else:
        context = DecisionContext(
            target=f"registry:{found.name}:{found.number}",
            recorded=found.evidence,
            version="",
            color=wants_color(sys.stdout, talk.color),
        )
        click.echo(renderer("table")(found.decision, context), nl=False, color=context.color)
    where = inline(f"{found.name}@{found.alias}")
    for number in found.tried:
        talk.note(f"passed over :{number}, which may not be in service now")
    if found.moved:
        talk.verdict(f"{where} is at :{found.number}{f', before :{found.before}' if found.before else ''}")
        return exits.CLEAN
    talk.verdict(f"{where} stays {f'at :{found.before}' if found.before else 'unset'}: :{found.number} was denied")
    return exits.DENIED


def _alias(text: str) -> str:
    from stannary.registry.names import parse

    return parse(f"any@{text.removeprefix('@')}").alias


def _at_alias(text: str, *, any_name: bool = False, any_alias: bool = False) -> tuple[Name, str]:
    from stannary.registry.names import Name, parse

    before, at, alias = text.rpartition("@")
    namespace, slash, name = before.rpartition("/")
    every_name, every_alias = name == "*" and any_name, alias == "*" and any_alias
    if not at:
        msg = f"needs an alias: {text[:120]!r}"
        raise UsageError(msg, code="REG001", help=f"{text}@production")
    known = parse(f"{namespace}{slash}{'any' if every_name else name}@{'any' if every_alias else alias}").name
    return Name(known.namespace, "*") if every_name else known, alias
