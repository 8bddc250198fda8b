"""`stannary lineage NAME`: what something was made from, and what was made from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from stannary.cli.group import common_options, talk_of
from stannary.cli.workspace import format_option, open_workspace, subject_at, workspace_option, write_json
from stannary.core.errors import UsageError
from stannary.core.model import Digest
from stannary.evidence.lineage import SERVED
from stannary.report.documents import LineageDocument, TaintedDocument
from stannary.report.escape import inline

if TYPE_CHECKING:
    from stannary.evidence.lineage_index import LineageIndex
    from stannary.store.lineage_db import Walked

__all__ = ["command"]


@click.command("lineage")
@click.argument("target", metavar="[NAME]", required=False)
@click.option("--tainted", is_flag=True, help="List what is revoked, and everything made from it.")
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def command(ctx: click.Context, target: str | None, tainted: bool, workspace: str | None, form: str) -> int:
    """Show what NAME (a path, sha256:…, registry:NAME@ALIAS, or a name in evidence) was made from, and what was made from it.

    Every edge comes from a signed statement, which is named behind it.
    """
    from stannary.evidence.chain import Chain
    from stannary.evidence.lineage_index import LineageIndex

    if (target is None) == (not tainted):
        msg = "needs a NAME, or --tainted"
        raise UsageError(msg, where="lineage", code="USE013", help="stannary lineage model/")
    index = LineageIndex(Chain(open_workspace(workspace)))
    for problem in index.refused:
        talk_of(ctx).warning(f"{problem} (this counts for nothing)", problem.help or "stannary ledger audit")
    if target is None:
        _tainted(index, form)
        return 0
    digest = _digest(index, target, workspace)
    above, below = index.above(digest), index.below(digest)
    if form == "json":
        write_json(
            LineageDocument(
                digest=str(digest),
                name=index.name_of(digest),
                above=tuple(above),
                below=tuple(below),
                blast_radius=index.blast_radius(digest),
            )
        )
        return 0
    click.echo(f"{inline(index.name_of(digest) or target)}\n  {digest}")
    _print("Made from", [msgspec.structs.replace(row, relation="serves") if row.relation == SERVED else row for row in above])
    _print("Made from it", below)
    click.echo(f"\nRevoking it would take {index.blast_radius(digest):,} with it.")
    return 0


def _digest(index: LineageIndex, target: str, workspace: str | None) -> Digest:
    from stannary.evidence.statement import subject_of_resource
    from stannary.evidence.subject import named_digest

    if Path(target).exists() or target.startswith("registry:") or named_digest(target) is not None:
        return subject_of_resource(subject_at(target, workspace))
    return index.resolve(target)


def _print(title: str, rows: Sequence[Walked]) -> None:
    click.echo(f"\n{title}" if rows else f"\n{title}: nothing that is stated")
    for row in rows:
        indent = "  " * row.depth
        click.echo(f"{indent}{row.relation} {inline(row.name) or 'unnamed'} (sha256:{row.digest[:12]}) [{row.evidence[:12]}]")


def _tainted(index: LineageIndex, form: str) -> None:
    found = index.tainted()
    if form == "json":
        write_json(TaintedDocument(tainted=tuple(found)))
        return
    for row in found:
        click.echo(
            f"{inline(row.name) or 'unnamed'} (sha256:{row.digest[:12]}) revoked: {inline(row.reason)} [{row.evidence[:12]}]"
        )
        for made in row.reach:
            click.echo(f"{'  ' * made.depth}{inline(made.name) or 'unnamed'} (sha256:{made.digest[:12]}) {made.relation}")
    if not found:
        click.echo("Nothing is revoked.")
