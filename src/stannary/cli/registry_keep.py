"""`stannary registry quarantine|hold|retain|backup|restore|rebuild`: what is kept, and for how long."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stannary.cli import exits
from stannary.cli.group import common_options, talk_of
from stannary.cli.registry import open_registry
from stannary.cli.registry_remote import client_of, quarantine_there, server_option
from stannary.cli.workspace import format_option, open_workspace, workspace_option, write_json
from stannary.core.errors import UsageError
from stannary.report.escape import inline

if TYPE_CHECKING:
    from stannary.cli.talk import Talk
    from stannary.registry.backup import Backup

__all__ = ["backup", "follow", "hold", "quarantine", "rebuild", "rekey", "restore", "retain"]


@click.command("quarantine")
@click.argument("target", metavar="VERSION|DIGEST")
@click.option("--reason", default="", help="Why.")
@click.option("--lift", is_flag=True, help="Let it be used again.")
@server_option
@workspace_option
@common_options
@click.pass_context
def quarantine(ctx: click.Context, /, target: str, reason: str, lift: bool, server: str | None, workspace: str | None) -> int:
    """Make an artifact unresolvable under every name and alias, at once. It is kept, so that it can be looked into."""
    from stannary.evidence.subject import named_digest
    from stannary.registry.names import parse
    from stannary.registry.retention import quarantine as quarantined

    if not reason and not lift:
        msg = "a quarantine has a reason"
        raise UsageError(msg, where="--reason", code="REG016", help='--reason "flagged by the vendor"')
    client = client_of(server, workspace)
    if client:
        return quarantine_there(client, target, reason or "lifted", lifted=lift, talk=talk_of(ctx))
    registry = open_registry(workspace)
    digest = named_digest(target)
    wanted = str(digest) if digest is not None else registry.show(parse(target)).digest
    concerned = quarantined(registry, wanted, reason or "lifted", lifted=lift)
    talk = talk_of(ctx)
    talk.note(f"{wanted} {'may be used again' if lift else 'cannot be had any more'}")
    for version in concerned:
        where = "".join(f" @{alias}" for alias in version.aliases)
        talk.note(f"it is {inline(str(version))}{inline(where)}")
        for alias in version.aliases if not lift else ():
            talk.note(f"stannary registry rollback {inline(f'{version.name}@{alias}')}")
    return 0


@click.command("hold")
@click.argument("version")
@click.option("--reason", default="", help="Why, such as the number of the case.")
@click.option("--lift", is_flag=True, help="Let it be deleted again.")
@server_option
@workspace_option
@common_options
@click.pass_context
def hold(ctx: click.Context, /, version: str, reason: str, lift: bool, server: str | None, workspace: str | None) -> int:
    """Keep VERSION from being deleted, whatever retention says (legal hold)."""
    from stannary.registry.names import parse
    from stannary.registry.retention import hold as held

    if not reason and not lift:
        msg = "a hold has a reason"
        raise UsageError(msg, where="--reason", code="REG016", help='--reason "case 4711"')
    client = client_of(server, workspace)
    if client:
        found = client.show(parse(version))[0]
        client.hold(found.name, found.number, reason, lifted=lift)
    else:
        registry = open_registry(workspace)
        found = registry.show(parse(version))
        held(registry, found.name, found.number, reason or "lifted", lifted=lift)
    talk_of(ctx).note(f"{inline(str(found))} {'may be deleted again' if lift else 'is held'}")
    return 0


@click.command("retain")
@click.argument("name", required=False)
@click.option("--keep", type=click.IntRange(1), default=10, show_default=True, help="Keep so many of the newest versions.")
@click.option("--older-than", metavar="TIME", default="90d", show_default=True, help="Delete only what is older.")
@click.option("--reason", default="retention", show_default=True, help="Why, as the ledger will say.")
@click.option("--sweep", is_flag=True, help="Delete the contents that no version names any more.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted.")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def retain(ctx: click.Context, /, name: str | None, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Delete old versions of NAME; with --sweep, then the contents that nothing names any more.

    What an alias points to, what is held or quarantined, and the newest --keep stay.
    """
    from stannary.registry import retention
    from stannary.registry.names import parse_model
    from stannary.report.registry import DeletedDocument, SweptDocument, version_lines

    if name is None and not given["sweep"]:
        msg = "needs a NAME, or --sweep"
        raise UsageError(msg, where="retain", code="USE013", help="stannary registry retain NAME --keep 10")
    client, talk, dry_run = client_of(given["server"], given["workspace"]), talk_of(ctx), given["dry_run"]
    if client and given["sweep"]:
        msg = "contents are swept where they are: in the server's own workspace"
        raise UsageError(msg, where="--sweep", code="USE015", help="leave out --sweep, or unset STANNARY_SERVER")
    registry = None if client else open_registry(given["workspace"])
    would = "would be deleted" if dry_run else "deleted"
    if name is not None:
        found, keep, age = parse_model(name), given["keep"], _age(given["older_than"])
        if client:
            chosen = client.retain(found, keep=keep, days=_days(age), reason=given["reason"], dry_run=dry_run)
        elif registry is not None and dry_run:
            chosen = retention.plan(registry, found, keep=keep, older_than=age)
        elif registry is not None:
            chosen = retention.retain(registry, found, keep=keep, older_than=age, reason=given["reason"])
        if given["form"] == "json":
            write_json(DeletedDocument(versions=tuple(chosen), dry_run=dry_run))
        else:
            click.echo("\n".join(version_lines(chosen)), nl=bool(chosen))
        talk.note(f"{len(chosen)} version{'s' if len(chosen) != 1 else ''} {would}")
    if given["sweep"] and registry is not None:
        swept = retention.sweep(registry, dry_run=dry_run)
        if given["form"] == "json" and name is None:
            write_json(SweptDocument.of(swept, dry_run=dry_run))
        talk.note(f"{swept.deleted:,} contents ({swept.freed:,} bytes) {would}; {swept.kept:,} in use, {swept.young:,} too young")
    return 0


@click.command("backup")
@click.argument("destination", metavar="DIR", type=click.Path())
@workspace_option
@common_options
@click.pass_context
def backup(ctx: click.Context, destination: str, workspace: str | None) -> int:
    """Write the ledger and every content that a version names to DIR, and print the root of the ledger, for `restore --root`.

    Again into the same DIR, only what is new.
    """
    from stannary.registry.backup import write_backup

    made = write_backup(open_registry(workspace), destination)
    click.echo(made.root)
    talk_of(ctx).note(f"{made.blobs:,} contents, {made.entries:,} entries of the ledger; keep that root somewhere else")
    return 0


@click.command("restore")
@click.argument("source", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option("--root", metavar="HEX", help="The root that `backup` printed: an older backup is refused.")
@workspace_option
@common_options
@click.pass_context
def restore(ctx: click.Context, source: str, root: str | None, workspace: str | None) -> int:
    """Bring the ledger and the contents of a backup back into the workspace, whose keys are there and whose ledger is not.

    Everything is verified first: the ledger from its first entry, every content by its digest.
    """
    from stannary.registry.backup import restore as restored

    made = restored(open_registry(workspace), source, root=root or "")
    talk_of(ctx).note(f"restored {made.blobs:,} contents and {made.entries:,} entries, root {made.root[:16]}")
    talk_of(ctx).note("accounts, grants and tokens are not in a backup: `stannary access user add` makes them again")
    return _tell_unopened(made, talk_of(ctx))


@click.command("follow")
@click.argument("source", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@workspace_option
@common_options
@click.pass_context
def follow(ctx: click.Context, source: str, workspace: str | None) -> int:
    """Bring this workspace, a read replica, up to a backup of the original; again and again, only what is new is taken.

    A replica has the original's workspace.json, trust.json and keys/ledger.pub, and no private key: it changes nothing.
    """
    from stannary.registry.backup import follow as followed

    place = open_workspace(workspace)
    made = followed(place, source, lambda: open_registry(workspace, write=False))
    talk_of(ctx).note(f"at {made.entries:,} entries, root {made.root[:16]}, {made.blobs:,} contents")
    return _tell_unopened(made, talk_of(ctx))


@click.command("rekey")
@click.option(
    "--wrapping-key",
    "keys",
    metavar="KEY",
    multiple=True,
    help="Open everything with this, as `stannary init` takes it; repeatable.",
)
@click.option("--namespace", metavar="NAMESPACE", help="Wrap the data keys of this namespace by a new key of its own.")
@workspace_option
@common_options
@click.pass_context
def rekey(ctx: click.Context, keys: tuple[str, ...], namespace: str | None, workspace: str | None) -> int:
    """Have these keys open the encrypted contents from now on, and those of before no more. No content is touched.

    With --namespace, a namespace gets a new key instead. The one before stays for who is writing just now, until this is
    called again and finds nothing under it.
    """
    from stannary.crypto.providers.opening import is_address
    from stannary.evidence.contents import renew_namespace, turn_contents
    from stannary.registry.shredded import finish_all

    if bool(keys) == (namespace is not None):
        msg = "needs --wrapping-key or --namespace, and not both"
        raise UsageError(msg, where="rekey", code="USE013", help="stannary registry rekey --wrapping-key KEY")
    if namespace is not None:
        count = renew_namespace(open_workspace(workspace), namespace)
        talk_of(ctx).note(f"{count:,} headers of {inline(namespace)} were made again{'' if count else '; the key before is gone'}")
        return 0
    addresses = tuple(key if is_address(key) else str(Path(key).resolve()) for key in keys)
    turn_contents(open_workspace(workspace), addresses)
    finish_all(open_registry(workspace))  # a key that was destroyed meanwhile, on another machine, is not back
    talk_of(ctx).note(f"the contents open with {', '.join(inline(key) for key in keys)}, and with nothing else")
    return 0


@click.command("rebuild")
@workspace_option
@common_options
@click.pass_context
def rebuild(ctx: click.Context, workspace: str | None) -> int:
    """Make the registry's tables again from the ledger, whatever is in them."""
    count = open_registry(workspace).rebuild()
    talk_of(ctx).note(f"made again from {count:,} events")
    return 0


def _tell_unopened(made: Backup, talk: Talk) -> int:
    """Say of which namespaces nothing was brought, and return the exit code."""
    for namespace in made.unopened:
        talk.warning(
            f"nothing of {inline(namespace)} was brought: its key is gone",
            "it was shredded since, or its file in .stannary/keys/namespaces has to be put back",
        )
    return exits.INCOMPLETE if made.unopened else exits.CLEAN


def _days(age: timedelta) -> int:
    """Return an age in the days that a server is told. Raises UsageError for one that is none."""
    if age % timedelta(days=1):
        msg = "a server is told days"
        raise UsageError(msg, where="--older-than", code="USE015", help="--older-than 30d")
    return age.days


def _age(text: str) -> timedelta:
    from stannary.policy.model import duration

    try:
        return duration(text)
    except (KeyError, ValueError, IndexError):
        msg = f"is a time such as 30d or 12h; got {text[:40]!r}"
        raise UsageError(msg, where="--older-than", code="REG017") from None
