"""`stannary evidence`: what the ledger holds, shown, verified again, exported."""

from __future__ import annotations

from pathlib import Path

import click

from stannary.cli import exits
from stannary.cli.group import LazyGroup, common_options, talk_of
from stannary.cli.workspace import format_option, open_workspace, subject_at, workspace_option, write_json
from stannary.core.errors import IntegrityError, UsageError
from stannary.core.evidence import Evidence, Verified
from stannary.core.model import Digest
from stannary.report.documents import EvidenceDocument, EvidenceRow, KindRow, KindsDocument, StatementDocument
from stannary.report.escape import inline

__all__ = ["COMMANDS", "command", "export", "kinds", "list_", "show", "verify"]

COMMANDS: dict[str, tuple[str, str]] = {
    "list": ("stannary.cli.evidence:list_", "List evidence, about a target or all there is."),
    "show": ("stannary.cli.evidence:show", "Show one statement and its place in the ledger."),
    "verify": ("stannary.cli.evidence:verify", "Verify statements again, and their places in the ledger."),
    "export": ("stannary.cli.evidence:export", "Write envelopes and receipts for others to verify."),
    "kinds": ("stannary.cli.evidence:kinds", "List the kinds of evidence."),
}


@click.group("evidence", cls=LazyGroup, table=COMMANDS)
@common_options
def command() -> None:
    """Look at signed evidence. Everything that is shown was verified when it was read."""


@click.command("list")
@click.argument("target", required=False)
@click.option("--kind", default="", help="Only this kind.")
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def list_(ctx: click.Context, target: str | None, kind: str, workspace: str | None, form: str) -> int:
    """List evidence about TARGET (a path, or sha256:…), or all there is."""
    from stannary.evidence.chain import Chain
    from stannary.evidence.statement import subject_of_resource

    _known_kind(kind)
    chain = Chain(open_workspace(workspace))
    known = chain.about(subject_of_resource(subject_at(target, workspace))) if target else chain.everything(kind)
    rows = [item for item in known.evidence if kind in ("", item.value.kind)]
    if form == "json":
        write_json(EvidenceDocument(evidence=tuple(map(EvidenceRow.of, rows)), refused=tuple(map(str, known.refused))))
    else:
        for item in rows:
            click.echo(_line(item))
    talk = talk_of(ctx)
    for problem in known.refused:
        talk.warning(f"{problem} (this counts for nothing)", problem.help or "stannary ledger audit")
    if not rows and not known.refused:
        what = "there is no evidence" + (f" of kind {kind}" if kind else "") + (f" about {inline(target)}" if target else "")
        talk.note(what if kind else f"{what}; `stannary scan TARGET --record` makes some")
    return exits.DENIED if any(isinstance(problem, IntegrityError) for problem in known.refused) else exits.CLEAN


@click.command("show")
@click.argument("name", metavar="ID")
@workspace_option
@common_options
def show(name: str, workspace: str | None) -> int:
    """Show the statement whose id starts with ID, after verifying it."""
    from stannary.evidence.chain import Chain
    from stannary.evidence.verify import verify_envelope

    opened = open_workspace(workspace)
    chain = Chain(opened)
    row, envelope = chain.one(name)
    about = Digest.parse(row.subject)
    item = verify_envelope(envelope, opened.trust.verifiers(), subject=about, recorded=row.time, index=row.index)
    found = item.value
    write_json(
        StatementDocument(statement=EvidenceRow.of(item), predicate_type=found.predicate_type, predicate=dict(found.predicate))
    )
    return 0


@click.command("verify")
@click.argument("target", required=False)
@workspace_option
@common_options
@click.pass_context
def verify(ctx: click.Context, target: str | None, workspace: str | None) -> int:
    """Verify the evidence about TARGET, or all there is: signatures, statements, inclusion in the signed log."""
    from stannary.evidence.chain import Chain
    from stannary.evidence.statement import subject_of_resource

    chain = Chain(open_workspace(workspace))
    known = chain.about(subject_of_resource(subject_at(target, workspace))) if target else chain.everything()
    talk = talk_of(ctx)
    talk.errors(known.refused)
    talk.verdict(f"{len(known.evidence)} verified, {len(known.refused)} refused")
    return exits.DENIED if known.refused else exits.CLEAN


@click.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@click.argument("target", required=False)
@workspace_option
@common_options
@click.pass_context
def export(ctx: click.Context, folder: str, target: str | None, workspace: str | None) -> int:
    """Write each envelope (ID.dsse.json), its receipt (ID.receipt.json) and the keys to DIR.

    Nobody needs stannary to verify an envelope: it is DSSE, its payload an in-toto statement.
    """
    from stannary.evidence.chain import Chain
    from stannary.evidence.export import export_evidence
    from stannary.evidence.statement import subject_of_resource

    chain = Chain(open_workspace(workspace))
    subject = subject_of_resource(subject_at(target, workspace)) if target else None
    count = export_evidence(chain, Path(folder), subject)
    talk_of(ctx).note(f"wrote {count} statements to {inline(folder)}")
    return 0


@click.command("kinds")
@format_option("table", "json")
@common_options
def kinds(form: str) -> int:
    """List the kinds of evidence and their predicate types."""
    from stannary.evidence.predicates.table import KINDS

    if form == "json":
        rows = (KindRow(kind=row.name, predicate_type=row.predicate_type, text=row.text) for row in KINDS.values())
        write_json(KindsDocument(kinds=tuple(rows)))
        return 0
    width = max(map(len, KINDS))
    for row in KINDS.values():
        click.echo(f"{row.name:<{width}}  {row.text}\n{'':<{width}}  {row.predicate_type}")
    return 0


def _known_kind(kind: str) -> None:
    """Refuse a kind that nothing can be of: a slip of the pen would read as an empty ledger. Raises UsageError."""
    from stannary.evidence.predicates.table import KINDS

    if kind and kind not in KINDS:
        msg = f"there is no kind of evidence {kind!r}"
        raise UsageError(msg, where="--kind", code="EVD009", help="`stannary evidence kinds` lists them")


def _line(item: Verified[Evidence]) -> str:
    found = item.value
    what = found.verdict or found.outcome
    check = found.check.id if found.check.id not in (found.kind, "static-scan") else ""
    about = inline(found.subject_name) or str(found.subject)[:19]
    end = f", until {found.expires:%Y-%m-%d}" if found.expires else ""
    return (
        f"{found.id.hex[:12]}  {found.issued:%Y-%m-%d %H:%M}  {found.kind:<15}  {what:<11}  {about}"
        f"{'  ' + inline(check) if check else ''}  by {inline(item.identity)}{end}"
    )
