"""`stannary ledger witness ask` and `serve`: witnessing over HTTP, as C2SP tlog-witness has it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from stannary.cli.group import common_options, talk_of
from stannary.cli.ledger import open_ledger, workspace_option

if TYPE_CHECKING:
    from types import ModuleType

    from stannary.evidence.ledger.log_keys import LogKeys

__all__ = ["ask_", "serve_"]


@click.command("ask")
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@click.option(
    "--witness", "witnesses", metavar="KEY", multiple=True, required=True,
    help="The verifier key of a witness, or a file of them; repeatable.",
)  # fmt: skip
@click.option("--quorum", type=click.IntRange(1), default=None, help="How many of them have to sign (default: all).")
@click.option("--offline", is_flag=True, default=None, help="Open no socket: nobody can be asked.")
@workspace_option
@common_options
@click.pass_context
def ask_(ctx: click.Context, /, urls: tuple[str, ...], witnesses: tuple[str, ...], quorum: int | None, **given: Any) -> int:  # noqa: ANN401
    """Ask the witnesses at URL (https://HOST/PREFIX, what is before /add-checkpoint) to cosign the head, and keep what they sign.

    Exit code 1 when fewer than the quorum did; what the others signed is kept all the same.
    """
    from stannary.cli.signing_key import is_offline
    from stannary.cli.workspace import open_workspace
    from stannary.core.errors import UsageError
    from stannary.evidence.ledger.witness import read_keys
    from stannary.evidence.ledger.witness_http import ask_all

    if is_offline():
        msg = "a witness is asked over the network, and no socket may be opened"
        raise UsageError(msg, code="LED029", help="`stannary ledger witness request` writes what can be carried there")
    keys, talk = read_keys(witnesses), talk_of(ctx)
    with open_ledger(open_workspace(given["workspace"]), write=True) as ledger:
        found, problems = ask_all(urls, ledger, keys)
    for key, head in found.items():
        click.echo(f"{key.name}  {head.size}  {head.root.hex()}")
    talk.errors(problems)
    needed = quorum or len({key.public for key in keys})
    signed = len({key.public for key in found})
    talk.verdict(f"{signed} of {len({key.public for key in keys})} witnesses have signed; {needed} are needed")
    return 0 if signed >= needed else 1


@click.command("serve")
@click.option(
    "--log", "logs", metavar="KEY", multiple=True, help="The verifier key of a log to cosign, or a file of them; repeatable."
)
@click.option(
    "--keys", "handed", metavar="FILE", multiple=True,
    help="The keys of one of them that was handed over (`ledger keys --format json`); repeatable.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8932, show_default=True, help="The port to listen on; 0 takes any.")
@click.option("--tls-certificate", metavar="FILE", default="", help="The server's certificate with its chain (PEM).")
@click.option("--tls-key", metavar="FILE", default="", help="Its key (PEM).")
@click.option(
    "--format", "form", type=click.Choice(["json", "text"]), default="json", show_default=True, help="How to log, on stderr."
)
@workspace_option
@common_options
@click.pass_context
def serve_(ctx: click.Context, /, workspace: str | None, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Cosign the heads of logs that ask for it over HTTP, until SIGTERM or Ctrl-C; remember them in this workspace's ledger.

    Each --log is the key that was verified with its owner. A head is cosigned when it continues the last one.
    """
    from stannary.cli.workspace import open_workspace
    from stannary.evidence.ledger.witness import Witness

    server = _server()
    found, logs = open_workspace(workspace), _logs(given["logs"], given["handed"])
    with open_ledger(found, write=True) as ledger:
        witness = Witness(found.settings.origin, found.log_signer, ledger, found.clock)
        talk_of(ctx).note(f"signs as {witness.key}")
        listener = server.Listener(given["host"], given["port"], given["tls_certificate"], given["tls_key"])
        server.serve(witness, logs, listener, log_json=given["form"] == "json")
    return 0


def _logs(named: tuple[str, ...], handed: tuple[str, ...]) -> dict[str, LogKeys]:
    """Return the logs to cosign by name. Raises UsageError, InputError or IntegrityError."""
    from stannary.core.errors import UsageError
    from stannary.evidence.ledger.log_keys import LogKeys, read_handovers
    from stannary.evidence.ledger.witness import read_keys

    found: dict[str, LogKeys] = {}
    for key in read_keys(named):
        if key.name in found:
            msg = f"two keys are given for the log {key.name}"
            raise UsageError(msg, code="USE012", help="one of them, and --keys FILE when it was handed over to the other")
        found[key.name] = LogKeys(key)
    for path in handed:
        handovers = read_handovers(path)
        names = [name for name in found if any(_names(item.record, name) for item in handovers)]
        if not names:
            msg = "is of none of the logs that are named"
            raise UsageError(msg, where=path, code="USE012", help="name its log with --log")
        found[names[0]] = LogKeys.following(found[names[0]].current, handovers)
    if not found:
        msg = "there is no log to cosign"
        raise UsageError(msg, code="USE012", help="--log KEY: `stannary ledger head` prints it on the side of the log")
    return found


def _names(record: str, log: str) -> bool:
    """Tell whether the record of a hand-over is of a log."""
    from stannary.core.errors import IntegrityError
    from stannary.evidence.ledger.log_keys import named_in

    try:
        named_in(record.encode(), log)
    except IntegrityError:
        return False
    return True


def _server() -> ModuleType:
    """Return the server: it and the command line do not see each other, so it is named and not imported (ARCHITECTURE, line 7)."""
    from stannary.core.errors import UsageError

    try:
        return importlib.import_module("stannary.server.witness")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stannary"):
            raise
        msg = f"the server needs {error.name}, which is not installed"
        raise UsageError(msg, code="DEP001", help="pip install 'stannary[server]'") from error
