"""`stannary ledger keys` and `rotate`: which keys a log has had, and the hand-over to a new one."""

from __future__ import annotations

import click
import msgspec

from stannary.cli.group import common_options, talk_of
from stannary.cli.ledger import workspace_option

__all__ = ["HandoverRow", "KeysOfLog", "LogKeyRow", "keys_", "rotate_"]


class LogKeyRow(msgspec.Struct, frozen=True):
    """A key, and the sizes of the first and the last checkpoint that it signed: `last` is null for the current one."""

    key: str
    first: int
    last: int | None
    state: str


class HandoverRow(msgspec.Struct, frozen=True):
    """The entry of a hand-over, and its `.tlog-proof` under a checkpoint that both keys signed."""

    record: str
    proof: str


class KeysOfLog(msgspec.Struct, frozen=True):
    """The keys of a log, the oldest first, and what shows that each was handed over to the next."""

    schema: str
    origin: str
    keys: tuple[LogKeyRow, ...]
    handovers: tuple[HandoverRow, ...]


@click.command("keys")
@workspace_option
@click.option("--adopt", metavar="FILE", default=None, help="Follow the hand-overs in a file that the log's owner wrote.")
@click.option("--key", metavar="KEY", default=None, help="With --adopt: the new private key, for a workspace that appends.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@click.option("-o", "--output", metavar="FILE", default=None, help="Write it to a file, as JSON.")
@common_options
@click.pass_context
def keys_(ctx: click.Context, /, workspace: str | None, adopt: str | None, key: str | None, form: str, output: str | None) -> int:
    """Show the keys that the log has had. With --format json: what others need to follow it from the key that they trust.

    With --adopt the workspace follows the log from the key that it has to the newest in FILE.
    """
    from stannary.cli.workspace import ask_passphrase, open_workspace
    from stannary.core.errors import UsageError
    from stannary.evidence import rotate
    from stannary.evidence.ledger.log_keys import read_handovers
    from stannary.evidence.workspace_keys import name_key

    found = open_workspace(workspace)
    keys = found.log_keys
    if adopt:
        before, new = keys, name_key(key, ask_passphrase, offline=found.offline) if key else None
        keys = rotate.adopt(found, read_handovers(adopt), new)
        if keys == before:
            talk_of(ctx).note("nothing is newer than what is known")
        else:
            talk_of(ctx).note(
                f"the log is followed to {keys.current.id.hex()}" + ("" if key else "; without --key it is only read")
            )
    elif key:
        msg = "a key is named, and nothing to adopt"
        raise UsageError(msg, code="USE012", help="`stannary ledger rotate --key KEY` hands the log over")
    _show(msgspec.convert(keys.document(), KeysOfLog), form, output)
    return 0


@click.command("rotate")
@workspace_option
@click.option("--key", metavar="KEY", default=None, help="Hand over to this key (Ed25519), which is there.  [default: a new one]")
@click.option("--compromised", is_flag=True, help="The old key was stolen: its word alone is taken for nothing any more.")
@click.option("--no-passphrase", is_flag=True, help="Write the new key unprotected: whoever reads the file can use it.")
@common_options
@click.pass_context
def rotate_(ctx: click.Context, /, workspace: str | None, key: str | None, compromised: bool, no_passphrase: bool) -> int:
    """Hand the log over to a new key: an entry that both keys sign, after which only the new one counts.

    Proofs and checkpoints from before stay good. A server that runs here goes on with it; others follow with what
    `stannary ledger keys --format json` writes. What was broken off is finished by calling it again.
    """
    from stannary.cli.passphrase import choose
    from stannary.cli.workspace import ask_passphrase, open_workspace
    from stannary.evidence import rotate
    from stannary.evidence.workspace_keys import name_key

    found = open_workspace(workspace)
    new = name_key(key, ask_passphrase, offline=found.offline) if key else None
    passphrase = None if no_passphrase or new is not None else found.made_up or choose("the new key of the log")
    keys = rotate.rotate(found, new=new, passphrase=passphrase, compromised=compromised)
    talk = talk_of(ctx)
    talk.note(f"the log {keys.name} is signed with {keys.current.id.hex()} from {keys.first:,} entries on")
    talk.note("give what `stannary ledger keys --format json` writes to those who verify it, and to its witnesses")
    click.echo(str(keys.current))
    return 0


def _show(found: KeysOfLog, form: str, output: str | None) -> None:
    from stannary.cli.output import write_file
    from stannary.report.escape import visible
    from stannary.report.json_ import dump

    if output:
        write_file(output, dump(found))
    elif form == "json":
        click.echo(dump(found), nl=False)
    else:
        for row in found.keys:
            stretch = f"from {row.first:,}" if row.last is None else f"{row.first:,} to {row.last:,}"
            click.echo(f"{row.state:<11}  {stretch:<20}  {visible(row.key)}")
