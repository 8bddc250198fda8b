"""`stannary registry`: versions of models and datasets, and the aliases by which they are in service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stannary.cli.group import LazyGroup, common_options, talk_of
from stannary.cli.registry_remote import client_of, diff_there, list_there, server_option, show_there
from stannary.cli.workspace import format_option, open_workspace, workspace_option, write_json
from stannary.report.escape import inline
from stannary.report.wording import counted

if TYPE_CHECKING:
    from stannary.registry.registry import Registry

__all__ = ["COMMANDS", "command", "diff", "list_", "open_registry", "pull", "push", "show"]

COMMANDS: dict[str, tuple[str, str]] = {
    "push": ("stannary.cli.registry:push", "Store a model or dataset as the next version of a name."),
    "pull": ("stannary.cli.registry:pull", "Write a version to disk, every file verified."),
    "list": ("stannary.cli.registry:list_", "List names, or the versions of one."),
    "show": ("stannary.cli.registry:show", "Show a version: digest, files, state."),
    "diff": ("stannary.cli.registry:diff", "Compare two versions, file by file and finding by finding."),
    "promote": ("stannary.cli.registry_alias:promote", "Move an alias to a version, if its policy allows it."),
    "rollback": ("stannary.cli.registry_alias:rollback", "Move an alias back to the last version that satisfies the policy now."),
    "approve": ("stannary.cli.registry_alias:approve", "State that a version may be promoted, or may not."),
    "protect": ("stannary.cli.registry_alias:protect", "Say which policy an alias moves by."),
    "freeze": ("stannary.cli.registry_alias:freeze", "Keep an alias where it is."),
    "quarantine": ("stannary.cli.registry_keep:quarantine", "Make an artifact unresolvable everywhere."),
    "hold": ("stannary.cli.registry_keep:hold", "Keep a version from being deleted."),
    "retain": ("stannary.cli.registry_keep:retain", "Delete old versions, and the contents nothing names."),
    "shred": ("stannary.cli.registry_shred:shred", "Destroy the key of a namespace, and with it all its contents."),
    "reseal": ("stannary.cli.registry_shred:reseal", "Give each namespace a key of its own, in an older workspace."),
    "backup": ("stannary.cli.registry_keep:backup", "Write a backup that proves itself."),
    "restore": ("stannary.cli.registry_keep:restore", "Make a workspace from a backup, verified to the last byte."),
    "follow": ("stannary.cli.registry_keep:follow", "Bring a read replica up to a backup."),
    "rekey": ("stannary.cli.registry_keep:rekey", "Have other keys open the encrypted contents."),
    "import": ("stannary.cli.registry_import:import_", "Bring what is in an MLflow registry."),
    "rebuild": ("stannary.cli.registry_keep:rebuild", "Make the registry's tables again from the ledger."),
}


@click.group("registry", cls=LazyGroup, table=COMMANDS)
@common_options
def command() -> None:
    """Keep versions of models and datasets; put one in service by moving an alias, which takes a decision.

    A name is [NAMESPACE/]NAME, a version NAME:3, an alias NAME@production.
    """


def open_registry(workspace: str | None, *, write: bool = True) -> Registry:
    """Open the registry of the workspace that is named, or the nearest one. Raises UsageError."""
    from stannary.app import open_registry as opened

    return opened(open_workspace(workspace), write=write)


@click.command("push")
@click.argument("path", type=click.Path())
@click.argument("name")
@click.option("--kind", type=click.Choice(["model", "dataset"]), default="model", show_default=True, help="What it is.")
@click.option("--note", default="", help="What is new in this version.")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def push(ctx: click.Context, /, path: str, name: str, server: str | None, workspace: str | None, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Store what lies at PATH as the next version of NAME. The same artifact again is the same version."""
    from stannary.registry.names import parse_model
    from stannary.report.registry import VersionDocument, version_text

    found, kind, note, form = parse_model(name), given["kind"], given["note"], given["form"]
    client = client_of(server, workspace)
    made = client.push(Path(path), found, kind=kind, note=note) if client else None
    made = made or open_registry(workspace).push(path, found, kind=kind, note=note)
    if form == "json":
        write_json(VersionDocument(version=made))
    else:
        click.echo(version_text(made))
    talk_of(ctx).note(f"stannary registry promote {inline(str(made))} ALIAS puts it in service")
    return 0


@click.command("pull")
@click.argument("reference")
@click.argument("destination", metavar="DIR", type=click.Path())
@server_option
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def pull(ctx: click.Context, /, reference: str, destination: str, server: str | None, workspace: str | None, form: str) -> int:
    """Write the version that REFERENCE names to DIR, which must not be there yet. Nothing is left of what does not verify."""
    from stannary.registry.names import parse
    from stannary.report.registry import VersionDocument

    client, wanted = client_of(server, workspace), parse(reference)
    if client:
        version, path = client.pull(wanted, Path(destination))
    else:
        version, path = open_registry(workspace, write=False).pull(wanted, destination)
    if form == "json":
        write_json(VersionDocument(version=version, path=str(path)))
    else:
        click.echo(str(path))
    talk_of(ctx).note(f"{inline(str(version))}, {version.digest}, {counted(version.files, 'file')} verified")
    return 0


@click.command("list")
@click.argument("name", required=False)
@click.option("--kind", type=click.Choice(["model", "dataset"]), help="Only these.")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def list_(ctx: click.Context, /, name: str | None, kind: str | None, server: str | None, workspace: str | None, form: str) -> int:
    """List the names there are, or the versions of NAME, the newest first."""
    from stannary.registry import queries
    from stannary.registry.names import parse_model
    from stannary.report.registry import ModelsDocument, VersionsDocument, model_lines, version_lines

    client = client_of(server, workspace)
    if client:
        return list_there(client, parse_model(name) if name else None, kind or "", form)
    registry = open_registry(workspace, write=False)
    if name is None:
        models = registry.models(kind=kind or "")
        if form == "json":
            write_json(ModelsDocument(models=tuple(models)))
        else:
            click.echo("\n".join(model_lines(models)), nl=bool(models))
        if not models:
            talk_of(ctx).note("nothing was pushed yet: stannary registry push PATH NAME")
        return 0
    found = parse_model(name)
    versions = registry.versions(found)
    if form == "json":
        with registry.reading() as connection:
            placed = tuple(queries.aliases(connection, found))
        write_json(VersionsDocument(name=str(found), versions=tuple(versions), aliases=placed, moves=tuple(registry.moves(found))))
    else:
        click.echo("\n".join(version_lines(versions)))
    return 0


@click.command("show")
@click.argument("reference")
@click.option("--files", is_flag=True, help="List the files with their digests.")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
def show(reference: str, files: bool, server: str | None, workspace: str | None, form: str) -> int:
    """Show the version that REFERENCE names, quarantined and deleted ones too."""
    from stannary.registry.names import parse
    from stannary.report.registry import FileRow, VersionDocument, version_text

    client = client_of(server, workspace)
    if client:
        return show_there(client, parse(reference), form, files=files)
    registry = open_registry(workspace, write=False)
    version = registry.show(parse(reference))
    rows: tuple[FileRow, ...] = ()
    if (files or form == "json") and not version.dropped:
        rows = tuple(FileRow(file.path, file.size, file.sha256) for file in registry.manifest(version).files)
    if form == "json":
        write_json(VersionDocument(version=version, files=rows))
        return 0
    click.echo(version_text(version))
    for row in rows:
        click.echo(f"{row.sha256}  {inline(row.path)}")
    return 0


@click.command("diff")
@click.argument("first")
@click.argument("second")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
def diff(first: str, second: str, server: str | None, workspace: str | None, form: str) -> int:
    """Compare two versions: files that came, went or changed, and what evidence says of one and not of the other.

    Exits 0 when they are the same artifact, and 1 when they differ.
    """
    from stannary.registry.compare import compare
    from stannary.registry.names import parse
    from stannary.report.registry import diff_text

    client, one, two = client_of(server, workspace), parse(first), parse(second)
    found = diff_there(client, one, two) if client else compare(open_registry(workspace, write=False), one, two)
    if form == "json":
        write_json(found)
    else:
        click.echo(diff_text(found), nl=False)
    return 0 if found.same else 1
