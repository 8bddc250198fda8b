"""`stannary ledger witness`: have one's heads cosigned, and cosign those of others. The bodies are C2SP add-checkpoint's."""

from __future__ import annotations

from typing import TextIO

import click

from stannary.cli.group import LazyGroup, common_options, talk_of
from stannary.cli.ledger import open_ledger, workspace_option

__all__ = ["command"]

_TABLE = {
    "key": ("stannary.cli.ledger_witness:key_", "Print the verifier key of this workspace as a witness."),
    "request": ("stannary.cli.ledger_witness:request_", "Write what to send to a witness."),
    "sign": ("stannary.cli.ledger_witness:sign_", "Cosign the head in a request, as a witness."),
    "ask": ("stannary.cli.ledger_witness_http:ask_", "Have witnesses cosign the head, over HTTP."),
    "serve": ("stannary.cli.ledger_witness_http:serve_", "Be a witness, over HTTP."),
    "add": ("stannary.cli.ledger_witness:add_", "Keep what a witness answered."),
}


@click.group("witness", cls=LazyGroup, table=_TABLE)
@common_options
def command() -> None:
    """Have the log's heads cosigned by others, and cosign theirs: nobody can then be shown another history."""


@click.command("key")
@workspace_option
@common_options
def key_(workspace: str | None) -> int:
    """Print the verifier key under which this workspace signs as a witness."""
    from stannary.crypto.note import COSIGNATURE, VerifierKey
    from stannary.evidence.workspace import Workspace

    found = Workspace.find(workspace)
    click.echo(str(VerifierKey.of(found.settings.origin, found.log_key, COSIGNATURE)))
    return 0


@click.command("request")
@workspace_option
@click.option("--old", type=click.IntRange(0), default=0, help="The size of the last head that the witness cosigned.")
@click.option("-o", "--output", metavar="FILE", default=None, help="Write it to a file.")
@common_options
def request_(workspace: str | None, old: int, output: str | None) -> int:
    """Write what to send to a witness: the head, and the proof that it continues the last one that the witness saw."""
    from stannary.evidence.ledger.witness import request_for
    from stannary.evidence.workspace import Workspace

    with open_ledger(Workspace.find(workspace)) as ledger:
        _write(str(request_for(ledger, old)), output)
    return 0


@click.command("sign")
@click.argument("request", metavar="REQUEST", type=click.File(encoding="utf-8", errors="replace"))
@click.option("--log", metavar="KEY", required=True, help="The verifier key of the log whose head it is, or a file with it.")
@click.option("--keys", metavar="FILE", default=None, help="The keys of a log that was handed over: `ledger keys --format json`.")
@workspace_option
@click.option("-o", "--output", metavar="FILE", default=None, help="Write it to a file.")
@common_options
@click.pass_context
def sign_(ctx: click.Context, /, request: TextIO, log: str, keys: str | None, workspace: str | None, output: str | None) -> int:
    """Cosign the head in a request with this workspace's log key, if it continues the last one seen; remember it in this ledger."""
    from stannary.cli.workspace import open_workspace
    from stannary.evidence.ledger.log_keys import LogKeys, read_handovers
    from stannary.evidence.ledger.witness import Witness, read_key

    found = open_workspace(workspace)
    key = read_key(log)
    followed = LogKeys.following(key, read_handovers(keys) if keys else ())
    with open_ledger(found, write=True) as ledger:
        witness = Witness(found.settings.origin, found.log_signer, ledger, found.clock)
        _write(witness.sign(request.read(), followed), output)
    talk_of(ctx).note(f"signed as {witness.key}")
    return 0


@click.command("add")
@click.argument("request", metavar="REQUEST", type=click.File(encoding="utf-8", errors="replace"))
@click.argument("answer", metavar="ANSWER", type=click.File(encoding="utf-8", errors="replace"))
@click.option(
    "--witness", "witnesses", metavar="KEY", multiple=True, required=True, help="The verifier key of the witness; repeatable."
)
@workspace_option
@common_options
@click.pass_context
def add_(
    ctx: click.Context,
    request: TextIO,
    answer: TextIO,
    witnesses: tuple[str, ...],
    workspace: str | None,
) -> int:
    """Keep what a witness answered to a request, after verifying it."""
    from stannary.cli.workspace import open_workspace
    from stannary.evidence.ledger.witness import Request, read_keys

    with open_ledger(open_workspace(workspace), write=True) as ledger:
        head = ledger.add_cosignature(Request.parse(request.read()).checkpoint + answer.read(), read_keys(witnesses))
    talk_of(ctx).note(f"the head of {head.size:,} entries is cosigned")
    return 0


def _write(text: str, output: str | None) -> None:
    from stannary.cli.output import write_file

    if output:
        write_file(output, text)
    else:
        click.echo(text, nl=False)
