"""Hardening as evidence: how the new model came about, what both stood, and what of a privacy budget it took."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from stannary.core.errors import IntegrityError
from stannary.core.evidence import Resource
from stannary.core.model import Digest, Json
from stannary.harden.methods import METHODS

if TYPE_CHECKING:
    from stannary.app.hardening_request import HardenRequest
    from stannary.checks.target.card import Compared
    from stannary.evidence.chain import Recorded
    from stannary.evidence.workspace import Workspace
    from stannary.harden.card import HardeningResult

__all__ = ["record_hardening", "spender", "training_data"]


def spender(
    data: Resource, workspace: Workspace, limit: float | None, told: Callable[[Recorded], None]
) -> Callable[[HardeningResult], None]:
    """Return what books the epsilon of a training on its data set, and raises PolicyDenied where that is above the limit."""
    from stannary.evidence.chain import Chain
    from stannary.evidence.privacy_budget import spend, spent_by

    def book(result: HardeningResult) -> None:
        if result.privacy is not None:
            chain = Chain(workspace, write=True)
            told(spend(chain, data, spent_by(result.privacy, workspace.clock(), limit=limit)))

    return book


def training_data(request: HardenRequest) -> Resource:
    """Return the training data by its digest. Raises InputError."""
    from stannary.evidence.subject import identify, resource_of

    return resource_of(identify(request.data, "dataset"))


def record_hardening(
    result: HardeningResult, request: HardenRequest, data: Resource, workspace: Workspace, started: datetime
) -> list[Recorded]:
    """State how the hardened model was made, from which model and data, and what it stands.

    Args:
        result: what came out.
        request: what was asked for.
        data: the training data as it was when hardening began.
        workspace: where it is stated.
        started: when it began.

    Raises:
        IntegrityError: the training data is not what it was when hardening began.
    """
    from stannary.app.statements import record_evaluation
    from stannary.evidence.chain import Chain
    from stannary.evidence.predicates.ours import LineageEdge, TrainingRun
    from stannary.evidence.statement import subject_resource
    from stannary.evidence.training import environment_of

    if training_data(request).digest != data.digest:
        msg = "changed while it was used"
        raise IntegrityError(msg, where=request.data, code="TRN002", help="harden again on data that stays as it is")
    finished, edges = workspace.clock(), []
    trains = METHODS[request.method].trains
    original = result.before.model
    if original.digest is not None:
        resource = subject_resource(Digest.parse(original.digest), original.name, original.sha256)
        edges.append(LineageEdge(relation="fine-tuned-from" if trains else "converted-from", resource=resource))
    if trains:
        edges.append(LineageEdge(relation="trained-from", resource=data))
    parameters: dict[str, Json] = {"method": result.method, "verdict": result.verdict, **result.parameters}
    parameters["max_accuracy_loss"] = result.max_accuracy_loss
    metrics = _metrics("accuracy", result.accuracy)
    if result.standing is not None:
        metrics |= _metrics("robustness", result.standing)
    predicate = TrainingRun(
        outcome="passed",
        edges=tuple(edges),
        parameters=parameters,
        seeds={"stannary": result.after.seed},
        metrics=metrics,
        started_on=started,
        finished_on=finished,
        **environment_of(),
    )
    model = result.after.model
    subject = subject_resource(Digest.parse(model.digest or ""), model.name, model.sha256)
    chain = Chain(workspace, write=True)
    return [chain.state(subject, "training-run", predicate), *record_evaluation(result.after, workspace, started, finished)]


def _metrics(name: str, one: Compared) -> dict[str, float]:
    """Return a paired comparison as numbers of a training run."""
    rows = {"before": one.before.value, "after": one.after.value, "difference.low": one.low, "difference.high": one.high}
    return {f"hardening.{name}.{what}": value for what, value in rows.items()} | {f"hardening.{name}.p": one.p}
