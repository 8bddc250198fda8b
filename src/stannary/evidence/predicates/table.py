"""The kinds of evidence: their predicate types, their structs, and how a gate sees them.

A projection takes the decoded predicate and gives the fields of `core.evidence.Evidence` that
depend on it. What is not understood is refused when it is recorded; it is never taken for a pass.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from stannary.core.errors import InputError
from stannary.core.evidence import Check, Measurement, Outcome, SeverityCounts
from stannary.core.model import Finding, Json, Location
from stannary.evidence.predicates import ours, published

__all__ = ["KINDS", "OURS", "Kind", "decoded", "kind_of_type"]

_OURS = "urn:stannary:predicate:"
_CVSS = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"))


class Kind(NamedTuple):
    """A kind of evidence under its short name."""

    name: str
    predicate_type: str
    struct: type[msgspec.Struct]
    project: Callable[[Any], dict[str, Any]]
    text: str

    @property
    def is_ours(self) -> bool:
        """Tell whether the type is one of stannary's own."""
        return self.predicate_type.startswith(_OURS)


def _checked(p: ours.ModelScan | ours.EvalResult | ours.DatasetCheck) -> dict[str, Any]:
    return {
        "check": p.check,
        "outcome": p.outcome,
        "partial": p.partial,
        "inputs": p.inputs,
        "issued": p.finished_on,
        "expires": p.expires_on,
    }


def _findings(rows: tuple[ours.ScanFindingV1, ...]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            rule=row.rule,
            severity=row.severity,
            subject="",
            where=Location(row.file, row.part, row.offset, row.line),
            message=row.message,
            data={"waived": row.waived} if row.waived else {},
        )
        for row in rows
    )


def _measurements(rows: tuple[ours.Result, ...]) -> tuple[Measurement, ...]:
    return tuple(
        Measurement(
            metric=row.metric,
            value=row.value,
            low=row.interval.low,
            high=row.interval.high,
            level=row.interval.level,
            n=row.sample_size,
            seed=row.seed,
        )
        for row in rows
    )


def _scan(p: ours.ModelScan) -> dict[str, Any]:
    return {**_checked(p), "verdict": p.verdict, "counts": p.counts, "findings": _findings(p.findings)}


def _eval(p: ours.EvalResult) -> dict[str, Any]:
    return {**_checked(p), "measurements": _measurements(p.results)}


def _dataset(p: ours.DatasetCheck) -> dict[str, Any]:
    more = {"counts": p.counts, "findings": _findings(p.findings), "measurements": _measurements(p.results)}
    return {**_checked(p), **more}


def _stated(check: str, outcome: Outcome = "passed") -> Callable[[Any], dict[str, Any]]:
    def project(p: Any) -> dict[str, Any]:  # noqa: ANN401 - one of ours
        issued: datetime = p.finished_on
        return {"check": Check(id=check, version="1"), "outcome": outcome, "issued": issued, "expires": p.expires_on}

    return project


def _statement(p: ours.Statement) -> dict[str, Any]:
    outcome: Outcome = "failed" if p.decision == "reject" else "passed"
    check = Check(id=p.topic, version="1")
    return {"check": check, "outcome": outcome, "issued": p.finished_on, "expires": p.expires_on, "verdict": p.decision}


def _training(p: ours.TrainingRun) -> dict[str, Any]:
    inputs = tuple(edge.resource for edge in p.edges)
    return {**_stated("training-run", p.outcome)(p), "inputs": inputs}


def _incident(p: ours.Incident) -> dict[str, Any]:
    outcome: Outcome = "passed" if p.state == "closed" else "failed"
    return {**_stated(f"incident:{p.id}", outcome)(p), "verdict": p.state}


def _response(p: ours.ResponseAction) -> dict[str, Any]:
    return {**_stated("response-action", p.outcome)(p), "verdict": p.action}


def _revocation(p: ours.Revocation) -> dict[str, Any]:
    return {**_stated("revocation", "passed" if p.lifted else "failed")(p), "verdict": "lifted" if p.lifted else "revoked"}


def _tests(p: published.TestResult) -> dict[str, Any]:
    outcomes: dict[str, Outcome] = {"PASSED": "passed", "WARNED": "passed", "FAILED": "failed"}
    outcome = "failed" if p.failed_tests else outcomes[p.result]
    return {"check": Check(id="test-result", version="0.1"), "outcome": outcome, "verdict": p.result.lower()}


def _vulns(p: published.Vulnerabilities) -> dict[str, Any]:
    counts = dict.fromkeys(("critical", "high", "medium", "low", "info"), 0)
    for row in p.scanner.result:
        counts[_severity_of(row)] += 1
    outcome = "failed" if p.scanner.result else "passed"
    check = Check(id=p.scanner.uri or "vuln", version=p.scanner.version)
    return {"check": check, "outcome": outcome, "counts": SeverityCounts(**counts), "issued": p.metadata.scan_finished_on}


def _severity_of(row: Any) -> str:  # noqa: ANN401 - published._Vulnerability
    """Return the worst severity that is given; an entry without a readable one counts as high: unknown is not harmless."""
    given = row.severity if isinstance(row.severity, tuple) else (row.severity,)
    found: list[float] = []
    for item in given:
        word = item.score.strip().lower()
        if word in {"critical", "high", "medium", "low"}:
            found.append({"critical": 9.0, "high": 7.0, "medium": 4.0, "low": 0.1}[word])
            continue
        try:
            found.append(float(word))
        except ValueError:
            continue
    if not found:
        return "high"
    worst = max(found)
    return next((name for limit, name in _CVSS if worst >= limit), "info")


def _slsa(p: published.SlsaProvenance) -> dict[str, Any]:
    builder = p.run_details.builder.id
    return {
        "check": Check(id=builder, version="1", parameters={"buildType": p.build_definition.build_type}),
        "outcome": "passed",
        "inputs": p.inputs,
        "issued": p.run_details.metadata.finished_on,
    }


def _vsa(p: published.VerificationSummary) -> dict[str, Any]:
    outcome = "passed" if p.verification_result == "PASSED" else "failed"
    check = Check(id=str(p.policy.get("uri", "")) or p.verifier.id, version="1")
    return {"check": check, "outcome": outcome, "issued": p.time_verified, "verdict": p.verification_result.lower()}


def _document(check: str) -> Callable[[Any], dict[str, Any]]:
    return lambda _: {"check": Check(id=check, version=""), "outcome": "passed"}


def _cyclonedx(p: published.CycloneDx) -> dict[str, Any]:
    """A document that calls its assemblies incomplete is incomplete. Of dependencies few know all: that is no reason."""
    partial = any(row.assemblies and row.aggregate.startswith("incomplete") for row in p.compositions)
    return {"check": Check(id="cyclonedx", version=""), "outcome": "incomplete" if partial else "passed"}


_ROWS = (
    Kind("model-scan", _OURS + "model-scan:v1", ours.ModelScan, _scan, "A static scan of an artifact."),
    Kind("eval-result", _OURS + "eval-result:v1", ours.EvalResult, _eval, "Measurements of a model, with intervals."),
    Kind("dataset-check", _OURS + "dataset-check:v1", ours.DatasetCheck, _dataset, "Findings and measurements of a dataset."),
    Kind("training-run", _OURS + "training-run:v1", ours.TrainingRun, _training, "How a model came about."),
    Kind("lineage", _OURS + "lineage:v1", ours.Lineage, _stated("lineage"), "Relations of a subject to others."),
    Kind("statement", _OURS + "statement:v1", ours.Statement, _statement, "What a person or a pipeline states."),
    Kind("waiver", _OURS + "waiver:v1", ours.Waiver, _stated("waiver"), "A rule that is let pass, until when and why."),
    Kind("incident", _OURS + "incident:v1", ours.Incident, _incident, "An incident and its state."),
    Kind("response-action", _OURS + "response-action:v1", ours.ResponseAction, _response, "What was done about an incident."),
    Kind("revocation", _OURS + "revocation:v1", ours.Revocation, _revocation, "The subject must no longer be used."),
    Kind("slsa-provenance", "https://slsa.dev/provenance/v1", published.SlsaProvenance, _slsa, "SLSA build provenance."),
    Kind(
        "privacy-spend", _OURS + "privacy-spend:v1", ours.PrivacySpend, _stated("privacy-spend"), "Privacy that a training spent."
    ),
    Kind(
        "test-result",
        "https://in-toto.io/attestation/test-result/v0.1",
        published.TestResult,
        _tests,
        "Results of tests, as in-toto has them.",
    ),
    Kind(
        "vuln",
        "https://in-toto.io/attestation/vulns/v0.2",
        published.Vulnerabilities,
        _vulns,
        "Known vulnerabilities of a subject.",
    ),
    Kind("vsa", "https://slsa.dev/verification_summary/v1", published.VerificationSummary, _vsa, "What a policy decided."),
    Kind("cyclonedx", "https://cyclonedx.org/bom", published.CycloneDx, _cyclonedx, "A CycloneDX bill of materials."),
    Kind("spdx", "https://spdx.dev/Document", published.Document, _document("spdx"), "An SPDX bill of materials."),
    Kind(
        "model-signature",
        "https://model_signing/signature/v1.0",
        published.Document,
        _document("model-signature"),
        "An OpenSSF model signature.",
    ),
)
KINDS: dict[str, Kind] = {row.name: row for row in _ROWS}
OURS = {row.name: row for row in _ROWS if row.is_ours}
_BY_TYPE = {row.predicate_type: row for row in _ROWS} | {
    # Versions that differ in nothing a gate reads.
    "https://in-toto.io/attestation/vulns/v0.1": KINDS["vuln"],
    "https://spdx.dev/Document/v3.0.1": KINDS["spdx"],
}


def kind_of_type(predicate_type: str) -> Kind | None:
    """Return the kind of a predicate type; None for one that is not known here."""
    return _BY_TYPE.get(predicate_type)


def _see(kind: Kind) -> str:
    return f"stannary schema predicate:{kind.name}" if kind.is_ours else f"see {kind.predicate_type}"


def decoded(kind: Kind, predicate: Json, where: str = "predicate") -> Any:  # noqa: ANN401 - the kind's struct
    """Return the struct of a predicate. Raises InputError, naming the field."""
    try:
        return msgspec.convert(predicate, kind.struct)
    except msgspec.ValidationError as error:
        msg = f"is no {kind.name} predicate: {error}"
        raise InputError(msg, where=where, code="EVD002", help=_see(kind)) from error
