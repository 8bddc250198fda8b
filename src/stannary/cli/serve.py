"""`stannary serve`: the REST API of a workspace, for people and pipelines with accounts."""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from stannary.cli.group import common_options, talk_of
from stannary.cli.workspace import open_workspace, workspace_option
from stannary.crypto.providers.opening import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from stannary.evidence.workspace import Workspace

__all__ = ["command"]


@click.command("serve")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen on; others than this machine's take TLS."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8931, show_default=True, help="The port to listen on; 0 takes any.")
@click.option("--tls-certificate", metavar="FILE", default="", help="The server's certificate with its chain (PEM).")
@click.option("--tls-key", metavar="FILE", default="", help="Its key (PEM).")
@click.option("--tls-clients", metavar="FILE", default="", help="Take only clients with a certificate of this authority (PEM).")
@click.option(
    "--proxy", metavar="ADDRESS", default="",
    help="Take X-Forwarded-For and X-Forwarded-Proto from a proxy at this address (127.0.0.1), which has to set both.",
)  # fmt: skip
@click.option(
    "--rate", type=click.FloatRange(0), default=200.0, show_default=True, help="Requests a second of one caller; 0 for any."
)
@click.option(
    "--grace", type=click.IntRange(0, 3600), default=20, show_default=True, help="Seconds for what is under way at the end."
)
@click.option(
    "--workers", type=click.IntRange(0, 256), default=1, show_default=True, metavar="N",
    help="Processes that answer; 0 for one a processor. Limits hold for all of them together.",
)  # fmt: skip
@click.option(
    "--job-workers", type=click.IntRange(0, 1024), default=0, show_default=True, metavar="N",
    help="Processes for background jobs; 0 for none here (`stannary jobs work` does them anywhere).",
)  # fmt: skip
@click.option(
    "--metrics", type=click.Choice(["local", "account", "open"]), default="local", show_default=True,
    help="Who reads /metrics without an account: this machine, nobody, anybody.",
)  # fmt: skip
@click.option("--log", "log", type=click.Choice(["json", "text"]), default="json", show_default=True, help="How to log, on stderr.")
@workspace_option
@common_options
@click.pass_context
def command(ctx: click.Context, /, workspace: str | None, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Answer requests until SIGTERM or Ctrl-C; then end what is under way, and nothing is lost.

    There has to be an account: stannary access user add NAME.
    """
    server = _server()
    opened = open_workspace(workspace)
    workers = given["workers"] or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if workers > 1:
        _unlock(opened)
    listener = server.Listener(given["host"], given["port"], given["tls_certificate"], given["tls_key"], given["tls_clients"])
    listener = listener._replace(proxy=given["proxy"])
    talk = talk_of(ctx)

    def announce(where: str) -> None:
        talk.note(f"{where} is the console, {where}/api/v1/openapi.json describes the API; Ctrl-C ends it")

    running = server.Running(
        opened.root,
        workers=workers,
        job_workers=given["job_workers"],
        grace=given["grace"],
        log_json=given["log"] == "json",
        scrape=given["metrics"],
        announce=announce,
    )
    code: int = server.serve(partial(_site, server, opened, given["rate"]), listener, running)
    return code


@contextmanager
def _site(server: ModuleType, opened: Workspace, rate: float, shares: Any) -> Iterator[Any]:  # noqa: ANN401 - the server's own
    """Return the site of a workspace in a process that answers; it is closed afterwards."""
    from stannary import __version__
    from stannary.app import open_access, open_registry

    registry = open_registry(opened)
    access = open_access(opened, registry, turns=shares.turns, denials=shares.denials)
    try:
        yield server.open_site(registry, access, shares, version=__version__, rate=rate)
    finally:
        access.close()
        registry.close()
        registry.chain.ledger.close()


def _unlock(opened: Workspace) -> None:
    """Open the keys that lie in files, so that a passphrase is asked for once, and not by each process that is started."""
    for address, name in ((opened.settings.signing_key, "signer"), (opened.settings.ledger_key, "log_signer")):
        if is_local(address):
            getattr(opened, name)


def _server() -> ModuleType:
    """Return the server: it and the command line do not see each other, so it is named and not imported (ARCHITECTURE, line 7)."""
    from stannary.core.errors import UsageError

    try:
        return importlib.import_module("stannary.server.serve")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stannary"):
            raise
        msg = f"the server needs {error.name}, which is not installed"
        raise UsageError(msg, code="DEP001", help="pip install 'stannary[server]'") from error
