"""The result of a scan, as `stannary.scan/1` writes it, becomes a `model-scan` predicate.

Evidence and checks do not see each other, so this goes by the published JSON: a result that was made on
another machine is recorded the same way.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from stannary.core.errors import InputError
from stannary.core.evidence import Check, Outcome, SeverityCounts
from stannary.core.model import SEVERITIES, Json, Severity, severity_rank
from stannary.evidence.predicates.ours import ModelScan, ScanFindingV1

__all__ = ["MOST_FINDINGS", "ScannedTarget", "model_scans"]

MOST_FINDINGS = 500  # the worst are listed; the others are counted
_MOST_MISSED = 100
_TEXT = 500

Verdict = Literal["clean", "unverified", "suspicious", "unsafe", "incomplete"]
# What passes at the default threshold; a policy with `max_severity` goes by the counts instead.
_OUTCOMES: dict[str, Outcome] = {
    "clean": "passed", "unverified": "passed", "suspicious": "failed", "unsafe": "failed", "incomplete": "incomplete",
}  # fmt: skip


class _Missed(msgspec.Struct, frozen=True):
    reason: str
    part: str = ""


class _File(msgspec.Struct, frozen=True):
    path: str
    sha256: str | None = None
    missed: tuple[_Missed, ...] = ()
    status: str = "scanned"
    reason: str | None = None


class _Finding(msgspec.Struct, frozen=True):
    rule: str
    severity: Severity
    file: str
    message: str
    part: str = ""
    offset: int | None = None
    line: int | None = None
    fingerprint: str = ""
    waived: str | None = None


class _Target(msgspec.Struct, frozen=True):
    path: str
    digest: str | None
    verdict: Verdict
    files: tuple[_File, ...]
    findings: tuple[_Finding, ...]
    size: int = 0
    errors: tuple[str, ...] = ()


class _Tool(msgspec.Struct, frozen=True):
    version: str
    ruleset: str
    jail: str = "none"


class _Scan(msgspec.Struct, frozen=True):
    schema: Literal["stannary.scan/1"]
    tool: _Tool
    targets: tuple[_Target, ...]


class ScannedTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One target of a scan: where it was, its digest, the SHA-256 of a single file, and what to state of it."""

    path: str
    name: str
    digest: str | None
    sha256: str | None
    predicate: ModelScan


def model_scans(result: Mapping[str, Json], finished: datetime, started: datetime | None = None) -> list[ScannedTarget]:
    """Return a predicate for each target of a scan result. Raises InputError when it is none."""
    try:
        scan = msgspec.convert(result, _Scan)
    except msgspec.ValidationError as error:
        msg = f"is no result of a scan: {error}"
        raise InputError(msg, where="stannary.scan/1", code="EVD006", help="`stannary scan --format json` writes one") from error
    return [_stated(target, scan.tool, finished, started) for target in scan.targets]


def _stated(target: _Target, tool: _Tool, finished: datetime, started: datetime | None) -> ScannedTarget:
    # All of them: a waiver in somebody's configuration is no signed waiver, and a gate goes by signed ones alone.
    counts = SeverityCounts(**{name: sum(f.severity == name for f in target.findings) for name in SEVERITIES})
    worst = sorted(target.findings, key=lambda f: (severity_rank(f.severity), f.rule, f.file, f.offset or 0))
    missed = _missed(target)
    outcome: Outcome = "failed" if counts.critical or counts.high or counts.medium else _OUTCOMES[target.verdict]
    if missed and outcome == "passed":
        outcome = "incomplete"
    single = target.files[0].sha256 if len(target.files) == 1 else None
    predicate = ModelScan(
        check=Check(id="static-scan", version=tool.version, ruleset=tool.ruleset),
        outcome=outcome,
        verdict=target.verdict,
        counts=counts,
        findings=tuple(map(_listed, worst[:MOST_FINDINGS])),
        omitted=max(0, len(worst) - MOST_FINDINGS),
        files=len(target.files),
        bytes=target.size,
        missed=missed,
        environment={"python": platform.python_version(), "platform": sys.platform, "jail": tool.jail},
        started_on=started,
        finished_on=finished,
    )
    # As the artifact is called wherever it lies: the name that its digest binds for a single file.
    name = target.files[0].path if single else target.path.rstrip("/").rpartition("/")[2] or target.path
    return ScannedTarget(path=target.path, name=name, digest=target.digest, sha256=single, predicate=predicate)


def _missed(target: _Target) -> tuple[str, ...]:
    rows = [
        f"{file.path}: {missed.part + ': ' if missed.part else ''}{missed.reason}"
        for file in target.files
        for missed in file.missed
    ]
    rows += [f"{file.path}: {file.reason}" for file in target.files if file.status == "failed" and file.reason]
    rows += list(target.errors)
    rest = [f"and {len(rows) - _MOST_MISSED} more"] if len(rows) > _MOST_MISSED else []
    return tuple(text[:_TEXT] for text in [*rows[:_MOST_MISSED], *rest])


def _listed(finding: _Finding) -> ScanFindingV1:
    return ScanFindingV1(
        rule=finding.rule,
        severity=finding.severity,
        file=finding.file,
        part=finding.part,
        offset=finding.offset,
        line=finding.line,
        message=finding.message[:_TEXT],
        fingerprint=finding.fingerprint,
        waived=(finding.waived or "")[:_TEXT],
    )
