"""Findings that were accepted: waivers, each with a reason, an owner and an end, and baselines.

A waiver names a rule and a file (a glob over the path within the target) or a digest (of the
file or of the whole artifact). It must say why, who answers for it and until when; after that
day it waives nothing and is itself a finding (SCN002). A baseline accepts the findings that
were there when it was written, by fingerprint and target. Both mark findings; they remove none.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from stannary.checks.static.result import ScanFinding, ScanResult
from stannary.core.errors import StannaryError, UsageError

__all__ = ["Acceptance", "Accepted", "Baseline", "Waiver", "baseline_of", "read_baseline", "waivers_of"]

_NEVER = frozenset({"SCN002"})  # an expired waiver is not waived by another


class Waiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[waiver]]` of the configuration."""

    rule: str
    reason: str
    owner: str
    expires: date
    file: str = ""
    digest: str = ""


class Accepted(msgspec.Struct, frozen=True, order=True):
    """A finding that was there when the baseline was written."""

    fingerprint: str
    target: str
    rule: str
    file: str


class Baseline(msgspec.Struct, frozen=True, kw_only=True, rename={"format": "schema"}):
    """The file `stannary.baseline/1`."""

    format: str = "stannary.baseline/1"
    findings: tuple[Accepted, ...] = ()


def waivers_of(rows: Iterable[Mapping[str, Any]], where: str = "stannary.toml") -> tuple[Waiver, ...]:
    """Read waivers as they stand in a configuration file. Raises UsageError, or a group of them: one for each that is wrong."""
    found: list[Waiver] = []
    problems: list[StannaryError] = []
    for number, row in enumerate(rows, start=1):
        values = {key: value.date() if isinstance(value, datetime) else value for key, value in row.items()}
        wrong = [f"{key} is missing" for key in ("rule", "reason", "owner", "expires") if not values.get(key)]
        if not (values.get("file") or values.get("digest")):
            wrong.append("file or digest is missing: a waiver covers something in particular")
        if not wrong:
            try:
                found.append(msgspec.convert(values, Waiver))
            except msgspec.ValidationError as exc:
                wrong.append(str(exc))
        if wrong:
            help_text = 'rule = "PKL001", file = "old/*.pkl", reason = "...", owner = "...", expires = 2027-01-31'
            problems.append(UsageError(f"waiver {number}: {'; '.join(wrong)}", where=where, code="WVR001", help=help_text))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        msg = "waivers"
        raise ExceptionGroup(msg, problems)
    return tuple(found)


def read_baseline(path: str) -> Baseline:
    """Read a baseline file. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            baseline = msgspec.json.decode(file.read(), type=Baseline)
    except OSError as exc:
        msg = f"the baseline cannot be read: {exc.strerror}"
        raise UsageError(msg, where=path, code="BSL001", help="make one with stannary scan TARGET --write-baseline FILE") from exc
    except msgspec.DecodeError as exc:
        msg = f"is not a baseline: {exc}"
        raise UsageError(msg, where=path, code="BSL002") from exc
    if baseline.format != "stannary.baseline/1":
        msg = f"is of schema {baseline.format!r}, not stannary.baseline/1"
        raise UsageError(msg, where=path, code="BSL002")
    return baseline


def baseline_of(result: ScanResult) -> Baseline:
    """Return a baseline that accepts every finding of a result but expired waivers."""
    accepted = {
        Accepted(f.fingerprint, os.path.normpath(target.path), f.rule, f.file)
        for target in result.targets
        for f in target.findings
        if f.rule not in _NEVER
    }
    return Baseline(findings=tuple(sorted(accepted)))


class Acceptance:
    """Decides for each finding of a target whether something covers it."""

    def __init__(self, waivers: Sequence[Waiver], baseline: Baseline | None, today: date) -> None:
        self.expired = tuple(w for w in waivers if w.expires < today)
        self._waivers = tuple(w for w in waivers if w.expires >= today)
        self._baseline = {(a.target, a.fingerprint) for a in baseline.findings} if baseline else frozenset()

    def __bool__(self) -> bool:
        return bool(self._waivers or self._baseline)

    def reason(self, finding: ScanFinding, target: str, digests: Iterable[str]) -> str | None:
        """Return why a finding is accepted, or None. `digests`: of its file and of the artifact, `sha256:…` or bare hex."""
        if finding.rule in _NEVER:
            return None
        held = {digest.removeprefix("sha256:") for digest in digests if digest}
        for waiver in self._waivers:
            if waiver.rule == finding.rule and _covers(waiver, finding.file, held):
                return f"waived by {waiver.owner} until {waiver.expires.isoformat()}: {waiver.reason}"
        if (os.path.normpath(target), finding.fingerprint) in self._baseline:
            return "in the baseline"
        return None


def _covers(waiver: Waiver, file: str, digests: set[str]) -> bool:
    if waiver.file and not fnmatch.fnmatchcase(file, waiver.file):
        return False
    return not waiver.digest or waiver.digest.removeprefix("sha256:").lower() in digests
