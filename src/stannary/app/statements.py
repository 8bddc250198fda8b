"""What was found becomes statements: of a scan, of a bill of materials; signed and logged where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stannary.app.targets import located
from stannary.core.errors import InputError, StannaryError

if TYPE_CHECKING:
    from datetime import datetime

    from stannary.checks.static.result import ScanResult
    from stannary.checks.target.card import EvaluationResult
    from stannary.core.evidence import Resource
    from stannary.evidence.chain import Recorded
    from stannary.evidence.product import Stated
    from stannary.evidence.workspace import Workspace
    from stannary.report.bom.inventory import Inventory
    from stannary.run.jail import Level

__all__ = ["Bom", "bom_subject", "record_bom", "record_evaluation", "record_scan", "state_scan", "take_bom"]


def record_scan(result: ScanResult, workspace: Workspace, started: datetime, finished: datetime) -> list[Recorded]:
    """Sign and log what a scan found, one statement a target. Raises InputError for a target that has no digest; then none is."""
    from stannary.evidence.chain import Chain

    stated = state_scan(result, started, finished)
    chain = Chain(workspace, write=True)
    return [chain.state(one.subject, one.kind, one.predicate) for one in stated]


def state_scan(result: ScanResult, started: datetime, finished: datetime) -> list[Stated]:
    """Return what a scan found as statements that nobody has signed. Raises InputError for a target that has no digest."""
    import msgspec

    from stannary.core.model import Digest
    from stannary.evidence.from_scan import model_scans
    from stannary.evidence.product import Stated
    from stannary.evidence.statement import subject_resource

    stated = model_scans(msgspec.to_builtins(result), finished, started)
    hint = "its errors are in the report; --no-digest and --record exclude each other"
    problems = [
        InputError("has no digest, so nothing can be stated about it", where=target.path, code="EVD011", help=hint)
        for target in stated
        if target.digest is None
    ]
    if problems:
        msg = "targets"
        raise ExceptionGroup(msg, problems)
    return [
        Stated(
            subject_resource(Digest.parse(target.digest), target.name, target.sha256),
            "model-scan",
            msgspec.to_builtins(target.predicate),
        )
        for target in stated
        if target.digest is not None
    ]


def record_evaluation(card: EvaluationResult, workspace: Workspace, started: datetime, finished: datetime) -> list[Recorded]:
    """Sign and log a report card, one statement a suite: policies ask for suites one by one.

    Raises InputError when what was evaluated has no digest, as a function or an endpoint; then nothing is.
    """
    import msgspec

    from stannary.evidence.chain import Chain
    from stannary.evidence.from_evaluation import evaluation
    from stannary.evidence.statement import subject_resource

    stated = []
    for suite in card.suite:
        made = evaluation(msgspec.to_builtins(_of_suite(card, suite)), finished, started)
        if made.digest is None:
            msg = "has no digest, so nothing can be stated about it"
            raise InputError(msg, where=made.path, code="EVD011", help="only artifacts have one: evaluate the model's file")
        stated.append((subject_resource(made.digest, made.name, made.sha256), msgspec.to_builtins(made.predicate)))
    chain = Chain(workspace, write=True)
    return [chain.state(subject, "eval-result", predicate) for subject, predicate in stated]


def _of_suite(card: EvaluationResult, suite: str) -> EvaluationResult:
    """Return what a card says of one suite; what was missed or failed in any stays in all."""
    import msgspec

    def of(metric: str) -> str:
        first = metric.partition(".")[0]
        return first if first in ("privacy", "llm", "backdoor", "labels", "poisoning") else "robustness"

    return msgspec.structs.replace(
        card,
        suite=(suite,),
        measurements=tuple(row for row in card.measurements if of(row.metric) == suite),
        robustness=card.robustness if suite == "robustness" else None,
        against=card.against if suite == "robustness" else None,
        privacy=card.privacy if suite == "privacy" else None,
        probes=card.probes if suite == "llm" else None,
        backdoor=card.backdoor if suite == "backdoor" else None,
        labels=card.labels if suite == "labels" else None,
        poisoning=card.poisoning if suite == "poisoning" else None,
    )


class Bom(NamedTuple):
    """An inventory, and what of the ledger did not verify."""

    inventory: Inventory
    refused: tuple[StannaryError, ...]


def take_bom(
    target: str,
    workspace: Workspace | None,
    *,
    name: str = "",
    offline: bool = False,
    jobs: int = 0,
    jail: Level | None = None,
    home: str | None = None,
) -> Bom:
    """Take the inventory of a target, with what the workspace's ledger holds about it; `name` is what to call it.

    `home` is the workspace whose registry has it, where that is not the one found upward.
    """
    from stannary.report.bom.build import digest_of, gather, inventory_of

    with located([target], offline=offline, workspace=home) as targets:
        gathered = gather(targets[0].path, jobs=jobs, jail=jail)
        refused: tuple[StannaryError, ...] = ()
        evidence: tuple[Any, ...] = ()
        if workspace is not None and workspace.has_ledger:
            from stannary.evidence.chain import Chain

            evidence, refused = Chain(workspace).about(digest_of(gathered))
        return Bom(inventory_of(gathered, source=targets[0].source, evidence=evidence, name=name), refused)


def record_bom(made: Bom, kind: str, document: dict[str, Any], workspace: Workspace) -> Recorded:
    """Sign a bill of materials and log it, as a statement about the artifact."""
    from stannary.evidence.chain import Chain

    return Chain(workspace, write=True).state(bom_subject(made), kind, document)


def bom_subject(made: Bom) -> Resource:
    """Return the artifact that a bill of materials is about, as the subject of a statement."""
    from stannary.evidence.statement import subject_resource

    inventory = made.inventory
    single = inventory.files[0].sha256 if inventory.is_file else None
    return subject_resource(inventory.digest, inventory.given_name, single)
