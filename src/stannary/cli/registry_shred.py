"""`stannary registry shred`: the key of a namespace is destroyed; `reseal`: each namespace gets one of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stannary.cli.group import common_options, talk_of
from stannary.cli.registry import open_registry
from stannary.cli.registry_remote import client_of, server_option
from stannary.cli.workspace import format_option, workspace_option, write_json
from stannary.core.errors import UsageError
from stannary.report.escape import inline

if TYPE_CHECKING:
    from stannary.registry.client import Client
    from stannary.registry.shredding import Shredding

__all__ = ["reseal", "shred"]


@click.command("shred")
@click.argument("namespace")
@click.option("--reason", default="", help="Why, as the ledger will say.")
@click.option("--confirm", metavar="NAMESPACE", default="", help="The namespace once more, where nobody can be asked.")
@click.option("--dry-run", is_flag=True, help="Say what would be destroyed, and what keeps it from being.")
@server_option
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def shred(ctx: click.Context, /, namespace: str, server: str | None, workspace: str | None, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Destroy the key of NAMESPACE: nothing that was pushed to it can be read again, here, in a replica, or in a backup.

    There is no way back. What is in service, held or quarantined keeps it from happening. Another namespace that has the same
    contents has them under its own key. A copy of .stannary/keys made before still opens: rekey, and destroy the wrapping keys
    of before, to end that.
    """
    from stannary.registry.names import parse_model
    from stannary.report.registry import ShreddingDocument

    namespace, reason, dry_run = parse_model(f"{namespace}/x").namespace, given["reason"], given["dry_run"]
    if not reason and not dry_run:
        msg = "a shredding has a reason"
        raise UsageError(msg, where="--reason", code="REG016", help='--reason "the customer left"')
    ask, talk = _asked_of(client_of(server, workspace), workspace), talk_of(ctx)
    found = ask(namespace, None)
    if not dry_run:
        _require_confirmed(namespace, given["confirm"], found.versions)
        found = ask(namespace, reason)
    if given["form"] == "json":
        write_json(ShreddingDocument.of(found, dry_run=dry_run))
    what = f"{found.versions:,} version{'s' if found.versions != 1 else ''} of {inline(namespace)}"
    if dry_run:
        talk.note(f"{what} would be unreadable for ever; nothing keeps them")
        return 0
    talk.verdict(f"the key of {inline(namespace)} is destroyed: {what} cannot be read again, wherever they were copied to")
    talk.note("copies of .stannary/keys from before still open it: `stannary registry rekey`, then destroy the keys of before")
    return 0


@click.command("reseal")
@click.option(
    "--wrapping-key", "keys", metavar="KEY", multiple=True,
    help="What wraps the keys of namespaces, where the contents are not encrypted yet; as `stannary init` takes it; repeatable.",
)  # fmt: skip
@click.option("--namespace-keys", metavar="DIR|s3://BUCKET", default="", help="Keep the keys of namespaces there.")
@workspace_option
@common_options
@click.pass_context
def reseal(ctx: click.Context, keys: tuple[str, ...], namespace_keys: str, workspace: str | None) -> int:
    """Give each namespace a key of its own, in a workspace with one key for all contents, or with none, so that it can be shredded.

    Every content is encrypted again under the key of its namespace, and what was before is deleted at the end: until then there has
    to be room for both. Digests and the ledger stay as they are. It can be interrupted, and goes on when it is called again; a
    server may run meanwhile.
    """
    from stannary.cli.progress import progress_bar
    from stannary.crypto.providers.opening import is_address
    from stannary.registry.resealing import reseal as resealed

    talk = talk_of(ctx)
    place = namespace_keys if not namespace_keys or namespace_keys.startswith("s3://") else str(Path(namespace_keys).resolve())
    addresses = tuple(key if is_address(key) else str(Path(key).resolve()) for key in keys)
    with progress_bar(talk, "Resealing") as watch:
        found = resealed(open_registry(workspace), addresses, place, watch)
    if not found.done:
        talk.note("each namespace has a key of its own already")
        return 0
    if found.contents:
        spaces = f"{found.namespaces:,} namespace{'s' if found.namespaces != 1 else ''}"
        talk.verdict(f"{found.contents:,} contents ({found.size:,} bytes) of {spaces} are under keys of their own")
    talk.note(f"{found.deleted:,} contents of before were deleted, and what opened them")
    talk.note("a backup from before opens with a copy of .stannary/keys from before: bring it up to date, or destroy it")
    return 0


def _asked_of(client: Client | None, workspace: str | None) -> Callable[[str, str | None], Shredding]:
    """Return what asks a server, or the registry of a workspace; without a reason, what would be destroyed."""
    from stannary.registry.shredding import plan_shredding
    from stannary.registry.shredding import shred as shredded

    if client is not None:
        return lambda namespace, why: client.shred(namespace, why or "dry run", dry_run=why is None)
    registry = open_registry(workspace)
    return lambda namespace, why: plan_shredding(registry, namespace) if why is None else shredded(registry, namespace, why)


def _require_confirmed(namespace: str, confirm: str, versions: int) -> None:
    """Return when somebody has said the name once more. Raises UsageError."""
    if not confirm and sys.stdin.isatty() and sys.stderr.isatty():
        asked = f"{versions:,} versions of {inline(namespace)} will be unreadable for ever. The namespace once more, to go on"
        confirm = click.prompt(asked, err=True)
    if confirm != namespace:
        msg = "what is destroyed is gone for ever, and that was not confirmed"
        raise UsageError(msg, where="--confirm", code="REG035", help=f"--confirm {namespace}")
