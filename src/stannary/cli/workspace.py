"""What the commands with a workspace share: the option, the passphrase, targets with a digest, JSON output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from stannary.cli.signing_key import is_offline
from stannary.core.errors import UsageError
from stannary.core.evidence import Resource
from stannary.core.model import Digest
from stannary.crypto.providers.opening import is_local
from stannary.evidence.statement import subject_resource
from stannary.evidence.subject import identify, named_digest, resource_of
from stannary.evidence.workspace import Workspace

__all__ = ["ask_passphrase", "format_option", "open_workspace", "subject_at", "workspace_option", "write_json"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def workspace_option(command: _Function) -> _Function:
    """Add `--workspace DIR`."""
    return click.option(
        "--workspace", metavar="DIR", envvar="STANNARY_WORKSPACE", help="Use this workspace instead of the one found upward."
    )(command)


def format_option(*names: str) -> Callable[[_Function], _Function]:
    """Add `--format`, the first name as its default."""
    return click.option(
        "--format", "form", type=click.Choice(names), default=names[0], help=f"How to print.  [default: {names[0]}]"
    )


def open_workspace(named: str | None, *, offline: bool | None = None) -> Workspace:
    """Open the workspace that is named, or the nearest one. Raises UsageError.

    `offline`: whether no socket may be opened; as the command says, or the configuration, when it is None.
    """
    found = Workspace.find(named, passphrase=ask_passphrase)
    if not (is_local(found.settings.signing_key) and is_local(found.settings.ledger_key)):
        found.offline = is_offline() if offline is None else offline
    return found


def ask_passphrase() -> bytes | None:
    """Return the passphrase of the keys: STANNARY_PASSPHRASE, or asked for on a terminal; None where neither is."""
    text = os.environ.get("STANNARY_PASSPHRASE")
    if text:
        return text.encode()
    if sys.stdin.isatty() and sys.stderr.isatty():
        asked: str = click.prompt("passphrase of the workspace's keys", hide_input=True, err=True)
        return asked.encode()
    return None


def subject_at(target: str, workspace: str | None = None) -> Resource:
    """Return the subject that a target names. Raises what the error tree has.

    It is what lies at a path, hashed now; or `sha256:HEX`; or `registry:NAME@ALIAS` in the workspace that is named.
    """
    if target.startswith("registry:") and not Path(target).exists():
        _refuse_server(target, workspace)
        from stannary.app import open_registry
        from stannary.registry.names import parse

        registry = open_registry(open_workspace(workspace), write=False)
        return registry.subject(registry.resolve(parse(target)))
    digest: Digest | None = named_digest(target)
    if digest is not None and not Path(target).exists():
        return subject_resource(digest, "")
    if not Path(target).exists():
        msg = "there is no such file or folder"
        raise UsageError(
            msg, where=target, code="USE010", help="a TARGET is a path, a digest such as sha256:…, or registry:NAME@ALIAS"
        )
    return resource_of(identify(target))


def _refuse_server(target: str, workspace: str | None) -> None:
    """Refuse a name of the registry where a server is named that this command does not ask: the workspace may have another one."""
    server = os.environ.get("STANNARY_SERVER", "")
    if server and not workspace:
        msg = f"this command asks a workspace, and STANNARY_SERVER names {server[:200]}"
        help_text = "name the digest, which `stannary registry show NAME` prints; or --workspace DIR; or unset STANNARY_SERVER"
        raise UsageError(msg, where=target, code="USE015", help=help_text)


def write_json(document: object) -> None:
    """Print a versioned JSON document."""
    from stannary.report.json_ import dump

    click.echo(dump(document), nl=False)
