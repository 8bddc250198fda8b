"""`stannary schema NAME`: the JSON Schema of what stannary reads and writes."""

from __future__ import annotations

import importlib
from typing import Any

import click

from stannary.cli.group import common_options
from stannary.core.errors import UsageError

__all__ = ["SCHEMAS", "command", "schema_of"]

# name → module:struct that is written, and what writes it
SCHEMAS: dict[str, tuple[str, str]] = {
    "import": ("stannary.registry.from_mlflow:Imported", "What `stannary registry import --format json` writes."),
    "scan": ("stannary.checks.static.result:ScanResult", "What `stannary scan --format json` writes."),
    "evaluate": ("stannary.checks.target.card:EvaluationResult", "What `stannary evaluate --format json` writes."),
    "harden": ("stannary.harden.card:HardeningResult", "What `stannary harden --format json` writes."),
    "baseline": ("stannary.checks.static.waivers:Baseline", "What `stannary scan --write-baseline` writes and `--baseline` reads."),
    "sign": ("stannary.cli.sign:SignReport", "What `stannary sign --format json` writes."),
    "verify": ("stannary.cli.verify:VerifyReport", "What `stannary verify --format json` writes."),
    "keys": ("stannary.cli.keys:Keys", "What `stannary keys ... --format json` writes."),
    "rule": ("stannary.cli.rule:Rules", "What `stannary rule --format json` writes."),
    "config": ("stannary.cli.config_command:Configuration", "What `stannary config show --format json` writes."),
    "evidence": ("stannary.report.documents:EvidenceDocument", "What `stannary evidence list --format json` writes."),
    "statement": ("stannary.report.documents:StatementDocument", "What `stannary evidence show` writes."),
    "recorded": ("stannary.report.documents:RecordedDocument", "What `stannary attest --format json` writes."),
    "kinds": ("stannary.report.documents:KindsDocument", "What `stannary evidence kinds --format json` writes."),
    "decision": ("stannary.report.documents:DecisionDocument", "What `stannary gate --format json` writes."),
    "why": ("stannary.evidence.story:Story", "What `stannary why --format json` writes."),
    "lineage": ("stannary.report.documents:LineageDocument", "What `stannary lineage NAME --format json` writes."),
    "tainted": ("stannary.report.documents:TaintedDocument", "What `stannary lineage --tainted --format json` writes."),
    "bom": ("stannary.report.bom.documents:BomDocument", "What `stannary bom TARGET --format json` writes."),
    "bom-validation": ("stannary.report.bom.documents:ValidationDocument", "What `stannary bom validate --format json` writes."),
    "bom-diff": ("stannary.report.bom.diff:Difference", "What `stannary bom diff --format json` writes."),
    "trust": ("stannary.evidence.trust:TrustFile", "What `stannary trust list --format json` writes."),
    "authority": ("stannary.cli.authority:AuthorityDocument", "What `stannary trust show --format json` writes."),
    "authority-audit": ("stannary.cli.authority:AuditDocument", "What `stannary trust audit --format json` writes."),
    "ledger-head": ("stannary.cli.ledger:Head", "What `stannary ledger head` and `verify` write with `--format json`."),
    "ledger-proof": ("stannary.cli.ledger:Proof", "What `stannary ledger prove --format json` writes."),
    "ledger-keys": ("stannary.cli.ledger_keys:KeysOfLog", "What `stannary ledger keys --format json` writes."),
    "ledger-audit": ("stannary.cli.ledger:Audit", "What `stannary ledger audit --format json` writes."),
    "models": ("stannary.report.registry:ModelsDocument", "What `stannary registry list --format json` writes."),
    "versions": ("stannary.report.registry:VersionsDocument", "What `stannary registry list NAME --format json` writes."),
    "version": ("stannary.report.registry:VersionDocument", "What `stannary registry push|pull|show --format json` write."),
    "promotion": ("stannary.report.registry:PromotionDocument", "What `stannary registry promote|rollback --format json` write."),
    "difference": ("stannary.registry.compare:Difference", "What `stannary registry diff --format json` writes."),
    "deleted": ("stannary.report.registry:DeletedDocument", "What `stannary registry retain NAME --format json` writes."),
    "shredding": (
        "stannary.report.registry:ShreddingDocument",
        "What `stannary registry shred --format json` writes.",
    ),
    "swept": ("stannary.report.registry:SweptDocument", "What `stannary registry retain --sweep --format json` writes."),
    "accounts": ("stannary.report.access:AccountsDocument", "What `stannary access user|service list --format json` write."),
    "tokens": ("stannary.report.access:TokensDocument", "What `stannary access token list --format json` writes."),
    "issued": ("stannary.report.access:IssuedDocument", "What `stannary access token issue --format json` writes."),
    "roles": ("stannary.report.access:RolesDocument", "What `stannary access roles --format json` writes."),
    "check": ("stannary.report.access:CheckDocument", "What `stannary access check --format json` writes."),
    "federation": ("stannary.report.access:FederationDocument", "What `stannary access federate list --format json` writes."),
    "job": ("stannary.report.jobs:JobDocument", "What `stannary jobs add|show --format json` write."),
    "jobs": ("stannary.report.jobs:JobsDocument", "What `stannary jobs list --format json` writes."),
    "doctor": ("stannary.cli.doctor:Answers", "What `stannary doctor --format json` writes."),
}


@click.command("schema")
@click.argument("name", required=False)
@common_options
def command(name: str | None) -> int:
    """Print the JSON Schema of an output, or the names there are."""
    from stannary.evidence.predicates.table import OURS

    if name is None:
        click.echo("\n".join((*SCHEMAS, *(f"predicate:{kind}" for kind in OURS))))
        return 0
    wanted = name.removeprefix("stannary.").partition("/")[0]
    if wanted not in SCHEMAS and wanted.removeprefix("predicate:") not in OURS:
        msg = f"there is no schema {name!r}"
        raise UsageError(msg, code="USE003", help="`stannary schema` lists them")
    from stannary.report.json_ import dump

    click.echo(dump(schema_of(wanted)), nl=False)
    return 0


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an output, by its name in SCHEMAS, or of a predicate (`predicate:model-scan`)."""
    from stannary.report.json_ import schema, shape

    if name not in SCHEMAS:
        from stannary.evidence.predicates.table import OURS

        kind = OURS[name.removeprefix("predicate:")]
        return shape(kind.struct, kind.predicate_type, kind.text)
    target, description = SCHEMAS[name]
    module, _, struct = target.partition(":")
    return schema(getattr(importlib.import_module(module), struct), f"stannary.{name}/1", description)
