"""`stannary ledger move`: a ledger that outgrew its file, or comes back."""

from __future__ import annotations

import click

from stannary.cli.group import common_options, talk_of
from stannary.cli.ledger import workspace_option
from stannary.cli.signing_key import is_offline
from stannary.report.escape import inline

__all__ = ["command"]


@click.command("move")
@click.option("--database", metavar="URL", default="", help="A PostgreSQL database: postgresql://..., or env:NAME for a variable.")
@click.option("--to-file", is_flag=True, help="Back into the workspace.")
@workspace_option
@common_options
@click.pass_context
def command(ctx: click.Context, database: str, to_file: bool, workspace: str | None) -> int:
    """Copy the ledger to --database (or --to-file), prove the copy, and use it there from now on. The old one stays as it is.

    Nobody may append meanwhile, on any machine.
    """
    from stannary.core.errors import UsageError
    from stannary.evidence.relocate import relocate
    from stannary.evidence.workspace import Workspace

    if bool(database) == to_file:
        msg = "where to is not said, or said twice"
        raise UsageError(msg, code="USE012", help="--database URL, or --to-file")
    if database and is_offline():
        msg = "is a database, and no socket may be opened"
        raise UsageError(
            msg, where="--database", code="WSP005", help="take `offline` out of the configuration, or keep it in a file"
        )
    place = Workspace.find(workspace)
    head = relocate(place, database)
    with place.ledger() as ledger:
        talk_of(ctx).note(
            f"the ledger {head.origin}, {head.size:,} entries, is in {inline(ledger.where)} now; the old one can be kept or deleted"
        )
    return 0
